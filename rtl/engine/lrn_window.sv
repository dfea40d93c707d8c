// SPDX-License-Identifier: Apache-2.0
//
// Sums of squares over a window of channels, for every channel of a stream of pixels.
//
// Input:      beats of Lanes words, the channels of a pixel in ascending order; in_last_i marks a
//             pixel's last beat, whose first in_count_i (1..Lanes) words are channels, the others
//             are ignored.
// Output:     per beat the integers q = word - zero and, per lane, the sum of q * q over half_i
//             channels before it, itself and half_i behind it; channels that do not exist, and words
//             that are none, count as 0. Exact: nothing overflows.
// Throughput: one beat a cycle, across pixels too.
// Latency:    Ahead + 4 cycles, Ahead = ceil((MaxSize / 2) / Lanes) beats of look-ahead. Within a
//             pixel a beat comes out only when Ahead + 2 more have been taken; behind a pixel's last
//             beat bubbles take their place, so that a pixel never waits for the next one.
// Squares:    one multiplier a lane.
// Everything moves with en_i only; a beat is taken with in_valid_i && en_i.

`include "casc_assert.svh"

module lrn_window
  import cascade_pkg::*;
#(
    parameter  int unsigned Lanes     = 4,  // 1..
    parameter  int unsigned WordBits  = 8,  // 2..16
    parameter  int unsigned MaxSize   = 5,  // 3..15, odd: the widest window
    localparam int unsigned CountBits = $clog2(Lanes + 1),
    localparam int unsigned SumBits   = 2 * WordBits + $clog2(MaxSize)
) (
    input logic clk_i,
    input logic rst_ni,
    input logic en_i,

    input logic [2:0]          half_i,    // 0..MaxSize / 2
    input logic                signed_i,  // words are two's complement; then zero_i is 0
    input logic [WordBits-1:0] zero_i,

    input logic                           in_valid_i,
    input logic                           in_last_i,
    input logic [CountBits-1:0]           in_count_i,  // looked at with in_last_i only
    input logic [Lanes-1:0][WordBits-1:0] in_words_i,

    output logic                            busy_o,       // a beat is inside
    output logic                            out_valid_o,
    output logic                            out_last_o,
    output logic [Lanes-1:0][WordBits:0]    out_q_o,      // signed
    output logic [Lanes-1:0][SumBits-1:0]   out_sums_o
);

  `CASC_CHECK_PARAM(lanes, Lanes >= 1)
  `CASC_CHECK_PARAM(word_bits, WordBits >= MIN_BITS && WordBits <= MAX_BITS)
  `CASC_CHECK_PARAM(max_size, MaxSize >= 3 && MaxSize <= 15 && MaxSize % 2 == 1)

  localparam int unsigned MaxHalf    = MaxSize / 2;
  localparam int unsigned Ahead      = (MaxHalf + Lanes - 1) / Lanes;
  localparam int unsigned SquareBits = 2 * WordBits;
  localparam int unsigned Held       = 2 * Ahead + 1;  // beats whose squares are looked at
  localparam int unsigned Words      = Held * Lanes;
  localparam int unsigned Centre     = Ahead * Lanes;  // the first of the middle beat's words

  typedef logic signed [WordBits:0] q_t;
  typedef logic signed [SquareBits+1:0] full_t;
  typedef logic [SumBits-1:0] sum_t;

  // ---- the line of beats: integers, then squares, the newest at 0; a bubble ends a pixel ----
  logic             advance;
  logic             entry_valid_q, entry_last_q;
  q_t [Lanes-1:0]   entry_q;
  logic [Held-1:0]  valid_q, last_q;

  assign advance = en_i && (in_valid_i || entry_last_q);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      entry_valid_q <= 1'b0;
      entry_last_q  <= 1'b1;
      valid_q       <= '0;
      last_q        <= '1;
    end else if (advance) begin
      entry_valid_q <= in_valid_i;
      entry_last_q  <= !in_valid_i || in_last_i;
      valid_q       <= {valid_q[Held-2:0], entry_valid_q};
      last_q        <= {last_q[Held-2:0], entry_last_q};
    end
  end

  // Word order: the oldest beat's first channel is word 0.
  logic [Words-1:0][SquareBits-1:0] squares_q;
  q_t [Ahead:0][Lanes-1:0]          line_q;

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_entry
    q_t word, integer_in;
    assign word = $signed({signed_i && in_words_i[lane][WordBits-1], in_words_i[lane]});
    assign integer_in = (in_last_i && CountBits'(unsigned'(lane)) >= in_count_i)
        ? '0 : word - $signed({1'b0, zero_i});

    always_ff @(posedge clk_i) begin
      if (advance) entry_q[lane] <= integer_in;
    end

    // |q| is below 2**WordBits, so that its square has no sign bit to spare.
    always_ff @(posedge clk_i) begin
      if (advance) begin
        squares_q[Words-Lanes+lane] <= SquareBits'(full_t'(entry_q[lane]) * full_t'(entry_q[lane]));
        for (int unsigned beat = 1; beat < Held; beat++) begin
          squares_q[Words-(beat+1)*Lanes+lane] <= squares_q[Words-beat*Lanes+lane];
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (advance) line_q <= {line_q[Ahead-1:0], entry_q};
  end

  // ---- which beats are of the middle one's pixel ----
  logic [Held-1:0] same;

  always_comb begin
    same[Ahead] = 1'b1;
    for (int unsigned step = 1; step <= Ahead; step++) begin
      same[Ahead-step] = same[Ahead-step+1] && !last_q[Ahead-step+1];
      same[Ahead+step] = same[Ahead+step-1] && !last_q[Ahead+step];
    end
  end

  // ---- pairs of channels at one distance, then all of them ----
  logic [1:0]               out_valid_q, out_last_q;
  q_t [1:0][Lanes-1:0]      out_q_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) out_valid_q <= '0;
    else if (en_i) out_valid_q <= {out_valid_q[0], advance && valid_q[Ahead]};
  end

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      out_last_q <= {out_last_q[0], last_q[Ahead]};
      out_q_q    <= {out_q_q[0], line_q[Ahead]};
    end
  end

  function automatic logic [SquareBits-1:0] masked(input logic [SquareBits-1:0] square,
                                                   input logic keep);
    return keep ? square : '0;
  endfunction

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_sum
    localparam int unsigned Own = Centre + lane;
    logic [SquareBits-1:0] own_q;
    sum_t                  pairs_q[MaxHalf];
    sum_t                  total, total_q;

    always_ff @(posedge clk_i) begin
      if (en_i) own_q <= squares_q[Own];
    end

    for (genvar distance = 1; distance <= MaxHalf; distance++) begin : gen_pair
      localparam int unsigned Before = Held - 1 - (Own - distance) / Lanes;  // its beat's place
      localparam int unsigned Behind = Held - 1 - (Own + distance) / Lanes;
      logic wanted;
      assign wanted = half_i >= 3'(unsigned'(distance));

      always_ff @(posedge clk_i) begin
        if (en_i) begin
          pairs_q[distance-1] <= SumBits'(masked(squares_q[Own-distance], wanted && same[Before]))
              + SumBits'(masked(squares_q[Own+distance], wanted && same[Behind]));
        end
      end
    end

    always_comb begin
      total = SumBits'(own_q);
      for (int unsigned pair = 0; pair < MaxHalf; pair++) total = total + pairs_q[pair];
    end

    always_ff @(posedge clk_i) begin
      if (en_i) total_q <= total;
    end

    assign out_sums_o[lane] = total_q;
  end

  assign busy_o      = entry_valid_q || valid_q[Ahead:0] != '0 || out_valid_q != '0;
  assign out_valid_o = out_valid_q[1];
  assign out_last_o  = out_last_q[1];
  assign out_q_o     = out_q_q[1];

  `CASC_ASSERT(CountLegal, !in_valid_i || !in_last_i
      || (in_count_i != '0 && in_count_i <= CountBits'(Lanes)))
  `CASC_ASSERT(HalfLegal, !in_valid_i || half_i <= 3'(MaxHalf))
  `CASC_ASSERT(SignedWithoutZero, !in_valid_i || !signed_i || zero_i == '0)

endmodule
