// SPDX-License-Identifier: Apache-2.0
//
// Says when each unit starts a batch, and of how many images; gives the LPU its images in order.
//
// LPU: batches of lpu.batch images, the last one of what is left, as soon as it can take one and the
//      forward queue has room for all of it beside all images that the LPU holds: the queue never
//      overflows, whatever the CEU decides.
// HPU: hpu.batch images of the queue, as soon as they wait. Fewer where waiting does not help: the
//      LPU holds no image and cannot start a batch (none left, or no room); with `eager`, whenever
//      the HPU can take a batch.
// Exclusive: passes in turn, of the LPU until `chunk` images or no room, and of the HPU until the
//      queue is empty. A pass ends when its unit stands still and, the LPU's, all its images are
//      decided; logits of the HPU may still be read in the next pass.
//
// Progress: as QueueDepth >= lpu.batch, one of the units can always start or has images to decide.
// Latency: none; offers follow from registers. Offers are withdrawn while run_i is low.

`include "casc_assert.svh"

module batch_scheduler
  import control_pkg::*;
#(
    parameter int unsigned QueueDepth = 128  // 1..
) (
    input logic clk_i,
    input logic rst_ni,

    input logic   begin_i,  // before run_i: take the counts
    input logic   run_i,
    input image_t count_i,  // see run_config_t; stable
    input addr_t  images_i,
    input addr_t  image_stride_i,
    input batch_t lpu_batch_i,
    input batch_t hpu_batch_i,
    input logic   eager_i,
    input logic   exclusive_i,
    input image_t chunk_i,

    output logic   lpu_valid_o,
    input  logic   lpu_ready_i,
    output batch_t lpu_images_o,
    input  logic   entry_ready_i,  // an entry is always there
    output entry_t entry_o,

    output logic   hpu_valid_o,
    input  logic   hpu_ready_i,
    output batch_t hpu_images_o,
    input  logic   hpu_busy_i,

    input logic decided_i,    // an image of the LPU, by the CEU
    input logic forwarded_i,  // with decided_i: it goes to the queue
    input logic popped_i,     // an image left the queue

    output logic quiet_o      // no image waits or is held by the LPU, none is left to start
);

  localparam int unsigned LevelBits = $clog2(QueueDepth + 1);
  localparam int unsigned SumBits   = ((LevelBits > BATCH_BITS) ? LevelBits : BATCH_BITS) + 2;

  typedef logic [LevelBits-1:0] level_t;
  typedef logic [SumBits-1:0] sum_t;

  `CASC_CHECK_PARAM(queue_depth, QueueDepth >= 1)

  image_t left_q;       // not started
  image_t pass_left_q;  // exclusive: that this pass may start
  level_t waiting_q;    // in the queue
  level_t held_q;       // started on the LPU and not decided
  logic   hpu_pass_q;
  entry_t entry_q;

  image_t allowed;
  logic   lpu_can, lpu_take, hpu_take, lpu_over;

  // ---- LPU ----

  assign allowed      = (exclusive_i && pass_left_q < left_q) ? pass_left_q : left_q;
  assign lpu_images_o = (allowed < image_t'(lpu_batch_i)) ? batch_t'(allowed)
                                                                 : lpu_batch_i;
  assign lpu_can = lpu_images_o != '0 && !hpu_pass_q
      && sum_t'(waiting_q) + sum_t'(held_q) + sum_t'(lpu_images_o) <= sum_t'(QueueDepth);
  assign lpu_over    = held_q == '0 && !lpu_can;
  assign lpu_valid_o = run_i && lpu_can;
  assign lpu_take    = lpu_valid_o && lpu_ready_i;
  assign entry_o     = entry_q;

  // ---- HPU ----

  logic enough;

  assign enough = exclusive_i ? hpu_pass_q
      : sum_t'(waiting_q) >= sum_t'(hpu_batch_i) || eager_i || lpu_over;
  assign hpu_valid_o  = run_i && waiting_q != '0 && enough;
  assign hpu_take     = hpu_valid_o && hpu_ready_i;
  assign hpu_images_o = (sum_t'(waiting_q) < sum_t'(hpu_batch_i)) ? batch_t'(waiting_q)
                                                                         : hpu_batch_i;

  // ---- counts ----

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      waiting_q  <= '0;
      held_q     <= '0;
      hpu_pass_q <= 1'b0;
    end else begin
      waiting_q <= waiting_q + level_t'(forwarded_i) - level_t'(popped_i);
      held_q    <= held_q + (lpu_take ? level_t'(lpu_images_o) : '0) - level_t'(decided_i);
      if (hpu_pass_q) hpu_pass_q <= waiting_q != '0 || hpu_busy_i;
      else hpu_pass_q <= exclusive_i && run_i && lpu_over && waiting_q != '0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (begin_i) begin
      left_q      <= count_i;
      pass_left_q <= chunk_i;
      entry_q     <= '{image: '0, addr: images_i};
    end else begin
      if (lpu_take) begin
        left_q      <= left_q - image_t'(lpu_images_o);
        pass_left_q <= pass_left_q - image_t'(lpu_images_o);
      end else if (lpu_over) begin
        pass_left_q <= chunk_i;
      end
      if (entry_ready_i) begin
        entry_q.image <= entry_q.image + 1'b1;
        entry_q.addr  <= entry_q.addr + image_stride_i;
      end
    end
  end

  assign quiet_o = left_q == '0 && waiting_q == '0 && held_q == '0;

  `CASC_ASSERT(RoomForAll, sum_t'(waiting_q) + sum_t'(held_q) <= sum_t'(QueueDepth))
  `CASC_ASSERT(DecidedOnlyHeld, !decided_i || held_q != '0)
  `CASC_ASSERT(ForwardedIsDecided, !forwarded_i || decided_i)
  `CASC_ASSERT(PoppedOnlyWaiting, !popped_i || waiting_q != '0)
  `CASC_ASSERT(OneUnitAtATime, !exclusive_i || !hpu_take || held_q == '0)
  `CASC_ASSERT(HpuDoneBeforeLpu, !exclusive_i || !lpu_take || !hpu_busy_i)
  `CASC_ASSERT(OfferHolds, !$past(rst_ni && lpu_valid_o && !lpu_ready_i) || !run_i
      || (lpu_valid_o && $stable(lpu_images_o)))

endmodule
