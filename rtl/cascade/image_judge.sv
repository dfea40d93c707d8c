// SPDX-License-Identifier: Apache-2.0
//
// Reads the logits of both units' finished batches and says what becomes of each image: a result
// record, or, where the CEU is not confident of the LPU's logits, a place in the forward queue.
//
// One reader and one CEU serve both units, batch by batch, in turn when both wait. An image takes the
// CEU about twice as many cycles as it has classes, an engine thousands of times as many; a second
// CEU, or a sorter of its own for the HPU, would stand idle. The CEU's decision on logits of the HPU is
// ignored.
//
// Record:  offered as soon as the CEU has decided, stable until it is taken; `results` of images of
//          a job come in the job's order. An image whose logits were read with an error gets a
//          record with that flag, whichever unit it is of.
// stop_i:  must stay high until idle_o, then reset. A record that is offered stays until it is taken;
//          nothing else of what is under way is finished.
// Cycles:  an image of C logits takes 2 C + 9, and as many more as its record waits, as long as logits
//          come in time; from a batch to one that waits 3 more, and the latency of memory.

`include "casc_assert.svh"

module image_judge
  import control_pkg::*;
  import result_record_pkg::*;
#(
    parameter  int unsigned DataBits   = 64,    // 64 or 128
    parameter  int unsigned MaxBatch   = 64,    // 1..128
    parameter  int unsigned MaxClasses = 1000,  // 2..65536
    parameter  int unsigned MaxN       = 8,     // 5..64
    localparam int unsigned IndexBits  = cascade_pkg::index_bits(MaxBatch)
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic        stop_i,
    output logic        idle_o,   // with stop_i: no record is offered, no read is outstanding
    input  run_config_t config_i,

    // Jobs, the LPU's at 0, the HPU's at 1; see engine_batches.
    input  logic   [1:0]           job_valid_i,
    input  batch_t [1:0]           job_images_i,
    input  addr_t  [1:0]           job_logits_i,
    output logic   [1:0]           job_done_o,
    output logic   [IndexBits-1:0] job_index_o,
    input  entry_t [1:0]           job_entry_i,

    output logic                cmd_valid_o,
    input  logic                cmd_ready_i,
    output addr_t               cmd_addr_o,
    output logic [15:0]         cmd_beats_o,
    input  logic                data_valid_i,
    output logic                data_ready_o,
    input  logic [DataBits-1:0] data_i,
    input  logic                data_error_i,

    output logic           forward_valid_o,  // must be taken
    output entry_t         forward_o,
    output logic           record_valid_o,
    input  logic           record_ready_i,
    output result_record_t record_o,
    output logic           decided_o,        // pulse: an image of the LPU was forwarded or recorded
    output logic           busy_o            // the CEU has an image
);

  localparam int unsigned LogitBits  = cascade_pkg::LOGIT_BITS;
  localparam int unsigned TopClasses = 5;
  localparam int unsigned ClassBits  = $clog2(MaxClasses);
  localparam int unsigned RankBits   = $clog2(MaxN + 1);
  localparam int unsigned TotalBits  = exp_table_pkg::EXP_BITS + $clog2(MaxClasses);
  localparam int unsigned MarginBits = exp_table_pkg::EXP_BITS + $clog2(MaxN) + 1;

  typedef enum logic [1:0] {
    Choose,
    Start,
    Work
  } state_e;

  state_e               state_q;
  logic                 unit_q;   // whose job it is, and was last
  logic [IndexBits-1:0] index_q;  // image of the job
  entry_t               entry;
  logic                 halt, image_over, job_over;

  // ---- jobs ----

  assign entry       = job_entry_i[unit_q];
  assign job_index_o = index_q;
  assign job_over    = image_over && batch_t'(index_q) == job_images_i[unit_q] - 1'b1;
  assign job_done_o  = {job_over && unit_q, job_over && !unit_q};

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= Choose;
      unit_q  <= 1'b1;
    end else begin
      case (state_q)
        Choose: begin
          if (job_valid_i != '0 && !stop_i) begin
            state_q <= Start;
            unit_q  <= job_valid_i[!unit_q] ? !unit_q : unit_q;
          end
        end
        Start:   state_q <= Work;
        Work:    if (job_over) state_q <= Choose;
        default: state_q <= Choose;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (state_q == Start) index_q <= '0;
    else if (image_over) index_q <= index_q + 1'b1;
  end

  // ---- logits ----

  logic                        logit_valid, logit_ready, logit_last, logit_error, reader_idle;
  logic signed [LogitBits-1:0] logit;
  logic                        bad_q;  // the logits of the image that the CEU has

  logit_reader #(
      .DataBits(DataBits)
  ) u_reader (
      .clk_i,
      .rst_ni,
      .drop_i     (halt),
      .idle_o     (reader_idle),
      .start_i    (state_q == Start && !halt),
      .addr_i     (job_logits_i[unit_q]),
      .images_i   (job_images_i[unit_q]),
      .stride_i   (unit_q ? config_i.hpu.logits_stride : config_i.lpu.logits_stride),
      .classes_i  (config_i.classes),
      .cmd_valid_o,
      .cmd_ready_i,
      .cmd_addr_o,
      .cmd_beats_o,
      .data_valid_i,
      .data_ready_o,
      .data_i,
      .data_error_i,
      .out_valid_o(logit_valid),
      .out_ready_i(logit_ready),
      .out_logit_o(logit),
      .out_last_o (logit_last),
      .out_error_o(logit_error)
  );

  always_ff @(posedge clk_i) begin
    if (logit_valid && logit_ready && logit_last) bad_q <= logit_error;
  end

  // ---- decision ----

  logic                                 ceu_valid, ceu_ready, confident, overrun;
  logic [2:0]                           count;
  logic [TopClasses-1:0][ClassBits-1:0] top_class;
  logic [TopClasses-1:0][LogitBits-1:0] top_logit;
  logic signed [MarginBits-1:0]         margin;
  logic [TotalBits-1:0]                 total;

  ceu #(
      .MaxClasses(MaxClasses),
      .MaxN      (MaxN),
      .LogitBits (LogitBits)
  ) u_ceu (
      .clk_i,
      .rst_ni         (rst_ni && !halt),
      .m_i            (RankBits'(config_i.m)),
      .n_i            (RankBits'(config_i.n)),
      .threshold_i    (config_i.threshold),
      .exp_mult_i     (config_i.exp_mult),
      .exp_shift_i    (config_i.exp_shift),
      .in_valid_i     (logit_valid),
      .in_ready_o     (logit_ready),
      .in_logit_i     (logit),
      .in_last_i      (logit_last),
      .out_valid_o    (ceu_valid),
      .out_ready_i    (ceu_ready),
      .out_count_o    (count),
      .out_class_o    (top_class),
      .out_logit_o    (top_logit),
      .out_margin_o   (margin),
      .out_total_o    (total),
      .out_confident_o(confident),
      .out_overrun_o  (overrun)
  );

  logic unused;  // a run's classes are at most MaxClasses
  assign unused = ^{overrun, config_i};

  logic to_record;
  assign to_record = unit_q || confident || bad_q;

  // The memory client's rule: what is offered is offered until it is taken, so that a stop waits.
  assign record_valid_o  = ceu_valid && to_record;
  assign halt            = stop_i && !record_valid_o;
  assign forward_valid_o = ceu_valid && !to_record && !halt;
  assign forward_o       = entry;
  assign ceu_ready       = !to_record || record_ready_i;
  assign image_over      = forward_valid_o || (record_valid_o && record_ready_i);
  assign decided_o       = image_over && !unit_q;

  assign record_o = '{
      image:     entry.image,
      count:     count,
      class_0:   16'(top_class[0]),
      logit_0:   top_logit[0],
      class_1:   16'(top_class[1]),
      logit_1:   top_logit[1],
      class_2:   16'(top_class[2]),
      logit_2:   top_logit[2],
      class_3:   16'(top_class[3]),
      logit_3:   top_logit[3],
      class_4:   16'(top_class[4]),
      logit_4:   top_logit[4],
      margin:    unit_q ? '0 : 32'(margin),
      total:     unit_q ? '0 : 33'(total),
      run:       config_i.run,
      unit:      unit_q,
      confident: !unit_q && confident && !bad_q,
      error:     bad_q
  };

  logic begun_q;  // an image's first logit was taken

  always_ff @(posedge clk_i) begin
    if (!rst_ni || halt) begun_q <= 1'b0;
    else if (image_over) begun_q <= 1'b0;
    else if (logit_valid && logit_ready) begun_q <= 1'b1;
  end

  assign busy_o = begun_q || (logit_valid && logit_ready);
  assign idle_o = halt && reader_idle;

  `CASC_ASSERT(DecidesOnlyInAJob, !ceu_valid || state_q == Work)
  `CASC_ASSERT(JobStands, state_q == Choose || job_valid_i[unit_q])
  `CASC_ASSERT(ClassesFit, !overrun || !ceu_valid)
  `CASC_ASSERT_STREAM(Record, record_valid_o, record_ready_i, record_o)

endmodule
