// SPDX-License-Identifier: Apache-2.0
//
// The CEU as a plan configures it: sizes and registers come from the plan's generated package.
// Bench top; the streams are those of ceu.

module planned_ceu
  import cascade_pkg::*;
  import exp_table_pkg::*;
  import cascade_config_pkg::*;
#(
    localparam int unsigned TopClasses = 5,
    localparam int unsigned ClassBits  = $clog2(NUM_CLASSES),
    localparam int unsigned CountBits  = $clog2(TopClasses + 1),
    localparam int unsigned TotalBits  = EXP_BITS + $clog2(NUM_CLASSES),
    localparam int unsigned MarginBits = EXP_BITS + $clog2(CEU_MAX_N) + 1,
    localparam int unsigned RankBits   = $clog2(CEU_MAX_N + 1)
) (
    input  logic                                 clk_i,
    input  logic                                 rst_ni,
    input  logic                                 in_valid_i,
    output logic                                 in_ready_o,
    input  logic signed [LOGIT_BITS-1:0]         in_logit_i,
    input  logic                                 in_last_i,
    output logic                                 out_valid_o,
    input  logic                                 out_ready_i,
    output logic [CountBits-1:0]                 out_count_o,
    output logic [TopClasses-1:0][ClassBits-1:0] out_class_o,
    output logic signed [MarginBits-1:0]         out_margin_o,
    output logic [TotalBits-1:0]                 out_total_o,
    output logic                                 out_confident_o,
    output logic                                 out_overrun_o
);

  logic [TopClasses-1:0][LOGIT_BITS-1:0] unused_logits;

  ceu #(
      .MaxClasses(NUM_CLASSES), .MaxN(CEU_MAX_N)
  ) u_ceu (
      .clk_i, .rst_ni,
      .m_i(RankBits'(CEU_M)), .n_i(RankBits'(CEU_N)), .threshold_i(18'(CEU_THRESHOLD)),
      .exp_mult_i(EXP_MULT_BITS'(CEU_EXP_MULT)), .exp_shift_i(shift_t'(CEU_EXP_SHIFT)),
      .in_valid_i, .in_ready_o, .in_logit_i, .in_last_i,
      .out_valid_o, .out_ready_i, .out_count_o, .out_class_o, .out_logit_o(unused_logits),
      .out_margin_o, .out_total_o, .out_confident_o, .out_overrun_o
  );

endmodule
