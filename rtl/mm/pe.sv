// SPDX-License-Identifier: Apache-2.0
//
// Processing element: a dot product of TP lanes as a chain of MACCs, and the accumulators of the
// TR rows of one column of a tile.
//
// Latency:    act_i[0] to the chain's sum TP + 2 cycles; lane p must arrive p cycles after lane 0
//             (activations, load_i and swap_i alike), which is what lets the sum ripple a lane a
//             cycle. The accumulator control of a row must arrive in the cycle of the chain's sum,
//             the row's read address one cycle before; acc_o follows the sum by one cycle.
// Throughput: 1 row per cycle. en_i = 0 freezes every register.
// Numbers:    weights and activations signed, everything modulo 2**AccBits.
//
// Per row: acc = (zero ? 0 : bypass ? previous acc : memory[row]) + sum. The bypass serves a row
// that follows itself (tiles of one row): its sum is not in the memory yet when it is read.

`include "casc_assert.svh"

module pe #(
    parameter int unsigned TR         = 8,    // 1..: rows that share a weight tile
    parameter int unsigned TP         = 4,    // 1..: lanes of the dot product
    parameter int unsigned WeightBits = 8,    // 2..16
    parameter int unsigned ActBits    = 9,    // 3..17: one more than the activations' wordlength
    parameter int unsigned AccBits    = 32,   // 8..48
    parameter bit          UseDsp     = 1'b1,
    localparam int unsigned RowBits   = cascade_pkg::index_bits(TR)
) (
    input logic clk_i,
    input logic en_i,

    // Lane p of each is p cycles behind lane 0.
    input  logic [TP-1:0]                 load_i,
    input  logic [TP-1:0]                 swap_i,
    input  logic [TP-1:0][WeightBits-1:0] weight_i,
    output logic [TP-1:0][WeightBits-1:0] weight_o,
    input  logic [TP-1:0][   ActBits-1:0] act_i,

    input  logic [RowBits-1:0] read_row_i,
    input  logic [RowBits-1:0] write_row_i,
    input  logic               write_i,
    input  logic               zero_i,
    input  logic               bypass_i,
    output logic [AccBits-1:0] acc_o
);

  // TP products of WeightBits + ActBits bits; more than AccBits is of no use modulo 2**AccBits.
  localparam int unsigned ChainBits =
      cascade_pkg::min_of(WeightBits + ActBits + $clog2(TP), AccBits);

  `CASC_CHECK_PARAM(tr, TR >= 1)
  `CASC_CHECK_PARAM(tp, TP >= 1)
  `CASC_CHECK_PARAM(acc_bits, AccBits >= 8 && AccBits <= 48)

  logic signed [TP:0][ChainBits-1:0] chain;
  assign chain[0] = '0;

  for (genvar p = 0; p < TP; p++) begin : gen_lane
    macc #(
        .WeightBits(WeightBits),
        .ActBits   (ActBits),
        .SumBits   (ChainBits),
        .UseDsp    (UseDsp)
    ) u_macc (
        .clk_i,
        .en_i,
        .load_i  (load_i[p]),
        .swap_i  (swap_i[p]),
        .weight_i(weight_i[p]),
        .weight_o(weight_o[p]),
        .act_i   (act_i[p]),
        .sum_i   (chain[p]),
        .sum_o   (chain[p+1])
    );
  end

  logic signed [ChainBits-1:0] sum;
  logic        [  AccBits-1:0] stored;
  logic        [  AccBits-1:0] operand;
  logic        [  AccBits-1:0] acc_d;
  logic        [  AccBits-1:0] acc_q;

  assign sum     = chain[TP];
  assign operand = zero_i ? '0 : bypass_i ? acc_q : stored;
  assign acc_d   = operand + AccBits'(sum);

  always_ff @(posedge clk_i) begin
    if (en_i) acc_q <= acc_d;
  end

  ram_1r1w #(
      .Width(AccBits),
      .Depth(TR)
  ) u_rows (
      .clk_i,
      .read_en_i   (en_i),
      .read_addr_i (read_row_i),
      .read_data_o (stored),
      .write_en_i  (en_i && write_i),
      .write_addr_i(write_row_i),
      .write_data_i(acc_d)
  );

  assign acc_o = acc_q;

endmodule
