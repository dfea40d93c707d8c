// SPDX-License-Identifier: Apache-2.0
//
// One unit of a planned cascade, as far as its blocks go: stored weights from their planes, biases
// and shifts from the channels' records, the MM unit, the requantiser. Sizes come from the plan's
// generated package.
//
// Bench top: streams as of weight_planes, mm_unit, channel_settings and requantise. The bench is the
// weight buffer: it takes blocks of the unit's weights from `words` and gives tiles to `weight`. A
// beat of records goes with every row of accumulators. Layer settings are static while a layer runs.

module planned_unit
  import cascade_pkg::*;
  import cascade_config_pkg::*;
#(
    parameter  bit          Lpu        = 1'b1,
    localparam int unsigned TR         = Lpu ? LPU_T_R : HPU_T_R,
    localparam int unsigned TP         = Lpu ? LPU_T_P : HPU_T_P,
    localparam int unsigned TC         = Lpu ? LPU_T_C : HPU_T_C,
    localparam int unsigned DspPes     = Lpu ? LPU_DSP_PES : HPU_DSP_PES,
    localparam int unsigned PackColumns = Lpu ? LPU_PACK_COLUMNS : HPU_PACK_COLUMNS,
    localparam int unsigned WeightBits = Lpu ? LPU_WEIGHT_BITS : HPU_WEIGHT_BITS,
    localparam int unsigned ActBits    = Lpu ? LPU_ACT_BITS : HPU_ACT_BITS,
    localparam int unsigned AccBits    = Lpu ? LPU_ACC_BITS : HPU_ACC_BITS,
    localparam int unsigned StoredBits = HPU_WEIGHT_BITS,
    localparam int unsigned BeatBits   = 64,
    localparam int unsigned CountBits  = $clog2(StoredBits + 1)
) (
    input logic clk_i,
    input logic rst_ni,

    input logic [CountBits-1:0]         high_bits_i,
    input logic [CountBits-1:0]         low_bits_i,
    input shift_t                       bias_window_i,
    input shift_t                       shift_i,
    input logic signed [LOGIT_BITS:0]   low_i,
    input logic signed [LOGIT_BITS:0]   high_i,
    input logic [ActBits-1:0]           zero_i,
    input logic                         wide_i,
    input logic                         leaky_i,
    input logic [LEAKY_SLOPE_BITS-1:0]  slope_mantissa_i,
    input shift_t                       slope_shift_i,

    input  logic                high_valid_i,
    output logic                high_ready_o,
    input  logic [BeatBits-1:0] high_data_i,
    input  logic                low_valid_i,
    output logic                low_ready_o,
    input  logic [BeatBits-1:0] low_data_i,

    output logic                                    words_valid_o,
    input  logic                                    words_ready_i,
    output logic [WEIGHT_BLOCK-1:0][WeightBits-1:0] words_data_o,

    input  logic                          weight_valid_i,
    output logic                          weight_ready_o,
    input  logic [TP-1:0][WeightBits-1:0] weight_data_i,

    input  logic                           record_valid_i,
    output logic                           record_ready_o,
    input  logic [TC-1:0][RECORD_BITS-1:0] record_data_i,

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

  logic                                    block_valid, block_ready;
  logic [WEIGHT_BLOCK-1:0][StoredBits-1:0] block_data;
  logic                                    channel_valid, channel_ready;
  logic [TC-1:0][BIAS_BITS-1:0]            channel_bias;
  shift_t [TC-1:0]                         channel_shift;
  logic                                    acc_valid, acc_ready;
  logic [TC-1:0][AccBits-1:0]              acc_data;
  logic                                    joined_ready;

  weight_planes #(
      .BeatBits, .MaxBits(StoredBits), .Join(!Lpu)
  ) u_planes (
      .clk_i, .rst_ni,
      .high_bits_i, .low_bits_i,
      .high_valid_i, .high_ready_o, .high_data_i,
      .low_valid_i, .low_ready_o, .low_data_i,
      .out_valid_o(block_valid), .out_ready_i(block_ready), .out_words_o(block_data)
  );

  // High digits are rounded: what is left of the window is the saturation.
  weight_truncate #(
      .Lanes(WEIGHT_BLOCK), .InBits(StoredBits), .OutBits(WeightBits)
  ) u_weight_saturation (
      .clk_i, .rst_ni,
      .shift_i('0), .unsigned_i(1'b0),
      .in_valid_i(block_valid), .in_ready_o(block_ready), .in_words_i(block_data),
      .out_valid_o(words_valid_o), .out_ready_i(words_ready_i), .out_words_o(words_data_o)
  );

  channel_settings #(
      .Lanes(TC), .Corrected(Lpu)
  ) u_channel_settings (
      .clk_i, .rst_ni,
      .bias_window_i, .shift_i,
      .in_valid_i(record_valid_i), .in_ready_o(record_ready_o), .in_records_i(record_data_i),
      .out_valid_o(channel_valid), .out_ready_i(channel_ready),
      .out_bias_o(channel_bias), .out_shift_o(channel_shift)
  );

  mm_unit #(
      .TR, .TP, .TC, .WeightBits, .ActBits, .AccBits, .DspPes, .PackColumns,
      .DspBits(DSP_BITS)
  ) u_mm_unit (
      .clk_i, .rst_ni,
      .weight_valid_i, .weight_ready_o, .weight_data_i,
      .act_valid_i, .act_ready_o, .act_data_i,
      .act_first_i, .act_last_i, .act_tile_last_i, .act_signed_i,
      .out_valid_o(acc_valid), .out_ready_i(acc_ready), .out_data_o(acc_data)
  );

  // A row of accumulators meets its channels' settings: both are taken together.
  assign acc_ready     = joined_ready && channel_valid;
  assign channel_ready = joined_ready && acc_valid;

  requantise #(
      .Lanes(TC), .AccBits, .ActBits, .OutBits(LOGIT_BITS)
  ) u_requantise (
      .clk_i, .rst_ni,
      .bias_i(channel_bias), .shift_i(channel_shift), .low_i, .high_i, .zero_i, .wide_i,
      .leaky_i, .slope_mantissa_i, .slope_shift_i,
      .in_valid_i(acc_valid && channel_valid), .in_ready_o(joined_ready), .in_acc_i(acc_data),
      .out_valid_o, .out_ready_i, .out_words_o(out_data_o)
  );

endmodule
