// SPDX-License-Identifier: Apache-2.0
//
// Reads the weights of a job out of the buffer, column by column, as the MM unit takes them.
//
// Order: for group, for column tile, for row tile, for chunk of depth, for column 0..TC-1 one address
// of a chunk of TP words; columns that the tile lacks are marked. The buffer is a ring of words that
// were stored block by block, in the order of weight_runs, from a job's first to the next one's.
// stored_i and freed_o count words since reset, modulo 2**PosBits: a read waits until its words are
// stored, and frees what it and no later read needs as soon as it is offered.
//
// Throughput: an address a cycle while its words are stored and ready_i is high; no bubble between
//             chunks, tiles and jobs. A job is taken in the cycle of the last one's last address.
// Latency:    2 cycles from a job's taking to its first address. Whether words are stored is asked
//             behind a skid buffer: the loops end by registers alone.

`include "casc_assert.svh"

module weight_player
  import cascade_pkg::*;
  import descriptor_pkg::*;
#(
    parameter int unsigned TR      = 8,  // 1..: rows that share a weight tile, at most
    parameter int unsigned TP      = 4,  // 1..255: depth of a tile
    parameter int unsigned TC      = 4,  // 1..255: columns of a tile
    parameter int unsigned PosBits = 14  // 11..: the ring has 2**(PosBits - 2) words
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic        job_valid_i,
    output logic        job_ready_o,
    input  descriptor_t layer_i,  // stable from a cycle before the job's taking to its last address
    input  logic [31:0] rows_i,   // 1..: belongs to the job
    output logic        busy_o,

    input  logic [PosBits-1:0] stored_i,
    output logic [PosBits-1:0] freed_o,

    output logic               valid_o,
    input  logic               ready_i,
    output logic [PosBits-1:0] word_o,     // of the ring
    output logic [7:0]         live_o,     // words of the chunk, 1..TP
    output logic               missing_o   // no such column: no words
);

  `CASC_CHECK_PARAM(tr, TR >= 1)
  `CASC_CHECK_PARAM(tp, TP >= 1 && TP <= 255)
  `CASC_CHECK_PARAM(tc, TC >= 1 && TC <= 255)
  `CASC_CHECK_PARAM(pos_bits, PosBits >= 11)

  localparam int unsigned BlockBits = $clog2(WEIGHT_BLOCK);
  typedef logic [PosBits-1:0] word_t;
  typedef logic [BlockBits-1:0] place_t;

  typedef struct packed {
    word_t      base;
    word_t      word;
    logic [7:0] live;
    logic       missing;
  } read_t;

  // Constants of the layer, a cycle behind it.
  logic        segmented_q, one_tile_q, one_chunk_q;
  logic [15:0] before_last_tile_q, last_segment_q, last_segment_chunk_q, last_group_q;
  logic [23:0] before_last_chunk_q;

  always_ff @(posedge clk_i) begin
    segmented_q          <= layer_i.segments > 16'd1;
    one_tile_q           <= layer_i.column_tiles == 16'd1;
    one_chunk_q          <= layer_i.chunks == 24'd1;
    before_last_tile_q   <= layer_i.column_tiles - 16'd2;
    before_last_chunk_q  <= layer_i.chunks - 24'd2;
    last_segment_q       <= layer_i.segments - 1'b1;
    last_segment_chunk_q <= 16'(layer_i.segment_chunks - 1'b1);
    last_group_q         <= layer_i.groups - 1'b1;
  end

  logic        busy_q;
  logic [31:0] rows_q, rows_left_q;
  logic [15:0] group_q, tile_q, segment_q, segment_chunk_q;
  logic [23:0] chunk_q;
  logic [7:0]  column_q;

  // A region is what is freed at once: a column tile, or a segment of one.
  word_t  base_q;           // its first word in the ring
  word_t  column_word_q;    // the column's first word: its first block's with segments
  word_t  chunk_words_q;    // depth of the region before the chunk
  // With segments: the place within a block of the first weight of
  place_t place_q;          // the column in the segment
  place_t segment_place_q;  // the segment
  place_t tile_place_q;     // the tile

  // Known from a cycle before.
  logic   last_tile_q, last_column_q, last_chunk_q, last_rows_q, first_last_rows_q;
  logic   last_segment, segment_end;
  logic   last_group, missing, advance, chunk_end, sweep_end, tile_end, region_end, job_end;
  word_t  depth, segment_depth, column_step, column_end;
  place_t place_step, place_end, next_tile_place;
  read_t  read, offered;
  logic   read_ready, offered_valid;

  assign depth        = word_t'(layer_i.depth);
  assign missing      = last_tile_q && column_q >= layer_i.last_columns;
  assign last_segment = segment_q == last_segment_q;
  assign segment_end  = last_chunk_q || segment_chunk_q == last_segment_chunk_q;
  assign last_group   = group_q == last_group_q;

  // From a column to the next: all its words, or the blocks that hold those of the segment.
  assign segment_depth = last_segment ? word_t'(layer_i.last_segment_depth)
                                      : word_t'(layer_i.segment_depth);
  assign column_step   = segmented_q
      ? (word_t'(place_q) + segment_depth + word_t'(WEIGHT_BLOCK - 1)) & ~word_t'(WEIGHT_BLOCK - 1)
      : depth;
  assign place_step    = segmented_q ? place_t'(depth) : '0;
  assign column_end    = missing ? column_word_q : column_word_q + column_step;
  assign place_end     = missing ? place_q : place_q + place_step;
  assign next_tile_place = place_end - (segment_place_q - tile_place_q);

  assign advance    = busy_q && read_ready;
  assign chunk_end  = advance && last_column_q;
  assign sweep_end  = chunk_end && last_chunk_q;                 // of all depth, for a row tile
  assign tile_end   = sweep_end && last_rows_q;
  assign region_end = segmented_q ? chunk_end && segment_end : tile_end;
  assign job_end    = tile_end && last_tile_q && last_group;

  assign busy_o      = busy_q || offered_valid;
  assign job_ready_o = !busy_q || job_end;

  word_t next_base;
  assign next_base = job_end
      ? (column_end + word_t'(WEIGHT_BLOCK - 1)) & ~word_t'(WEIGHT_BLOCK - 1) : column_end;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      busy_q        <= 1'b0;
      base_q        <= '0;
      column_word_q <= '0;
    end else begin
      if (job_ready_o) busy_q <= job_valid_i;
      if (region_end) base_q <= next_base;
      if (region_end) column_word_q <= next_base;
      else if (advance) column_word_q <= last_column_q ? base_q : column_end;
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
      chunk_words_q   <= '0;
      place_q         <= '0;
      segment_place_q <= '0;
      tile_place_q    <= '0;
      last_column_q     <= TC == 1;
      last_chunk_q      <= one_chunk_q;
      last_tile_q       <= one_tile_q;
      last_rows_q       <= rows_i <= 32'(TR);
      first_last_rows_q <= rows_i <= 32'(TR);
    end else if (advance) begin
      last_column_q  <= TC == 1 || (!last_column_q && 32'(column_q) == TC - 2);
      column_q       <= last_column_q ? '0 : column_q + 1'b1;
      place_q        <= last_column_q ? segment_place_q : place_end;
      if (last_column_q) begin
        last_chunk_q    <= last_chunk_q ? one_chunk_q : chunk_q == before_last_chunk_q;
        chunk_q         <= last_chunk_q ? '0 : chunk_q + 1'b1;
        segment_chunk_q <= segment_end ? '0 : segment_chunk_q + 1'b1;
        chunk_words_q   <= (segmented_q ? segment_end : last_chunk_q) ? '0 : chunk_words_q + word_t'(TP);
      end
      if (last_column_q && last_chunk_q) begin
        segment_q       <= '0;
        last_rows_q     <= last_rows_q ? first_last_rows_q : rows_left_q <= 32'(2 * TR);
        rows_left_q     <= last_rows_q ? rows_q : rows_left_q - 32'(TR);
        segment_place_q <= last_rows_q ? next_tile_place : tile_place_q;
        place_q         <= last_rows_q ? next_tile_place : tile_place_q;
      end else if (last_column_q && segmented_q && segment_end) begin
        segment_q       <= segment_q + 1'b1;
        segment_place_q <= segment_place_q + place_t'(layer_i.segment_depth);
        place_q         <= segment_place_q + place_t'(layer_i.segment_depth);
      end
      if (tile_end) begin
        last_tile_q  <= last_tile_q ? one_tile_q : tile_q == before_last_tile_q;
        tile_q       <= last_tile_q ? '0 : tile_q + 1'b1;
        group_q      <= last_tile_q ? group_q + 1'b1 : group_q;
        tile_place_q <= next_tile_place;
      end
    end
  end

  // ---------------------------------------------------------------- wait for its words

  assign read = '{
      base:    base_q & ~word_t'(WEIGHT_BLOCK - 1),
      word:    column_word_q + word_t'(place_q) + chunk_words_q,
      live:    last_chunk_q ? layer_i.last_chunk : 8'(TP),
      missing: missing
  };

  logic stored;

  skid_buffer #(
      .Width($bits(read_t))
  ) u_read (
      .clk_i,
      .rst_ni,
      .in_valid_i (busy_q),
      .in_ready_o (read_ready),
      .in_data_i  (read),
      .out_valid_o(offered_valid),
      .out_ready_i(stored && ready_i),
      .out_data_o (offered)
  );

  word_t slack;
  logic  unused_slack;
  assign slack        = stored_i - (offered.word + word_t'(offered.live));  // its sign tells
  assign stored       = offered.missing || !slack[PosBits-1];
  assign unused_slack = ^slack[PosBits-2:0];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) freed_o <= '0;
    else if (offered_valid) freed_o <= offered.base;
  end

  assign valid_o   = offered_valid && stored;
  assign word_o    = offered.word;
  assign live_o    = offered.live;
  assign missing_o = offered.missing;

endmodule
