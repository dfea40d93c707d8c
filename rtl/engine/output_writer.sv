// SPDX-License-Identifier: Apache-2.0
//
// Writes a layer's words to memory: packs them into containers, finds their addresses, and merges
// bytes that follow one another into whole beats and runs of beats.
//
// A job is one image's map (a dense layer's: all images' vectors, one a row). Its beats come
//   from the products (vector_i 0)     for group, for column tile, for row: TC words, of the group's
//                                      last tile last_columns_i; or
//   from the vector unit (vector_i 1)  for row, for chunk of channels: VectorLanes words, of the
//                                      row's last chunk those that are left of channels_i.
// Row r lies at job_base_i + r * pitch_i, its words one after the other in the order of the columns.
// A beat's words are a segment: whole bytes, but where they end a row; then zeros fill the last byte.
//
// Cycles:  a segment of n bytes takes ceil(n / B), B the bytes of a memory beat; one more if its
//          first B bytes cross a beat's end and its first byte is not in the beat of the byte
//          before it in the job. So a segment that fits a beat takes one, and one of a multiple of
//          B bytes no more than the beats it is written in.
//          With inputs and output ready, the job's last beat is offered 3 cycles after those of all
//          segments, counted from the first one's acceptance. Taking a job takes a cycle.
// Output:  every beat has at least one byte; beats of a job are in the order of their first segments.
//          Segments in the same beat are one beat, with a gap in the strobes if they have one between
//          them. wr_last_o: the next beat is not the one behind this, or nothing is to follow yet.
// idle_o:  no job is under way and all that was written is in memory.
// Words:   the container's low bits of a word of MAX_BITS, which is sign- or zero-extended as its
//          tensor is signed or not: so is what memory gets.
// Settings (vector_i .. channels_i) are a layer's: they change only while idle_o is high. They need
// no legal values of the path that is not used.

`include "casc_assert.svh"

module output_writer
  import cascade_pkg::*;
  import engine_pkg::*;
#(
    parameter  int unsigned TC          = 4,    // 1..255: columns of a tile
    parameter  int unsigned VectorLanes = 8,    // 4.., a multiple of 4: whole bytes of any container
    parameter  int unsigned DataBits    = 64,   // 64 or 128: the memory port
    localparam int unsigned BeatBytes   = DataBits / 8
) (
    input logic clk_i,
    input logic rst_ni,

    input logic        vector_i,
    input logic [2:0]  container_i,     // log2 of its bits: 1..4
    input logic [31:0] rows_i,          // 1..: output pixels; of a dense layer images
    input addr_t       pitch_i,         // bytes from a row to the next
    input logic [15:0] groups_i,        // 1..
    input logic [15:0] channels_i,      // 1..

    input  logic        job_valid_i,
    output logic        job_ready_o,
    input  addr_t       job_base_i,
    input  logic [15:0] job_column_tiles_i,  // 1..: of a group
    input  logic [7:0]  job_last_columns_i,  // 1..TC
    output logic        idle_o,

    input  logic                        product_valid_i,
    output logic                        product_ready_o,
    input  logic [TC-1:0][MAX_BITS-1:0] product_words_i,

    input  logic                                 vector_valid_i,
    output logic                                 vector_ready_o,
    input  logic [VectorLanes-1:0][MAX_BITS-1:0] vector_words_i,

    output logic                 wr_valid_o,
    input  logic                 wr_ready_i,
    output addr_t                wr_addr_o,
    output logic [DataBits-1:0]  wr_data_o,
    output logic [BeatBytes-1:0] wr_strb_o,
    output logic                 wr_last_o,
    input  logic                 wr_idle_i
);

  `CASC_CHECK_PARAM(tc, TC >= 1 && TC <= 255)
  `CASC_CHECK_PARAM(vector_lanes, VectorLanes >= 4 && VectorLanes % 4 == 0)
  `CASC_CHECK_PARAM(data_bits, DataBits == 64 || DataBits == 128)

  localparam int unsigned Lanes       = (TC > VectorLanes) ? TC : VectorLanes;
  localparam int unsigned CountBits   = $clog2(Lanes + 1);
  localparam int unsigned OffsetBits  = $clog2(BeatBytes);
  localparam int unsigned SegmentBits = (Lanes * MAX_BITS > DataBits) ? Lanes * MAX_BITS : DataBits;
  localparam int unsigned SizeBits    = $clog2(SegmentBits + 1);  // a segment's length in bits

  localparam int unsigned LengthBits  = SizeBits - 3;

  typedef logic [CountBits-1:0]            count_t;
  typedef logic [LengthBits-1:0]           length_t;  // in bytes
  typedef logic [ADDR_BITS-1:OffsetBits]   beat_t;    // number of a beat of memory

  // ---------------------------------------------------------------- where a segment goes

  logic        busy_q;           // segments of the job are to come
  addr_t       addr_q, base_q;   // of the next segment; of the first of its tile or row
  logic [31:0] rows_q;           // to come: of the tile, or of the job
  logic [15:0] tiles_q, groups_q, channels_q, column_tiles_q;

  logic        accept, take_job, last_row, last_tile, last_chunk, last_segment, is_tail;
  logic        segment_ready, source_valid;
  count_t      tail_count;       // words of a row's last segment
  length_t     bytes, full_bytes_q, tail_bytes_q;  // of it; of a whole one, of the last one of a row
  addr_t       inner_step, outer_step, next_base;
  logic [15:0] next_channels;
  logic        ends_inner, vector_q;
  logic [2:0]  container_q;
  logic [Lanes-1:0] live, tail_q;  // words that are the segment's; the tail's

  assign job_ready_o     = !busy_q;
  assign take_job        = job_valid_i && job_ready_o;
  assign source_valid    = vector_q ? vector_valid_i : product_valid_i;
  assign product_ready_o = busy_q && segment_ready && !vector_q;
  assign vector_ready_o  = busy_q && segment_ready && vector_q;
  assign accept          = busy_q && segment_ready && source_valid;

  assign last_row     = rows_q == 32'd1;
  assign last_tile    = tiles_q == 16'd1;
  assign last_chunk   = channels_q <= 16'(VectorLanes);
  assign last_segment = last_row && (vector_q ? last_chunk : last_tile && groups_q == 16'd1);

  // Settings as they are needed while a job is under way.
  always_ff @(posedge clk_i) begin
    vector_q    <= vector_i;
    container_q <= container_i;
  end

  // Products go down a tile's rows and on to the next tile, vectors along a row and on to the next.
  assign bytes      = is_tail ? tail_bytes_q : full_bytes_q;
  assign inner_step = vector_q ? addr_t'(bytes) : pitch_i;
  assign outer_step = vector_q ? pitch_i : addr_t'(bytes);
  assign ends_inner = vector_q ? last_chunk : last_row;
  assign next_base  = base_q + outer_step;
  assign next_channels = last_chunk ? channels_i : channels_q - 16'(VectorLanes);

  function automatic length_t bytes_of(input count_t words_of, input logic [2:0] container);
    return length_t'(((SizeBits'(words_of) << container) + SizeBits'(7)) >> 3);
  endfunction

  always_ff @(posedge clk_i) begin
    full_bytes_q <= bytes_of(vector_i ? count_t'(VectorLanes) : count_t'(TC), container_i);
    if (take_job || (accept && vector_q)) begin
      tail_bytes_q <= bytes_of(tail_count, container_i);
      tail_q       <= Lanes'((Lanes + 1)'(1) << tail_count) - 1'b1;
    end
  end

  always_comb begin
    if (!take_job) tail_count = count_t'(next_channels);
    else tail_count = vector_i ? count_t'(channels_i) : count_t'(job_last_columns_i);
  end

  localparam logic [Lanes-1:0] ProductLanes = Lanes'((Lanes + 1)'(1) << TC) - 1'b1;
  localparam logic [Lanes-1:0] AllVectorLanes = Lanes'((Lanes + 1)'(1) << VectorLanes) - 1'b1;

  assign is_tail = vector_q ? last_chunk : last_tile;
  assign live    = is_tail ? tail_q : vector_q ? AllVectorLanes : ProductLanes;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) busy_q <= 1'b0;
    else busy_q <= take_job || (busy_q && !(accept && last_segment));
  end

  always_ff @(posedge clk_i) begin
    if (take_job) begin
      addr_q         <= job_base_i;
      base_q         <= job_base_i;
      rows_q         <= rows_i;
      tiles_q        <= job_column_tiles_i;
      groups_q       <= groups_i;
      channels_q     <= channels_i;
      column_tiles_q <= job_column_tiles_i;
    end else if (accept) begin
      addr_q <= ends_inner ? next_base : addr_q + inner_step;
      if (ends_inner) base_q <= next_base;
      if (vector_q) begin
        channels_q <= next_channels;
        if (last_chunk) rows_q <= rows_q - 1'b1;
      end else begin
        rows_q <= last_row ? rows_i : rows_q - 1'b1;
        if (last_row) tiles_q <= last_tile ? column_tiles_q : tiles_q - 1'b1;
        if (last_row && last_tile) groups_q <= groups_q - 1'b1;
      end
    end
  end

  // ---------------------------------------------------------------- packed, cut to beats' lengths

  logic [Lanes-1:0][MAX_BITS-1:0] words;  // 0 beyond the segment's
  logic [SegmentBits-1:0]         packed_words;

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_words
    logic [MAX_BITS-1:0] product, vector;
    if (lane < TC) begin : gen_product
      assign product = product_words_i[lane];
    end else begin : gen_no_product
      assign product = '0;
    end
    if (lane < VectorLanes) begin : gen_vector
      assign vector = vector_words_i[lane];
    end else begin : gen_no_vector
      assign vector = '0;
    end
    assign words[lane] = !live[lane] ? '0 : vector_q ? vector : product;
  end

  always_comb begin
    packed_words = '0;
    for (int unsigned lane = 0; lane < Lanes; lane++) begin
      case (container_q)
        3'd1:    packed_words[2*lane+:2] = words[lane][1:0];
        3'd2:    packed_words[4*lane+:4] = words[lane][3:0];
        3'd3:    packed_words[8*lane+:8] = words[lane][7:0];
        default: packed_words[16*lane+:16] = words[lane];
      endcase
    end
  end

  logic                   segment_valid_q;
  logic [SegmentBits-1:0] segment_q;
  logic [LengthBits-1:0]  length_q;       // bytes left
  addr_t                  segment_addr_q;
  logic                   chunk_ready, chunk_last;

  assign chunk_last    = length_q <= LengthBits'(BeatBytes);
  assign segment_ready = !segment_valid_q || (chunk_ready && chunk_last);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) segment_valid_q <= 1'b0;
    else if (segment_ready) segment_valid_q <= accept;
  end

  always_ff @(posedge clk_i) begin
    if (segment_ready) begin
      segment_q      <= packed_words;
      length_q       <= bytes;
      segment_addr_q <= addr_q;
    end else if (chunk_ready) begin
      segment_q      <= $bits(segment_q)'({DataBits'(0), segment_q} >> DataBits);
      length_q       <= length_q - LengthBits'(BeatBytes);
      segment_addr_q <= segment_addr_q + addr_t'(BeatBytes);
    end
  end

  // ---------------------------------------------------------------- turned to its place in a beat

  typedef struct packed {
    logic                 same;  // it begins in the beat that the one before it ended in
    logic                 next;  // or in the next one
    beat_t                beat;  // that it begins in
    logic [DataBits-1:0]  data;
    logic [BeatBytes-1:0] high;  // its bytes in the next beat
    logic [BeatBytes-1:0] low;   // and in that one
  } chunk_t;

  chunk_t                   chunk_in, chunk;
  logic                     chunk_valid, chunk_done;
  logic [OffsetBits-1:0]    offset;
  logic [OffsetBits+3:0]    turn;                      // bits to the right that make a turn left
  logic [2*BeatBytes-1:0]   places;

  assign offset      = segment_addr_q[OffsetBits-1:0];
  assign places      = (chunk_last ? ~({(2 * BeatBytes) {1'b1}} << length_q)
                                   : (2 * BeatBytes)'({BeatBytes{1'b1}})) << offset;
  assign turn        = (OffsetBits + 4)'(DataBits) - {1'b0, offset, 3'b000};
  // Where the chunk before ended.
  beat_t end_beat_q, segment_beat;
  assign segment_beat = segment_addr_q[ADDR_BITS-1:OffsetBits];

  always_ff @(posedge clk_i) begin
    if (segment_valid_q && chunk_ready) begin
      end_beat_q <= segment_beat + beat_t'(places[2*BeatBytes-1:BeatBytes] != '0);
    end
  end

  assign chunk_in    = '{
      same: segment_beat == end_beat_q,
      next: segment_beat == end_beat_q + 1'b1,
      beat: segment_beat,
      data: DataBits'({2{segment_q[DataBits-1:0]}} >> turn),
      high: places[2*BeatBytes-1:BeatBytes],
      low:  places[BeatBytes-1:0]
  };

  // What a chunk joins is found out behind registers, before them only whether there is room.
  skid_buffer #(
      .Width($bits(chunk_t))
  ) u_chunk (
      .clk_i,
      .rst_ni,
      .in_valid_i (segment_valid_q),
      .in_ready_o (chunk_ready),
      .in_data_i  (chunk_in),
      .out_valid_o(chunk_valid),
      .out_ready_i(chunk_done),
      .out_data_o (chunk)
  );

  // ---------------------------------------------------------------- merged into beats

  // The beat that may still get bytes; it goes out when it is known whether the next one follows.
  logic                 open_q;
  logic                 opened_q;  // by the chunk that is there
  beat_t                open_beat_q;
  logic [DataBits-1:0]  open_data_q, merged;
  logic [BeatBytes-1:0] open_strb_q, merged_strb;

  logic joins, crosses, flush, emit, emit_last, emit_ready, move;

  assign joins   = !open_q || chunk.same || opened_q;
  assign crosses = chunk.high != '0;
  assign flush   = open_q && !chunk_valid && !segment_valid_q && !busy_q;

  // A chunk that does not join sends the open beat out and opens its own; if it crosses, it then
  // joins that one, with the same bytes once more.
  assign emit       = flush || (chunk_valid && (crosses || !joins));
  assign move       = (chunk_valid || flush) && (!emit || emit_ready);
  assign chunk_done = chunk_valid && move && (joins || !crosses);
  assign emit_last  = flush || (!joins && !chunk.next);

  always_comb begin
    merged      = open_data_q;
    merged_strb = open_q ? open_strb_q : '0;
    if (chunk_valid && joins) begin
      merged_strb |= chunk.low;
      for (int unsigned place = 0; place < BeatBytes; place++) begin
        if (chunk.low[place]) merged[8*place+:8] = chunk.data[8*place+:8];
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      open_q   <= 1'b0;
      opened_q <= 1'b0;
    end else if (move) begin
      open_q   <= chunk_valid;
      opened_q <= chunk_valid && !chunk_done;
    end
  end

  always_ff @(posedge clk_i) begin
    if (move) begin
      if (!joins) begin
        open_beat_q <= chunk.beat;
        open_data_q <= chunk.data;
        open_strb_q <= chunk.low;
      end else if (crosses) begin
        open_beat_q <= chunk.beat + 1'b1;
        open_data_q <= chunk.data;
        open_strb_q <= chunk.high;
      end else begin
        open_beat_q <= chunk.beat;
        open_data_q <= merged;
        open_strb_q <= merged_strb;
      end
    end
  end

  beat_t emit_beat, wr_beat;
  assign emit_beat = open_q ? open_beat_q : chunk.beat;

  skid_buffer #(
      .Width($bits(beat_t) + DataBits + BeatBytes + 1)
  ) u_out (
      .clk_i,
      .rst_ni,
      .in_valid_i (emit),
      .in_ready_o (emit_ready),
      .in_data_i  ({emit_beat, merged, merged_strb, emit_last}),
      .out_valid_o(wr_valid_o),
      .out_ready_i(wr_ready_i),
      .out_data_o ({wr_beat, wr_data_o, wr_strb_o, wr_last_o})
  );

  assign wr_addr_o = {wr_beat, {OffsetBits{1'b0}}};
  assign idle_o    = !busy_q && !segment_valid_q && !chunk_valid && !open_q && !wr_valid_o
      && wr_idle_i;

  // ---------------------------------------------------------------- assertions

  `CASC_ASSERT_STREAM(Job, job_valid_i, job_ready_o,
                      {job_base_i, job_column_tiles_i, job_last_columns_i})
  `CASC_ASSERT_STREAM(Product, product_valid_i, product_ready_o, product_words_i)
  `CASC_ASSERT_STREAM(Vector, vector_valid_i, vector_ready_o, vector_words_i)
  `CASC_ASSERT(ContainerLegal, !busy_q || (container_i >= 3'd1 && container_i <= 3'd4))
  `CASC_ASSERT(RowsLegal, !take_job || rows_i != '0)
  `CASC_ASSERT(ColumnsLegal, !take_job || vector_i || (groups_i != '0
      && job_column_tiles_i != '0 && job_last_columns_i != '0 && job_last_columns_i <= 8'(TC)))
  `CASC_ASSERT(ChannelsLegal, !take_job || !vector_i || channels_i != '0)
  `CASC_ASSERT(SettingsStable, !$past(rst_ni && busy_q) || $stable({vector_i, container_i, rows_i,
      pitch_i, groups_i, channels_i}))
  // What is not whole bytes ends a row.
  `CASC_ASSERT(WholeBytes, !accept || (addr_t'($countones(live)) << container_i) == addr_t'(bytes) << 3
      || (vector_i ? last_chunk : last_tile && groups_q == 16'd1))

endmodule
