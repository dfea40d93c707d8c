// SPDX-License-Identifier: Apache-2.0
//
// Activation reader's loops: says for every beat, piece by piece, where its words lie in the buffer.
//
// A piece is what one read of the buffer gives to a beat: the part of a run (words that follow each
// other on chip: a kernel row or, where groups lie side by side, a pixel of it) that the beat has.
//
//   product   for block, for group, for column tile, for row tile, for segment, for chunk of
//             ChunkSlots of the depth, for row of the tile: one beat, of the pieces of the chunk
//   dense     rows are images. A segment of the depth of all rows of a tile lies row after row, the
//             next segment behind it: run_slots from a row to the next, last_run_slots in the last
//             one. A segment is whole chunks but for the last.
//   joined    a product's rows may be of several images, whose maps lie on chip one after the other;
//             each has its own padding
//   vector    for output pixel, for chunk of VectorSlots, for kernel position: one beat of one piece
//
// A piece lies in line (y + kernel row), whose first slot is at line_addr_o, from begin_o on: the
// slot of lane 0, negative where it is in the padding before the line. Lanes lane_o .. lane_o +
// count_o - 1 are the piece's. Nothing before freed_o will be read any more.
//
// Throughput: a piece a cycle. Latency: the first piece is offered 1 cycle after start_i.
// start_i is taken while idle_o is high; job_i must be stable from then on until it is high again.

`include "casc_assert.svh"

module act_walk
  import act_job_pkg::*;
#(
    parameter  int unsigned Slots       = 4096,  // of the buffer, a power of two
    parameter  int unsigned BeatSlots   = 8,     // a power of two: a load begins on one
    parameter  int unsigned ChunkSlots  = 8,     // 1..: T_P
    parameter  int unsigned VectorSlots = 8,     // 1..: words of a vector beat, as they are stored
    parameter  int unsigned LaneBits    = 4,     // holds 0..the larger one, in slots of any words
    parameter  int unsigned SlotLog     = 3,     // log2 of a slot's bits
    localparam int unsigned PosBits     = $clog2(Slots) + 2,
    localparam int unsigned OffsetBits  = $clog2(Slots) + 4
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic     start_i,
    input  act_job_t job_i,
    output logic     idle_o,

    output logic                         valid_o,
    input  logic                         ready_i,
    output logic [PosBits-1:0]           line_addr_o,
    output logic                         line_inside_o,  // the line is in the map
    output logic signed [OffsetBits-1:0] begin_o,
    output logic [LaneBits-1:0]          lane_o,
    output logic [LaneBits-1:0]          count_o,
    output logic [PosBits-1:0]           freed_o,
    output piece_tag_t                   tag_o
);

  `CASC_CHECK_PARAM(slots, 1 << $clog2(Slots) == Slots)

  typedef logic [PosBits-1:0] pos_t;
  typedef logic signed [OffsetBits-1:0] offset_t;
  typedef logic signed [17:0] line_t;

  // A window's place in the map.
  typedef struct packed {
    logic [15:0] column;  // of the output
    logic [15:0] line;    // of the image's output
    logic        later;   // not of the job's first image
    offset_t     x;       // slot of its first pixel in the line
    line_t       y;
    pos_t        addr;    // of line y
  } window_t;

  // A place in the depth (vector work: in the window and the channels).
  typedef struct packed {
    logic [7:0]  row;      // of the kernel
    logic [7:0]  run;      // of the row
    offset_t     at;       // slot of the run
    offset_t     left;     // slots from there to the run's end
    offset_t     offset;   // where the run begins, from the window's first pixel in the line
    pos_t        addr;     // where the kernel row's line begins, from the window's first one
  } depth_t;

  logic unused_job;
  assign unused_job = ^job_i;

  // ---------------------------------------------------------------- state

  logic        running_q;
  logic [15:0] block_q, group_q, column_tile_q, segment_q, row_q, chunk_q;
  logic [31:0] rows_q;         // output pixels from the tile's first one on
  pos_t        load_addr_q;    // of the map's, or a dense layer's first slot
  offset_t     group_offset_q;
  window_t     tile_q, window_q;
  depth_t      chunk_begin_q, depth_q;
  logic [LaneBits-1:0] lane_q;

  // ---------------------------------------------------------------- this piece

  // What ends here is told from registers alone: constants of the job less one, slots that are left.
  logic [7:0]          last_kernel_row_q, last_kernel_run_q;
  logic [15:0]         last_tile_row_q, last_column_q, last_line_q, last_group_q, last_column_tile_q;
  logic [15:0]         last_block_q;
  logic                last_segment_q;
  logic [15:0]         last_index_q, first_last_index_q;  // of the tile's rows; of a pass's first tile's
  logic                last_row_q, first_last_row_q;      // this one is the tile's last
  logic                last_tile_q, first_last_tile_q;
  logic                single_rows_q;                     // tiles have one row
  logic [31:0]         tile_and_one_q, two_tiles_q;       // rows
  offset_t             run_slots_q;      // of the segment's runs
  logic [LaneBits-1:0] lanes_left_q;     // of the beat

  // What ends with a piece is found out with the piece before.
  typedef struct packed {
    logic run;
    logic position;  // it is of the window's last one
    logic depth;
    logic chunk;
  } ends_t;

  // A piece's run has slots that fit the beat's lanes, and that fill them.
  function automatic ends_t ends_of(
      input logic fits, input logic fills, input logic position, input logic vector);
    return '{
        run:      fits,
        position: position,
        depth:    fits && position,
        chunk:    vector ? position : fills || (fits && position)
    };
  endfunction

  logic [LaneBits-1:0] chunk_slots, chunk_slots_q, count;
  ends_t               ends_q, chunk_begin_ends_q;  // of this piece; of the chunk's first one
  logic                one_position_q;
  // A run fits and fills a chunk's lanes: of a whole segment, of the last one.
  logic                whole_fits_q, whole_fills_q, tail_fits_q, tail_fills_q;
  logic                run_ends, last_position, chunk_ends, depth_ends;

  assign chunk_slots   = job_i.vector
      ? LaneBits'(VectorSlots << (job_i.store_container - 3'(SlotLog))) : LaneBits'(ChunkSlots);
  assign run_ends      = ends_q.run;
  assign count         = run_ends ? LaneBits'(depth_q.left) : lanes_left_q;
  assign last_position = ends_q.position;
  assign depth_ends    = ends_q.depth;
  assign chunk_ends    = ends_q.chunk;

  // Of the segment behind this one, which may be the next tile's first.
  logic    next_last_segment;
  offset_t next_run_slots;

  assign next_last_segment = last_segment_q ? job_i.segments == 16'd1
                                            : segment_q + 16'd2 == job_i.segments;
  assign next_run_slots    = offset_t'(next_last_segment ? job_i.last_run_slots : job_i.run_slots);

  line_t y;
  assign y = window_q.y + line_t'({1'b0, depth_q.row});

  assign line_addr_o   = window_q.addr + depth_q.addr;
  assign line_inside_o = y >= 0 && y < line_t'({2'b0, job_i.height});
  assign begin_o       = window_q.x + depth_q.offset + group_offset_q + depth_q.at
                       - offset_t'(lane_q);
  assign lane_o        = lane_q;
  assign count_o       = count;

  // ---------------------------------------------------------------- the next place in the depth

  depth_t              next_depth, next_position;
  logic [LaneBits-1:0] next_lane;

  // The next run of the kernel, from its first slot on or in vector work from the chunk's.
  always_comb begin
    next_position     = depth_q;
    next_position.run = depth_q.run + 1'b1;
    next_position.offset = depth_q.offset + offset_t'(job_i.kernel_step);
    if (!job_i.vector) begin
      next_position.at   = '0;
      next_position.left = run_slots_q;
    end
    if (depth_q.run == last_kernel_run_q) begin
      next_position.run    = '0;
      next_position.offset = '0;
      next_position.row    = depth_q.row + 1'b1;
      next_position.addr   = depth_q.addr + PosBits'(job_i.line_slots);
    end
  end

  always_comb begin
    next_depth = depth_q;
    next_lane  = '0;
    if (job_i.vector) begin
      if (last_position) begin
        next_depth      = '0;
        next_depth.at   = depth_q.at + offset_t'(chunk_slots_q);
        next_depth.left = depth_q.left - offset_t'(chunk_slots_q);
      end else begin
        next_depth = next_position;
      end
    end else begin
      if (run_ends) begin
        next_depth = next_position;
      end else begin
        // The run goes on: the piece had all lanes that were left.
        next_depth.at   = depth_q.at + offset_t'(lanes_left_q);
        next_depth.left = depth_q.left - offset_t'(lanes_left_q);
      end
      if (!chunk_ends) next_lane = lane_q + count;
    end
  end

  // What ends with it. Behind a run that ends within a chunk the next one has the lanes that are
  // left; behind a chunk all lanes are there again.
  logic    next_is_last, next_fits, next_fills;
  offset_t both_runs, rest;
  ends_t   next_ends, begin_ends;  // of the next piece of the segment; of the next segment's first

  always_comb begin
    if (depth_q.run == last_kernel_run_q) begin
      next_is_last = depth_q.row + 1'b1 == last_kernel_row_q && last_kernel_run_q == '0;
    end else begin
      next_is_last = depth_q.row == last_kernel_row_q && depth_q.run + 1'b1 == last_kernel_run_q;
    end
    if (job_i.vector && last_position) next_is_last = one_position_q;
    else if (!job_i.vector && !run_ends) next_is_last = last_position;
  end

  assign both_runs = run_slots_q + depth_q.left;
  assign rest      = depth_q.left - offset_t'(lanes_left_q);

  always_comb begin
    next_fits  = rest <= offset_t'(chunk_slots_q);
    next_fills = rest >= offset_t'(chunk_slots_q);
    if (job_i.vector) begin
      if (!last_position) next_fits = run_ends;
    end else if (run_ends && chunk_ends) begin
      next_fits  = last_segment_q ? tail_fits_q : whole_fits_q;
      next_fills = last_segment_q ? tail_fills_q : whole_fills_q;
    end else if (run_ends) begin
      next_fits  = both_runs <= offset_t'(lanes_left_q);
      next_fills = both_runs >= offset_t'(lanes_left_q);
    end
  end

  assign next_ends  = ends_of(next_fits, next_fills, next_is_last, job_i.vector);
  assign begin_ends = ends_of(
      next_last_segment ? tail_fits_q : whole_fits_q,
      next_last_segment ? tail_fills_q : whole_fills_q, one_position_q, job_i.vector);

  // ---------------------------------------------------------------- the next window

  logic    line_ends, image_ends;
  window_t next_window;
  offset_t row_end;  // dense: what follows the row

  assign line_ends  = window_q.column == last_column_q;
  assign image_ends = window_q.line == last_line_q;
  assign row_end    = window_q.x + run_slots_q;

  always_comb begin
    next_window = window_q;
    if (job_i.dense) begin
      next_window.x = row_end;
    end else if (line_ends) begin
      next_window.column = '0;
      next_window.x      = -offset_t'(job_i.left_slots);
      if (image_ends) begin
        next_window.line  = '0;
        next_window.later = 1'b1;
        next_window.y     = -line_t'({1'b0, job_i.pad_top});
        next_window.addr  = window_q.addr + PosBits'(job_i.image_slots);
      end else begin
        next_window.line = window_q.line + 1'b1;
        next_window.y    = window_q.y + line_t'({1'b0, job_i.stride_lines});
        next_window.addr = window_q.addr + PosBits'(job_i.row_slots);
      end
    end else begin
      next_window.column = window_q.column + 1'b1;
      next_window.x      = window_q.x + offset_t'(job_i.pixel_slots);
    end
  end

  // Dense: a segment's end is where the next one, or the next tile's first, begins.
  window_t next_tile;
  always_comb begin
    next_tile = next_window;
    if (job_i.dense) begin
      next_tile.x    = '0;
      next_tile.addr = window_q.addr + PosBits'(row_end);
    end
  end

  // ---------------------------------------------------------------- the next pass

  logic segment_ends, tile_ends, pass_ends, group_ends, block_ends, job_ends, hold;
  pos_t load_end, next_load, next_load_addr;

  assign segment_ends = chunk_ends && depth_ends && last_row_q;
  assign tile_ends    = segment_ends && last_segment_q;
  assign pass_ends    = tile_ends && last_tile_q;
  assign group_ends   = pass_ends && column_tile_q == last_column_tile_q;
  assign block_ends   = group_ends && group_q == last_group_q;
  assign job_ends     = block_ends && block_q == last_block_q;

  // A resident block is kept until its last pass.
  assign hold = job_i.resident && !(column_tile_q == last_column_tile_q && group_q == last_group_q);

  assign load_end       = load_addr_q + PosBits'(job_i.load_slots) + PosBits'(BeatSlots - 1);
  assign next_load      = (load_end >> $clog2(BeatSlots)) << $clog2(BeatSlots);
  assign next_load_addr = hold ? load_addr_q : next_load;

  always_comb begin
    if (hold || (tile_q.y < 0 && !tile_q.later)) freed_o = load_addr_q;
    else if (tile_q.y >= line_t'({2'b0, job_i.height})) freed_o = next_load;
    else freed_o = tile_q.addr;
  end

  function automatic window_t first_window(input pos_t addr);
    return '{
        column: '0,
        line: '0,
        later: 1'b0,
        x: -offset_t'(job_i.left_slots),
        y: -line_t'({1'b0, job_i.pad_top}),
        addr: addr - PosBits'(job_i.top_slots)
    };
  endfunction

  function automatic depth_t depth_begin(input offset_t run_slots);
    depth_t begin_of;
    begin_of      = '0;
    begin_of.left = run_slots;
    return begin_of;
  endfunction

  offset_t first_run_slots;
  logic    one_position;
  ends_t   first_ends;
  assign first_run_slots = offset_t'(
      job_i.segments == 16'd1 ? job_i.last_run_slots : job_i.run_slots);
  assign one_position    = job_i.kernel_rows == 8'd1 && job_i.kernel_runs == 8'd1;
  assign first_ends      = ends_of(
      first_run_slots <= offset_t'(chunk_slots), first_run_slots >= offset_t'(chunk_slots),
      one_position, job_i.vector);

  logic        first_last_tile;
  logic [15:0] first_last_index;
  assign first_last_tile  = job_i.rows <= 32'(job_i.tile_rows);
  assign first_last_index = (first_last_tile ? job_i.rows[15:0] : job_i.tile_rows) - 1'b1;

  logic next;
  assign next = running_q && ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) running_q <= 1'b0;
    else if (start_i) running_q <= 1'b1;
    else if (next && job_ends) running_q <= 1'b0;
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      {block_q, group_q, column_tile_q, segment_q, row_q, chunk_q} <= '0;
      {load_addr_q, group_offset_q, lane_q} <= '0;
      {last_kernel_row_q, last_kernel_run_q} <= {job_i.kernel_rows - 8'd1, job_i.kernel_runs - 8'd1};
      last_tile_row_q    <= job_i.tile_rows - 1'b1;
      single_rows_q      <= job_i.tile_rows == 16'd1;
      tile_and_one_q     <= 32'(job_i.tile_rows) + 1'b1;
      two_tiles_q        <= {15'd0, job_i.tile_rows, 1'b0};
      {last_tile_q, first_last_tile_q}   <= {2{first_last_tile}};
      {last_index_q, first_last_index_q} <= {2{first_last_index}};
      {last_row_q, first_last_row_q}     <= {2{first_last_index == '0}};
      last_column_q      <= job_i.out_width - 1'b1;
      last_line_q        <= job_i.out_height - 1'b1;
      last_group_q       <= job_i.groups - 1'b1;
      last_column_tile_q <= job_i.column_tiles - 1'b1;
      last_block_q       <= job_i.blocks - 1'b1;
      last_segment_q     <= job_i.segments == 16'd1;
      run_slots_q        <= first_run_slots;
      lanes_left_q       <= chunk_slots;
      chunk_slots_q      <= chunk_slots;
      one_position_q     <= one_position;
      whole_fits_q       <= offset_t'(job_i.run_slots) <= offset_t'(chunk_slots);
      whole_fills_q      <= offset_t'(job_i.run_slots) >= offset_t'(chunk_slots);
      tail_fits_q        <= offset_t'(job_i.last_run_slots) <= offset_t'(chunk_slots);
      tail_fills_q       <= offset_t'(job_i.last_run_slots) >= offset_t'(chunk_slots);
      {ends_q, chunk_begin_ends_q} <= {2{first_ends}};
      chunk_begin_q      <= depth_begin(first_run_slots);
      depth_q            <= depth_begin(first_run_slots);
      rows_q             <= job_i.rows;
      tile_q             <= first_window('0);
      window_q           <= first_window('0);
    end else if (next) begin
      depth_q <= next_depth;
      ends_q  <= next_ends;
      lane_q  <= next_lane;
      // A beat of vector work has one piece.
      lanes_left_q <= (chunk_ends || job_i.vector) ? chunk_slots_q : lanes_left_q - count;
      if (chunk_ends) begin
        row_q      <= last_row_q ? '0 : row_q + 1'b1;
        last_row_q <= last_row_q ? last_index_q == '0 : row_q + 1'b1 == last_index_q;
        if (!last_row_q) begin
          depth_q  <= chunk_begin_q;
          ends_q   <= chunk_begin_ends_q;
          window_q <= next_window;
        end else if (!depth_ends) begin
          chunk_begin_q <= next_depth;
          chunk_begin_ends_q <= next_ends;
          chunk_q       <= chunk_q + 1'b1;
          window_q      <= tile_q;
        end else begin
          chunk_begin_q  <= depth_begin(next_run_slots);
          depth_q        <= depth_begin(next_run_slots);
          {ends_q, chunk_begin_ends_q} <= {2{begin_ends}};
          run_slots_q    <= next_run_slots;
          last_segment_q <= next_last_segment;
          chunk_q        <= '0;
          segment_q      <= last_segment_q ? '0 : segment_q + 1'b1;
          tile_q         <= next_tile;
          window_q       <= next_tile;
        end
      end
      if (tile_ends) begin
        rows_q       <= rows_q - 32'(job_i.tile_rows);
        last_tile_q  <= rows_q <= two_tiles_q;
        last_index_q <= (rows_q <= two_tiles_q) ? rows_q[15:0] - job_i.tile_rows - 1'b1
                                                : last_tile_row_q;
        last_row_q   <= single_rows_q || rows_q == tile_and_one_q;
      end
      if (pass_ends) begin
        rows_q        <= job_i.rows;
        last_tile_q   <= first_last_tile_q;
        last_index_q  <= first_last_index_q;
        last_row_q    <= first_last_row_q;
        column_tile_q <= group_ends ? '0 : column_tile_q + 1'b1;
        load_addr_q   <= next_load_addr;
        tile_q        <= first_window(next_load_addr);
        window_q      <= first_window(next_load_addr);
      end
      if (group_ends) begin
        group_q        <= block_ends ? '0 : group_q + 1'b1;
        group_offset_q <= block_ends ? '0 : group_offset_q + offset_t'(job_i.group_slots);
      end
      if (block_ends) block_q <= block_q + 1'b1;
    end
  end

  assign tag_o = '{
      begins:    job_i.vector || lane_q == '0,
      ends:      job_i.vector || chunk_ends,
      first:     job_i.vector ? depth_q.row == '0 && depth_q.run == '0
                              : segment_q == '0 && chunk_q == '0,
      last:      job_i.vector ? last_position : depth_ends && last_segment_q,
      tile_last: last_row_q,
      second:    job_i.two && depth_q.run != '0,
      end_chunk: run_ends,
      chunk:     chunk_q
  };

  assign valid_o = running_q;
  assign idle_o  = !running_q;

  `CASC_ASSERT_STREAM(Piece, valid_o, ready_i,
                      {line_addr_o, line_inside_o, begin_o, lane_o, count_o, freed_o, tag_o})
  `CASC_ASSERT(StartIdle, !start_i || idle_o)
  `CASC_ASSERT(EndsKnown, !valid_o || ends_q == ends_of(depth_q.left <= offset_t'(lanes_left_q),
      depth_q.left >= offset_t'(lanes_left_q),
      depth_q.row == last_kernel_row_q && depth_q.run == last_kernel_run_q, job_i.vector))
  `CASC_ASSERT(PieceHasSlots, !valid_o || count_o != '0)

endmodule
