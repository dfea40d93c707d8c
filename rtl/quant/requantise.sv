// SPDX-License-Identifier: Apache-2.0
//
// Turns accumulators into activations: bias, rescaling, activation function, saturation.
//
// Latency:    4 cycles, 7 with LeakySupport; the last is the output's skid buffer.
// Throughput: 1 beat of Lanes words per cycle. in_ready_o is a register.
// Multipliers: one a lane with LeakySupport, none without.
// Numbers:    y = round_shift(acc + bias, shift), shift 0..31 and bias (32 bit signed, at the
//             accumulator's scale) per lane: channels differ in scale. With leaky_i, y is saturated
//             to LEAKY_GUARD_BITS more signed bits than the activations have (ActBits, or OutBits
//             with wide_i) and its negative values become round_shift(y * mantissa, slope_shift).
//             Then q = saturate(y, low, high): low = 0 makes a ReLU, a smaller high a clipped one.
//             The output word is q + zero. Rounding is half up, nothing overflows.
//             Equal to fixedpoint.requantise plus zero, bit for bit.
// Words:      low <= high. Unsigned words: zero is the one that stands for 0, low + zero and
//             high + zero are within OutBits unsigned bits. Signed words: zero is 0, low and high
//             are within OutBits signed bits. So the bounds make the output signed or unsigned.
// All parameter inputs belong to the beat: they are sampled with it. With LeakySupport = 0,
// leaky_i must be 0.

`include "casc_assert.svh"

module requantise
  import cascade_pkg::*;
#(
    parameter int unsigned Lanes        = 8,   // 1..
    parameter int unsigned AccBits      = 32,  // 2..46
    parameter int unsigned ActBits      = 8,   // 2..16, the activations' wordlength
    parameter int unsigned OutBits      = 16,  // ActBits..16, the words': logits may be wider
    parameter bit          LeakySupport = 1'b1
) (
    input  logic                                clk_i,
    input  logic                                rst_ni,

    input  logic [Lanes-1:0][BIAS_BITS-1:0]     bias_i,
    input  shift_t [Lanes-1:0]                  shift_i,
    input  logic signed [OutBits:0]             low_i,
    input  logic signed [OutBits:0]             high_i,
    input  logic [ActBits-1:0]                  zero_i,
    input  logic                                wide_i,  // looked at with leaky_i only
    input  logic                                leaky_i,
    input  logic [LEAKY_SLOPE_BITS-1:0]         slope_mantissa_i,
    input  shift_t                              slope_shift_i,

    input  logic                                in_valid_i,
    output logic                                in_ready_o,
    input  logic [Lanes-1:0][AccBits-1:0]       in_acc_i,

    output logic                                out_valid_o,
    input  logic                                out_ready_i,
    output logic [Lanes-1:0][OutBits-1:0]       out_words_o
);

  `CASC_CHECK_PARAM(lanes, Lanes >= 1)
  `CASC_CHECK_PARAM(acc_bits, AccBits >= 2 && AccBits <= WIDE_BITS - 2)
  `CASC_CHECK_PARAM(act_bits, ActBits >= MIN_BITS && ActBits <= MAX_BITS)
  `CASC_CHECK_PARAM(out_bits, OutBits >= ActBits && OutBits <= MAX_BITS)

  localparam int unsigned SumBits   = ((AccBits > BIAS_BITS) ? AccBits : BIAS_BITS) + 1;
  localparam int unsigned GuardBits = ActBits + LEAKY_GUARD_BITS;
  // Holds a leaky y, and as much of any other y as low..high can tell apart.
  localparam int unsigned ValueBits = OutBits + LEAKY_GUARD_BITS;
  // A value times an unsigned slope.
  localparam int unsigned SlopedBits = ValueBits + LEAKY_SLOPE_BITS + 1;
  localparam int unsigned ClampBits  = LeakySupport ? SlopedBits : SumBits;
  localparam int unsigned Stages     = LeakySupport ? 6 : 3;

  typedef struct packed {
    logic signed [OutBits:0] low;
    logic signed [OutBits:0] high;
    logic [ActBits-1:0]      zero;
  } bounds_t;

  typedef struct packed {
    logic                        enable;
    logic                        wide;
    logic [LEAKY_SLOPE_BITS-1:0] mantissa;
    shift_t                      shift;
  } slope_t;

  logic                 enable;    // the pipeline moves; a register, as the skid buffer's ready is
  logic [Stages-1:0]    valid_q;
  bounds_t [Stages-2:0] bounds_q;  // of the beats in the stages before the clamp
  bounds_t              bounds_in, bounds;
  slope_t               slope_in;

  assign bounds_in = '{low: low_i, high: high_i, zero: zero_i};
  assign slope_in  = '{enable: leaky_i, wide: wide_i,
                       mantissa: slope_mantissa_i, shift: slope_shift_i};
  assign bounds    = bounds_q[Stages-2];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else if (enable) valid_q <= {valid_q[Stages-2:0], in_valid_i};
  end

  always_ff @(posedge clk_i) begin
    if (enable) bounds_q <= {bounds_q[Stages-3:0], bounds_in};
  end

  // ---- bias, then scale ----
  logic signed [SumBits-1:0] scaled_q[Lanes];

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_scale
    logic signed [SumBits-1:0] sum_q;
    shift_t                    shift_q;

    always_ff @(posedge clk_i) begin
      if (enable) begin
        sum_q          <= SumBits'($signed(in_acc_i[lane])) + SumBits'($signed(bias_i[lane]));
        shift_q        <= shift_i[lane];
        scaled_q[lane] <= SumBits'(round_shift(wide_t'(sum_q), shift_q));
      end
    end
  end

  // ---- LeakyReLU: saturate, multiply, scale; other values pass as value * 1 >> 0 ----
  logic signed [ClampBits-1:0] clamp_input[Lanes];

  if (LeakySupport) begin : gen_leaky
    slope_t [3:0] slope_q;
    logic         narrow;
    wide_t        value_low, value_high;

    assign narrow     = slope_q[1].enable && !slope_q[1].wide;
    assign value_low  = format_low(narrow ? GuardBits : ValueBits, 1'b1);
    assign value_high = format_high(narrow ? GuardBits : ValueBits, 1'b1);

    always_ff @(posedge clk_i) begin
      if (enable) slope_q <= {slope_q[2:0], slope_in};
    end

    for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
      logic signed [ValueBits-1:0]  value_q;
      logic                         sloped_q, sloped_q2;
      logic [LEAKY_SLOPE_BITS-1:0]  factor;
      logic signed [SlopedBits-1:0] product_q, result_q;
      shift_t                       shift;

      assign factor = sloped_q ? slope_q[2].mantissa : LEAKY_SLOPE_BITS'(1);
      assign shift  = sloped_q2 ? slope_q[3].shift : '0;

      always_ff @(posedge clk_i) begin
        if (enable) begin
          value_q   <= ValueBits'(saturate(wide_t'(scaled_q[lane]), value_low, value_high));
          sloped_q  <= slope_q[1].enable && scaled_q[lane] < 0;
          product_q <= SlopedBits'(value_q) * $signed(SlopedBits'(factor));
          sloped_q2 <= sloped_q;
          result_q  <= SlopedBits'(round_shift(wide_t'(product_q), shift));
        end
      end

      assign clamp_input[lane] = result_q;
    end
  end else begin : gen_no_leaky
    logic unused_slope;
    assign unused_slope = ^slope_in;
    assign clamp_input  = scaled_q;
  end

  // ---- activation function and saturation, then the zero point on the way into the buffer ----
  logic [Lanes-1:0][OutBits-1:0] clamped_q, words;
  logic [ActBits-1:0]            zero_q;

  always_ff @(posedge clk_i) begin
    if (enable) begin
      zero_q <= bounds.zero;
      for (int unsigned lane = 0; lane < Lanes; lane++) begin
        clamped_q[lane] <= OutBits'(
            saturate(wide_t'(clamp_input[lane]), wide_t'(bounds.low), wide_t'(bounds.high)));
      end
    end
  end

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_zero
    assign words[lane] = clamped_q[lane] + OutBits'(zero_q);
  end

  assign in_ready_o = enable;

  skid_buffer #(
      .Width(Lanes * OutBits)
  ) u_skid (
      .clk_i,
      .rst_ni,
      .in_valid_i (valid_q[Stages-1]),
      .in_ready_o (enable),
      .in_data_i  (words),
      .out_valid_o,
      .out_ready_i,
      .out_data_o (out_words_o)
  );

  `CASC_ASSERT_STREAM(Input, in_valid_i, in_ready_o,
                      {in_acc_i, bias_i, shift_i, bounds_in, slope_in})
  `CASC_ASSERT(LeakySupported, !in_valid_i || LeakySupport || !leaky_i)
  `CASC_ASSERT(BoundsOrdered, !in_valid_i || low_i <= high_i)
  // The top two bits of a bound tell whether it fits a signed word.
  `CASC_ASSERT(BoundsFitWords, !in_valid_i
      || (zero_i == '0 && low_i[OutBits] == low_i[OutBits-1] && high_i[OutBits] == high_i[OutBits-1])
      || (wide_t'(low_i) + wide_t'(zero_i) >= 0
          && wide_t'(high_i) + wide_t'(zero_i) <= format_high(OutBits, 1'b0)))

endmodule
