// SPDX-License-Identifier: Apache-2.0
//
// Bench top: an LPU's weights from the high plane, by weight_planes and weight_truncate, for LPUs of
// all wordlengths side by side. Word out_words_o[b-2][l] is lane l's of an LPU of b bits,
// sign-extended.

module cut_weights
  import cascade_pkg::*;
#(
    parameter  int unsigned Lanes     = 8,
    parameter  int unsigned BeatBits  = 8,
    parameter  int unsigned MaxBits   = 8,
    localparam int unsigned CountBits = $clog2(MaxBits + 1),
    localparam int unsigned Lpus      = MaxBits - 1
) (
    input  logic                                    clk_i,
    input  logic                                    rst_ni,
    input  logic [CountBits-1:0]                    high_bits_i,
    input  logic                                    high_valid_i,
    output logic                                    high_ready_o,
    input  logic [BeatBits-1:0]                     high_data_i,
    output logic                                    out_valid_o,
    input  logic                                    out_ready_i,
    output logic [Lpus-1:0][Lanes-1:0][MaxBits-1:0] out_words_o
);

  logic                          digits_valid, unused_low_ready;
  logic [Lpus-1:0]               digits_ready, words_valid;
  logic [Lanes-1:0][MaxBits-1:0] digits;

  weight_planes #(
      .Lanes, .BeatBits, .MaxBits, .Join(1'b0)
  ) u_planes (
      .clk_i, .rst_ni,
      .high_bits_i, .low_bits_i('0),
      .high_valid_i, .high_ready_o, .high_data_i,
      .low_valid_i(1'b0), .low_ready_o(unused_low_ready), .low_data_i('0),
      .out_valid_o(digits_valid), .out_ready_i(&digits_ready), .out_words_o(digits)
  );

  for (genvar lpu = 0; lpu < Lpus; lpu++) begin : gen_lpu
    logic [Lanes-1:0][lpu+1:0] words;

    weight_truncate #(
        .Lanes, .InBits(MaxBits), .OutBits(lpu + 2)
    ) u_saturate (
        .clk_i, .rst_ni,
        .shift_i('0), .unsigned_i(1'b0),
        .in_valid_i(digits_valid), .in_ready_o(digits_ready[lpu]), .in_words_i(digits),
        .out_valid_o(words_valid[lpu]), .out_ready_i, .out_words_o(words)
    );

    for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
      assign out_words_o[lpu][lane] = MaxBits'($signed(words[lane]));
    end
  end

  assign out_valid_o = &words_valid;

endmodule
