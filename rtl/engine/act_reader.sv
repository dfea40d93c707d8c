// SPDX-License-Identifier: Apache-2.0
//
// Activation reader: fetches a layer's inputs into a buffer on chip and forms im2col from there on
// the fly: rows for the MM unit, words for the vector unit, in the order of docs/engine.md.
//
//   act_fetch -> commands, tags (fifo) -> act_store -> line_buffer -> rotation, lanes -> beats
//                                                      act_walk ----^
//
// Jobs: see act_job_pkg. job_ready_o is high while nothing of the last job is left to be read; a job
// that does not fit the buffer (window_slots) or whose containers are not the engine's is taken
// and dropped, error_o is high in the cycle after. idle_o: no job, and every beat was taken.
//
// Streams (ready/valid; a beat is transferred when both are high):
//   act   a row's TP words as the MM unit takes them. Padding is the word zero_in; lanes beyond the
//         depth are 0.
//   vec   VectorLanes words of VECTOR_BITS, sign- or zero-extended, of channels vec_chunk_o *
//         VectorLanes on; vec_words_o of them are channels, the others 0. vec_first_o, vec_last_o:
//         of the kernel positions; vec_second_o: of an addition's second tensor; vec_pad_o: the
//         position is outside the map, the words are zero_in. vec_last_chunk_o: the pixel's last
//         channels.
//
// The buffer is a ring: lines are fetched as far ahead as there is room, and given up when a row
// tile begins that needs them no more. A map that is resident is fetched once for all passes.
//
// Throughput: a piece a cycle while its words are on chip; a beat has a piece for each run of
//             successive words that it touches (act_walk): a kernel row, or where groups lie side by
//             side a pixel. Loading: see act_store. No bubble between chunks, tiles and passes.
// Latency:    7 cycles from a job's taking to its first beat if that were on chip; a piece is read
//             3 cycles after the beat of memory that completes it was taken, and its beat is
//             offered 4 cycles after it is read. The next job can be taken 3 cycles after the last
//             one's last piece was read.
// Room:       a job fits if window_slots <= BufferSlots - (resident ? 0 : 2 * DataBits / SlotBits),
//             where SlotBits is the least of 2, 4, 8, 16 that holds ActBits.

`include "casc_assert.svh"

module act_reader
  import act_job_pkg::*;
  import cascade_pkg::*;
  import engine_pkg::*;
#(
    parameter  int unsigned TP          = 4,     // 1..128
    parameter  int unsigned ActBits     = 8,     // 2..16: words of products
    parameter  int unsigned VectorLanes = 4,     // 1..32
    parameter  int unsigned BufferSlots = 4096,  // a power of two, up to 2**20
    parameter  int unsigned DataBits    = 64,    // 64 or 128
    localparam int unsigned WordsBits   = $clog2(VectorLanes + 1)
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic     job_valid_i,
    output logic     job_ready_o,
    input  act_job_t job_i,
    output logic     error_o,
    output logic     idle_o,

    output logic                  cmd_valid_o,
    input  logic                  cmd_ready_i,
    output addr_t                 cmd_addr_o,
    output logic [BEATS_BITS-1:0] cmd_beats_o,
    input  logic                  data_valid_i,
    output logic                  data_ready_o,
    input  logic [DataBits-1:0]   data_i,

    output logic                       act_valid_o,
    input  logic                       act_ready_i,
    output logic [TP-1:0][ActBits-1:0] act_data_o,
    output logic                       act_first_o,
    output logic                       act_last_o,
    output logic                       act_tile_last_o,
    output logic                       act_signed_o,

    output logic                                    vec_valid_o,
    input  logic                                    vec_ready_i,
    output logic [VectorLanes-1:0][LOGIT_BITS-1:0]  vec_data_o,
    output logic                                    vec_first_o,
    output logic                                    vec_last_o,
    output logic                                    vec_pad_o,
    output logic                                    vec_second_o,
    output logic                                    vec_signed_o,
    output logic                                    vec_last_chunk_o,
    output logic [15:0]                             vec_chunk_o,
    output logic [WordsBits-1:0]                    vec_words_o
);

  // A word of a product takes one slot.
  localparam int unsigned SlotLog = $clog2(ActBits);
  localparam int unsigned SlotBits = 1 << SlotLog;
  localparam int unsigned BeatSlots = DataBits / SlotBits;
  localparam int unsigned PosBits = $clog2(BufferSlots) + 2;
  localparam int unsigned OffsetBits = $clog2(BufferSlots) + 4;
  localparam int unsigned WideSlots = LOGIT_BITS / SlotBits;
  localparam int unsigned VectorSlots = VectorLanes * WideSlots;  // of the widest words
  localparam int unsigned ReadSlots = (TP > VectorSlots) ? TP : VectorSlots;
  localparam int unsigned LaneBits = $clog2(ReadSlots + 1);
  localparam int unsigned TagDepth = 32;  // commands ahead

  `CASC_CHECK_PARAM(tp, TP >= 1 && TP <= 128)
  `CASC_CHECK_PARAM(act_bits, ActBits >= MIN_BITS && ActBits <= MAX_BITS)
  `CASC_CHECK_PARAM(vector_lanes, VectorLanes >= 1 && VectorLanes <= 32)
  `CASC_CHECK_PARAM(data_bits, DataBits == 64 || DataBits == 128)
  `CASC_CHECK_PARAM(buffer_slots, 1 << $clog2(BufferSlots) == BufferSlots
      && BufferSlots >= 4 * ReadSlots && BufferSlots >= 4 * BeatSlots && BufferSlots <= 1 << 20)

  typedef logic [PosBits-1:0] pos_t;
  typedef logic signed [OffsetBits-1:0] offset_t;
  typedef logic [LaneBits-1:0] lane_t;

  // ---------------------------------------------------------------- jobs

  act_job_t job_q;
  logic     start_q, job_fits, take_job, reading;
  logic     fetch_idle, store_idle, walk_idle, tag_valid, tag_ready;

  function automatic logic container_legal(input logic [2:0] log2_bits);
    return log2_bits >= 3'(SlotLog) && log2_bits <= 3'd4;
  endfunction

  assign job_fits = job_i.window_slots
                    <= (job_i.resident ? 32'(BufferSlots) : 32'(BufferSlots - 2 * BeatSlots))
      && container_legal(job_i.container) && container_legal(job_i.store_container)
      && (!job_i.two || container_legal(job_i.second_container))
      && (job_i.vector || job_i.store_container == 3'(SlotLog));

  assign take_job    = job_valid_i && job_ready_o;
  assign job_ready_o = !reading && !start_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      start_q <= 1'b0;
      error_o <= 1'b0;
    end else begin
      start_q <= take_job && job_fits;
      error_o <= take_job && !job_fits;
    end
  end

  always_ff @(posedge clk_i) begin
    if (take_job) job_q <= job_i;
  end

  // ---------------------------------------------------------------- loading

  fetch_tag_t tag_in, tag_out;
  logic       tag_in_valid, tag_in_ready;

  pos_t                                   freed_q, stored;
  logic                                   blocked;
  logic                                   write_en;
  logic [$clog2(BufferSlots/BeatSlots)-1:0] write_beat;
  logic [DataBits-1:0]                    write_data;

  act_fetch #(
      .DataBits(DataBits)
  ) u_fetch (
      .clk_i,
      .rst_ni,
      .start_i    (start_q),
      .job_i      (job_q),
      .idle_o     (fetch_idle),
      .cmd_valid_o,
      .cmd_ready_i,
      .cmd_addr_o,
      .cmd_beats_o,
      .tag_valid_o(tag_in_valid),
      .tag_ready_i(tag_in_ready),
      .tag_o      (tag_in)
  );

  fifo #(
      .Width($bits(fetch_tag_t)),
      .Depth(TagDepth)
  ) u_tags (
      .clk_i,
      .rst_ni,
      .in_valid_i (tag_in_valid),
      .in_ready_o (tag_in_ready),
      .in_data_i  (tag_in),
      .out_valid_o(tag_valid),
      .out_ready_i(tag_ready),
      .out_data_o (tag_out)
  );

  act_store #(
      .SlotBits(SlotBits),
      .Slots   (BufferSlots),
      .DataBits(DataBits)
  ) u_store (
      .clk_i,
      .rst_ni,
      .start_i     (start_q),
      .job_i       (job_q),
      .idle_o      (store_idle),
      .tag_valid_i (tag_valid),
      .tag_ready_o (tag_ready),
      .tag_i       (tag_out),
      .data_valid_i,
      .data_ready_o,
      .data_i,
      .freed_i     (freed_q),
      .stored_o    (stored),
      .blocked_o   (blocked),
      .write_en_o  (write_en),
      .write_beat_o(write_beat),
      .write_data_o(write_data)
  );

  // ---------------------------------------------------------------- pieces

  // A piece on its way: where it begins ("begin"), where to read ("read"), what the buffer gave
  // ("got"), turned to its lanes ("turn").
  logic       walk_valid, walk_ready, walk_inside;
  pos_t       walk_line, walk_freed;
  offset_t    walk_begin;
  lane_t      walk_lane, walk_count;
  piece_tag_t walk_tag;

  act_walk #(
      .Slots      (BufferSlots),
      .BeatSlots  (BeatSlots),
      .ChunkSlots (TP),
      .VectorSlots(VectorLanes),
      .LaneBits   (LaneBits),
      .SlotLog    (SlotLog)
  ) u_walk (
      .clk_i,
      .rst_ni,
      .start_i      (start_q),
      .job_i        (job_q),
      .idle_o       (walk_idle),
      .valid_o      (walk_valid),
      .ready_i      (walk_ready),
      .line_addr_o  (walk_line),
      .line_inside_o(walk_inside),
      .begin_o      (walk_begin),
      .lane_o       (walk_lane),
      .count_o      (walk_count),
      .freed_o      (walk_freed),
      .tag_o        (walk_tag)
  );

  typedef struct packed {
    pos_t       line;
    logic       in_map;
    offset_t    first;  // slot of lane 0
    offset_t    ends;   // slot behind the last one
    lane_t      lane;
    lane_t      count;
    pos_t       freed;
    piece_tag_t tag;
  } piece_t;

  logic       begin_valid, read_valid_q, got_valid_q, turn_valid_q;
  logic       read_ready, read_fire;
  piece_t     walked, piece;
  piece_tag_t read_tag_q, got_tag_q, turn_tag_q;

  // Lanes low .. high - 1 are the map's, lanes lane .. last - 1 the piece's.
  typedef struct packed {
    lane_t low;
    lane_t high;
    lane_t lane;
    lane_t last;
  } lanes_t;

  logic [$clog2(BufferSlots)-1:0] read_addr_q;
  pos_t                           read_end_q;
  lanes_t                         begin_lanes, read_lanes_q, got_lanes_q, turn_lanes_q;
  logic                           en;

  assign read_ready = !read_valid_q || read_fire;

  assign walked = '{
      line:   walk_line,
      in_map: walk_inside,
      first:  walk_begin,
      ends:   walk_begin + offset_t'(walk_lane) + offset_t'(walk_count),
      lane:   walk_lane,
      count:  walk_count,
      freed:  walk_freed,
      tag:    walk_tag
  };

  // The loops go on by registers alone, whatever waits behind.
  skid_buffer #(
      .Width($bits(piece_t))
  ) u_begin (
      .clk_i,
      .rst_ni,
      .in_valid_i (walk_valid),
      .in_ready_o (walk_ready),
      .in_data_i  (walked),
      .out_valid_o(begin_valid),
      .out_ready_i(read_ready),
      .out_data_o (piece)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) read_valid_q <= 1'b0;
    else if (read_ready) read_valid_q <= begin_valid;
  end

  offset_t line_slots, outside, covered;
  pos_t    needed;

  assign line_slots = offset_t'(job_q.line_slots);
  assign outside    = -piece.first;
  assign covered    = line_slots - piece.first;
  assign needed     = PosBits'((piece.ends < line_slots) ? piece.ends : line_slots);

  function automatic lane_t to_lane(input offset_t value);
    if (value < 0) return '0;
    return (value > offset_t'(ReadSlots)) ? LaneBits'(ReadSlots) : value[LaneBits-1:0];
  endfunction

  assign begin_lanes = '{
      low:  to_lane(outside),
      high: piece.in_map ? to_lane(covered) : '0,
      lane: piece.lane,
      last: piece.lane + piece.count
  };

  // Nothing of a piece is read where none of its lanes are the map's.
  logic begin_needs, read_needs_q, there;
  assign begin_needs = piece.in_map && piece.ends > 0
                       && piece.first + offset_t'(piece.lane) < line_slots;

  always_ff @(posedge clk_i) begin
    if (read_ready) begin
      read_addr_q  <= $clog2(BufferSlots)'(piece.line + PosBits'(piece.first));
      read_end_q   <= piece.line + needed;
      read_lanes_q <= begin_lanes;
      read_needs_q <= begin_needs;
      read_tag_q   <= piece.tag;
    end
  end

  // What a piece frees is free as soon as the pieces before it were read.
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_q) freed_q <= '0;
    else if (read_ready && begin_valid) freed_q <= piece.freed;
  end

  pos_t lead;  // how far stored data reach beyond the piece, as a signed number
  assign lead      = stored - read_end_q;
  assign there     = !read_needs_q || !lead[PosBits-1];
  assign read_fire = read_valid_q && there && en;

  // ---------------------------------------------------------------- words

  logic [ReadSlots-1:0][SlotBits-1:0] got_data, turn_data_q;

  line_buffer #(
      .SlotBits (SlotBits),
      .Slots    (BufferSlots),
      .BeatSlots(BeatSlots),
      .ReadSlots(ReadSlots)
  ) u_buffer (
      .clk_i,
      .write_en_i  (write_en),
      .write_beat_i(write_beat),
      .write_data_i(write_data),
      .read_en_i   (en),
      .read_addr_i (read_addr_q),
      .read_data_o (got_data)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      got_valid_q  <= 1'b0;
      turn_valid_q <= 1'b0;
    end else if (en) begin
      got_valid_q  <= read_fire;
      turn_valid_q <= got_valid_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (en) begin
      got_tag_q    <= read_tag_q;
      got_lanes_q  <= read_lanes_q;
      turn_tag_q   <= got_tag_q;
      turn_lanes_q <= got_lanes_q;
      turn_data_q  <= got_data;
    end
  end

  // ---------------------------------------------------------------- beats for the MM unit

  logic                       act_core_valid_q, act_skid_ready;
  logic [TP-1:0][ActBits-1:0] beat_q, beat_d;
  logic [3:0]                 act_flags_q;

  for (genvar lane = 0; lane < TP; lane++) begin : gen_lane
    localparam lane_t Lane = LaneBits'(lane);
    logic of_piece, of_map;
    assign of_piece = Lane >= turn_lanes_q.lane && Lane < turn_lanes_q.last;
    assign of_map   = Lane >= turn_lanes_q.low && Lane < turn_lanes_q.high;

    always_comb begin
      beat_d[lane] = turn_tag_q.begins ? '0 : beat_q[lane];
      if (of_piece) begin
        beat_d[lane] = of_map ? turn_data_q[lane][ActBits-1:0] : job_q.zero_in[ActBits-1:0];
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) act_core_valid_q <= 1'b0;
    else if (en) act_core_valid_q <= turn_valid_q && turn_tag_q.ends && !job_q.vector;
  end

  always_ff @(posedge clk_i) begin
    if (en && turn_valid_q && !job_q.vector) begin
      beat_q      <= beat_d;
      act_flags_q <= {turn_tag_q.first, turn_tag_q.last, turn_tag_q.tile_last, job_q.is_signed};
    end
  end

  skid_buffer #(
      .Width(TP * ActBits + 4)
  ) u_act (
      .clk_i,
      .rst_ni,
      .in_valid_i (act_core_valid_q),
      .in_ready_o (act_skid_ready),
      .in_data_i  ({beat_q, act_flags_q}),
      .out_valid_o(act_valid_o),
      .out_ready_i(act_ready_i),
      .out_data_o ({act_data_o, act_first_o, act_last_o, act_tile_last_o, act_signed_o})
  );

  // ---------------------------------------------------------------- beats for the vector unit

  typedef struct packed {
    logic [VectorLanes-1:0][LOGIT_BITS-1:0] words;
    logic                                   first;
    logic                                   last;
    logic                                   pad;
    logic                                   second;
    logic                                   is_signed;
    logic                                   last_chunk;
    logic [15:0]                            chunk;
    logic [WordsBits-1:0]                   count;
  } vector_beat_t;

  logic         vec_core_valid_q, vec_skid_ready, turn_pad, turn_signed;
  vector_beat_t vec_d, vec_q, vec_out;

  // A position is as a whole in the map or in its padding.
  assign turn_pad    = turn_lanes_q.low != '0 || turn_lanes_q.high == '0;
  assign turn_signed = turn_tag_q.second ? job_q.second_signed : job_q.is_signed;

  logic [WordsBits-1:0] turn_count;
  assign turn_count = WordsBits'(turn_lanes_q.last >> (job_q.store_container - 3'(SlotLog)));

  // A word of 2**log2_bits bits as wide as any.
  function automatic logic [LOGIT_BITS-1:0] extended(
      input logic [LOGIT_BITS-1:0] word, input logic [2:0] log2_bits, input logic is_signed);
    logic [LOGIT_BITS-1:0] mask;
    logic                  negative;
    mask     = ~({LOGIT_BITS{1'b1}} << (5'd1 << log2_bits));
    negative = is_signed && word[4'((5'd1 << log2_bits) - 1'b1)];
    return negative ? word | ~mask : word & mask;
  endfunction

  assign vec_d.first      = turn_tag_q.first;
  assign vec_d.last       = turn_tag_q.last;
  assign vec_d.pad        = turn_pad;
  assign vec_d.second     = turn_tag_q.second;
  assign vec_d.is_signed  = turn_signed;
  assign vec_d.last_chunk = turn_tag_q.end_chunk;
  assign vec_d.chunk      = turn_tag_q.chunk;
  assign vec_d.count      = turn_count;

  for (genvar lane = 0; lane < VectorLanes; lane++) begin : gen_word
    localparam logic [WordsBits-1:0] Lane = WordsBits'(lane);

    // What would be the lane's word, for each container.
    logic [4:SlotLog][LOGIT_BITS-1:0] candidates;
    logic [LOGIT_BITS-1:0]            word;

    for (genvar log = SlotLog; log <= 4; log++) begin : gen_container
      localparam int unsigned Slots = 1 << (log - SlotLog);
      assign candidates[log] = LOGIT_BITS'(turn_data_q[lane*Slots+:Slots]);
    end

    assign word = extended(candidates[job_q.store_container], job_q.store_container, turn_signed);

    always_comb begin
      vec_d.words[lane] = '0;
      if (Lane < turn_count) vec_d.words[lane] = turn_pad ? job_q.zero_in : word;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) vec_core_valid_q <= 1'b0;
    else if (en) vec_core_valid_q <= turn_valid_q && job_q.vector;
  end

  always_ff @(posedge clk_i) begin
    if (en && turn_valid_q && job_q.vector) vec_q <= vec_d;
  end

  skid_buffer #(
      .Width($bits(vector_beat_t))
  ) u_vec (
      .clk_i,
      .rst_ni,
      .in_valid_i (vec_core_valid_q),
      .in_ready_o (vec_skid_ready),
      .in_data_i  (vec_q),
      .out_valid_o(vec_valid_o),
      .out_ready_i(vec_ready_i),
      .out_data_o (vec_out)
  );

  assign vec_data_o       = vec_out.words;
  assign vec_first_o      = vec_out.first;
  assign vec_last_o       = vec_out.last;
  assign vec_pad_o        = vec_out.pad;
  assign vec_second_o     = vec_out.second;
  assign vec_signed_o     = vec_out.is_signed;
  assign vec_last_chunk_o = vec_out.last_chunk;
  assign vec_chunk_o      = vec_out.chunk;
  assign vec_words_o      = vec_out.count;

  // ---------------------------------------------------------------- flow

  // The enable depends on registers only, as in mm_unit.
  assign en = (act_skid_ready || !act_core_valid_q) && (vec_skid_ready || !vec_core_valid_q);

  assign reading = !walk_idle || begin_valid || read_valid_q || got_valid_q || turn_valid_q
                   || !fetch_idle || tag_valid || !store_idle;
  assign idle_o  = job_ready_o && !act_core_valid_q && !act_valid_o && !vec_core_valid_q
                   && !vec_valid_o;

  // A job whose window_slots is too small would wait for ever: data for room, room for data.
  `CASC_ASSERT(WindowFits, !(read_valid_q && !there && blocked))
  `CASC_ASSERT_STREAM(Job, job_valid_i, job_ready_o, job_i)
  `CASC_ASSERT_STREAM(Act, act_valid_o, act_ready_i,
                      {act_data_o, act_first_o, act_last_o, act_tile_last_o, act_signed_o})
  `CASC_ASSERT_STREAM(Vec, vec_valid_o, vec_ready_i, vec_out)

endmodule
