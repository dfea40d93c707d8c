// SPDX-License-Identifier: Apache-2.0
//
// The lanes of local response normalisation: lrn_unit with beats as wide as there are lanes.
//
// Input:      beats of Lanes words, the channels of a pixel in ascending order, pixel after pixel;
//             in_last_i marks a pixel's last beat, of whose words the first in_count_i are channels.
// Output:     a beat for every one of the input, out_last_o as its in_last_i. Words behind the last
//             channel are those of q = 0.
// Numbers:    q = word - zero_in; S = sum of q * q over half channels on either side and its own;
//             factor and exponent of S from the table (lrn_factor);
//             out = saturate(round_shift(q * factor, shift + exponent), low, high) + zero_out.
//             Equal to the toolflow's reference (emulator/factor_table.py), bit for bit.
// Throughput: one beat a cycle, across pixels too. in_ready_o is a register.
// Latency:    13 + Ahead cycles, Ahead = ceil((MaxSize / 2) / Lanes): n beats that never wait come
//             out in the n cycles from 13 + Ahead after the first one's acceptance on. Beats of one
//             pixel may lie far apart: a beat comes out when Ahead + 2 more beats of its pixel, or
//             its pixel's last, have been taken.
// Area:       three multipliers a lane (WordBits + 1 squared; FACTOR_BITS by FRACTION_BITS; WordBits
//             + 1 by FACTOR_BITS + 1) and one 18 Kbit block a lane for the table.
// Settings:   settings_i holds from the offer of a layer's first beat until idle_o. half is 0 to
//             MaxSize / 2; shift plus any exponent of the table is at most 31; low <= high, with
//             their zero points within OutBits (see requantise). Words are extended to WordBits.
// Table:      an entry a cycle, table_write_i, while idle_o; all of them before a layer that has
//             another table than the one before.

`include "casc_assert.svh"

module lrn_lanes
  import cascade_pkg::*;
  import lrn_pkg::*;
#(
    parameter  int unsigned Lanes     = 4,   // 1..
    parameter  int unsigned WordBits  = 8,   // 2..16, input words
    parameter  int unsigned OutBits   = 16,  // 2..16, output words
    parameter  int unsigned MaxSize   = 5,   // 3..15, odd: the widest window
    localparam int unsigned CountBits = $clog2(Lanes + 1)
) (
    input  logic      clk_i,
    input  logic      rst_ni,
    input  settings_t settings_i,
    output logic      idle_o,

    input logic                  table_write_i,
    input logic [ENTRY_BITS-1:0] table_index_i,
    input entry_t                table_entry_i,

    input  logic                           in_valid_i,
    output logic                           in_ready_o,
    input  logic                           in_last_i,
    input  logic [CountBits-1:0]           in_count_i,  // 1..Lanes, looked at with in_last_i only
    input  logic [Lanes-1:0][WordBits-1:0] in_words_i,

    output logic                          out_valid_o,
    input  logic                          out_ready_i,
    output logic                          out_last_o,
    output logic [Lanes-1:0][OutBits-1:0] out_words_o
);

  `CASC_CHECK_PARAM(out_bits, OutBits >= MIN_BITS && OutBits <= MAX_BITS)

  localparam int unsigned SumBits     = 2 * WordBits + $clog2(MaxSize);
  localparam int unsigned ProductBits = WordBits + 1 + FACTOR_BITS;
  localparam int unsigned FactorSteps = 5;                // of lrn_factor
  localparam int unsigned Stages      = FactorSteps + 3;  // behind the window

  logic                           enable;  // the pipeline moves; the skid buffer's ready
  logic                           window_busy, window_valid, window_last;
  logic [Lanes-1:0][WordBits:0]   window_q, q;
  logic [Lanes-1:0][SumBits-1:0]  sums;
  logic [Stages-1:0]              valid_q, last_q;

  lrn_window #(
      .Lanes   (Lanes),
      .WordBits(WordBits),
      .MaxSize (MaxSize)
  ) u_window (
      .clk_i,
      .rst_ni,
      .en_i       (enable),
      .half_i     (settings_i.half),
      .signed_i   (settings_i.is_signed),
      .zero_i     (WordBits'(settings_i.zero_in)),
      .in_valid_i,
      .in_last_i,
      .in_count_i,
      .in_words_i,
      .busy_o     (window_busy),
      .out_valid_o(window_valid),
      .out_last_o (window_last),
      .out_q_o    (window_q),
      .out_sums_o (sums)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else if (enable) valid_q <= {valid_q[Stages-2:0], window_valid};
  end

  always_ff @(posedge clk_i) begin
    if (enable) last_q <= {last_q[Stages-2:0], window_last};
  end

  delay_line #(
      .Width(Lanes * (WordBits + 1)),
      .Depth(FactorSteps)
  ) u_q (
      .clk_i,
      .en_i  (enable),
      .data_i(window_q),
      .data_o(q)
  );

  // ---- factor, product, scale, saturation ----
  logic [Lanes-1:0][OutBits-1:0] words;

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
    factor_t                       factor;
    exponent_t                     exponent;
    logic [SHIFT_BITS:0]           shift;
    shift_t                        shift_q;
    logic signed [ProductBits-1:0] product_q, scaled_q;
    logic [OutBits-1:0]            clamped_q;

    lrn_factor #(
        .SumBits(SumBits)
    ) u_factor (
        .clk_i,
        .rst_ni,
        .en_i      (enable),
        .floor_i   (settings_i.floor),
        .valid_i   (window_valid),
        .sum_i     (sums[lane]),
        .factor_o  (factor),
        .exponent_o(exponent),
        .table_write_i,
        .table_index_i,
        .table_entry_i
    );

    assign shift = (SHIFT_BITS + 1)'(settings_i.shift) + (SHIFT_BITS + 1)'(exponent);

    always_ff @(posedge clk_i) begin
      if (enable) begin
        product_q <= ProductBits'($signed(q[lane])) * $signed(ProductBits'(factor));
        shift_q   <= SHIFT_BITS'(shift);
        scaled_q  <= ProductBits'(round_shift(wide_t'(product_q), shift_q));
        clamped_q <= OutBits'(
            saturate(wide_t'(scaled_q), wide_t'(settings_i.low), wide_t'(settings_i.high)));
      end
    end

    assign words[lane] = clamped_q + OutBits'(settings_i.zero_out);

    `CASC_ASSERT(ShiftLegal, !(enable && valid_q[FactorSteps-1]) || !shift[SHIFT_BITS])
  end

  skid_buffer #(
      .Width(Lanes * OutBits + 1)
  ) u_skid (
      .clk_i,
      .rst_ni,
      .in_valid_i (valid_q[Stages-1]),
      .in_ready_o (enable),
      .in_data_i  ({last_q[Stages-1], words}),
      .out_valid_o,
      .out_ready_i,
      .out_data_o ({out_last_o, out_words_o})
  );

  assign in_ready_o = enable;
  assign idle_o     = !window_busy && valid_q == '0 && !out_valid_o;

  `CASC_ASSERT_STREAM(Input, in_valid_i, in_ready_o, {in_last_i, in_count_i, in_words_i})
  `CASC_ASSERT(SettingsHold, $past(!rst_ni) || idle_o || $stable(settings_i))
  `CASC_ASSERT(TableWrittenIdle, !table_write_i || (idle_o && !in_valid_i))
  `CASC_ASSERT(BoundsOrdered, idle_o || settings_i.low <= settings_i.high)

endmodule
