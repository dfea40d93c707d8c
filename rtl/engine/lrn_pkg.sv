// SPDX-License-Identifier: Apache-2.0
//
// The table of local response normalisation. Written by hand; its definition is
// toolflow/emulator/factor_table.py.

package lrn_pkg;

  // An octave of sums has two to this many segments.
  localparam int unsigned SEGMENT_BITS = 5;

  localparam int unsigned OCTAVE_BITS = 4;
  localparam int unsigned ENTRY_BITS  = OCTAVE_BITS + SEGMENT_BITS;

  // Place within a segment; factors and the drops from one to the next, unsigned; their exponents.
  localparam int unsigned FRACTION_BITS = 12;
  localparam int unsigned FACTOR_BITS   = 16;
  localparam int unsigned EXPONENT_BITS = 4;

  // log2 of the width of a segment: 0..30.
  localparam int unsigned WIDTH_BITS = 5;

  typedef logic [FACTOR_BITS-1:0] factor_t;
  typedef logic [EXPONENT_BITS-1:0] exponent_t;

  // An entry: the lowest 36 of its eight bytes in memory.
  typedef struct packed {
    exponent_t exponent;
    factor_t   drop;
    factor_t   base;
  } entry_t;

  // A layer's settings: they hold from its first beat's offer until the unit is idle.
  typedef struct packed {
    logic [2:0]                       half;      // channels of the window on either side
    logic [WIDTH_BITS-1:0]            floor;     // log2 of the width of the narrowest segments
    logic [cascade_pkg::SHIFT_BITS-1:0] shift;   // for factors of exponent 0
    logic                             is_signed; // input words are two's complement
    logic [cascade_pkg::MAX_BITS-1:0] zero_in;
    logic [cascade_pkg::MAX_BITS-1:0] zero_out;
    logic signed [cascade_pkg::MAX_BITS:0] low;
    logic signed [cascade_pkg::MAX_BITS:0] high;
  } settings_t;

endpackage
