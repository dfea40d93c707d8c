// SPDX-License-Identifier: Apache-2.0
//
// Confidence evaluation unit: takes an image's logits and decides, by gBvSB, whether the image ends
// at the low-precision unit (confident) or must be forwarded to the high-precision one.
//
// Pass 1 stores the logits and sorts the top MaxN as they come. Pass 2 reads them again and sums
// exp(-(max - logit)) over all classes and, with its sign, over the top N: a class is among the top
// K iff its (logit, class) does not come after the sorter's entry K - 1, so two comparators replace
// a second walk over the list.
//
// Latency:    the record is valid C + 9 cycles after an image's last logit was taken, C classes.
// Throughput: an image every 2 C + 9 cycles if logits and the record never wait; no logit is taken
//             from an image's last one until its record has been taken.
// Numbers:    signed logits. Decision as in gbvsb_decision.sv, exponentials as in exp_table.sv;
//             equal to toolflow/confidence/decision.py, bit for bit. Where an image has fewer than
//             N classes, the missing ones count 0.
// Input:      one logit per beat, in ascending order of class, in_last_i with the last.
// Registers:  m_i, n_i, threshold_i, exp_mult_i, exp_shift_i are sampled with an image's first
//             logit. 1 <= m <= n <= MaxN must hold; other values give a wrong decision, no hang.
// Record:     the best out_count_o = min(5, C) classes and their logits, best first (entries past
//             the count are 0), margin, total, confident. Logits past MaxClasses are dropped:
//             then out_overrun_o is set and the image is not confident.

`include "casc_assert.svh"

module ceu
  import cascade_pkg::*;
  import exp_table_pkg::*;
#(
    parameter  int unsigned MaxClasses    = 1000,  // 2..65536
    parameter  int unsigned MaxN          = 8,     // 5..64
    parameter  int unsigned LogitBits     = cascade_pkg::LOGIT_BITS,  // 2..30
    localparam int unsigned TopClasses    = 5,
    localparam int unsigned ThresholdBits = 18,
    localparam int unsigned ClassBits     = $clog2(MaxClasses),
    localparam int unsigned RankBits      = $clog2(MaxN + 1),
    localparam int unsigned CountBits     = $clog2(TopClasses + 1),
    localparam int unsigned TotalBits     = EXP_BITS + $clog2(MaxClasses),
    localparam int unsigned MarginBits    = EXP_BITS + $clog2(MaxN) + 1
) (
    input  logic                                 clk_i,
    input  logic                                 rst_ni,

    input  logic [RankBits-1:0]                  m_i,
    input  logic [RankBits-1:0]                  n_i,
    input  logic signed [ThresholdBits-1:0]      threshold_i,
    input  logic [EXP_MULT_BITS-1:0]             exp_mult_i,
    input  shift_t                               exp_shift_i,

    input  logic                                 in_valid_i,
    output logic                                 in_ready_o,
    input  logic signed [LogitBits-1:0]          in_logit_i,
    input  logic                                 in_last_i,

    output logic                                 out_valid_o,
    input  logic                                 out_ready_i,
    output logic [CountBits-1:0]                 out_count_o,
    output logic [TopClasses-1:0][ClassBits-1:0] out_class_o,
    output logic [TopClasses-1:0][LogitBits-1:0] out_logit_o,
    output logic signed [MarginBits-1:0]         out_margin_o,
    output logic [TotalBits-1:0]                 out_total_o,
    output logic                                 out_confident_o,
    output logic                                 out_overrun_o
);

  `CASC_CHECK_PARAM(max_classes, MaxClasses >= 2 && MaxClasses <= 65536)
  `CASC_CHECK_PARAM(max_n, MaxN >= TopClasses && MaxN <= 64)

  typedef enum logic [1:0] {
    Collect,   // pass 1: logits come in
    Evaluate,  // pass 2: one read of the buffer per cycle
    Decide     // pass 2 drains, then the record waits to be taken
  } state_e;

  typedef struct packed {
    logic first;
    logic last;
    logic top_m;
    logic top_n;
  } tag_t;

  typedef struct packed {
    logic                 valid;
    logic [LogitBits-1:0] logit;
    logic [ClassBits-1:0] index;
  } entry_t;

  // ---- control ----

  state_e               state_q, state_d;
  logic [ClassBits-1:0] class_q, class_d;            // next class to write, or to read
  logic [ClassBits-1:0] last_class_q;                // the image's last stored class
  logic                 begun_q, begun_d;            // the image's first logit was taken
  logic                 full_q, full_d;              // MaxClasses logits were taken
  logic                 overrun_q, overrun_d;

  logic take, store, read, read_last;

  assign in_ready_o = state_q == Collect;
  assign take       = in_valid_i && in_ready_o;
  assign store      = take && !full_q;
  assign read       = state_q == Evaluate;
  assign read_last  = class_q == last_class_q;

  always_comb begin
    state_d   = state_q;
    class_d   = class_q;
    begun_d   = begun_q;
    full_d    = full_q;
    overrun_d = overrun_q;
    case (state_q)
      Collect: begin
        if (take) begin
          begun_d   = 1'b1;
          overrun_d = full_q;
          if (class_q == ClassBits'(MaxClasses - 1)) full_d = 1'b1;
          else class_d = class_q + 1'b1;
          if (in_last_i) begin
            state_d = Evaluate;
            class_d = '0;
            begun_d = 1'b0;
            full_d  = 1'b0;
          end
        end
      end
      Evaluate: begin
        class_d = class_q + 1'b1;
        if (read_last) begin
          state_d = Decide;
          class_d = '0;
        end
      end
      Decide: begin
        if (out_valid_o && out_ready_i) state_d = Collect;
      end
      default: state_d = Collect;
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q   <= Collect;
      class_q   <= '0;
      begun_q   <= 1'b0;
      full_q    <= 1'b0;
      overrun_q <= 1'b0;
    end else begin
      state_q   <= state_d;
      class_q   <= class_d;
      begun_q   <= begun_d;
      full_q    <= full_d;
      overrun_q <= overrun_d;
    end
  end

  // ---- registers, sampled per image ----

  logic [RankBits-1:0]             m_q, n_q;
  logic signed [ThresholdBits-1:0] threshold_q;
  logic [EXP_MULT_BITS-1:0]        exp_mult_q;
  shift_t                          exp_shift_q;

  always_ff @(posedge clk_i) begin
    if (take && !begun_q) begin
      m_q         <= m_i;
      n_q         <= n_i;
      threshold_q <= threshold_i;
      exp_mult_q  <= exp_mult_i;
      exp_shift_q <= exp_shift_i;
    end
  end

  // ---- pass 1: store and sort ----

  logic [LogitBits-1:0] logits_q[MaxClasses];
  logic [LogitBits-1:0] read_logit_q;

  always_ff @(posedge clk_i) begin
    if (store) begin
      logits_q[class_q] <= in_logit_i;
      last_class_q      <= class_q;
    end
    read_logit_q <= logits_q[class_q];
  end

  logic [MaxN-1:0]                list_valid;
  logic [MaxN-1:0][LogitBits-1:0] list_logit;
  logic [MaxN-1:0][ClassBits-1:0] list_class;

  top_n #(
      .MaxN     (MaxN),
      .LogitBits(LogitBits),
      .ClassBits(ClassBits)
  ) u_top_n (
      .clk_i,
      .rst_ni,
      .clear_i     (take && !begun_q),
      .in_valid_i  (store),
      .in_logit_i,
      .in_class_i  (class_q),
      .list_valid_o(list_valid),
      .list_logit_o(list_logit),
      .list_class_o(list_class)
  );

  // ---- pass 2: rank, exponentiate, decide ----

  // Entry `rank` - 1 of the list: the last of the top `rank`.
  function automatic entry_t bound_of(input logic [RankBits-1:0] rank);
    bound_of = '0;
    for (int unsigned k = 0; k < MaxN; k++) begin
      if (rank == RankBits'(k + 1)) begin
        bound_of = '{valid: list_valid[k], logit: list_logit[k], index: list_class[k]};
      end
    end
  endfunction

  // Whether a class is not after `bound` in the order of the list. A missing bound means that the
  // image has fewer classes than that.
  function automatic logic is_within(input entry_t bound, input logic [LogitBits-1:0] logit,
                                     input logic [ClassBits-1:0] index);
    return !bound.valid || $signed(logit) > $signed(bound.logit)
        || (logit == bound.logit && index <= bound.index);
  endfunction

  entry_t               bound_m_q, bound_n_q;
  logic                 read_valid_q, distance_valid_q;
  logic                 read_first_q, read_last_q;
  logic [ClassBits-1:0] read_class_q;
  logic [LogitBits-1:0] distance_q;
  tag_t                 tag_q;

  always_ff @(posedge clk_i) begin
    bound_m_q    <= bound_of(m_q);
    bound_n_q    <= bound_of(n_q);
    read_class_q <= class_q;
    read_first_q <= class_q == '0;
    read_last_q  <= read_last;

    distance_q <= list_logit[0] - read_logit_q;
    tag_q <= '{
        first: read_first_q,
        last:  read_last_q,
        top_m: is_within(bound_m_q, read_logit_q, read_class_q),
        top_n: is_within(bound_n_q, read_logit_q, read_class_q)
    };
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      read_valid_q     <= 1'b0;
      distance_valid_q <= 1'b0;
    end else begin
      read_valid_q     <= read;
      distance_valid_q <= read_valid_q;
    end
  end

  logic                exp_valid;
  logic [EXP_BITS-1:0] exp_value;
  tag_t                exp_tag;

  exp_table #(
      .LogitBits(LogitBits),
      .TagBits  ($bits(tag_t))
  ) u_exp_table (
      .clk_i,
      .rst_ni,
      .mult_i       (exp_mult_q),
      .shift_i      (exp_shift_q),
      .in_valid_i   (distance_valid_q),
      .in_distance_i(distance_q),
      .in_tag_i     (tag_q),
      .out_valid_o  (exp_valid),
      .out_exp_o    (exp_value),
      .out_tag_o    (exp_tag)
  );

  logic confident;

  gbvsb_decision #(
      .MaxClasses   (MaxClasses),
      .MaxN         (MaxN),
      .ThresholdBits(ThresholdBits)
  ) u_decision (
      .clk_i,
      .rst_ni,
      .threshold_i    (threshold_q),
      .in_valid_i     (exp_valid),
      .in_exp_i       (exp_value),
      .in_first_i     (exp_tag.first),
      .in_last_i      (exp_tag.last),
      .in_top_m_i     (exp_tag.top_m),
      .in_top_n_i     (exp_tag.top_n),
      .out_valid_o,
      .out_ready_i,
      .out_total_o,
      .out_margin_o,
      .out_confident_o(confident)
  );

  // ---- record ----

  for (genvar k = 0; k < TopClasses; k++) begin : gen_top
    assign out_class_o[k] = list_class[k];
    assign out_logit_o[k] = list_logit[k];
  end

  assign out_count_o     = CountBits'($countones(list_valid[TopClasses-1:0]));
  assign out_confident_o = confident && !overrun_q;
  assign out_overrun_o   = overrun_q;

  `CASC_ASSERT_STREAM(Logits, in_valid_i, in_ready_o, {in_logit_i, in_last_i})
  `CASC_ASSERT_STREAM(Record, out_valid_o, out_ready_i,
                      {out_count_o, out_class_o, out_logit_o, out_margin_o, out_total_o,
                       out_confident_o, out_overrun_o})
  `CASC_ASSERT(RanksLegal, !(take && !begun_q)
      || (m_i != '0 && m_i <= n_i && n_i <= RankBits'(MaxN)))
  `CASC_ASSERT(ResultOnlyInDecide, !out_valid_o || state_q == Decide)

endmodule
