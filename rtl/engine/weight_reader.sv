// SPDX-License-Identifier: Apache-2.0
//
// Weight reader: fetches a layer's weight planes and gives the MM unit its weights, a column of TP
// words a beat, in the order of docs/engine.md.
//
//   weight_runs -> plane_commands -> memory -> weight_planes -> weight_truncate -> ring (word_ram)
//                                                              weight_player  ------^    -> columns
//
// Join = 1 is the HPU's: both planes, whole words. Join = 0 is the LPU's: the high plane only, its
// digits saturated to WeightBits. The ring holds weights as densely as memory does; a column tile is
// replayed from it for every row tile while the next one is loaded, as far as there is room. Layers
// whose tile does not fit come in segments of depth, again for every row tile (weight_runs).
//
// Jobs (ready/valid) follow each other without a gap: the next one's weights are loaded while the
// last one's are used. layer_i must be stable from a job's offer until idle_o.
// fits_o says, for layer_i, that the buffer holds a column tile, or a segment of one.
//
// Throughput: a column a cycle from the ring. Loading: a block of 128 weights in the longer of
//             128 / RowWords cycles and its beats, (high + low bits) * 128 / DataBits.
// Latency:    2 cycles from a column's address to its words; its address is given as soon as its own
//             words are stored, before the rest of the tile is.
// Numbers:    see weight_planes and weight_truncate. Words beyond the depth and columns that a tile
//             lacks are 0.

`include "casc_assert.svh"

module weight_reader
  import cascade_pkg::*;
  import descriptor_pkg::*;
  import engine_pkg::*;
#(
    parameter int unsigned TR          = 8,     // 1..
    parameter int unsigned TP          = 4,     // 1..128
    parameter int unsigned TC          = 4,     // 1..255
    parameter int unsigned StoredBits  = 8,     // 2..16: of the words in memory
    parameter int unsigned WeightBits  = 8,     // 2..StoredBits; Join = 1: StoredBits
    parameter int unsigned BufferWords = 4096,  // a power of two of rows: 512..2**24 words
    parameter int unsigned DataBits    = 64,    // 64 or 128
    parameter bit          Join        = 1'b1
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic        job_valid_i,
    output logic        job_ready_o,
    input  descriptor_t layer_i,
    input  addr_t       high_base_i,  // these three belong to the job
    input  addr_t       low_base_i,
    input  logic [31:0] rows_i,
    output logic        fits_o,
    output logic        idle_o,

    output logic                  high_cmd_valid_o,
    input  logic                  high_cmd_ready_i,
    output addr_t                 high_cmd_addr_o,
    output logic [BEATS_BITS-1:0] high_cmd_beats_o,
    input  logic                  high_data_valid_i,
    output logic                  high_data_ready_o,
    input  logic [DataBits-1:0]   high_data_i,

    output logic                  low_cmd_valid_o,
    input  logic                  low_cmd_ready_i,
    output addr_t                 low_cmd_addr_o,
    output logic [BEATS_BITS-1:0] low_cmd_beats_o,
    input  logic                  low_data_valid_i,
    output logic                  low_data_ready_o,
    input  logic [DataBits-1:0]   low_data_i,

    output logic                          weight_valid_o,
    input  logic                          weight_ready_i,
    output logic [TP-1:0][WeightBits-1:0] weight_data_o
);

  localparam int unsigned RowWords = 1 << index_bits(TP);
  localparam int unsigned Rows     = BufferWords / RowWords;
  localparam int unsigned Parts    = WEIGHT_BLOCK / RowWords;  // rows of a block
  localparam int unsigned PartBits = index_bits(Parts);
  localparam int unsigned RunBits  = 26;
  localparam int unsigned CountBits = $clog2(StoredBits + 1);

  `CASC_CHECK_PARAM(tp, TP >= 1 && TP <= 128)
  `CASC_CHECK_PARAM(stored_bits, StoredBits >= MIN_BITS && StoredBits <= MAX_BITS)
  `CASC_CHECK_PARAM(weight_bits, WeightBits >= MIN_BITS && WeightBits <= StoredBits)
  `CASC_CHECK_PARAM(joined, !Join || WeightBits == StoredBits)
  `CASC_CHECK_PARAM(buffer, BufferWords >= 512 && BufferWords <= (1 << 24)
      && (BufferWords & (BufferWords - 1)) == 0)

  // ---------------------------------------------------------------- jobs

  // Three take a job: who says which blocks, and who gives out columns. Bases stay for the commands.
  logic  runs_ready, player_ready, player_busy, slot_valid_q, high_idle, low_idle, commands_idle;
  logic  [31:0] slot_rows_q;
  addr_t high_base_q, low_base_q;

  assign job_ready_o = runs_ready && !slot_valid_q && commands_idle;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) slot_valid_q <= 1'b0;
    else if (job_valid_i && job_ready_o) slot_valid_q <= 1'b1;
    else if (player_ready) slot_valid_q <= 1'b0;
  end

  always_ff @(posedge clk_i) begin
    if (job_valid_i && job_ready_o) begin
      slot_rows_q <= rows_i;
      high_base_q <= high_base_i;
      low_base_q  <= low_base_i;
    end
  end

  // A tile may begin and end within blocks; of a segment every column may.
  localparam int unsigned Spare = 2 * WEIGHT_BLOCK;
  assign fits_o = (layer_i.segments > 16'd1)
      ? (32'(layer_i.segment_depth) + Spare) * TC <= BufferWords
      : layer_i.tile_weights <= BufferWords - Spare;

  // ---------------------------------------------------------------- commands

  logic               run_valid, run_ready, high_run_ready, low_run_ready;
  logic [RunBits-1:0] run_first, run_count;

  assign commands_idle = high_idle && low_idle;
  assign run_ready     = high_run_ready && low_run_ready;

  weight_runs #(
      .TR(TR),
      .TC(TC),
      .RunBits(RunBits)
  ) u_runs (
      .clk_i,
      .rst_ni,
      .job_valid_i(job_valid_i && job_ready_o),
      .job_ready_o(runs_ready),
      .layer_i,
      .rows_i,
      .run_valid_o(run_valid),
      .run_ready_i(run_ready),
      .run_first_o(run_first),
      .run_count_o(run_count)
  );

  plane_commands #(
      .DataBits(DataBits),
      .RunBits(RunBits)
  ) u_high_commands (
      .clk_i,
      .rst_ni,
      .run_valid_i(run_valid && low_run_ready),
      .run_ready_o(high_run_ready),
      .first_i    (run_first),
      .count_i    (run_count),
      .bits_i     (layer_i.weight_high_bits),
      .base_i     (high_base_q),
      .cmd_valid_o(high_cmd_valid_o),
      .cmd_ready_i(high_cmd_ready_i),
      .cmd_addr_o (high_cmd_addr_o),
      .cmd_beats_o(high_cmd_beats_o),
      .idle_o     (high_idle)
  );

  // An LPU's low planes have no bits to fetch.
  plane_commands #(
      .DataBits(DataBits),
      .RunBits(RunBits)
  ) u_low_commands (
      .clk_i,
      .rst_ni,
      .run_valid_i(run_valid && high_run_ready),
      .run_ready_o(low_run_ready),
      .first_i    (run_first),
      .count_i    (run_count),
      .bits_i     (Join ? layer_i.weight_low_bits : '0),
      .base_i     (low_base_q),
      .cmd_valid_o(low_cmd_valid_o),
      .cmd_ready_i(low_cmd_ready_i),
      .cmd_addr_o (low_cmd_addr_o),
      .cmd_beats_o(low_cmd_beats_o),
      .idle_o     (low_idle)
  );

  // ---------------------------------------------------------------- planes to words

  logic                                    block_valid, block_ready, cut_valid, cut_ready;
  logic [WEIGHT_BLOCK-1:0][StoredBits-1:0] block_words;
  logic [WEIGHT_BLOCK-1:0][WeightBits-1:0] cut_words;

  weight_planes #(
      .BeatBits(DataBits),
      .MaxBits (StoredBits),
      .Join(Join)
  ) u_planes (
      .clk_i,
      .rst_ni,
      .high_bits_i (CountBits'(layer_i.weight_high_bits)),
      .low_bits_i  (Join ? CountBits'(layer_i.weight_low_bits) : '0),
      .high_valid_i(high_data_valid_i),
      .high_ready_o(high_data_ready_o),
      .high_data_i,
      .low_valid_i (low_data_valid_i),
      .low_ready_o (low_data_ready_o),
      .low_data_i,
      .out_valid_o (block_valid),
      .out_ready_i (block_ready),
      .out_words_o (block_words)
  );

  weight_truncate #(
      .Lanes  (WEIGHT_BLOCK),
      .InBits (StoredBits),
      .OutBits(WeightBits)
  ) u_truncate (
      .clk_i,
      .rst_ni,
      .shift_i    ('0),
      .unsigned_i (1'b0),
      .in_valid_i (block_valid),
      .in_ready_o (block_ready),
      .in_words_i (block_words),
      .out_valid_o(cut_valid),
      .out_ready_i(cut_ready),
      .out_words_o(cut_words)
  );

  // ---------------------------------------------------------------- ring

  localparam int unsigned RowBits  = $clog2(Rows);
  localparam int unsigned AddrBits = $clog2(BufferWords);
  localparam int unsigned PosBits  = AddrBits + 2;

  typedef logic [PosBits-1:0] pos_t;  // words since reset, modulo 2**PosBits

  pos_t                stored_q, stored_d, freed, word;
  logic signed [PosBits-1:0] held;
  logic                unused_word;
  logic [PartBits-1:0] part_q;
  logic                last_part_q;  // it is the block's last
  logic                room_q, store;
  logic [7:0]          live, live_q, live_qq;
  logic                missing, missing_q, missing_qq;
  logic                read_valid, valid_q, valid_qq, enable;
  logic [TP-1:0][WeightBits-1:0] words;

  assign unused_word = ^word[PosBits-1:AddrBits];

  // Negative while the rest of a block is stored whose words were all used.
  assign held      = $signed(stored_d - freed);
  assign stored_d  = store ? stored_q + PosBits'(RowWords) : stored_q;
  assign store     = cut_valid && room_q;
  assign cut_ready = room_q && last_part_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      stored_q <= '0;
      part_q   <= '0;
      room_q   <= 1'b0;
      last_part_q <= Parts == 1;
    end else begin
      stored_q <= stored_d;
      room_q   <= held <= $signed(PosBits'(BufferWords - RowWords));
      if (store) begin
        part_q      <= last_part_q ? '0 : part_q + 1'b1;
        last_part_q <= Parts == 1 || (!last_part_q && 32'(part_q) == Parts - 2);
      end
    end
  end

  weight_player #(
      .TR(TR),
      .TP(TP),
      .TC(TC),
      .PosBits(PosBits)
  ) u_player (
      .clk_i,
      .rst_ni,
      .job_valid_i(slot_valid_q),
      .job_ready_o(player_ready),
      .layer_i,
      .rows_i     (slot_rows_q),
      .busy_o     (player_busy),
      .stored_i   (stored_q),
      .freed_o    (freed),
      .valid_o    (read_valid),
      .ready_i    (enable),
      .word_o     (word),
      .live_o     (live),
      .missing_o  (missing)
  );

  word_ram #(
      .Words   (TP),
      .WordBits(WeightBits),
      .Rows    (Rows)
  ) u_ring (
      .clk_i,
      .en_i         (enable),
      .read_addr_i  (word[AddrBits-1:0]),
      .read_words_o (words),
      .write_en_i   (store),
      .write_row_i  (RowBits'(stored_q / RowWords)),
      .write_words_i(cut_words[part_q*RowWords+:RowWords])
  );

  assign enable = !valid_qq || weight_ready_i;
  assign weight_valid_o = valid_qq;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) {valid_qq, valid_q} <= '0;
    else if (enable) {valid_qq, valid_q} <= {valid_q, read_valid};
  end

  always_ff @(posedge clk_i) begin
    if (enable) begin
      {live_qq, live_q}       <= {live_q, live};
      {missing_qq, missing_q} <= {missing_q, missing};
    end
  end

  for (genvar lane = 0; lane < TP; lane++) begin : gen_lane
    assign weight_data_o[lane] = (missing_qq || 8'(unsigned'(lane)) >= live_qq) ? '0 : words[lane];
  end

  assign idle_o = runs_ready && commands_idle && !slot_valid_q && !player_busy && !valid_q
      && !valid_qq;

  `CASC_ASSERT_STREAM(Weight, weight_valid_o, weight_ready_i, weight_data_o)
  `CASC_ASSERT(RingHolds, held <= $signed(PosBits'(BufferWords)))
  `CASC_ASSERT(TakenJobFits, !(job_valid_i && job_ready_o) || fits_o)

endmodule
