// SPDX-License-Identifier: Apache-2.0
//
// Matrix-multiplication unit: C[R x C] += A[R x P] . B[P x C], in tiles of TR x TP x TC.
//
// TC processing elements (PEs) stand side by side; each holds one column of a TP x TC weight tile and
// forms, every cycle, the dot product of that column with one row of TP activations. Every row meets
// every column in the same cycle, so a tile step is one cycle and TP * TC multiply-accumulates.
//
// Streams (ready/valid; a beat is transferred when both are high):
//   weight  one beat = one column: TP words. TC beats, columns 0..TC-1, load a tile.
//   act     one beat = one row: TP words, and
//             first_i      start this row's accumulators from 0 (first chunk of P),
//             last_i       emit this row's accumulators (last chunk of P),
//             tile_last_i  last row of the tile: the next row uses the next weight tile.
//           A tile has 1..TR rows, always counted from 0; successive chunks of P of a row tile have
//           the same rows in the same order. act_signed_i belongs to the beat: the words are two's
//           complement, or unsigned.
//   out     one beat = one row with last_i: TC accumulators, column 0 in the lowest bits.
// Ragged edges are zero-padded words; missing columns still take their weight beat.
//
// Throughput: one row per cycle; no bubble between tiles. Weight tiles are double-buffered: while one
//             is used the next is loaded, so a tile takes max(rows, TC) cycles when neither input
//             nor the output waits. The first tile's rows start the cycle after its last column.
// Latency:    a row accepted in cycle k is offered in cycle k + SegmentDepth + Segments + 4, TP + 5
//             where chains are not cut.
// Numbers:    weights signed; accumulation modulo 2**AccBits, so results are exact whenever the true
//             result fits AccBits (the toolflow proves it per network). No rounding anywhere.
//
// The core has a static latency and one enable. The enable depends on registers only (the output's
// skid buffer and the core's last stage), as do both ready outputs.
// Lane p of both inputs is delayed by lane_delay(p) cycles, p where chains are not cut; the weight
// banks are loaded and swapped along the same diagonal, so a lane never sees another tile's weights.
//
// Packing: columns 0..DspPes-1 multiply in DSP blocks, PackColumns of them in one block a lane (pe.sv
// has the algebra). The first columns of a tile lie in the first PEs; the last group may have fewer.

`include "casc_assert.svh"

module mm_unit #(
    parameter int unsigned TR         = 8,   // 1..: rows that share a weight tile, at most
    parameter int unsigned TP         = 4,   // 1..: depth of a tile
    parameter int unsigned TC         = 4,   // 1..: columns of a tile, one PE each
    parameter int unsigned WeightBits = 8,   // 2..16
    parameter int unsigned ActBits    = 8,   // 2..16
    parameter int unsigned AccBits    = 32,  // 8..48
    parameter int unsigned DspPes     = TC,  // 0..TC: columns that multiply in DSP blocks
    parameter int unsigned PackColumns = 1,  // 1..: columns that share a DSP block
    parameter int unsigned DspBits    = 25   // 18..27: the DSP block's wide operand
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic                          weight_valid_i,
    output logic                          weight_ready_o,
    input  logic [TP-1:0][WeightBits-1:0] weight_data_i,

    input  logic                       act_valid_i,
    output logic                       act_ready_o,
    input  logic [TP-1:0][ActBits-1:0] act_data_i,
    input  logic                       act_first_i,
    input  logic                       act_last_i,
    input  logic                       act_tile_last_i,
    input  logic                       act_signed_i,

    output logic                       out_valid_o,
    input  logic                       out_ready_i,
    output logic [TC-1:0][AccBits-1:0] out_data_o
);

  import cascade_pkg::*;

  `CASC_CHECK_PARAM(tr, TR >= 1)
  `CASC_CHECK_PARAM(tp, TP >= 1)
  `CASC_CHECK_PARAM(tc, TC >= 1)
  `CASC_CHECK_PARAM(weight_bits, WeightBits >= MIN_BITS && WeightBits <= MAX_BITS)
  `CASC_CHECK_PARAM(act_bits, ActBits >= MIN_BITS && ActBits <= MAX_BITS)
  `CASC_CHECK_PARAM(acc_bits, AccBits >= 8 && AccBits <= WIDE_BITS)
  `CASC_CHECK_PARAM(dsp_pes, DspPes <= TC)
  `CASC_CHECK_PARAM(dsp_bits, DspBits >= 18 && DspBits <= 27)
  `CASC_CHECK_PARAM(pack_columns, PackColumns >= 1 && chain_depth(
      PackColumns, WeightBits, ActBits, TP, DspBits) >= 1)

  // An activation with its sign bit, so that one signed multiplier serves both kinds.
  localparam int unsigned OperandBits = ActBits + 1;
  localparam int unsigned LaneBits = lane_bits(PackColumns, WeightBits, ActBits, TP, DspBits);
  localparam int unsigned SegmentDepth =
      chain_depth(PackColumns, WeightBits, ActBits, TP, DspBits);
  localparam int unsigned Segments = segment_count(TP, SegmentDepth);
  localparam int unsigned Groups = (DspPes + PackColumns - 1) / PackColumns;
  localparam int unsigned RowBits = index_bits(TR);
  localparam int unsigned ColumnBits = index_bits(TC);

  // Cycles from a row's acceptance to the read of its accumulators, one before the chain's sum.
  localparam int unsigned ControlDelay = SegmentDepth + Segments + 1;

  // ---------------------------------------------------------------- enable and flow control

  logic core_valid_q;
  logic skid_ready;
  logic en;
  assign en = skid_ready || !core_valid_q;

  logic                  loaded_q;  // the loading bank holds a whole tile
  logic                  active_q;  // the working bank's tile still has rows to come
  logic [ColumnBits-1:0] column_q;

  logic weight_fire;
  logic act_fire;
  logic swap;
  logic load_done;

  // The loading bank moves to the working bank as soon as the one is full and the other done with.
  assign swap           = en && loaded_q && !active_q;
  assign weight_ready_o = en && (!loaded_q || !active_q);
  assign act_ready_o    = en && (loaded_q || active_q);
  assign weight_fire    = weight_valid_i && weight_ready_o;
  assign act_fire       = act_valid_i && act_ready_o;
  assign load_done      = weight_fire && column_q == ColumnBits'(TC - 1);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      loaded_q <= 1'b0;
      active_q <= 1'b0;
      column_q <= '0;
    end else begin
      loaded_q <= load_done || (loaded_q && !swap);
      active_q <= (active_q || swap) && !(act_fire && act_tile_last_i);
      if (weight_fire) column_q <= load_done ? '0 : column_q + 1'b1;
    end
  end

  // ---------------------------------------------------------------- the diagonal

  localparam int unsigned Diagonal = lane_delay(TP - 1, TP, SegmentDepth) + 1;

  logic [Diagonal-1:0] load_q;  // k: k + 1 cycles after the input
  logic [Diagonal-1:0] swap_q;

  // No reset: pulses keep their order, so whatever a stale one moves is replaced by the TC loads and
  // the swap of the first tile after the reset before a row meets it.
  always_ff @(posedge clk_i) begin
    if (en) begin
      load_q <= Diagonal'({load_q, weight_fire});
      swap_q <= Diagonal'({swap_q, swap});
    end
  end

  logic [TP-1:0]                  load;
  logic [TP-1:0]                  swap_lane;
  logic [TP-1:0][ WeightBits-1:0] weight;
  logic [TP-1:0][OperandBits-1:0] act;

  for (genvar p = 0; p < TP; p++) begin : gen_lane
    localparam int unsigned Delay = lane_delay(p, TP, SegmentDepth);

    assign load[p]      = load_q[Delay];
    assign swap_lane[p] = swap_q[Delay];

    delay_line #(
        .Width(WeightBits),
        .Depth(Delay + 1)
    ) u_weight (
        .clk_i,
        .en_i  (en),
        .data_i(weight_data_i[p]),
        .data_o(weight[p])
    );

    delay_line #(
        .Width(OperandBits),
        .Depth(Delay + 1)
    ) u_act (
        .clk_i,
        .en_i  (en),
        .data_i({act_signed_i && act_data_i[p][ActBits-1], act_data_i[p]}),
        .data_o(act[p])
    );
  end

  // ---------------------------------------------------------------- accumulator control

  logic [ControlDelay-1:0] valid_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else if (en) valid_q <= ControlDelay'({valid_q, act_fire});
  end

  logic read_first;
  logic read_last;
  logic read_tile_last;

  delay_line #(
      .Width(3),
      .Depth(ControlDelay)
  ) u_control (
      .clk_i,
      .en_i  (en),
      .data_i({act_first_i, act_last_i, act_tile_last_i}),
      .data_o({read_first, read_last, read_tile_last})
  );

  // Stage "read": the accumulators of read_row_q are being read. Stage "add": the chain's sum is
  // there and is added. Stage "core": the result is in the PEs' output registers.
  logic               read_valid;
  logic [RowBits-1:0] read_row_q;
  logic               add_valid_q;
  logic               add_last_q;
  logic [RowBits-1:0] add_row_q;
  logic               zero_q;
  logic               bypass_q;

  assign read_valid = valid_q[ControlDelay-1];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      read_row_q   <= '0;
      add_valid_q  <= 1'b0;
      core_valid_q <= 1'b0;
    end else if (en) begin
      if (read_valid) read_row_q <= read_tile_last ? '0 : read_row_q + 1'b1;
      add_valid_q  <= read_valid;
      core_valid_q <= add_valid_q && add_last_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (en) begin
      add_last_q <= read_last;
      add_row_q  <= read_row_q;
      zero_q     <= read_first;
      bypass_q   <= add_valid_q && add_row_q == read_row_q;
    end
  end

  // ---------------------------------------------------------------- processing elements

  // Weights enter at the last PE and shift towards the first: after TC beats column c is in PE c.
  logic [TC:DspPes][TP-1:0][WeightBits-1:0] weight_chain;
  logic [TC-1:0][AccBits-1:0]               acc;
  assign weight_chain[TC] = weight;

  for (genvar c = DspPes; c < TC; c++) begin : gen_lut
    pe #(
        .TR          (TR),
        .TP          (TP),
        .WeightBits  (WeightBits),
        .ActBits     (OperandBits),
        .AccBits     (AccBits),
        .SegmentDepth(SegmentDepth),
        .UseDsp      (1'b0)
    ) u_pe (
        .clk_i,
        .en_i       (en),
        .load_i     (load),
        .swap_i     (swap_lane),
        .weight_i   (weight_chain[c+1]),
        .weight_o   (weight_chain[c]),
        .act_i      (act),
        .read_row_i (read_row_q),
        .write_row_i(add_row_q),
        .write_i    (add_valid_q),
        .zero_i     (zero_q),
        .bypass_i   (bypass_q),
        .acc_o      (acc[c])
    );
  end

  if (DspPes == 0) begin : gen_no_dsp
    logic unused_weights;
    assign unused_weights = ^weight_chain[0];
  end else begin : gen_dsp
    localparam int unsigned PackedBits =
        (PackColumns == 1) ? WeightBits : (PackColumns - 1) * LaneBits + WeightBits + 1;
    // The column that is loaded last lies in the last place of its group, so a group of fewer columns
    // leaves the first places to whatever was there before.
    localparam int unsigned Unused = Groups * PackColumns - DspPes;

    logic [TP-1:0]                              group_load;
    logic [Groups:0][TP-1:0][PackedBits-1:0]    group_chain;
    logic [Groups*PackColumns-1:0][AccBits-1:0] group_acc;

    if (PackColumns == 1) begin : gen_plain
      assign group_load          = load;
      assign group_chain[Groups] = weight_chain[DspPes];
    end else begin : gen_packed
      // A group is complete with every PackColumns-th column that arrives here, and with the last.
      logic [TC-1:0] completes;
      for (genvar c = 0; c < TC; c++) begin : gen_beat
        localparam int unsigned Column = c - (TC - DspPes);
        assign completes[c] = c >= TC - DspPes
            && (Column % PackColumns == PackColumns - 1 || c == TC - 1);
      end

      logic [Diagonal-1:0] group_q;
      always_ff @(posedge clk_i) begin
        if (en) group_q <= Diagonal'({group_q, weight_fire && completes[column_q]});
      end

      for (genvar p = 0; p < TP; p++) begin : gen_pack
        assign group_load[p] = group_q[lane_delay(p, TP, SegmentDepth)];

        weight_pack #(
            .Columns   (PackColumns),
            .WeightBits(WeightBits),
            .LaneBits  (LaneBits)
        ) u_weight_pack (
            .clk_i,
            .en_i    (en),
            .load_i  (load[p]),
            .weight_i(weight_chain[DspPes][p]),
            .packed_o(group_chain[Groups][p])
        );
      end
    end

    for (genvar g = 0; g < Groups; g++) begin : gen_group
      pe #(
          .TR          (TR),
          .TP          (TP),
          .Columns     (PackColumns),
          .WeightBits  (WeightBits),
          .ActBits     (OperandBits),
          .AccBits     (AccBits),
          .LaneBits    (LaneBits),
          .SegmentDepth(SegmentDepth),
          .UseDsp      (1'b1)
      ) u_pe (
          .clk_i,
          .en_i       (en),
          .load_i     (group_load),
          .swap_i     (swap_lane),
          .weight_i   (group_chain[g+1]),
          .weight_o   (group_chain[g]),
          .act_i      (act),
          .read_row_i (read_row_q),
          .write_row_i(add_row_q),
          .write_i    (add_valid_q),
          .zero_i     (zero_q),
          .bypass_i   (bypass_q),
          .acc_o      (group_acc[g*PackColumns+:PackColumns])
      );
    end

    for (genvar c = 0; c < DspPes; c++) begin : gen_column
      localparam int unsigned Group = c / PackColumns;
      assign acc[c] = group_acc[c+((Group == Groups - 1) ? Unused : 0)];
    end

    logic unused_groups;
    assign unused_groups = ^{group_chain[0], group_acc};
  end

  // ---------------------------------------------------------------- output

  skid_buffer #(
      .Width(TC * AccBits)
  ) u_out (
      .clk_i,
      .rst_ni,
      .in_valid_i (core_valid_q),
      .in_ready_o (skid_ready),
      .in_data_i  (acc),
      .out_valid_o,
      .out_ready_i,
      .out_data_o
  );

  // ---------------------------------------------------------------- assertions

  `CASC_ASSERT_STREAM(WeightStream, weight_valid_i, weight_ready_o, weight_data_i)
  `CASC_ASSERT_STREAM(ActStream, act_valid_i, act_ready_o,
                      {act_data_i, act_first_i, act_last_i, act_tile_last_i, act_signed_i})
  `CASC_ASSERT_STREAM(OutStream, out_valid_o, out_ready_i, out_data_o)
  `CASC_ASSERT(RowsFitTile,
               !(en && read_valid) || read_tile_last || read_row_q != RowBits'(TR - 1))
  `CASC_ASSERT(RowNeedsWeights, !act_fire || active_q || loaded_q)

`ifndef SYNTHESIS
  // Rows whose accumulation has begun and not ended.
  logic [TR-1:0] open_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) open_q <= '0;
    else if (en && read_valid) open_q[read_row_q] <= !read_last;
  end

  `CASC_ASSERT(ChunkHasFirst, !(en && read_valid) || read_first || open_q[read_row_q])
  `CASC_ASSERT(ChunkHasLast, !(en && read_valid && read_first) || !open_q[read_row_q])
`endif

endmodule
