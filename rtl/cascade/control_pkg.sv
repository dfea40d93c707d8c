// SPDX-License-Identifier: Apache-2.0
//
// Types of the cascade control. Written by hand.

package control_pkg;

  // Indices of a run's images; a record's address takes 6 bits more.
  localparam int unsigned IMAGE_BITS = 24;

  // Images of a batch: 1..128.
  localparam int unsigned BATCH_BITS = 8;

  localparam int unsigned ADDR_BITS     = 32;
  localparam int unsigned CLASSES_BITS  = 17;  // 1..65536
  localparam int unsigned RANK_BITS     = 7;   // 1..64
  localparam int unsigned THRESH_BITS   = 18;
  localparam int unsigned NUMBER_BITS   = 16;
  localparam int unsigned RESULT_BYTES  = 64;
  localparam int unsigned CYCLES_BITS   = 48;

  typedef logic [ADDR_BITS-1:0] addr_t;
  typedef logic [IMAGE_BITS-1:0] image_t;
  typedef logic [BATCH_BITS-1:0] batch_t;
  typedef logic [CYCLES_BITS-1:0] cycles_t;

  // An image on its way: its index, and where the stored image is.
  typedef struct packed {
    image_t image;
    addr_t  addr;
  } entry_t;

  // A unit's part of a run's registers. With bank_bytes 0 the unit has one workspace, else a second
  // one bank_bytes behind it: a batch's logits are read while the next batch runs in the other.
  typedef struct packed {
    batch_t batch;          // images at a time, 1..
    addr_t  workspace;
    addr_t  bank_bytes;
    addr_t  logits;         // of a batch's first image, in the first workspace
    addr_t  logits_stride;  // bytes from an image to the next
  } unit_config_t;

  // A run's registers.
  typedef struct packed {
    image_t                        count;         // images
    addr_t                         images;        // the first stored image
    addr_t                         image_stride;  // bytes from an image to the next
    unit_config_t                  lpu;
    unit_config_t                  hpu;
    logic [CLASSES_BITS-1:0]       classes;       // logits of an image
    addr_t                         results;       // the first image's record
    logic [NUMBER_BITS-1:0]        run;           // number that the records carry
    logic [RANK_BITS-1:0]          m;             // the CEU's, see there
    logic [RANK_BITS-1:0]          n;
    logic signed [THRESH_BITS-1:0] threshold;
    logic [15:0]                   exp_mult;
    logic [4:0]                    exp_shift;
    logic                          eager;         // the HPU takes what waits when it is idle
    logic                          exclusive;     // one unit at a time
    image_t                        chunk;         // exclusive: images of an LPU pass, 1..
  } run_config_t;

  // How a run ended.
  typedef enum logic [2:0] {
    RUN_GOOD,
    RUN_CONFIG,   // registers that no run can have
    RUN_LPU,      // the LPU failed
    RUN_HPU,      // the HPU failed
    RUN_LOGITS,   // an image's logits were read with an error
    RUN_RECORDS,  // a record was written with an error
    RUN_ABORTED,  // the host asked for it
    RUN_TIMEOUT   // memory stopped answering: a soft reset is needed (cascade_core)
  } outcome_e;

  // What happened since the start of a run.
  typedef struct packed {
    image_t  lpu_images;  // decided by the LPU
    image_t  hpu_images;  // decided by the HPU
    image_t  forwarded;
    cycles_t cycles;      // of the run
    cycles_t lpu_busy;    // a batch is loaded or runs
    cycles_t hpu_busy;
    cycles_t ceu_busy;    // from an image's first logit to its record or its place in the queue
  } run_counters_t;

endpackage
