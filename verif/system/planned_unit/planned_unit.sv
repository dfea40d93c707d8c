// SPDX-License-Identifier: Apache-2.0
//
// One unit of a planned cascade, as far as its blocks go: stored weights and biases through the
// window, the MM unit, the requantiser. Sizes come from the plan's generated package.
//
// Bench top: streams as of mm_unit, weight_truncate and requantise; a bias beat goes with every row
// of accumulators. Layer settings are static while a layer runs.

module planned_unit
  import cascade_pkg::*;
  import cascade_config_pkg::*;
#(
    parameter  bit          Lpu        = 1'b1,
    localparam int unsigned TR         = Lpu ? LPU_T_R : HPU_T_R,
    localparam int unsigned TP         = Lpu ? LPU_T_P : HPU_T_P,
    localparam int unsigned TC         = Lpu ? LPU_T_C : HPU_T_C,
    localparam int unsigned DspPes     = Lpu ? LPU_DSP_PES : HPU_DSP_PES,
    localparam int unsigned WeightBits = Lpu ? LPU_WEIGHT_BITS : HPU_WEIGHT_BITS,
    localparam int unsigned ActBits    = Lpu ? LPU_ACT_BITS : HPU_ACT_BITS,
    localparam int unsigned AccBits    = Lpu ? LPU_ACC_BITS : HPU_ACC_BITS,
    localparam int unsigned StoredBits = HPU_WEIGHT_BITS
) (
    input logic clk_i,
    input logic rst_ni,

    input shift_t                       weight_window_i,
    input shift_t                       bias_window_i,
    input shift_t                       shift_i,
    input logic signed [LOGIT_BITS:0]   low_i,
    input logic signed [LOGIT_BITS:0]   high_i,
    input logic                         leaky_i,
    input logic [LEAKY_SLOPE_BITS-1:0]  slope_mantissa_i,
    input shift_t                       slope_shift_i,

    input  logic                          weight_valid_i,
    output logic                          weight_ready_o,
    input  logic [TP-1:0][StoredBits-1:0] weight_data_i,

    input  logic                         bias_valid_i,
    output logic                         bias_ready_o,
    input  logic [TC-1:0][BIAS_BITS-1:0] bias_data_i,

    input  logic                       act_valid_i,
    output logic                       act_ready_o,
    input  logic [TP-1:0][ActBits-1:0] act_data_i,
    input  logic                       act_first_i,
    input  logic                       act_last_i,
    input  logic                       act_tile_last_i,
    input  logic                       act_signed_i,

    output logic                          out_valid_o,
    input  logic                          out_ready_i,
    output logic [TC-1:0][LOGIT_BITS-1:0] out_data_o
);

  logic                          cut_valid, cut_ready;
  logic [TP-1:0][WeightBits-1:0] cut_data;
  logic                          bias_valid, bias_ready;
  logic [TC-1:0][BIAS_BITS-1:0]  bias_data;
  logic                          acc_valid, acc_ready;
  logic [TC-1:0][AccBits-1:0]    acc_data;
  logic                          joined_ready;

  weight_truncate #(
      .Lanes(TP), .InBits(StoredBits), .OutBits(WeightBits)
  ) u_weight_window (
      .clk_i, .rst_ni,
      .shift_i(weight_window_i), .unsigned_i(1'b0),
      .in_valid_i(weight_valid_i), .in_ready_o(weight_ready_o), .in_words_i(weight_data_i),
      .out_valid_o(cut_valid), .out_ready_i(cut_ready), .out_words_o(cut_data)
  );

  weight_truncate #(
      .Lanes(TC), .InBits(BIAS_BITS), .OutBits(BIAS_BITS)
  ) u_bias_window (
      .clk_i, .rst_ni,
      .shift_i(bias_window_i), .unsigned_i(1'b0),
      .in_valid_i(bias_valid_i), .in_ready_o(bias_ready_o), .in_words_i(bias_data_i),
      .out_valid_o(bias_valid), .out_ready_i(bias_ready), .out_words_o(bias_data)
  );

  mm_unit #(
      .TR, .TP, .TC, .WeightBits, .ActBits, .AccBits, .DspPes
  ) u_mm_unit (
      .clk_i, .rst_ni,
      .weight_valid_i(cut_valid), .weight_ready_o(cut_ready), .weight_data_i(cut_data),
      .act_valid_i, .act_ready_o, .act_data_i,
      .act_first_i, .act_last_i, .act_tile_last_i, .act_signed_i,
      .out_valid_o(acc_valid), .out_ready_i(acc_ready), .out_data_o(acc_data)
  );

  // A row of accumulators meets its biases: both are taken together.
  assign acc_ready  = joined_ready && bias_valid;
  assign bias_ready = joined_ready && acc_valid;

  requantise #(
      .Lanes(TC), .AccBits, .ActBits, .OutBits(LOGIT_BITS)
  ) u_requantise (
      .clk_i, .rst_ni,
      .bias_i(bias_data), .shift_i({TC{shift_i}}), .low_i, .high_i,
      .leaky_i, .slope_mantissa_i, .slope_shift_i,
      .in_valid_i(acc_valid && bias_valid), .in_ready_o(joined_ready), .in_acc_i(acc_data),
      .out_valid_o, .out_ready_i, .out_words_o(out_data_o)
  );

endmodule
