// SPDX-License-Identifier: Apache-2.0
//
// Makes what requantise needs of every output channel, its bias and its shift, from the channel's
// record in memory (channels.bin; toolflow/emission/memory_images.py).
//
// Latency:    3 cycles; the first only keeps the record, which comes from a memory.
// Throughput: 1 beat of Lanes records per cycle. in_ready_o depends combinationally on out_ready_i.
// Record:     [31:0] bias, signed; [55:32] correction, signed; [63:56] step, unsigned.
// Numbers:    bias = round_shift(record's bias, bias_window), half up, and with Corrected (the
//             low-precision unit) plus the correction; shift = shift_i + step. Neither overflows:
//             the toolflow refuses a plan whose bias leaves BIAS_BITS or whose shift leaves 0..31.
// bias_window_i and shift_i belong to the beat: they are sampled with it.

`include "casc_assert.svh"

module channel_settings
  import cascade_pkg::*;
#(
    parameter int unsigned Lanes     = 1,    // 1.., records a beat: one to 64 bits of a memory port
    parameter bit          Corrected = 1'b1
) (
    input  logic                              clk_i,
    input  logic                              rst_ni,
    input  shift_t                            bias_window_i,
    input  shift_t                            shift_i,
    input  logic                              in_valid_i,
    output logic                              in_ready_o,
    input  logic [Lanes-1:0][RECORD_BITS-1:0] in_records_i,
    output logic                              out_valid_o,
    input  logic                              out_ready_i,
    output logic [Lanes-1:0][BIAS_BITS-1:0]   out_bias_o,
    output shift_t [Lanes-1:0]                out_shift_o
);

  `CASC_CHECK_PARAM(lanes, Lanes >= 1)

  logic             enable, valid_q, valid_q2;
  logic [Lanes-1:0] shift_fits, bias_fits;

  assign enable     = !out_valid_o || out_ready_i;
  assign in_ready_o = enable;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) {out_valid_o, valid_q2, valid_q} <= '0;
    else if (enable) {out_valid_o, valid_q2, valid_q} <= {valid_q2, valid_q, in_valid_i};
  end

  shift_t bias_window_q, layer_shift_q;

  always_ff @(posedge clk_i) begin
    if (enable) {bias_window_q, layer_shift_q} <= {bias_window_i, shift_i};
  end

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
    channel_record_t                    record_q;
    logic [STEP_BITS:0]                 shift;
    logic signed [BIAS_BITS-1:0]        cut_q;
    logic signed [CORRECTION_BITS-1:0]  correction_q;
    logic signed [BIAS_BITS:0]          bias;
    shift_t                             shift_q;

    assign shift  = (STEP_BITS + 1)'(layer_shift_q) + (STEP_BITS + 1)'(record_q.step);
    assign bias   = (BIAS_BITS + 1)'(cut_q) + (BIAS_BITS + 1)'(correction_q);

    always_ff @(posedge clk_i) begin
      if (enable) begin
        record_q          <= in_records_i[lane];
        // Rounding moves a word towards zero: what fitted BIAS_BITS still does.
        cut_q             <= BIAS_BITS'(round_shift(wide_t'(record_q.bias), bias_window_q));
        correction_q      <= Corrected ? record_q.correction : '0;
        shift_q           <= shift[SHIFT_BITS-1:0];
        out_bias_o[lane]  <= bias[BIAS_BITS-1:0];
        out_shift_o[lane] <= shift_q;
      end
    end

    assign shift_fits[lane] = shift[STEP_BITS:SHIFT_BITS] == '0;
    assign bias_fits[lane]  = bias[BIAS_BITS] == bias[BIAS_BITS-1];
  end

  `CASC_ASSERT_STREAM(Input, in_valid_i, in_ready_o, {in_records_i, bias_window_i, shift_i})
  `CASC_ASSERT_STREAM(Output, out_valid_o, out_ready_i, {out_bias_o, out_shift_o})
  `CASC_ASSERT(ShiftFits, !valid_q || (&shift_fits))
  `CASC_ASSERT(BiasFits, !valid_q2 || (&bias_fits))

endmodule
