// SPDX-License-Identifier: Apache-2.0
//
// Runs the cascade over images in memory: batches of all images on the LPU, the CEU's decision on
// each, batches of the forwarded ones on the HPU, and a result record of every image.
//
//     LPU <-> engine_batches --jobs--> image_judge --records--> record_writer --> memory
//                   ^                   ^   |
//             batch_scheduler           |   +--forwarded--> fifo --+
//                   v                   |                          |
//     HPU <-> engine_batches --jobs-----+                          |
//                   ^----------------------------------------------+
//
// A run:   start_i in a cycle without busy_o takes config_i; done_o is high for a cycle when it has
//          ended and everything is in memory. outcome_o says how, counters_o what was done; both stand
//          until the next start. A start while busy_o is high, or with abort_i, does nothing but set
//          refused_o for a cycle.
// Config:  control_pkg. Batches 1..MaxBatch, the LPU's not above QueueDepth; classes 1..MaxClasses;
//          1 <= m <= n <= MaxN; results on a 64-byte boundary; logits, their strides and bank_bytes
//          whole beats; with `exclusive` a chunk of at least 1. Else the run ends at once (RUN_CONFIG).
// Results: a record an image that ended, results + 64 * index; see toolflow/emission/
//          result_records.py. Without an error or abort every image ends exactly once.
// Errors:  a failed engine run, a logit or record access with an error, and abort_i end the run: no
//          batch starts, engines are told to stop, reads that were commanded are taken, a record
//          that was begun is written whole. outcome_o is the first error; outcome_image_o the image
//          whose logits were bad, or the failed batch's first one. Images that did not end have no
//          record of this run; an image with bad logits has one with its error flag.
// Memory:  engine runs see engine_batches; reads and writes as in docs/engine.md, with data_error_i
//          beside each beat that is read. wr_error_i is a pulse, not later than the cycle in which
//          wr_idle_i is high for the write; wr_idle_i is low from the cycle after a beat was taken
//          until it is in memory.
// Cycles:  from start_i to the LPU's first run_valid_o: batch + 3. From its done_i to the next one's
//          run_valid_o: batch + 2, where a bank and room in the queue are there; the same for the
//          HPU where enough images wait. An image: 2 C + 8 of the CEU and 1 more if forwarded,
//          512 / DataBits more if recorded; see image_judge.

`include "casc_assert.svh"

module cascade_control
  import control_pkg::*;
  import result_record_pkg::*;
#(
    parameter  int unsigned DataBits   = 64,    // 64 or 128
    parameter  int unsigned MaxBatch   = 64,    // 1..128
    parameter  int unsigned QueueDepth = 128,   // 1..; distributed RAM, 56 bits an image
    parameter  int unsigned MaxClasses = 1000,  // 2..65536
    parameter  int unsigned MaxN       = 8,     // 5..64
    localparam int unsigned IndexBits  = cascade_pkg::index_bits(MaxBatch)
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic          start_i,
    input  logic          abort_i,
    input  run_config_t   config_i,
    output logic          busy_o,
    output logic          done_o,
    output logic          refused_o,
    output outcome_e      outcome_o,
    output image_t        outcome_image_o,
    output run_counters_t counters_o,

    // Engines, the LPU at 0, the HPU at 1.
    output logic   [1:0]                list_write_o,
    output logic   [1:0][IndexBits-1:0] list_index_o,
    output addr_t  [1:0]                list_addr_o,
    output logic   [1:0]                run_valid_o,
    input  logic   [1:0]                run_ready_i,
    output batch_t [1:0]                run_images_o,
    output addr_t  [1:0]                run_workspace_o,
    output logic   [1:0]                run_stop_o,
    input  logic   [1:0]                run_done_i,
    input  logic   [1:0]                run_failed_i,

    output logic                cmd_valid_o,
    input  logic                cmd_ready_i,
    output addr_t               cmd_addr_o,
    output logic [15:0]         cmd_beats_o,
    input  logic                data_valid_i,
    output logic                data_ready_o,
    input  logic [DataBits-1:0] data_i,
    input  logic                data_error_i,

    output logic                  wr_valid_o,
    input  logic                  wr_ready_i,
    output addr_t                 wr_addr_o,
    output logic [DataBits-1:0]   wr_data_o,
    output logic [DataBits/8-1:0] wr_strb_o,
    output logic                  wr_last_o,
    input  logic                  wr_idle_i,
    input  logic                  wr_error_i
);

  localparam int unsigned ByteBits = $clog2(DataBits / 8);

  `CASC_CHECK_PARAM(data_bits, DataBits == 64 || DataBits == 128)
  `CASC_CHECK_PARAM(max_batch, MaxBatch >= 1 && MaxBatch <= 128)
  `CASC_CHECK_PARAM(queue_depth, QueueDepth >= 1 && QueueDepth < (1 << IMAGE_BITS))

  typedef enum logic [2:0] {
    Idle,
    Check,   // are the registers legal
    Run,
    Settle,  // all images ended: wait until the records are in memory
    Stop     // an error or abort: wait until nothing is under way
  } state_e;

  state_e      state_q, state_d;
  run_config_t config_q;
  outcome_e    ending;
  image_t      ending_image;
  image_t      ended_q;  // images that ended

  // ---- registers ----

  function automatic logic batch_legal(input batch_t batch);
    return batch != '0 && batch <= batch_t'(MaxBatch);
  endfunction

  addr_t in_beats;  // must be whole beats
  assign in_beats = config_q.lpu.bank_bytes | config_q.lpu.logits | config_q.lpu.logits_stride
                  | config_q.hpu.bank_bytes | config_q.hpu.logits | config_q.hpu.logits_stride;

  logic config_legal;
  assign config_legal = batch_legal(config_q.lpu.batch) && batch_legal(config_q.hpu.batch)
      && in_beats[ByteBits-1:0] == '0
      && IMAGE_BITS'(config_q.lpu.batch) <= IMAGE_BITS'(QueueDepth)
      && config_q.classes != '0 && config_q.classes <= CLASSES_BITS'(MaxClasses)
      && config_q.m != '0 && config_q.m <= config_q.n && config_q.n <= RANK_BITS'(MaxN)
      && config_q.results[5:0] == '0
      && (!config_q.exclusive || config_q.chunk != '0);

  logic unused;  // upper bits of in_beats
  assign unused = ^in_beats;

  // ---- control ----

  logic start, running, stopping, quiet, all_ended, work_rst_n;
  logic judge_idle, image_recorded;
  result_record_t record;
  logic [1:0] unit_busy, unit_failed;
  image_t [1:0] failed_image;

  assign start      = start_i && !abort_i && state_q == Idle;
  assign running    = state_q == Run;
  assign stopping   = state_q == Stop;
  assign quiet      = unit_busy == '0 && judge_idle && wr_idle_i;
  assign all_ended  = ended_q == config_q.count;
  // Between runs everything that works is in reset: a run finds nothing of the one before.
  assign work_rst_n = rst_ni && state_q inside {Run, Settle, Stop};

  always_comb begin
    ending       = RUN_GOOD;
    ending_image = '0;
    if (abort_i) begin
      ending = RUN_ABORTED;
    end else if (state_q == Check) begin
      if (!config_legal) ending = RUN_CONFIG;
    end else if (wr_error_i) begin
      ending = RUN_RECORDS;
    end else if (image_recorded && record.error) begin
      ending       = RUN_LOGITS;
      ending_image = record.image;
    end else if (unit_failed[0]) begin
      ending       = RUN_LPU;
      ending_image = failed_image[0];
    end else if (unit_failed[1]) begin
      ending       = RUN_HPU;
      ending_image = failed_image[1];
    end
  end

  always_comb begin
    state_d = state_q;
    case (state_q)
      Idle:    if (start) state_d = Check;
      Check:   state_d = (ending != RUN_GOOD) ? Idle : Run;
      Run:     if (ending != RUN_GOOD) state_d = Stop;
               else if (all_ended) state_d = Settle;
      Settle:  if (ending != RUN_GOOD) state_d = Stop;
               else if (wr_idle_i) state_d = Idle;
      Stop:    if (quiet) state_d = Idle;
      default: state_d = Idle;
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q         <= Idle;
      outcome_o       <= RUN_GOOD;
      outcome_image_o <= '0;
      done_o          <= 1'b0;
      refused_o       <= 1'b0;
    end else begin
      state_q   <= state_d;
      done_o    <= state_q != Idle && state_d == Idle;
      refused_o <= start_i && !start;
      if (start || (outcome_o == RUN_GOOD && state_q inside {Check, Run, Settle})) begin
        outcome_o       <= start ? RUN_GOOD : ending;
        outcome_image_o <= start ? '0 : ending_image;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (start) config_q <= config_i;
    if (start) ended_q <= '0;
    else if (image_recorded) ended_q <= ended_q + 1'b1;
  end

  assign busy_o = state_q != Idle;

  // ---- batches ----

  logic   [1:0]                batch_valid, batch_ready, entry_valid, entry_ready;
  batch_t [1:0]                batch_images;
  entry_t [1:0]                entry;
  logic   [1:0]                job_valid, job_done;
  batch_t [1:0]                job_images;
  addr_t  [1:0]                job_logits;
  logic   [IndexBits-1:0]      job_index;
  entry_t [1:0]                job_entry;
  logic                        decided, forward_valid, forward_ready, scheduler_quiet;
  entry_t                      forward;

  batch_scheduler #(
      .QueueDepth(QueueDepth)
  ) u_scheduler (
      .clk_i,
      .rst_ni        (work_rst_n),
      .begin_i       (state_q == Check),
      .run_i         (running),
      .count_i       (config_q.count),
      .images_i      (config_q.images),
      .image_stride_i(config_q.image_stride),
      .lpu_batch_i   (config_q.lpu.batch),
      .hpu_batch_i   (config_q.hpu.batch),
      .eager_i       (config_q.eager),
      .exclusive_i   (config_q.exclusive),
      .chunk_i       (config_q.chunk),
      .lpu_valid_o  (batch_valid[0]),
      .lpu_ready_i  (batch_ready[0]),
      .lpu_images_o (batch_images[0]),
      .entry_ready_i(entry_ready[0]),
      .entry_o      (entry[0]),
      .hpu_valid_o  (batch_valid[1]),
      .hpu_ready_i  (batch_ready[1]),
      .hpu_images_o (batch_images[1]),
      .hpu_busy_i   (unit_busy[1]),
      .decided_i    (decided),
      .forwarded_i  (forward_valid),
      .popped_i     (entry_valid[1] && entry_ready[1]),
      .quiet_o      (scheduler_quiet)
  );

  assign entry_valid[0] = 1'b1;

  fifo #(
      .Width($bits(entry_t)),
      .Depth(QueueDepth)
  ) u_forward (
      .clk_i,
      .rst_ni     (work_rst_n),
      .in_valid_i (forward_valid),
      .in_ready_o (forward_ready),
      .in_data_i  (forward),
      .out_valid_o(entry_valid[1]),
      .out_ready_i(entry_ready[1]),
      .out_data_o (entry[1])
  );

  for (genvar unit = 0; unit < 2; unit++) begin : gen_unit
    engine_batches #(
        .MaxBatch(MaxBatch)
    ) u_batches (
        .clk_i,
        .rst_ni         (work_rst_n),
        .stop_i         (stopping),
        .workspace_i    (unit == 0 ? config_q.lpu.workspace : config_q.hpu.workspace),
        .bank_bytes_i   (unit == 0 ? config_q.lpu.bank_bytes : config_q.hpu.bank_bytes),
        .logits_i       (unit == 0 ? config_q.lpu.logits : config_q.hpu.logits),
        .busy_o         (unit_busy[unit]),
        .failed_o       (unit_failed[unit]),
        .failed_image_o (failed_image[unit]),
        .batch_valid_i  (batch_valid[unit]),
        .batch_ready_o  (batch_ready[unit]),
        .batch_images_i (batch_images[unit]),
        .entry_valid_i  (entry_valid[unit]),
        .entry_ready_o  (entry_ready[unit]),
        .entry_i        (entry[unit]),
        .list_write_o   (list_write_o[unit]),
        .list_index_o   (list_index_o[unit]),
        .list_addr_o    (list_addr_o[unit]),
        .run_valid_o    (run_valid_o[unit]),
        .run_ready_i    (run_ready_i[unit]),
        .run_images_o   (run_images_o[unit]),
        .run_workspace_o(run_workspace_o[unit]),
        .run_stop_o     (run_stop_o[unit]),
        .done_i         (run_done_i[unit]),
        .failed_i       (run_failed_i[unit]),
        .job_valid_o    (job_valid[unit]),
        .job_images_o   (job_images[unit]),
        .job_logits_o   (job_logits[unit]),
        .job_done_i     (job_done[unit]),
        .job_index_i    (job_index),
        .job_entry_o    (job_entry[unit])
    );
  end

  // ---- results ----

  logic record_valid, record_ready, ceu_busy;

  image_judge #(
      .DataBits  (DataBits),
      .MaxBatch  (MaxBatch),
      .MaxClasses(MaxClasses),
      .MaxN      (MaxN)
  ) u_judge (
      .clk_i,
      .rst_ni         (work_rst_n),
      .stop_i         (stopping),
      .idle_o         (judge_idle),
      .config_i       (config_q),
      .job_valid_i    (job_valid),
      .job_images_i   (job_images),
      .job_logits_i   (job_logits),
      .job_done_o     (job_done),
      .job_index_o    (job_index),
      .job_entry_i    (job_entry),
      .cmd_valid_o,
      .cmd_ready_i,
      .cmd_addr_o,
      .cmd_beats_o,
      .data_valid_i,
      .data_ready_o,
      .data_i,
      .data_error_i,
      .forward_valid_o(forward_valid),
      .forward_o      (forward),
      .record_valid_o (record_valid),
      .record_ready_i (record_ready),
      .record_o       (record),
      .decided_o      (decided),
      .busy_o         (ceu_busy)
  );

  record_writer #(
      .DataBits(DataBits)
  ) u_writer (
      .clk_i,
      .rst_ni        (work_rst_n),
      .results_i     (config_q.results),
      .record_valid_i(record_valid),
      .record_ready_o(record_ready),
      .record_i      (record),
      .wr_valid_o,
      .wr_ready_i,
      .wr_addr_o,
      .wr_data_o,
      .wr_strb_o,
      .wr_last_o
  );

  assign image_recorded = record_valid && record_ready;

  run_counters u_counters (
      .clk_i,
      .rst_ni,
      .clear_i    (start),
      .running_i  (busy_o),
      .lpu_image_i(image_recorded && !record.error && !record.unit),
      .hpu_image_i(image_recorded && !record.error && record.unit),
      .forwarded_i(forward_valid),
      .lpu_busy_i (unit_busy[0]),
      .hpu_busy_i (unit_busy[1]),
      .ceu_busy_i (ceu_busy),
      .counters_o
  );

  `CASC_ASSERT(QueueNeverOverflows, !forward_valid || forward_ready)
  `CASC_ASSERT(NoImageEndsTwice, !image_recorded || ended_q != config_q.count)
  `CASC_ASSERT(AllEndedMeansQuiet, state_q != Settle
      || (scheduler_quiet && unit_busy == '0 && job_valid == '0))
  `CASC_ASSERT_STREAM(Write, wr_valid_o, wr_ready_i, {wr_addr_o, wr_data_o, wr_strb_o, wr_last_o})

endmodule
