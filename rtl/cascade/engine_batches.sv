// SPDX-License-Identifier: Apache-2.0
//
// Runs an engine on batches of images, and hands each finished batch on as a job: read its logits.
//
// A batch: its images are taken from the entry stream, their addresses written to the engine's list,
// and the engine started on the list. The batch's images are kept until its logits were read.
// Banks:   with bank_bytes_i there are two workspaces, used in turn: a batch may start while the one
//          before it is being read. Else a batch waits until the one before it has been read.
// Engine:  run_valid_o is taken with run_ready_i high (the engine is idle); the list is stable from
//          before that until done_i. done_i ends the run, failed_i with it says that there are no
//          logits. While run_stop_o is high a run should end early; it must end in any case.
// Jobs:    job_valid_o, job_images_o, job_logits_o are stable until job_done_i. job_entry_o is
//          image job_index_i's entry, one cycle later.
// stop_i:  must stay high until busy_o is low, then reset. No batch starts; an offer is withdrawn.
//
// Cycles:  a batch of n, its entries there: run_valid_o n + 1 cycles after the batch was taken. A
//          batch may be taken in the cycle after done_i: n + 2 cycles from done_i to run_valid_o.

`include "casc_assert.svh"

module engine_batches
  import control_pkg::*;
#(
    parameter  int unsigned MaxBatch  = 64,  // 1..128
    localparam int unsigned IndexBits = cascade_pkg::index_bits(MaxBatch)
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic   stop_i,
    input  addr_t  workspace_i,     // see unit_config_t
    input  addr_t  bank_bytes_i,
    input  addr_t  logits_i,
    output logic   busy_o,          // a batch is loaded or runs
    output logic   failed_o,        // pulse
    output image_t failed_image_o,  // the failed batch's first

    input  logic   batch_valid_i,
    output logic   batch_ready_o,
    input  batch_t batch_images_i,

    input  logic   entry_valid_i,
    output logic   entry_ready_o,
    input  entry_t entry_i,

    output logic                 list_write_o,
    output logic [IndexBits-1:0] list_index_o,
    output addr_t                list_addr_o,
    output logic                 run_valid_o,
    input  logic                 run_ready_i,
    output batch_t               run_images_o,
    output addr_t                run_workspace_o,
    output logic                 run_stop_o,
    input  logic                 done_i,
    input  logic                 failed_i,

    output logic                 job_valid_o,
    output batch_t               job_images_o,
    output addr_t                job_logits_o,
    input  logic                 job_done_i,
    input  logic [IndexBits-1:0] job_index_i,
    output entry_t               job_entry_o
);

  `CASC_CHECK_PARAM(max_batch, MaxBatch >= 1 && MaxBatch <= 128)

  typedef enum logic [1:0] {
    Idle,
    Load,   // images' entries come in
    Offer,  // wait for the engine
    Run
  } state_e;

  state_e               state_q, state_d;
  batch_t [1:0]         images_q;  // a bank's batch
  logic                 run_bank_q, read_bank_q;
  logic [1:0]           unread_q;  // finished batches that were not read to the end
  logic [IndexBits-1:0] index_q;
  image_t               first_image_q;

  logic two_banks, take, load, load_last, finished;

  assign two_banks = bank_bytes_i != '0;
  assign take      = batch_valid_i && batch_ready_o;
  assign load      = entry_valid_i && entry_ready_o;
  assign load_last = batch_t'(index_q) == images_q[run_bank_q] - 1'b1;
  assign finished  = state_q == Run && done_i && !failed_i;

  assign batch_ready_o = state_q == Idle && !stop_i
      && (unread_q == '0 || (two_banks && !unread_q[1]));
  assign entry_ready_o = state_q == Load && !stop_i;

  always_comb begin
    state_d = state_q;
    case (state_q)
      Idle:    if (take) state_d = Load;
      Load:    if (stop_i) state_d = Idle;
               else if (load && load_last) state_d = Offer;
      Offer:   if (stop_i) state_d = Idle;
               else if (run_ready_i) state_d = Run;
      Run:     if (done_i) state_d = Idle;
      default: state_d = Idle;
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q     <= Idle;
      run_bank_q  <= 1'b0;
      read_bank_q <= 1'b0;
      unread_q    <= '0;
    end else begin
      state_q  <= state_d;
      unread_q <= unread_q + 2'(finished) - 2'(job_done_i);
      if (finished) run_bank_q <= !run_bank_q;
      if (job_done_i) read_bank_q <= !read_bank_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (take) begin
      images_q[run_bank_q] <= batch_images_i;
      index_q              <= '0;
    end else if (load) begin
      index_q <= index_q + 1'b1;
    end
    if (load && index_q == '0) first_image_q <= entry_i.image;
  end

  ram_1r1w #(
      .Width($bits(entry_t)),
      .Depth(2 << IndexBits)
  ) u_entries (
      .clk_i,
      .read_en_i   (1'b1),
      .read_addr_i ({read_bank_q, job_index_i}),
      .read_data_o (job_entry_o),
      .write_en_i  (load),
      .write_addr_i({run_bank_q, index_q}),
      .write_data_i(entry_i)
  );

  assign list_write_o    = load;
  assign list_index_o    = index_q;
  assign list_addr_o     = entry_i.addr;
  assign run_valid_o     = state_q == Offer && !stop_i;
  assign run_images_o    = images_q[run_bank_q];
  assign run_workspace_o = workspace_i + (run_bank_q ? bank_bytes_i : '0);
  assign run_stop_o      = state_q == Run && stop_i;

  assign job_valid_o  = unread_q != '0;
  assign job_images_o = images_q[read_bank_q];
  assign job_logits_o = logits_i + (read_bank_q ? bank_bytes_i : '0);

  assign busy_o         = state_q != Idle;
  assign failed_o       = state_q == Run && done_i && failed_i;
  assign failed_image_o = first_image_q;

  `CASC_ASSERT(BatchLegal, !take || (batch_images_i != '0 && batch_images_i <= batch_t'(MaxBatch)))
  `CASC_ASSERT(AtMostTwoUnread, unread_q != 2'd3)
  `CASC_ASSERT(DoneOnlyOfARun, !done_i || state_q == Run)
  `CASC_ASSERT(JobDoneOnlyOfAJob, !job_done_i || job_valid_o)
  `CASC_ASSERT(OfferHolds, !$past(rst_ni && run_valid_o && !run_ready_i) || stop_i
      || (run_valid_o && $stable({run_images_o, run_workspace_o})))

endmodule
