// SPDX-License-Identifier: Apache-2.0
//
// Multiply-accumulate cell: one link of a PE's dot-product chain, sum_o = sum_i + weight * act.
//
// Latency:    act_i to sum_o 3 cycles (operand, product and sum register: the three of a DSP48);
//             sum_i to sum_o 1 cycle, so that sum_o cascades into the next cell's sum_i.
// Throughput: 1 product per cycle. en_i = 0 freezes every register.
// Weights:    two banks. load_i shifts weight_i into the loading bank, whose content is weight_o (the
//             cells of a tile's columns form a shift chain). swap_i copies the loading bank into the
//             working bank: the activation that is registered in the same cycle is the first to meet
//             the new weight. load_i and swap_i may coincide: the working bank gets the old content.
// Numbers:    weight signed, act signed, sum modulo 2**SumBits (exact where the true sum fits).
//
// The working bank, the activation, the product and the sum are written so that synthesis packs them
// into one DSP48 (B, A, M and P registers, PCIN cascade); the loading bank is WeightBits flip-flops.

`include "casc_assert.svh"

module macc #(
    parameter int unsigned WeightBits = 8,   // 2..27: of packed weights, all of them
    parameter int unsigned ActBits    = 9,   // 3..17: one more than the activations' wordlength
    parameter int unsigned SumBits    = 21,  // 2..48
    parameter bit          UseDsp     = 1'b1 // multiply in a DSP block, or in LUTs
) (
    input  logic                         clk_i,
    input  logic                         en_i,
    input  logic                         load_i,
    input  logic                         swap_i,
    input  logic signed [WeightBits-1:0] weight_i,
    output logic signed [WeightBits-1:0] weight_o,
    input  logic signed [   ActBits-1:0] act_i,
    input  logic signed [   SumBits-1:0] sum_i,
    output logic signed [   SumBits-1:0] sum_o
);

  localparam int unsigned ProductBits = WeightBits + ActBits;
  // Product bits above the sum's width cannot change a sum modulo 2**SumBits.
  localparam int unsigned KeptBits = cascade_pkg::min_of(ProductBits, SumBits);

  `CASC_CHECK_PARAM(weight_bits, WeightBits >= 2 && WeightBits <= 27)
  `CASC_CHECK_PARAM(act_bits, ActBits >= 3 && ActBits <= 17)
  `CASC_CHECK_PARAM(sum_bits, SumBits >= 2 && SumBits <= 48)

  logic signed [WeightBits-1:0] loading_q;

  always_ff @(posedge clk_i) begin
    if (en_i && load_i) loading_q <= weight_i;
  end

  assign weight_o = loading_q;

  // The attribute must be a literal, hence the two branches.
  if (UseDsp) begin : gen_dsp
    logic signed [WeightBits-1:0] working_q;
    logic signed [ActBits-1:0] act_q;
    (* use_dsp = "yes" *) logic signed [KeptBits-1:0] product_q;
    (* use_dsp = "yes" *) logic signed [SumBits-1:0] sum_q;

    always_ff @(posedge clk_i) begin
      if (en_i) begin
        if (swap_i) working_q <= loading_q;
        act_q     <= act_i;
        product_q <= KeptBits'(ProductBits'(working_q) * ProductBits'(act_q));
        sum_q     <= sum_i + SumBits'(product_q);
      end
    end

    assign sum_o = sum_q;
  end else begin : gen_lut
    logic signed [WeightBits-1:0] working_q;
    logic signed [ActBits-1:0] act_q;
    (* use_dsp = "no" *) logic signed [KeptBits-1:0] product_q;
    (* use_dsp = "no" *) logic signed [SumBits-1:0] sum_q;

    always_ff @(posedge clk_i) begin
      if (en_i) begin
        if (swap_i) working_q <= loading_q;
        act_q     <= act_i;
        product_q <= KeptBits'(ProductBits'(working_q) * ProductBits'(act_q));
        sum_q     <= sum_i + SumBits'(product_q);
      end
    end

    assign sum_o = sum_q;
  end

endmodule
