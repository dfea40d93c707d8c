// SPDX-License-Identifier: Apache-2.0
//
// Puts beats of Lanes words together to beats of Parts * Lanes words, the first the lowest.
//
// A beat with in_last_i ends the wide one that it belongs to; words of parts that did not come are 0.
// Latency:    none: a wide beat is at the output while its last part is at the input.
// Throughput: a part a cycle. in_ready_o follows out_ready_i combinationally.

`include "casc_assert.svh"

module beat_join #(
    parameter int unsigned Lanes    = 4,  // 1..
    parameter int unsigned Parts    = 2,  // 1..
    parameter int unsigned WordBits = 8   // 1..
) (
    input logic clk_i,
    input logic rst_ni,

    output logic busy_o,  // a part is kept

    input  logic                      in_valid_i,
    output logic                      in_ready_o,
    input  logic                      in_last_i,
    input  logic [Lanes*WordBits-1:0] in_words_i,

    output logic                                 out_valid_o,
    input  logic                                 out_ready_i,
    output logic                                 out_last_o,
    output logic [Parts-1:0][Lanes*WordBits-1:0] out_words_o
);

  `CASC_CHECK_PARAM(lanes, Lanes >= 1)
  `CASC_CHECK_PARAM(parts, Parts >= 1)
  `CASC_CHECK_PARAM(word_bits, WordBits >= 1)

  localparam int unsigned PartBits = cascade_pkg::index_bits(Parts);

  logic [PartBits-1:0]                  part_q;
  logic [Parts-1:0][Lanes*WordBits-1:0] kept_q;
  logic                                 final_part;

  assign final_part = in_last_i || part_q == PartBits'(Parts - 1);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      part_q <= '0;
      kept_q <= '0;
    end else if (in_valid_i && in_ready_o) begin
      part_q <= final_part ? '0 : part_q + 1'b1;
      kept_q <= final_part ? '0 : out_words_o;
    end
  end

  always_comb begin
    out_words_o         = kept_q;
    out_words_o[part_q] = in_words_i;
  end

  assign busy_o      = part_q != '0;
  assign in_ready_o  = out_ready_i || !final_part;
  assign out_valid_o = in_valid_i && final_part;
  assign out_last_o  = in_last_i;

  `CASC_ASSERT_STREAM(Input, in_valid_i, in_ready_o, {in_last_i, in_words_i})
  `CASC_ASSERT_STREAM(Output, out_valid_o, out_ready_i, {out_last_o, out_words_o})

endmodule
