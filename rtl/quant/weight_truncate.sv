// SPDX-License-Identifier: Apache-2.0
//
// Cuts narrow words from wide ones: how the low-precision unit gets its biases and input image from
// those of the high-precision unit (the "window": rounded at the bottom, saturated at the top). Its
// weights' high digits (weight_planes) come rounded; shift 0 saturates them.
//
// Latency:    1 cycle (one register).
// Throughput: 1 beat of Lanes words per cycle. in_ready_o depends combinationally on out_ready_i.
// Numbers:    out = saturate(round_shift(in, shift)), rounding half up, shift 0..31; both words
//             signed, or both unsigned where unsigned_i. Equal to fixedpoint.window, bit for bit.
// shift_i and unsigned_i belong to the beat: they are sampled with it.

`include "casc_assert.svh"

module weight_truncate
  import cascade_pkg::*;
#(
    parameter int unsigned Lanes   = 8,  // 1..
    parameter int unsigned InBits  = 8,  // 2..32
    parameter int unsigned OutBits = 4   // 2..InBits
) (
    input  logic                          clk_i,
    input  logic                          rst_ni,
    input  shift_t                        shift_i,
    input  logic                          unsigned_i,
    input  logic                          in_valid_i,
    output logic                          in_ready_o,
    input  logic [Lanes-1:0][InBits-1:0]  in_words_i,
    output logic                          out_valid_o,
    input  logic                          out_ready_i,
    output logic [Lanes-1:0][OutBits-1:0] out_words_o
);

  `CASC_CHECK_PARAM(lanes, Lanes >= 1)
  `CASC_CHECK_PARAM(in_bits, InBits >= MIN_BITS && InBits <= BIAS_BITS)
  `CASC_CHECK_PARAM(out_bits, OutBits >= MIN_BITS && OutBits <= InBits)

  logic [Lanes-1:0][OutBits-1:0] words_d;

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
    logic signed [InBits:0]    word;     // one bit more than InBits, to hold unsigned words
    logic signed [InBits:0]    rounded;  // of the same sign as word, or 0
    logic                      negative;
    logic [InBits+1-OutBits:0] surplus;  // the places that a word in range leaves equal to its sign
    logic                      in_range;

    assign word     = {!unsigned_i && in_words_i[lane][InBits-1], in_words_i[lane]};
    assign rounded  = (InBits + 1)'(round_shift(wide_t'(word), shift_i));
    assign negative = rounded[InBits];

    // `saturate` with constant powers of two for bounds needs no comparators. An unsigned word may
    // use the place that is a signed one's sign.
    assign surplus  = {rounded[InBits:OutBits], !unsigned_i && rounded[OutBits-1]};
    assign in_range = surplus == {InBits + 2 - OutBits{negative}};
    assign words_d[lane] = in_range ? rounded[OutBits-1:0]
                                    : {unsigned_i || negative, {OutBits - 1{!negative}}};
  end

  assign in_ready_o = !out_valid_o || out_ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) out_valid_o <= 1'b0;
    else if (in_ready_o) out_valid_o <= in_valid_i;
  end

  always_ff @(posedge clk_i) begin
    if (in_ready_o) out_words_o <= words_d;
  end

  `CASC_ASSERT_STREAM(Input, in_valid_i, in_ready_o, {in_words_i, shift_i, unsigned_i})
  `CASC_ASSERT_STREAM(Output, out_valid_o, out_ready_i, out_words_o)

endmodule
