// SPDX-License-Identifier: Apache-2.0
//
// The factor of a sum of squares, from a table by linear interpolation: one lane of lrn_lanes.
//
// Numbers:  factor = base - round_shift(drop * fraction, FRACTION_BITS), of the table's entry at the
//           sum's segment, and that entry's exponent. Segments are those of a floating-point number
//           with SEGMENT_BITS fraction bits, the narrowest two to floor_i wide; the fraction is the
//           next FRACTION_BITS bits below. Equal to factor_table.factors of the toolflow.
// Latency:  5 cycles with en_i, throughput one sum a cycle.
// Table:    512 entries of 36 bits in a RAM, one 18 Kbit block; written entry by entry while no sum
//           is under way.
// Sums are below 2 ** (floor_i + 20): the table's last segment ends there.

`include "casc_assert.svh"

module lrn_factor
  import cascade_pkg::*;
  import lrn_pkg::*;
#(
    parameter int unsigned SumBits = 19  // 6..36
) (
    input  logic                  clk_i,
    input  logic                  rst_ni,
    input  logic                  en_i,
    input  logic [WIDTH_BITS-1:0] floor_i,
    input  logic                  valid_i,  // for assertions only
    input  logic [SumBits-1:0]    sum_i,
    output factor_t               factor_o,
    output exponent_t             exponent_o,

    input logic                  table_write_i,
    input logic [ENTRY_BITS-1:0] table_index_i,
    input entry_t                table_entry_i
);

  `CASC_CHECK_PARAM(sum_bits, SumBits >= 6 && SumBits <= 36)

  localparam int unsigned LengthBits  = $clog2(SumBits + 1);
  localparam int unsigned PaddedBits  = SumBits + FRACTION_BITS;
  localparam int unsigned KeptBits    = SEGMENT_BITS + FRACTION_BITS;
  localparam int unsigned ProductBits = FACTOR_BITS + FRACTION_BITS;

  // Bits of a number without its leading zeros.
  function automatic logic [LengthBits-1:0] length_of(input logic [SumBits-1:0] value);
    logic [LengthBits-1:0] found;
    found = '0;
    for (int unsigned place = 0; place < SumBits; place++) begin
      if (value[place]) found = LengthBits'(place + 1);
    end
    return found;
  endfunction

  // ---- octave: how far the leading bit is above the linear part ----
  logic [6:0] linear, length, beyond;
  logic       above;

  assign length = 7'(length_of(sum_i));
  assign linear = 7'(floor_i) + 7'(SEGMENT_BITS);
  assign above  = length > linear;
  assign beyond = length - linear;

  logic [SumBits-1:0]     sum_q;
  logic [OCTAVE_BITS-1:0] octave_q;
  logic [WIDTH_BITS-1:0]  width_q;

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      sum_q    <= sum_i;
      octave_q <= above ? OCTAVE_BITS'(beyond) : '0;
      width_q  <= above ? floor_i + WIDTH_BITS'(beyond) - 1'b1 : floor_i;
    end
  end

  // ---- segment and fraction: the sum, shifted so that they are its lowest bits ----
  logic [PaddedBits-1:0] padded, shifted;
  logic [KeptBits-1:0]   kept;

  assign padded  = {sum_q, FRACTION_BITS'(0)};
  assign shifted = padded >> width_q;
  assign kept    = KeptBits'(shifted);

  logic unused_lead;  // the leading bit, which the octave stands for
  assign unused_lead = ^(shifted >> KeptBits);

  logic [ENTRY_BITS-1:0]    segment_q;
  logic [FRACTION_BITS-1:0] fraction_q, fraction_q2;
  entry_t                   entry;

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      segment_q   <= {octave_q, kept[KeptBits-1:FRACTION_BITS]};
      fraction_q  <= kept[FRACTION_BITS-1:0];
      fraction_q2 <= fraction_q;
    end
  end

  ram_1r1w #(
      .Width($bits(entry_t)),
      .Depth(1 << ENTRY_BITS)
  ) u_table (
      .clk_i,
      .read_en_i   (en_i),
      .read_addr_i (segment_q),
      .read_data_o (entry),
      .write_en_i  (table_write_i),
      .write_addr_i(table_index_i),
      .write_data_i(table_entry_i)
  );

  // ---- interpolation ----
  logic [ProductBits-1:0] product_q;
  factor_t                base_q;
  exponent_t              exponent_q;

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      product_q  <= entry.drop * fraction_q2;
      base_q     <= entry.base;
      exponent_q <= entry.exponent;
      factor_o   <= base_q - factor_t'(round_shift(wide_t'(product_q), shift_t'(FRACTION_BITS)));
      exponent_o <= exponent_q;
    end
  end

  `CASC_ASSERT(SumInTable, !(valid_i && en_i) || !above || beyond < 7'(32'd1 << OCTAVE_BITS))

endmodule
