// SPDX-License-Identifier: Apache-2.0
//
// Vector unit: pooling, addition, activation alone, all but the matrix products.
//
// A beat is Lanes words, one channel a lane. The beats from first_i to last_i are one output's: the
// positions of a pooling window (pad_i: the whole beat lies outside the map, its words mean nothing),
// an addition's first and second tensor (second_i), or the only beat of an activation. Each such
// run makes one beat of output words.
//
// Latency:    the last beat of an output accepted in cycle k is offered in cycle k + 17 + R, with R
//             the latency of requantise: 4 cycles, 7 with LeakySupport.
// Throughput: 1 beat per cycle, whatever the operation. in_ready_o depends on registers only.
// Numbers:    equal to the emulator's (toolflow/emulator/reference.py) plus zero_out, bit for bit.
//             With q = word - zero (of the tensor that the beat is of), requantised by shift:
//               max pooling      max of q; padding never is
//               average pooling  sum of q (padding is 0) * mantissa, shift longer by the exponent,
//                                both reciprocal's, of how many positions count: with count_pad_i
//                                all, else those that are no padding
//               addition         q_first << align_first + q_second << align_second
//               activation       q << align_first
//             then requantise: round_shift, LeakyReLU, clamp to low..high, plus zero_out.
// Widths:     words are sign- or zero-extended to InBits, as their tensor is signed or not; zero is 0
//             where it is signed. What goes to requantise fits AccBits signed bits (the toolflow
//             proves it: IntegerNetwork.vector_bits); then so does every sum on the way. Lanes
//             beyond the last channel hold any words of the tensor's wordlength.
// Settings (op_i .. slope_shift_i) are a layer's: they change only while no beat is inside.

`include "casc_assert.svh"

module vector_unit
  import cascade_pkg::*;
  import descriptor_pkg::*;
#(
    parameter int unsigned Lanes        = 8,   // 1..
    parameter int unsigned InBits       = 16,  // 2..16
    parameter int unsigned ActBits      = 8,   // 2..16, the activations' wordlength
    parameter int unsigned OutBits      = 16,  // ActBits..16, the words': logits may be wider
    parameter int unsigned AccBits      = 46,  // InBits + RECIPROCAL_BITS..46
    parameter bit          LeakySupport = 1'b1
) (
    input logic clk_i,
    input logic rst_ni,

    input logic [7:0]                  op_i,
    input logic                        in_signed_i,
    input logic                        second_signed_i,
    input logic [InBits-1:0]           zero_in_i,
    input logic [InBits-1:0]           zero_second_i,
    input shift_t                      align_first_i,
    input shift_t                      align_second_i,
    input logic                        count_pad_i,
    input shift_t                      shift_i,
    input logic signed [OutBits:0]     low_i,
    input logic signed [OutBits:0]     high_i,
    input logic [ActBits-1:0]          zero_out_i,
    input logic                        out_wide_i,
    input logic                        leaky_i,
    input logic [LEAKY_SLOPE_BITS-1:0] slope_mantissa_i,
    input shift_t                      slope_shift_i,

    input  logic                         in_valid_i,
    output logic                         in_ready_o,
    input  logic [Lanes-1:0][InBits-1:0] in_words_i,
    input  logic                         in_first_i,
    input  logic                         in_last_i,
    input  logic                         in_pad_i,
    input  logic                         in_second_i,

    output logic                          out_valid_o,
    input  logic                          out_ready_i,
    output logic [Lanes-1:0][OutBits-1:0] out_words_o
);

  `CASC_CHECK_PARAM(lanes, Lanes >= 1)
  `CASC_CHECK_PARAM(in_bits, InBits >= MIN_BITS && InBits <= MAX_BITS)
  `CASC_CHECK_PARAM(acc_bits, AccBits >= InBits + RECIPROCAL_BITS && AccBits <= WIDE_BITS - 2)

  localparam int unsigned ValueBits   = InBits + 1;  // q
  localparam int unsigned DivideDelay = 12;          // reciprocal's latency
  // A mantissa is at least 2**(RECIPROCAL_BITS-1): so much narrower is a sum whose product fits.
  localparam int unsigned SumBits     = AccBits - RECIPROCAL_BITS + 1;

  typedef logic signed [ValueBits-1:0] value_t;
  typedef logic signed [AccBits-1:0]   total_t;

  typedef struct packed {
    logic first;
    logic last;
    logic pad;
  } flags_t;

  logic is_max, is_average;
  assign is_max     = op_i == OP_MAX_POOL;
  assign is_average = op_i == OP_AVG_POOL;

  logic en;          // the pipeline moves
  logic rescale_ready, product_valid_q2;
  assign en         = rescale_ready || !product_valid_q2;
  assign in_ready_o = en;

  // ---------------------------------------------------------------- q, aligned

  logic   valid_q, valid_q2;
  flags_t flags_q, flags_q2;
  shift_t align_q;
  value_t value_q[Lanes];
  total_t operand_q[Lanes];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) {valid_q, valid_q2} <= '0;
    else if (en) {valid_q, valid_q2} <= {in_valid_i, valid_q};
  end

  logic              word_signed;
  logic [InBits-1:0] word_zero;
  assign word_signed = in_second_i ? second_signed_i : in_signed_i;
  assign word_zero   = in_second_i ? zero_second_i : zero_in_i;

  always_ff @(posedge clk_i) begin
    if (en) begin
      flags_q  <= '{first: in_first_i, last: in_last_i, pad: in_pad_i};
      flags_q2 <= flags_q;
      align_q  <= in_second_i ? align_second_i : align_first_i;
      for (int unsigned lane = 0; lane < Lanes; lane++) begin
        value_q[lane] <= $signed({word_signed && in_words_i[lane][InBits-1], in_words_i[lane]})
            - $signed({1'b0, word_zero});
        // Padding: 0 to a sum, the least of all values to a maximum.
        if (flags_q.pad) operand_q[lane] <= is_max ? total_t'(format_low(ValueBits, 1'b1)) : '0;
        else operand_q[lane] <= total_t'(value_q[lane]) <<< align_q;
      end
    end
  end

  // ---------------------------------------------------------------- over an output's beats

  logic                       total_valid_q;
  logic [RECIPROCAL_BITS-1:0] count_q;  // positions that count
  total_t [Lanes-1:0]         total_q;

  function automatic total_t joined(input total_t old, input total_t operand, input logic larger);
    if (!larger) return old + operand;
    return ($signed(operand[ValueBits-1:0]) > $signed(old[ValueBits-1:0])) ? operand : old;
  endfunction

  always_ff @(posedge clk_i) begin
    if (!rst_ni) total_valid_q <= 1'b0;
    else if (en) total_valid_q <= valid_q2 && flags_q2.last;
  end

  always_ff @(posedge clk_i) begin
    if (en && valid_q2) begin
      count_q <= (flags_q2.first ? '0 : count_q)
          + RECIPROCAL_BITS'(count_pad_i || !flags_q2.pad);
      for (int unsigned lane = 0; lane < Lanes; lane++) begin
        total_q[lane] <= flags_q2.first ? operand_q[lane]
            : joined(total_q[lane], operand_q[lane], is_max);
      end
    end
  end

  // ---------------------------------------------------------------- times the reciprocal

  logic                       divided_valid;
  logic [RECIPROCAL_BITS-1:0] mantissa;
  shift_t                     exponent, exponent_q, exponent_q2;
  total_t [Lanes-1:0]         total;
  logic                       product_valid_q;
  total_t                     total_q2[Lanes], product_q[Lanes];
  total_t [Lanes-1:0]         result_q;

  reciprocal u_reciprocal (
      .clk_i,
      .rst_ni,
      .en_i          (en),
      .in_valid_i    (total_valid_q),
      .in_divisor_i  (count_q),
      .out_valid_o   (divided_valid),
      .out_mantissa_o(mantissa),
      .out_exponent_o(exponent)
  );

  delay_line #(
      .Width(Lanes * AccBits),
      .Depth(DivideDelay)
  ) u_total (
      .clk_i,
      .en_i  (en),
      .data_i(total_q),
      .data_o(total)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) {product_valid_q, product_valid_q2} <= '0;
    else if (en) {product_valid_q, product_valid_q2} <= {divided_valid, product_valid_q};
  end

  always_ff @(posedge clk_i) begin
    if (en) begin
      exponent_q  <= exponent;
      exponent_q2 <= is_average ? exponent_q : '0;
      for (int unsigned lane = 0; lane < Lanes; lane++) begin
        product_q[lane] <= total_t'($signed(total[lane][SumBits-1:0]))
            * $signed(total_t'({1'b0, mantissa}));
        total_q2[lane]  <= total[lane];
        result_q[lane]  <= is_average ? product_q[lane] : total_q2[lane];
      end
    end
  end

  // ---------------------------------------------------------------- rescaled

  shift_t shift;
  assign shift = shift_i + exponent_q2;

  requantise #(
      .Lanes       (Lanes),
      .AccBits     (AccBits),
      .ActBits     (ActBits),
      .OutBits     (OutBits),
      .LeakySupport(LeakySupport)
  ) u_requantise (
      .clk_i,
      .rst_ni,
      .bias_i     ('0),
      .shift_i    ({Lanes{shift}}),
      .low_i,
      .high_i,
      .zero_i     (zero_out_i),
      .wide_i     (out_wide_i),
      .leaky_i,
      .slope_mantissa_i,
      .slope_shift_i,
      .in_valid_i (product_valid_q2),
      .in_ready_o (rescale_ready),
      .in_acc_i   (result_q),
      .out_valid_o,
      .out_ready_i,
      .out_words_o
  );

  // ---------------------------------------------------------------- assertions

  `CASC_ASSERT_STREAM(Input, in_valid_i, in_ready_o,
                      {in_words_i, in_first_i, in_last_i, in_pad_i, in_second_i})
  `CASC_ASSERT(ZeroOfUnsignedOnly, !in_valid_i || !word_signed || word_zero == '0)
  `CASC_ASSERT(ShiftFits, !product_valid_q2 || shift >= exponent_q2)
  `CASC_ASSERT(OnlyPoolingPads, !in_valid_i || !in_pad_i || is_max || is_average)
  `CASC_ASSERT(OnlyAdditionHasSecond, !in_valid_i || !in_second_i || op_i == OP_ADD)

`ifndef SYNTHESIS
  logic open_q;  // an output's first beat has come, its last has not

  always_ff @(posedge clk_i) begin
    if (!rst_ni) open_q <= 1'b0;
    else if (in_valid_i && in_ready_o) open_q <= !in_last_i;
  end

  `CASC_ASSERT(FirstComesFirst, !in_valid_i || in_first_i != open_q)

  // What requantise and the product take for granted.
  logic [Lanes-1:0] sum_fits, product_fits;
  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_fits
    wide_t product;
    assign product            = wide_t'($signed(total[lane])) * wide_t'({1'b0, mantissa});
    assign sum_fits[lane]     = total[lane] == total_t'($signed(total[lane][SumBits-1:0]));
    assign product_fits[lane] = product == wide_t'(total_t'(product));
  end

  `CASC_ASSERT(ProductFits, !divided_valid || !is_average || (&sum_fits && &product_fits))
`endif

endmodule
