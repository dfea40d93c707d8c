// SPDX-License-Identifier: Apache-2.0
//
// Says which runs of weight blocks a job needs, in the order in which they are used.
//
// With one segment, column tiles fit the buffer whole: a job is one run, all blocks of the layer. With
// more, a tile's columns are read segment by segment of their depth, for every row tile anew: for
// group, for column tile, for row tile, for segment, for column one run, the blocks that hold the
// column's words of that segment.
//
// Latency:    the first run is offered the cycle after the job is taken.
// Throughput: a run a cycle. A job is taken when the last one's last run has been.

`include "casc_assert.svh"

module weight_runs
  import cascade_pkg::*;
  import descriptor_pkg::*;
#(
    parameter  int unsigned TR      = 8,   // 1..: rows that share a weight tile, at most
    parameter  int unsigned TC      = 4,   // 1..255: columns of a tile
    parameter  int unsigned RunBits = 26,  // 8..28: of a block's number
    localparam int unsigned BlockBits = $clog2(WEIGHT_BLOCK)
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic        job_valid_i,
    output logic        job_ready_o,
    input  descriptor_t layer_i,  // stable from the job's offer to its last run
    input  logic [31:0] rows_i,   // 1..: belongs to the job

    output logic               run_valid_o,
    input  logic               run_ready_i,
    output logic [RunBits-1:0] run_first_o,
    output logic [RunBits-1:0] run_count_o
);

  `CASC_CHECK_PARAM(tr, TR >= 1)
  `CASC_CHECK_PARAM(tc, TC >= 1 && TC <= 255)
  `CASC_CHECK_PARAM(run_bits, RunBits >= 8 && RunBits <= 28)

  localparam int unsigned WordBits = RunBits + BlockBits;  // of a weight's number in the layer
  typedef logic [WordBits-1:0] word_t;

  // Constants of the layer, a cycle behind it.
  logic        segmented_q;
  logic [15:0] last_tile_q, last_segment_q, last_group_q;
  logic [7:0]  tail_column_q;  // of a group's last tile

  always_ff @(posedge clk_i) begin
    segmented_q    <= layer_i.segments > 16'd1;
    last_tile_q    <= layer_i.column_tiles - 1'b1;
    last_segment_q <= layer_i.segments - 1'b1;
    last_group_q   <= layer_i.groups - 1'b1;
    tail_column_q  <= layer_i.last_columns - 1'b1;
  end

  logic        busy_q;
  logic [31:0] rows_q, rows_left_q;
  logic [15:0] group_q, tile_q, segment_q;
  logic [7:0]  column_q;
  word_t       tile_word_q;     // the tile's first weight
  word_t       segment_word_q;  // the segment's first weight of the tile's first column
  word_t       word_q;          // of the column

  logic  last_tile, last_column, last_segment, last_rows, last_group;
  logic  take;
  word_t depth, end_word, next_tile;

  assign depth        = word_t'(layer_i.depth);
  assign last_tile    = tile_q == last_tile_q;
  assign last_column  = column_q == (last_tile ? tail_column_q : 8'(TC - 1));
  assign last_segment = segment_q == last_segment_q;
  assign last_rows    = rows_left_q <= 32'(TR);
  assign last_group   = group_q == last_group_q;

  assign end_word  = word_q - 1'b1
      + (last_segment ? word_t'(layer_i.last_segment_depth) : word_t'(layer_i.segment_depth));
  // Of the tile behind this one: the last column's first weight and a column further.
  assign next_tile = word_q - (segment_word_q - tile_word_q) + depth;

  assign job_ready_o = !busy_q;
  assign run_valid_o = busy_q;
  assign run_first_o = segmented_q ? RunBits'(word_q >> BlockBits) : '0;
  assign run_count_o = segmented_q
      ? RunBits'(end_word >> BlockBits) - RunBits'(word_q >> BlockBits) + 1'b1
      : RunBits'(layer_i.weight_blocks);
  assign take        = busy_q && run_ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      busy_q <= 1'b0;
    end else if (!busy_q) begin
      busy_q <= job_valid_i;
    end else if (take) begin
      busy_q <= segmented_q && !(last_column && last_segment && last_rows && last_tile && last_group);
    end
  end

  always_ff @(posedge clk_i) begin
    if (!busy_q) begin
      rows_q         <= rows_i;
      rows_left_q    <= rows_i;
      group_q        <= '0;
      tile_q         <= '0;
      segment_q      <= '0;
      column_q       <= '0;
      tile_word_q    <= '0;
      segment_word_q <= '0;
      word_q         <= '0;
    end else if (take) begin
      column_q <= last_column ? '0 : column_q + 1'b1;
      word_q   <= word_q + depth;
      if (last_column && !last_segment) begin
        segment_q      <= segment_q + 1'b1;
        segment_word_q <= segment_word_q + word_t'(layer_i.segment_depth);
        word_q         <= segment_word_q + word_t'(layer_i.segment_depth);
      end else if (last_column && !last_rows) begin
        segment_q      <= '0;
        rows_left_q    <= rows_left_q - 32'(TR);
        segment_word_q <= tile_word_q;
        word_q         <= tile_word_q;
      end else if (last_column) begin
        segment_q      <= '0;
        rows_left_q    <= rows_q;
        tile_q         <= last_tile ? '0 : tile_q + 1'b1;
        group_q        <= last_tile ? group_q + 1'b1 : group_q;
        tile_word_q    <= next_tile;
        segment_word_q <= next_tile;
        word_q         <= next_tile;
      end
    end
  end

endmodule
