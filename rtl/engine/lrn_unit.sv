// SPDX-License-Identifier: Apache-2.0
//
// Local response normalisation across channels: x / (bias + alpha / size * sum(x * x)) ** beta.
//
// Beats of VectorLanes words go through Lanes lanes part by part: multipliers and tables are paid for
// Lanes only.
//
// Input:      beats of VectorLanes words, the channels of a pixel in ascending order, pixel after
//             pixel; in_last_i marks a pixel's last beat, of whose words the first in_count_i are
//             channels.
// Output:     a beat for every one of the input, out_last_o as its in_last_i. What is behind the last
//             channel is of no meaning.
// Numbers:    q = word - zero_in; S = sum of q * q over half channels on either side and its own;
//             factor and exponent of S from the table (lrn_factor);
//             out = saturate(round_shift(q * factor, shift + exponent), low, high) + zero_out.
//             Equal to the toolflow's reference (emulator/factor_table.py), bit for bit.
// Throughput: a beat takes VectorLanes / Lanes cycles, a pixel's last ceil(count / Lanes), without a
//             gap between pixels. in_ready_o follows registers only.
// Latency:    13 + Ahead cycles from a beat's acceptance (that of its last part) to its output,
//             Ahead = ceil((MaxSize / 2) / Lanes), if nothing waits. Beats of one pixel may lie far
//             apart: a part comes out when Ahead + 2 more parts of its pixel, or its pixel's last,
//             have been taken.
// Area:       three multipliers a lane (WordBits + 1 squared; FACTOR_BITS by FRACTION_BITS; WordBits
//             + 1 by FACTOR_BITS + 1) and one 18 Kbit block a lane for the table. With the default
//             parameters 12 DSP48E1, 4 RAMB18, 1855 LUTs and 1094 flip-flops (Yosys, xc7).
// Settings and table: see lrn_lanes.

`include "casc_assert.svh"

module lrn_unit
  import lrn_pkg::*;
#(
    parameter  int unsigned VectorLanes = 8,   // Lanes.., a multiple of them: words of a beat
    parameter  int unsigned Lanes       = 4,   // 1..
    parameter  int unsigned WordBits    = 8,   // 2..16, input words
    parameter  int unsigned OutBits     = 16,  // 2..16, output words
    parameter  int unsigned MaxSize     = 5,   // 3..15, odd: the widest window
    localparam int unsigned CountBits   = $clog2(VectorLanes + 1)
) (
    input  logic      clk_i,
    input  logic      rst_ni,
    input  settings_t settings_i,
    output logic      idle_o,

    input logic                  table_write_i,
    input logic [ENTRY_BITS-1:0] table_index_i,
    input entry_t                table_entry_i,

    input  logic                                 in_valid_i,
    output logic                                 in_ready_o,
    input  logic                                 in_last_i,
    input  logic [CountBits-1:0]                 in_count_i,  // 1.., looked at with in_last_i only
    input  logic [VectorLanes-1:0][WordBits-1:0] in_words_i,

    output logic                                out_valid_o,
    input  logic                                out_ready_i,
    output logic                                out_last_o,
    output logic [VectorLanes-1:0][OutBits-1:0] out_words_o
);

  `CASC_CHECK_PARAM(lanes, Lanes >= 1)
  `CASC_CHECK_PARAM(vector_lanes, VectorLanes >= Lanes && VectorLanes % Lanes == 0)

  localparam int unsigned Parts    = VectorLanes / Lanes;
  localparam int unsigned PartBits = $clog2(Lanes + 1);

  logic                      part_valid, part_ready, part_last;
  logic [PartBits-1:0]       part_count;
  logic [Lanes*WordBits-1:0] part_words;
  logic                      made_valid, made_ready, made_last;
  logic [Lanes*OutBits-1:0]  made_words;
  logic                      lanes_idle, join_busy;

  beat_split #(
      .Lanes   (Lanes),
      .Parts   (Parts),
      .WordBits(WordBits)
  ) u_split (
      .clk_i,
      .rst_ni,
      .in_valid_i,
      .in_ready_o,
      .in_last_i,
      .in_count_i,
      .in_words_i,
      .out_valid_o(part_valid),
      .out_ready_i(part_ready),
      .out_last_o (part_last),
      .out_count_o(part_count),
      .out_words_o(part_words)
  );

  lrn_lanes #(
      .Lanes   (Lanes),
      .WordBits(WordBits),
      .OutBits (OutBits),
      .MaxSize (MaxSize)
  ) u_lanes (
      .clk_i,
      .rst_ni,
      .settings_i,
      .idle_o     (lanes_idle),
      .table_write_i,
      .table_index_i,
      .table_entry_i,
      .in_valid_i (part_valid),
      .in_ready_o (part_ready),
      .in_last_i  (part_last),
      .in_count_i (part_count),
      .in_words_i (part_words),
      .out_valid_o(made_valid),
      .out_ready_i(made_ready),
      .out_last_o (made_last),
      .out_words_o(made_words)
  );

  beat_join #(
      .Lanes   (Lanes),
      .Parts   (Parts),
      .WordBits(OutBits)
  ) u_join (
      .clk_i,
      .rst_ni,
      .busy_o     (join_busy),
      .in_valid_i (made_valid),
      .in_ready_o (made_ready),
      .in_last_i  (made_last),
      .in_words_i (made_words),
      .out_valid_o,
      .out_ready_i,
      .out_last_o,
      .out_words_o
  );

  assign idle_o = lanes_idle && !join_busy;

endmodule
