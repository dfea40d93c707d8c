// SPDX-License-Identifier: Apache-2.0
//
// Types that the engine's parts share. Written by hand.

package engine_pkg;

  // Byte addresses, offsets and strides.
  localparam int unsigned ADDR_BITS = 32;

  // Beats of a read command.
  localparam int unsigned BEATS_BITS = 16;

  typedef logic [ADDR_BITS-1:0] addr_t;

  // Where the host put things: what the descriptors' offsets are added to. 64-byte boundaries.
  typedef struct packed {
    addr_t descriptors;
    addr_t weights;
    addr_t records;
    addr_t images;
    addr_t workspace;
  } bases_t;

  // Why a run ended before its last layer.
  typedef enum logic [2:0] {
    ERROR_NONE,
    ERROR_OP,       // a kind of layer that the engine does not know
    ERROR_TILES,    // descriptors for other tile sizes than the engine's
    ERROR_SIZES,    // sizes or formats that no toolflow writes
    ERROR_BUFFER,   // a layer that needs larger buffers on chip
    ERROR_BUS,      // memory answered with an error
    ERROR_STOPPED   // the host asked for it
  } error_e;

  // A step's addresses for one image.
  typedef struct packed {
    addr_t first;
    addr_t second;
    addr_t result;
    addr_t weights;
    addr_t weights_low;
    addr_t records;
  } addresses_t;

  // Cycles of a run, each counted once.
  typedef struct packed {
    logic [31:0] busy;          // a beat of activations was used
    logic [31:0] wait_input;    // none was there
    logic [31:0] wait_weights;  // one was there, its weights were not
    logic [31:0] wait_output;   // results were not taken
    logic [31:0] idle;          // between steps: descriptors, addresses, the end of writing
  } cycles_t;

endpackage
