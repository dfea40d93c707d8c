// SPDX-License-Identifier: Apache-2.0
//
// Reads the weights of a job out of the buffer, column by column, as the MM unit takes them.
//
// Order: for group, for column tile, for row tile, for chunk of depth, for column 0..TC-1 one address
// of a chunk of TP words; columns that the tile lacks are marked. The buffer is a ring of words that
// were stored block by block, in the order of weight_runs, from a job's first to the next one's.
// stored_i and freed_o count words since reset, modulo 2**32: a read waits until its words are
// stored, and frees what no later read needs.
//
// Throughput: an address a cycle while its words are stored and ready_i is high; no bubble between
//             chunks, tiles and jobs. A job is taken in the cycle of the last one's last address.

`include "casc_assert.svh"

module weight_player
  import cascade_pkg::*;
  import descriptor_pkg::*;
#(
    parameter  int unsigned TR = 8,  // 1..: rows that share a weight tile, at most
    parameter  int unsigned TP = 4,  // 1..255: depth of a tile
    parameter  int unsigned TC = 4   // 1..255: columns of a tile
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic        job_valid_i,
    output logic        job_ready_o,
    input  descriptor_t layer_i,  // stable from the job's taking to its last address
    input  logic [31:0] rows_i,   // 1..: belongs to the job
    output logic        busy_o,

    input  logic [31:0] stored_i,
    output logic [31:0] freed_o,

    output logic        valid_o,
    input  logic        ready_i,
    output logic [31:0] word_o,     // of the ring
    output logic [7:0]  live_o,     // words of the chunk, 1..TP
    output logic        missing_o   // no such column: no words
);

  `CASC_CHECK_PARAM(tr, TR >= 1)
  `CASC_CHECK_PARAM(tp, TP >= 1 && TP <= 255)
  `CASC_CHECK_PARAM(tc, TC >= 1 && TC <= 255)

  localparam int unsigned BlockBits = $clog2(WEIGHT_BLOCK);
  typedef logic [31:0] word_t;
  typedef logic [BlockBits-1:0] place_t;

  logic        busy_q;
  logic [31:0] rows_q, rows_left_q;
  logic [15:0] group_q, tile_q, segment_q, segment_chunk_q;
  logic [23:0] chunk_q;
  logic [7:0]  column_q;

  // A region is what is freed at once: a column tile, or a segment of one.
  word_t  base_q;           // its first word in the ring
  word_t  column_words_q;   // words of the region before the column: its first block's with segments
  word_t  chunk_words_q;    // depth of the region before the chunk
  // With segments: the place within a block of the first weight of
  place_t place_q;          // the column in the segment
  place_t segment_place_q;  // the segment
  place_t tile_place_q;     // the tile

  logic   segmented, last_tile, last_column, last_chunk, last_segment, segment_end, last_rows;
  logic   last_group, stored, advance, chunk_end, sweep_end, tile_end, region_end, job_end;
  word_t  depth, segment_depth, column_step, columns_end, base_end, slack;
  place_t place_step, place_end, next_tile_place;

  assign segmented    = layer_i.segments > 16'd1;
  assign depth        = word_t'(layer_i.depth);
  assign last_column  = column_q == 8'(TC - 1);
  assign last_tile    = tile_q == layer_i.column_tiles - 1'b1;
  assign missing_o    = last_tile && column_q >= layer_i.last_columns;
  assign last_chunk   = chunk_q == layer_i.chunks - 1'b1;
  assign last_segment = segment_q == layer_i.segments - 1'b1;
  assign segment_end  = last_chunk || segment_chunk_q == layer_i.segment_chunks - 1'b1;
  assign last_rows    = rows_left_q <= 32'(TR);
  assign last_group   = group_q == layer_i.groups - 1'b1;
  assign live_o       = last_chunk ? layer_i.last_chunk : 8'(TP);

  // From a column to the next: all its words, or the blocks that hold those of the segment.
  assign segment_depth = last_segment ? word_t'(layer_i.last_segment_depth)
                                      : word_t'(layer_i.segment_depth);
  assign column_step   = segmented
      ? (word_t'(place_q) + segment_depth + word_t'(WEIGHT_BLOCK - 1)) & ~word_t'(WEIGHT_BLOCK - 1)
      : depth;
  assign place_step    = segmented ? place_t'(depth) : '0;
  assign columns_end   = missing_o ? column_words_q : column_words_q + column_step;
  assign place_end     = missing_o ? place_q : place_q + place_step;
  assign base_end      = base_q + columns_end;
  assign next_tile_place = place_end - (segment_place_q - tile_place_q);

  assign word_o = base_q + column_words_q + word_t'(place_q) + chunk_words_q;
  assign slack  = stored_i - (word_o + word_t'(live_o));  // counters wrap: its sign tells
  assign stored = missing_o || !slack[31];

  logic unused_slack;
  assign unused_slack = ^slack[30:0];

  assign valid_o     = busy_q && stored;
  assign advance     = valid_o && ready_i;
  assign chunk_end   = advance && last_column;
  assign sweep_end   = chunk_end && last_chunk;                 // of all depth, for a row tile
  assign tile_end    = sweep_end && last_rows;
  assign region_end  = segmented ? chunk_end && segment_end : tile_end;
  assign job_end     = tile_end && last_tile && last_group;

  assign busy_o      = busy_q;
  assign job_ready_o = !busy_q || job_end;
  assign freed_o     = base_q & ~word_t'(WEIGHT_BLOCK - 1);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      busy_q <= 1'b0;
      base_q <= '0;
    end else begin
      if (job_ready_o) busy_q <= job_valid_i;
      if (job_end) base_q <= (base_end + word_t'(WEIGHT_BLOCK - 1)) & ~word_t'(WEIGHT_BLOCK - 1);
      else if (region_end) base_q <= base_end;
    end
  end

  always_ff @(posedge clk_i) begin
    if (job_ready_o) begin
      rows_q          <= rows_i;
      rows_left_q     <= rows_i;
      group_q         <= '0;
      tile_q          <= '0;
      segment_q       <= '0;
      segment_chunk_q <= '0;
      chunk_q         <= '0;
      column_q        <= '0;
      column_words_q  <= '0;
      chunk_words_q   <= '0;
      place_q         <= '0;
      segment_place_q <= '0;
      tile_place_q    <= '0;
    end else if (advance) begin
      column_q       <= last_column ? '0 : column_q + 1'b1;
      column_words_q <= last_column ? '0 : columns_end;
      place_q        <= last_column ? segment_place_q : place_end;
      if (last_column) begin
        chunk_q         <= last_chunk ? '0 : chunk_q + 1'b1;
        segment_chunk_q <= segment_end ? '0 : segment_chunk_q + 1'b1;
        chunk_words_q   <= (segmented ? segment_end : last_chunk) ? '0 : chunk_words_q + 32'(TP);
      end
      if (last_column && last_chunk) begin
        segment_q       <= '0;
        rows_left_q     <= last_rows ? rows_q : rows_left_q - 32'(TR);
        segment_place_q <= last_rows ? next_tile_place : tile_place_q;
        place_q         <= last_rows ? next_tile_place : tile_place_q;
      end else if (last_column && segmented && segment_end) begin
        segment_q       <= segment_q + 1'b1;
        segment_place_q <= segment_place_q + place_t'(layer_i.segment_depth);
        place_q         <= segment_place_q + place_t'(layer_i.segment_depth);
      end
      if (tile_end) begin
        tile_q       <= last_tile ? '0 : tile_q + 1'b1;
        group_q      <= last_tile ? group_q + 1'b1 : group_q;
        tile_place_q <= next_tile_place;
      end
    end
  end

endmodule
