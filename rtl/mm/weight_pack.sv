// SPDX-License-Identifier: Apache-2.0
//
// Packs the weights of consecutive columns, one lane of depth, into the wide operand of a multiplier:
// packed = sum over c of weight[c] * 2**(c * LaneBits), signed.
//
// The word offered belongs to the last of the columns, those accepted (load_i) before it to the
// others. Latency: packed_o is a function of weight_i and of the words before. Throughput: a word a
// cycle. en_i = 0 freezes every register; no reset: Columns - 1 words fill it.
// Numbers: exact. A negative sum of lower columns borrows one from the next column's weight; between
// the weights are copies of sign bits, which synthesis keeps one flip-flop for.

`include "casc_assert.svh"

module weight_pack #(
    parameter  int unsigned Columns    = 2,   // 2..
    parameter  int unsigned WeightBits = 4,   // 2..16
    parameter  int unsigned LaneBits   = 12,  // WeightBits + 1..
    localparam int unsigned PackedBits = (Columns - 1) * LaneBits + WeightBits + 1
) (
    input  logic                         clk_i,
    input  logic                         en_i,
    input  logic                         load_i,
    input  logic signed [WeightBits-1:0] weight_i,
    output logic        [PackedBits-1:0] packed_o
);

  `CASC_CHECK_PARAM(columns, Columns >= 2)
  `CASC_CHECK_PARAM(weight_bits, WeightBits >= 2 && WeightBits <= 16)
  `CASC_CHECK_PARAM(lane_bits, LaneBits > WeightBits)

  logic [Columns-2:0][WeightBits-1:0] before_q;  // [0]: the first column of those held

  always_ff @(posedge clk_i) begin
    if (en_i && load_i) begin
      before_q <= ((Columns - 1) * WeightBits)'({weight_i, before_q} >> WeightBits);
    end
  end

  logic [Columns-1:0][WeightBits-1:0] weights;
  assign weights = {weight_i, before_q};

  // One more bit than a weight has: the least weight less the borrow.
  logic [Columns-1:0][WeightBits:0] digits;
  logic [  Columns:0]               borrows;
  assign borrows[0] = 1'b0;

  for (genvar c = 0; c < Columns; c++) begin : gen_column
    assign digits[c] = {weights[c][WeightBits-1], weights[c]} - (WeightBits + 1)'(borrows[c]);
    assign borrows[c+1] = digits[c][WeightBits];
    if (c < Columns - 1) begin : gen_lower
      assign packed_o[c*LaneBits+:LaneBits] = LaneBits'($signed(digits[c]));
    end else begin : gen_top
      assign packed_o[c*LaneBits+:WeightBits+1] = digits[c];
    end
  end

  logic unused_borrow;
  assign unused_borrow = borrows[Columns];

endmodule
