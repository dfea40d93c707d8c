// SPDX-License-Identifier: Apache-2.0
//
// Integer exponential of logit distances, 2^16 * exp(-distance * scale), by table.
//
// Latency:    4 cycles, fixed; no handshake, the consumer must take every result.
// Throughput: 1 exponential per cycle.
// Numbers:    u = round_shift(distance * mult, shift), unsigned, EXP_INDEX_BITS fraction bits;
//             e = round_shift(EXP_TABLE[fraction of u], whole part of u), at most 2^16, and 0 where
//             the whole part is more than EXP_MAX_OCTAVE. Rounding is half up, nothing overflows.
//             Equal to toolflow/confidence/exp_table.py, bit for bit.
// mult_i and shift_i must be stable while distances are in flight. in_tag_i travels along.

`include "casc_assert.svh"

module exp_table
  import cascade_pkg::*;
  import exp_table_pkg::*;
#(
    parameter int unsigned LogitBits = 16,  // 2..30
    parameter int unsigned TagBits   = 1    // 1..
) (
    input  logic                     clk_i,
    input  logic                     rst_ni,
    input  logic [EXP_MULT_BITS-1:0] mult_i,
    input  shift_t                   shift_i,
    input  logic                     in_valid_i,
    input  logic [LogitBits-1:0]     in_distance_i,
    input  logic [TagBits-1:0]       in_tag_i,
    output logic                     out_valid_o,
    output logic [EXP_BITS-1:0]      out_exp_o,
    output logic [TagBits-1:0]       out_tag_o
);

  localparam int unsigned Latency     = 4;
  localparam int unsigned ProductBits = LogitBits + EXP_MULT_BITS;
  localparam int unsigned OctaveBits  = $clog2(EXP_MAX_OCTAVE + 1);
  localparam int unsigned PastBits    = WIDE_BITS - OctaveBits - EXP_INDEX_BITS;

  `CASC_CHECK_PARAM(logit_bits, LogitBits >= 2 && LogitBits <= 30)
  `CASC_CHECK_PARAM(tag_bits, TagBits >= 1)

  // The table as a memory with a registered output, so that tools may choose a block RAM.
  logic [EXP_BITS-1:0] table_rom[EXP_ENTRIES];
  initial begin
    for (int unsigned j = 0; j < EXP_ENTRIES; j++) table_rom[j] = EXP_TABLE[j];
  end

  logic [ProductBits-1:0]    product_q;
  logic [PastBits-1:0]       past_d;  // whole octaves past EXP_MAX_OCTAVE
  logic [OctaveBits-1:0]     octave_d, octave_q, octave_q2;
  logic [EXP_INDEX_BITS-1:0] index_d, index_q;
  logic                      flush_q, flush_q2;
  logic [EXP_BITS-1:0]       entry_q;

  assign {past_d, octave_d, index_d} = round_shift(wide_t'({1'b0, product_q}), shift_i);

  always_ff @(posedge clk_i) begin
    product_q <= ProductBits'(in_distance_i) * ProductBits'(mult_i);

    octave_q  <= octave_d;
    index_q   <= index_d;
    flush_q   <= past_d != '0;

    entry_q   <= table_rom[index_q];
    octave_q2 <= octave_q;
    flush_q2  <= flush_q;

    out_exp_o <= flush_q2 ? '0 : EXP_BITS'(round_shift(wide_t'({1'b0, entry_q}), octave_q2));
  end

  logic [Latency-1:0]              valid_q;
  logic [Latency-1:0][TagBits-1:0] tag_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[Latency-2:0], in_valid_i};
  end

  always_ff @(posedge clk_i) begin
    tag_q <= {tag_q[Latency-2:0], in_tag_i};
  end

  assign out_valid_o = valid_q[Latency-1];
  assign out_tag_o   = tag_q[Latency-1];

  `CASC_ASSERT(AtMostOne, !out_valid_o || !out_exp_o[EXP_FRACTION_BITS]
      || out_exp_o[EXP_FRACTION_BITS-1:0] == '0)
  `CASC_ASSERT(ScaleStable, !$past(rst_ni && in_valid_i) || $stable({mult_i, shift_i}))

endmodule
