// SPDX-License-Identifier: Apache-2.0
//
// Cuts beats of Parts * Lanes words into beats of Lanes words, the lowest first.
//
// A pixel's last beat (in_last_i) has in_count_i words; parts without any are left out.
// out_count_o is of meaning with out_last_o only.
// Latency:    none: the beat stays at the input until its last part is taken.
// Throughput: a part a cycle. in_ready_o follows out_ready_i combinationally.

`include "casc_assert.svh"

module beat_split #(
    parameter  int unsigned Lanes     = 4,  // 1..
    parameter  int unsigned Parts     = 2,  // 1..
    parameter  int unsigned WordBits  = 8,  // 1..
    localparam int unsigned WideBits  = $clog2(Parts * Lanes + 1),
    localparam int unsigned CountBits = $clog2(Lanes + 1)
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic                                 in_valid_i,
    output logic                                 in_ready_o,
    input  logic                                 in_last_i,
    input  logic [WideBits-1:0]                  in_count_i,  // 1.., looked at with in_last_i only
    input  logic [Parts-1:0][Lanes*WordBits-1:0] in_words_i,

    output logic                      out_valid_o,
    input  logic                      out_ready_i,
    output logic                      out_last_o,
    output logic [CountBits-1:0]      out_count_o,
    output logic [Lanes*WordBits-1:0] out_words_o
);

  `CASC_CHECK_PARAM(lanes, Lanes >= 1)
  `CASC_CHECK_PARAM(parts, Parts >= 1)
  `CASC_CHECK_PARAM(word_bits, WordBits >= 1)

  assign out_valid_o = in_valid_i;

  if (Parts == 1) begin : gen_whole
    assign in_ready_o  = out_ready_i;
    assign out_last_o  = in_last_i;
    assign out_count_o = in_count_i;
    assign out_words_o = in_words_i;
  end else begin : gen_parts
    localparam int unsigned PartBits = $clog2(Parts);

    logic [PartBits-1:0] part_q;
    logic [WideBits-1:0] left_q, left;  // words of the last beat from this part on
    logic                few, final_part;

    assign left       = (part_q == '0) ? in_count_i : left_q;
    assign few        = in_last_i && left <= WideBits'(Lanes);
    assign final_part = few || part_q == PartBits'(Parts - 1);

    always_ff @(posedge clk_i) begin
      if (!rst_ni) part_q <= '0;
      else if (in_valid_i && out_ready_i) part_q <= final_part ? '0 : part_q + 1'b1;
    end

    always_ff @(posedge clk_i) begin
      if (in_valid_i && out_ready_i) left_q <= left - WideBits'(Lanes);
    end

    assign in_ready_o  = out_ready_i && final_part;
    assign out_last_o  = in_last_i && final_part;
    assign out_count_o = CountBits'(left);
    assign out_words_o = in_words_i[part_q];
  end

  `CASC_ASSERT_STREAM(Input, in_valid_i, in_ready_o, {in_last_i, in_count_i, in_words_i})
  `CASC_ASSERT(CountLegal, !in_valid_i || !in_last_i
      || (in_count_i != '0 && in_count_i <= WideBits'(Parts * Lanes)))

endmodule
