// SPDX-License-Identifier: Apache-2.0
//
// Turns a layer's weight planes, as they lie in memory, into words.
//
// A stored weight w is two signed digits, w = 2**k * high + low with -2**(k-1) <= low < 2**(k-1).
// Memory holds a layer's high digits (p = high_bits_i wide) and low digits (k = low_bits_i wide) in
// a plane each: in blocks of Lanes weights, bit position by bit position, the lowest first, every
// position as Lanes / BeatBits beats, weight 0 in the lowest bit of the first one. Blocks of both
// planes arrive on a stream each. Join = 1 is the HPU's: both streams, whole weights. Join = 0 is
// the LPU's: the high plane only, whose digits are the weights rounded half up; saturated (by a
// weight_truncate with shift 0) they are the LPU's weights.
//
// Streams (ready/valid; a beat is transferred when both are high):
//   low   k * Lanes / BeatBits beats a block: taken first. None where k = 0.
//   high  p * Lanes / BeatBits beats a block: taken after the block's low ones.
//   out   one beat = one block of Lanes words.
// high_bits_i and low_bits_i may change only while no block is partly taken.
//
// Latency:    a block is offered the cycle after its last beat is taken.
// Throughput: one beat a cycle over both inputs, hence a block in (p + k) * Lanes / BeatBits cycles,
//             and no bubble between blocks when each is taken in the cycle that offers it: there is
//             one block of storage. The ready outputs depend combinationally on out_ready_i.
// Numbers:    words are signed, of p + k bits, sign-extended to MaxBits: w modulo 2**(p + k), which
//             is w for every word that splits (fixedpoint.planar_high). Equal to
//             fixedpoint.join_planes, bit for bit.
//
// The join needs neither adder nor shifter: the low digit's bits are the word's own lowest ones, and
// if the digit is negative, 1 is to be subtracted from the high digit, which is done as its bits
// come, lowest first, with one borrow bit a lane.

`include "casc_assert.svh"

module weight_planes
  import cascade_pkg::*;
#(
    parameter  int unsigned Lanes     = WEIGHT_BLOCK,  // 1..: weights of a block
    parameter  int unsigned BeatBits  = 64,            // 1..Lanes, divides Lanes
    parameter  int unsigned MaxBits   = 8,             // 2..16: the widest p + k
    parameter  bit          Join      = 1'b1,
    localparam int unsigned CountBits = $clog2(MaxBits + 1)
) (
    input  logic                          clk_i,
    input  logic                          rst_ni,
    input  logic [CountBits-1:0]          high_bits_i,  // 1..MaxBits
    input  logic [CountBits-1:0]          low_bits_i,   // 0..MaxBits - high_bits_i; Join = 0: 0
    input  logic                          high_valid_i,
    output logic                          high_ready_o,
    input  logic [BeatBits-1:0]           high_data_i,
    input  logic                          low_valid_i,
    output logic                          low_ready_o,
    input  logic [BeatBits-1:0]           low_data_i,
    output logic                          out_valid_o,
    input  logic                          out_ready_i,
    output logic [Lanes-1:0][MaxBits-1:0] out_words_o
);

  `CASC_CHECK_PARAM(lanes, Lanes >= 1)
  `CASC_CHECK_PARAM(beat_bits, BeatBits >= 1 && Lanes % BeatBits == 0)
  `CASC_CHECK_PARAM(max_bits, MaxBits >= MIN_BITS && MaxBits <= MAX_BITS)

  // A position's beats: each brings one bit to BeatBits of the lanes.
  localparam int unsigned Parts = Lanes / BeatBits;
  localparam int unsigned PartBits = index_bits(Parts);
  localparam logic [PartBits-1:0] LastPart = PartBits'(Parts - 1);

  logic [CountBits-1:0] position_q;  // the bit position of the word that the next beat brings
  logic [MaxBits-1:0]   places_q;    // from that one on
  logic [Parts-1:0]     of_part_q;   // one bit: part_q
  logic [CountBits-1:0] last_position;
  logic [PartBits-1:0]  part_q;
  logic                 in_low;      // the next beat is one of the low plane's
  logic                 room;
  logic                 take;
  logic                 last_beat;

  assign in_low        = Join && position_q < low_bits_i;
  assign last_position = high_bits_i + low_bits_i - 1'b1;
  assign room          = !out_valid_o || out_ready_i;
  assign high_ready_o  = room && !in_low;
  assign low_ready_o   = room && in_low;
  assign take          = (high_valid_i && high_ready_o) || (low_valid_i && low_ready_o);
  assign last_beat     = part_q == LastPart && position_q == last_position;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      position_q  <= '0;
      part_q      <= '0;
      places_q    <= '1;
      of_part_q   <= Parts'(1);
      out_valid_o <= 1'b0;
    end else begin
      if (room) out_valid_o <= take && last_beat;
      if (take) begin
        part_q    <= (part_q == LastPart) ? '0 : part_q + 1'b1;
        of_part_q <= (part_q == LastPart) ? Parts'(1) : Parts'({of_part_q, 1'b0});
        if (part_q == LastPart) begin
          position_q <= last_beat ? '0 : position_q + 1'b1;
          places_q   <= last_beat ? '1 : places_q << 1;
        end
      end
    end
  end

  // ---- one bit a lane: the low digit's own, or the high digit's less what the low one borrows ----
  logic [Lanes-1:0] places;

  if (Join) begin : gen_join
    logic [Lanes-1:0] borrow_q;  // after the low digit: its sign

    for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
      logic low_bit, high_bit, borrow;
      assign low_bit      = low_data_i[lane%BeatBits];
      assign high_bit     = high_data_i[lane%BeatBits];
      assign borrow       = borrow_q[lane] && position_q != '0;
      assign places[lane] = in_low ? low_bit : high_bit ^ borrow;

      always_ff @(posedge clk_i) begin
        if (take && of_part_q[lane/BeatBits]) begin
          borrow_q[lane] <= in_low ? low_bit : borrow && !high_bit;
        end
      end
    end
  end else begin : gen_high_only
    logic unused_low;
    assign unused_low = ^low_data_i;
    assign places     = {Parts{high_data_i}};
  end

  // A bit goes to its position and all above it: the last one, the sign, stays there.
  always_ff @(posedge clk_i) begin
    for (int unsigned lane = 0; lane < Lanes; lane++) begin
      for (int unsigned place = 0; place < MaxBits; place++) begin
        if (take && of_part_q[lane/BeatBits] && places_q[place]) begin
          out_words_o[lane][place] <= places[lane];
        end
      end
    end
  end

`ifndef SYNTHESIS
  logic partly_taken;
  assign partly_taken = position_q != '0 || part_q != '0;
`endif

  `CASC_ASSERT_STREAM(High, high_valid_i, high_ready_o, high_data_i)
  `CASC_ASSERT_STREAM(Low, low_valid_i, low_ready_o, low_data_i)
  `CASC_ASSERT_STREAM(Output, out_valid_o, out_ready_i, out_words_o)
  `CASC_ASSERT(WidthsFit, !take || (high_bits_i != '0
      && (CountBits + 1)'(high_bits_i) + (CountBits + 1)'(low_bits_i) <= (CountBits + 1)'(MaxBits)
      && (Join || low_bits_i == '0)))
  `CASC_ASSERT(WidthsStable, !partly_taken || $stable({high_bits_i, low_bits_i}))

endmodule
