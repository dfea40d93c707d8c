// SPDX-License-Identifier: Apache-2.0
//
// Processing element: the dot products of TP lanes with `Columns` columns of a tile as chains of MACCs,
// and the accumulators of the columns' TR rows.
//
// Packing: with several columns a MACC multiplies an activation by all their weights at once. The
//             packed weight is sum w[c] * 2**(c * LaneBits) (weight_pack.sv), so a chain's sum is
//             sum over c of (dot product of column c) * 2**(c * LaneBits). A chain begins with
//             2**(LaneBits - 1) in every column's place, which makes each of them a field of bits of
//             its own: field c = dot product + 2**(LaneBits - 1), in 0..2**LaneBits - 1 as long as a
//             chain has at most SegmentDepth products. Its top bit inverted it is the dot product.
// Segments: a chain of TP lanes is cut into segments of SegmentDepth, whose fields are added up.
// Latency:    act_i[0] to the dot product SegmentDepth + Segments + 1 cycles; lane p must arrive
//             lane_delay(p) cycles after lane 0 (activations, load_i and swap_i alike), which lets a
//             sum ripple a lane a cycle. The accumulator control of a row must arrive in the cycle of
//             the dot product, the row's read address one cycle before; acc_o follows it by one cycle.
// Throughput: 1 row per cycle. en_i = 0 freezes every register.
// Numbers:    weights and activations signed, everything modulo 2**AccBits. Activations are words of
//             ActBits - 1 bits, signed or not: -2**(ActBits - 1) does not occur.
//
// Per row: acc = (zero ? 0 : bypass ? previous acc : memory[row]) + sum. The bypass serves a row
// that follows itself (tiles of one row): its sum is not in the memory yet when it is read.

`include "casc_assert.svh"

module pe #(
    parameter  int unsigned TR           = 8,     // 1..: rows that share a weight tile
    parameter  int unsigned TP           = 4,     // 1..: lanes of the dot product
    parameter  int unsigned Columns      = 1,     // 1..: columns that share the MACCs
    parameter  int unsigned WeightBits   = 8,     // 2..16
    parameter  int unsigned ActBits      = 9,     // 3..17: one more than the activations' wordlength
    parameter  int unsigned AccBits      = 32,    // 8..48
    parameter  int unsigned LaneBits     = 18,    // WeightBits + 1..: from column to column
    parameter  int unsigned SegmentDepth = TP,    // 1..TP: lanes of a chain
    parameter  bit          UseDsp       = 1'b1,
    localparam int unsigned PackedBits   = (Columns == 1) ? WeightBits
                                         : (Columns - 1) * LaneBits + WeightBits + 1,
    localparam int unsigned RowBits      = cascade_pkg::index_bits(TR)
) (
    input logic clk_i,
    input logic en_i,

    // Lane p of each is lane_delay(p) cycles behind lane 0.
    input  logic [TP-1:0]                 load_i,
    input  logic [TP-1:0]                 swap_i,
    input  logic [TP-1:0][PackedBits-1:0] weight_i,
    output logic [TP-1:0][PackedBits-1:0] weight_o,
    input  logic [TP-1:0][   ActBits-1:0] act_i,

    input  logic [RowBits-1:0]              read_row_i,
    input  logic [RowBits-1:0]              write_row_i,
    input  logic                            write_i,
    input  logic                            zero_i,
    input  logic                            bypass_i,
    output logic [Columns-1:0][AccBits-1:0] acc_o
);

  localparam int unsigned Segments = cascade_pkg::segment_count(TP, SegmentDepth);
  localparam int unsigned Packed = (Columns > 1) ? 1 : 0;

  localparam int unsigned LargestAct = (1 << (ActBits - 1)) - 1;

  // A column's part of a chain's sum; more than AccBits is of no use modulo 2**AccBits.
  localparam int unsigned FieldBits = (Packed != 0) ? LaneBits
      : cascade_pkg::min_of(WeightBits + ActBits + $clog2(SegmentDepth), AccBits);
  localparam int unsigned ChainBits = Columns * FieldBits;
  localparam int unsigned RunBits =
      cascade_pkg::min_of(FieldBits + $clog2(Segments), AccBits);

  `CASC_CHECK_PARAM(tr, TR >= 1)
  `CASC_CHECK_PARAM(tp, TP >= 1)
  `CASC_CHECK_PARAM(acc_bits, AccBits >= 8 && AccBits <= 48)
  `CASC_CHECK_PARAM(segment_depth, SegmentDepth >= 1 && SegmentDepth <= TP)
  `CASC_CHECK_PARAM(lanes, Packed == 0 || (LaneBits > WeightBits && ChainBits <= 48
      && SegmentDepth * LargestAct <= (1 << (LaneBits - WeightBits))))

  // What a chain begins with: half of every field's range.
  localparam logic [ChainBits-1:0] Half =
      (Packed == 0) ? '0 : {Columns{FieldBits'(1) << (FieldBits - 1)}};

  logic [Segments-1:0][Columns-1:0][FieldBits-1:0] fields;

  for (genvar s = 0; s < Segments; s++) begin : gen_segment
    localparam int unsigned First = s * SegmentDepth;
    localparam int unsigned Depth = cascade_pkg::min_of(SegmentDepth, TP - First);

    logic signed [Depth:0][ChainBits-1:0] chain;
    assign chain[0] = Half;

    for (genvar p = 0; p < Depth; p++) begin : gen_lane
      // In LUTs a sum has only the bits that its products can fill; a DSP block's are all there.
      localparam int unsigned SumBits = (UseDsp || Packed != 0) ? ChainBits
          : cascade_pkg::min_of(ChainBits, WeightBits + $clog2((p + 1) * LargestAct));
      logic signed [SumBits-1:0] sum;
      assign chain[p+1] = ChainBits'(sum);

      macc #(
          .WeightBits(PackedBits),
          .ActBits   (ActBits),
          .SumBits   (SumBits),
          .UseDsp    (UseDsp)
      ) u_macc (
          .clk_i,
          .en_i,
          .load_i  (load_i[First+p]),
          .swap_i  (swap_i[First+p]),
          .weight_i(weight_i[First+p]),
          .weight_o(weight_o[First+p]),
          .act_i   (act_i[First+p]),
          .sum_i   (chain[p][SumBits-1:0]),
          .sum_o   (sum)
      );
    end

    assign fields[s] = chain[Depth] ^ Half;
  end

  // The first two segments' sums are there at once, each further one a cycle later.
  logic signed [Segments-1:0][Columns-1:0][RunBits-1:0] run;

  for (genvar s = 0; s < Segments; s++) begin : gen_run
    logic [Columns-1:0][RunBits-1:0] field;
    for (genvar c = 0; c < Columns; c++) begin : gen_column
      assign field[c] = RunBits'($signed(fields[s][c]));
    end

    if (s == 0) begin : gen_first
      assign run[s] = field;
    end else begin : gen_next
      logic [Columns-1:0][RunBits-1:0] sum_q;
      always_ff @(posedge clk_i) begin
        if (en_i) begin
          for (int unsigned c = 0; c < Columns; c++) sum_q[c] <= run[s-1][c] + field[c];
        end
      end
      assign run[s] = sum_q;
    end
  end

  logic [Columns-1:0][AccBits-1:0] stored;
  logic [Columns-1:0][AccBits-1:0] acc_d;
  logic [Columns-1:0][AccBits-1:0] acc_q;

  for (genvar c = 0; c < Columns; c++) begin : gen_acc
    logic [AccBits-1:0] operand;
    assign operand  = zero_i ? '0 : bypass_i ? acc_q[c] : stored[c];
    assign acc_d[c] = operand + AccBits'($signed(run[Segments-1][c]));
  end

  always_ff @(posedge clk_i) begin
    if (en_i) acc_q <= acc_d;
  end

  ram_1r1w #(
      .Width(Columns * AccBits),
      .Depth(TR)
  ) u_rows (
      .clk_i,
      .read_en_i   (en_i),
      .read_addr_i (read_row_i),
      .read_data_o (stored),
      .write_en_i  (en_i && write_i),
      .write_addr_i(write_row_i),
      .write_data_i(acc_d)
  );

  assign acc_o = acc_q;

endmodule
