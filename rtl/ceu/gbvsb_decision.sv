// SPDX-License-Identifier: Apache-2.0
//
// Sums an image's exponentials and takes the gBvSB decision, without a divider:
//
//   confident iff (sum of the top M - sum of the next N - M) * 2^16 >= threshold * sum of all
//
// Latency:    out_valid_o rises 3 cycles after the exponential with in_last_i.
// Throughput: 1 exponential per cycle; the next image's may come once the result has been taken.
// Numbers:    exponentials unsigned; margin and threshold signed, the threshold with 16 fraction
//             bits. Sums and products are exact, as wide as MaxClasses and MaxN ask.
// threshold_i must be stable from the last exponential until the result is valid.

`include "casc_assert.svh"

module gbvsb_decision
  import exp_table_pkg::*;
#(
    parameter  int unsigned MaxClasses    = 1000,  // 2..
    parameter  int unsigned MaxN          = 8,     // 2..
    parameter  int unsigned ThresholdBits = 18,    // 18..
    localparam int unsigned TotalBits     = EXP_BITS + $clog2(MaxClasses),
    localparam int unsigned MarginBits    = EXP_BITS + $clog2(MaxN) + 1
) (
    input  logic                            clk_i,
    input  logic                            rst_ni,
    input  logic signed [ThresholdBits-1:0] threshold_i,
    input  logic                            in_valid_i,
    input  logic [EXP_BITS-1:0]             in_exp_i,
    input  logic                            in_first_i,
    input  logic                            in_last_i,
    input  logic                            in_top_m_i,
    input  logic                            in_top_n_i,
    output logic                            out_valid_o,
    input  logic                            out_ready_i,
    output logic [TotalBits-1:0]            out_total_o,
    output logic signed [MarginBits-1:0]    out_margin_o,
    output logic                            out_confident_o
);

  `CASC_CHECK_PARAM(max_classes, MaxClasses >= 2)
  `CASC_CHECK_PARAM(max_n, MaxN >= 2)
  `CASC_CHECK_PARAM(threshold_bits, ThresholdBits >= EXP_FRACTION_BITS + 2)

  localparam int unsigned ProductBits = ThresholdBits + TotalBits + 1;
  localparam int unsigned ScaledBits  = MarginBits + EXP_FRACTION_BITS;
  localparam int unsigned CompareBits = (ProductBits > ScaledBits) ? ProductBits : ScaledBits;

  logic signed [MarginBits-1:0]  term;
  logic signed [CompareBits-1:0] product_q;
  logic signed [CompareBits-1:0] scaled_margin;
  logic                          summed_q;
  logic                          multiplied_q;

  always_comb begin
    term = '0;
    if (in_top_m_i) term = $signed(MarginBits'(in_exp_i));
    else if (in_top_n_i) term = -$signed(MarginBits'(in_exp_i));
  end

  assign scaled_margin = CompareBits'(out_margin_o) <<< EXP_FRACTION_BITS;

  always_ff @(posedge clk_i) begin
    if (in_valid_i) begin
      out_total_o  <= (in_first_i ? '0 : out_total_o) + TotalBits'(in_exp_i);
      out_margin_o <= (in_first_i ? '0 : out_margin_o) + term;
    end
    product_q <= CompareBits'(threshold_i) * $signed(CompareBits'(out_total_o));
    if (multiplied_q) out_confident_o <= scaled_margin >= product_q;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      summed_q     <= 1'b0;
      multiplied_q <= 1'b0;
      out_valid_o  <= 1'b0;
    end else begin
      summed_q     <= in_valid_i && in_last_i;
      multiplied_q <= summed_q;
      out_valid_o  <= multiplied_q || (out_valid_o && !out_ready_i);
    end
  end

  `CASC_ASSERT(NoOverrun, !in_valid_i || !(summed_q || multiplied_q || out_valid_o))
  `CASC_ASSERT_STREAM(Result, out_valid_o, out_ready_i,
                      {out_total_o, out_margin_o, out_confident_o})

endmodule
