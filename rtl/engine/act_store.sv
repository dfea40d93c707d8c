// SPDX-License-Identifier: Apache-2.0
//
// Activation reader's way from memory to the line buffer: picks the words that the tags name out of
// the beats, brings them to the width they have on chip, and lays them down one after the other.
//
// Words become narrower by losing high bits (a tensor's words fit the engine's wordlength, whatever
// their container), wider by sign or zero extension. The words of a load follow each other without
// a gap; a load begins on a beat's boundary.
//
// Throughput: a beat a cycle; words that become wider take as many cycles as they fill beats; one
//             cycle more at the end of a load where its words do not end the beat that they began.
// Latency:    a beat accepted in cycle k is written in cycle k + 1, and stored_o counts it from
//             k + 2 on. Tags come a cycle or more before their words.
// Ring:       positions count slots from the job's start on, modulo 2**PosBits. Slots behind
//             freed_i may be overwritten; nothing is written that would reach around to it.
// start_i is taken while idle_o is high; job_i must be stable from then on.

`include "casc_assert.svh"

module act_store
  import act_job_pkg::*;
#(
    parameter  int unsigned SlotBits  = 8,     // 2, 4, 8 or 16
    parameter  int unsigned Slots     = 4096,  // of the buffer, a power of two
    parameter  int unsigned DataBits  = 64,    // 64 or 128
    localparam int unsigned PosBits   = $clog2(Slots) + 2,
    localparam int unsigned BeatSlots = DataBits / SlotBits,
    localparam int unsigned BeatBits  = $clog2(Slots / BeatSlots)
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic     start_i,
    input  act_job_t job_i,
    output logic     idle_o,

    input  logic       tag_valid_i,
    output logic       tag_ready_o,
    input  fetch_tag_t tag_i,

    input  logic                data_valid_i,
    output logic                data_ready_o,
    input  logic [DataBits-1:0] data_i,

    input  logic [PosBits-1:0] freed_i,
    output logic [PosBits-1:0] stored_o,
    output logic               blocked_o,  // waits for room

    output logic                write_en_o,
    output logic [BeatBits-1:0] write_beat_o,
    output logic [DataBits-1:0] write_data_o
);

  import cascade_pkg::*;

  localparam int unsigned SlotLog = $clog2(SlotBits);
  localparam int unsigned DataLog = $clog2(DataBits);
  localparam int unsigned OffsetBits = $clog2(BeatSlots);
  localparam int unsigned MaxLog = 4;

  `CASC_CHECK_PARAM(slot_bits, SlotBits >= MIN_BITS && SlotBits <= MAX_BITS
      && 1 << SlotLog == SlotBits)
  `CASC_CHECK_PARAM(data_bits, DataBits == 64 || DataBits == 128)
  `CASC_CHECK_PARAM(slots, 1 << $clog2(Slots) == Slots && Slots >= 2 * BeatSlots)

  typedef logic [PosBits-1:0] pos_t;

  logic unused_job;
  assign unused_job = ^job_i;

  // ---------------------------------------------------------------- words of a beat

  // A piece is the words of a beat that one cycle takes: all of them, or where they become wider,
  // as many as fill a beat.

  // A tensor's words: containers, and a beat's words and a piece's. Constants, a cycle behind the job.
  typedef struct packed {
    logic [2:0] from;
    logic [2:0] widest;  // of both containers
    logic [7:0] beat_words;
    logic [7:0] lanes;
    logic       is_signed;
  } tensor_t;

  function automatic tensor_t tensor_of(
      input logic [2:0] container, input logic [2:0] stored, input logic sign);
    logic [2:0] wider;
    wider = (container > stored) ? container : stored;
    return '{
        from: container,
        widest: wider,
        beat_words: 8'(DataBits) >> container,
        lanes: 8'(DataBits) >> wider,
        is_signed: sign
    };
  endfunction

  tensor_t first_tensor_q, second_tensor_q, next_tensor;

  always_ff @(posedge clk_i) begin
    first_tensor_q  <= tensor_of(job_i.container, job_i.store_container, job_i.is_signed);
    second_tensor_q <= tensor_of(job_i.second_container, job_i.store_container, job_i.second_signed);
  end

  assign next_tensor = tag_i.second ? second_tensor_q : first_tensor_q;

  // The command whose words come.
  logic        current_q;
  tensor_t     tensor_q;
  logic        load_ends_q;
  logic [7:0]  word_q;      // the next one's place in its beat
  logic [7:0]  in_piece_q;  // and in its piece: only a command's first piece is begun within
  logic [7:0]  room_q;      // words from there to the piece's end
  logic [14:0] left_q;      // words of the command

  logic [2:0]  to;
  logic [7:0]  count, next_word, next_in_piece;
  logic        take, beat_ends, command_ends;

  assign to            = job_i.store_container;
  assign command_ends  = left_q <= 15'(room_q);
  assign count         = command_ends ? left_q[7:0] : room_q;
  assign next_word     = word_q + room_q;
  assign beat_ends     = command_ends || next_word == tensor_q.beat_words;
  assign next_in_piece = 8'(tag_i.first) & (next_tensor.lanes - 1'b1);

  logic piece_valid_q, piece_ready;

  assign take         = data_valid_i && current_q && piece_ready;
  assign data_ready_o = current_q && piece_ready && beat_ends;
  assign tag_ready_o  = !current_q || (take && command_ends);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      current_q     <= 1'b0;
      piece_valid_q <= 1'b0;
    end else begin
      if (tag_ready_o) current_q <= tag_valid_i;
      if (piece_ready) piece_valid_q <= take;
    end
  end

  always_ff @(posedge clk_i) begin
    if (tag_ready_o) begin
      tensor_q    <= next_tensor;
      load_ends_q <= tag_i.load_ends;
      word_q      <= 8'(tag_i.first);
      in_piece_q  <= next_in_piece;
      room_q      <= next_tensor.lanes - next_in_piece;
      left_q      <= tag_i.words;
    end else if (take) begin
      word_q      <= beat_ends ? '0 : next_word;
      in_piece_q  <= '0;
      room_q      <= tensor_q.lanes;
      left_q      <= left_q - 15'(count);
    end
  end

  // ---------------------------------------------------------------- width

  logic [2:0]          shift;   // which piece of the beat: words before it, over the lanes
  logic [7:0]          part;
  logic [DataBits-1:0] resized;

  assign shift = 3'(DataLog) - tensor_q.widest;
  assign part  = word_q >> shift;

  function automatic int unsigned max_of(input int unsigned a, input int unsigned b);
    return (a > b) ? a : b;
  endfunction

  always_comb begin
    resized = data_i;
    for (int unsigned i = SlotLog; i <= MaxLog; i++) begin
      for (int unsigned o = SlotLog; o <= MaxLog; o++) begin
        if (i != o && tensor_q.from == 3'(i) && to == 3'(o)) begin
          for (int unsigned lane = 0; lane < DataBits >> max_of(i, o); lane++) begin
            for (int unsigned place = 0; place < 1 << o; place++) begin
              resized[(lane<<o)+place] = (place < 1 << i || tensor_q.is_signed) && data_i[DataLog'(
                  (((32'(part) << (DataLog - max_of(i, o))) + lane) << i)
                  + min_of(place, (1 << i) - 1))];
            end
          end
        end
      end
    end
  end

  logic [DataBits-1:0]   piece_data_q;
  logic [OffsetBits-1:0] piece_offset_q;  // its first slot
  logic [OffsetBits:0]   piece_slots_q;
  logic                  piece_ends_q;    // the load's last

  always_ff @(posedge clk_i) begin
    if (piece_ready) begin
      piece_data_q   <= resized;
      piece_offset_q <= OffsetBits'(32'(in_piece_q) << (to - 3'(SlotLog)));
      piece_slots_q  <= (OffsetBits + 1)'(32'(count) << (to - 3'(SlotLog)));
      piece_ends_q   <= load_ends_q && command_ends;
    end
  end

  // ---------------------------------------------------------------- beats of the buffer

  pos_t                    position_q;  // of the next slot
  logic                    flush_q;     // the load's last slots wait in rest_q
  logic [DataBits-1:0]     rest_q;      // the beat that is begun, as far as it has come
  logic [DataBits-1:0]     turned, merged;
  logic [OffsetBits-1:0]   offset, turn;
  logic [OffsetBits:0]     after;       // slots of the beat behind the piece's last one
  pos_t                    next_beat;
  logic                    fits_q, write, overflows;
  logic [BeatSlots-1:0]    kept;        // slots of the beat that rest_q has

  assign offset    = position_q[OffsetBits-1:0];
  assign turn      = piece_offset_q - offset;
  assign after     = (OffsetBits + 1)'(offset) + piece_slots_q;
  assign overflows = after > (OffsetBits + 1)'(BeatSlots);
  assign kept      = flush_q ? '1 : ~({BeatSlots{1'b1}} << offset);
  assign next_beat = {position_q[PosBits-1:OffsetBits] + 1'b1, OffsetBits'(0)};

  // Whether the beat to be written next fits is known from a cycle before: for this one, should it stay,
  // and the next one. In beats, as signed numbers: what is freed may lie ahead.
  localparam int unsigned ReachBits = PosBits - OffsetBits;
  typedef logic [ReachBits-1:0] reach_t;

  reach_t ahead;  // beats from the first one that is not free to this one
  logic   advances, fits_here, fits_behind;

  function automatic logic fits_at(input reach_t distance);
    return distance[ReachBits-1] || distance < ReachBits'(Slots / BeatSlots);
  endfunction

  logic unused_freed;
  assign unused_freed = ^freed_i[OffsetBits-1:0];

  assign ahead       = position_q[PosBits-1:OffsetBits] - freed_i[PosBits-1:OffsetBits];
  assign fits_here   = fits_at(ahead);
  assign fits_behind = fits_at(ahead + 1'b1);
  assign advances    = write && (flush_q || piece_ends_q || after >= (OffsetBits + 1)'(BeatSlots));

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) fits_q <= 1'b1;
    else fits_q <= advances ? fits_behind : fits_here;
  end

  for (genvar slot = 0; slot < BeatSlots; slot++) begin : gen_slot
    logic [OffsetBits-1:0] source;
    assign source = OffsetBits'(slot) + turn;
    assign turned[slot*SlotBits+:SlotBits] = piece_data_q[source*SlotBits+:SlotBits];
    assign merged[slot*SlotBits+:SlotBits] = kept[slot]
        ? rest_q[slot*SlotBits+:SlotBits] : turned[slot*SlotBits+:SlotBits];
  end

  assign write       = (flush_q || piece_valid_q) && fits_q;
  assign piece_ready = !flush_q && (!piece_valid_q || fits_q);
  assign blocked_o   = (flush_q || piece_valid_q) && !fits_here;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      position_q <= '0;
      stored_o   <= '0;
      flush_q    <= 1'b0;
    end else if (write) begin
      flush_q <= !flush_q && piece_ends_q && overflows;
      if (flush_q || (piece_ends_q && !overflows)) begin
        position_q <= next_beat;
        stored_o   <= next_beat;
      end else begin
        position_q <= position_q + PosBits'(piece_slots_q);
        stored_o   <= (after >= (OffsetBits + 1)'(BeatSlots))
            ? next_beat : position_q + PosBits'(piece_slots_q);
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (write) rest_q <= overflows ? turned : merged;
  end

  assign write_en_o   = write;
  assign write_beat_o = position_q[OffsetBits+:BeatBits];
  assign write_data_o = merged;
  assign idle_o       = !current_q && !piece_valid_q && !flush_q;

  `CASC_ASSERT_STREAM(Data, data_valid_i, data_ready_o, data_i)
  `CASC_ASSERT_STREAM(Tag, tag_valid_i, tag_ready_o, tag_i)
  `CASC_ASSERT(StartIdle, !start_i || idle_o)
  `CASC_ASSERT(ContainersLegal, !take || (tensor_q.from >= 3'(SlotLog) && tensor_q.from <= 3'(MaxLog)
      && to >= 3'(SlotLog) && to <= 3'(MaxLog)))

endmodule
