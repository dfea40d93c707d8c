// SPDX-License-Identifier: Apache-2.0
//
// CNN engine: runs a network, step by step, from descriptors in memory (docs/engine.md). The low- and
// the high-precision unit are this module with other parameters.
//
// Control, images and the list: see engine_sequencer. A run of the network on images_i images is
// started with start_i; done_o and error_o tell its end. cycles_o says what the cycles of the run were
// spent on (engine_counters).
// Memory: five read clients (descriptors; activations; high and low weight planes, the low one of the
// high-precision unit only; channel records and tables) and the writer's port.
//
// Numbers: every word in memory equals the emulator's (toolflow/emulator/reference.py), bit for bit.
// Cycles:  a step takes the longest of what its parts take (their headers), and their latencies;
//          toolflow/hardware/engine_cycles.py says how many.

`include "casc_assert.svh"

module cnn_engine
  import cascade_pkg::*;
  import descriptor_pkg::*;
  import engine_pkg::*;
#(
    parameter  int unsigned TR           = 8,     // 1..4096: tile sizes
    parameter  int unsigned TP           = 4,     // 1..128
    parameter  int unsigned TC           = 4,     // 1..255
    parameter  int unsigned DspPes       = TC,    // 0..TC: columns that multiply in DSP blocks
    parameter  int unsigned PackColumns  = 1,     // 1..: columns that share a DSP block
    parameter  int unsigned DspBits      = 25,    // 18..27: the DSP block's wide operand
    parameter  int unsigned WeightBits   = 8,     // 2..StoredBits; Lpu = 0: StoredBits
    parameter  int unsigned ActBits      = 8,     // 2..16
    parameter  int unsigned AccBits      = 32,    // 8..46: products' accumulators
    parameter  int unsigned VectorBits   = 46,    // 32..46: sums and products of the vector unit
    parameter  int unsigned StoredBits   = 8,     // 2..16: weights in memory
    parameter  int unsigned WeightWords  = 4096,  // weight buffer
    parameter  int unsigned ActWords     = 4096,  // activation buffer
    parameter  int unsigned OutputRows   = (TR < 256) ? TR : 256,  // 1..: rows that wait to be written
    parameter  int unsigned PoolWidth    = 0,     // pixels of a pooled line; 0: products are not pooled
    parameter  int unsigned VectorLanes  = 8,     // 4..32, a multiple of 4
    parameter  int unsigned DataBits     = 64,    // 64 or 128: memory port
    parameter  int unsigned MaxImages    = 64,    // 1..4096: of a run
    parameter  bit          Lpu          = 1'b0,  // weights are high planes, biases are corrected
    parameter  bit          LeakySupport = 1'b1,
    parameter  int unsigned LrnSize      = 0,     // 0: no normalisation; else 3..15, odd: widest window
    localparam int unsigned ImageBits    = index_bits(MaxImages),
    localparam int unsigned CountBits    = $clog2(MaxImages + 1)
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic                 start_i,
    input  logic                 stop_i,
    input  logic                 bus_error_i,
    input  logic [CountBits-1:0] images_i,
    input  logic [15:0]          layers_i,
    input  bases_t               bases_i,
    input  logic                 use_list_i,
    output logic                 busy_o,
    output logic                 done_o,
    output error_e               error_o,
    output logic [15:0]          error_layer_o,
    output cycles_t              cycles_o,
    output logic                 layer_done_o,
    output logic [15:0]          layer_index_o,
    output logic [31:0]          layer_cycles_o,

    input logic                 list_write_i,
    input logic [ImageBits-1:0] list_index_i,
    input addr_t                list_addr_i,

    output logic                  descriptor_cmd_valid_o,
    input  logic                  descriptor_cmd_ready_i,
    output addr_t                 descriptor_cmd_addr_o,
    output logic [BEATS_BITS-1:0] descriptor_cmd_beats_o,
    input  logic                  descriptor_data_valid_i,
    output logic                  descriptor_data_ready_o,
    input  logic [DataBits-1:0]   descriptor_data_i,

    output logic                  act_cmd_valid_o,
    input  logic                  act_cmd_ready_i,
    output addr_t                 act_cmd_addr_o,
    output logic [BEATS_BITS-1:0] act_cmd_beats_o,
    input  logic                  act_data_valid_i,
    output logic                  act_data_ready_o,
    input  logic [DataBits-1:0]   act_data_i,

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

    output logic                  record_cmd_valid_o,
    input  logic                  record_cmd_ready_i,
    output addr_t                 record_cmd_addr_o,
    output logic [BEATS_BITS-1:0] record_cmd_beats_o,
    input  logic                  record_data_valid_i,
    output logic                  record_data_ready_o,
    input  logic [DataBits-1:0]   record_data_i,

    output logic                  wr_valid_o,
    input  logic                  wr_ready_i,
    output addr_t                 wr_addr_o,
    output logic [DataBits-1:0]   wr_data_o,
    output logic [DataBits/8-1:0] wr_strb_o,
    output logic                  wr_last_o,
    input  logic                  wr_idle_i
);

  `CASC_CHECK_PARAM(lrn_size, LrnSize == 0 || (LrnSize % 2 == 1 && LrnSize >= 3 && LrnSize <= 15))
  `CASC_CHECK_PARAM(vector_lanes, VectorLanes >= 4 && VectorLanes <= 32 && VectorLanes % 4 == 0)

  // ---------------------------------------------------------------- sequencer

  descriptor_t          layer;
  addresses_t           addresses;
  logic [CountBits-1:0] images;
  logic                 running, layer_fits, read_fits, weights_fit, parts_idle;
  logic                 read_valid, read_ready, weight_job_valid, weight_job_ready;
  logic                 record_job_valid, record_job_ready, write_job_valid, write_job_ready;
  logic                 table_valid, table_ready;
  logic                 is_product, is_lrn, pooled;
  logic [31:0]          rows, weight_rows, record_rows;
  logic [15:0]          write_column_tiles;
  logic [7:0]           write_last_columns;

  assign is_product = layer.op inside {8'(OP_CONV), 8'(OP_DENSE)};
  assign is_lrn     = layer.op == 8'(OP_LRN);
  assign pooled     = layer.pool_size > 4'd1;
  assign rows       = (layer.op == 8'(OP_DENSE)) ? 32'(images) : layer.rows;
  assign layer_fits = read_fits && (!is_product || weights_fit) && (!is_lrn || 32'(layer.window) <= LrnSize)
      && (LeakySupport || !layer.leaky) && (!pooled || 32'(layer.pool_width) <= PoolWidth);

  engine_sequencer #(
      .TP        (TP),
      .TC        (TC),
      .StoredBits(StoredBits),
      .DataBits  (DataBits),
      .MaxImages (MaxImages)
  ) u_sequencer (
      .clk_i,
      .rst_ni,
      .start_i,
      .stop_i,
      .bus_error_i,
      .images_i,
      .layers_i,
      .bases_i,
      .use_list_i,
      .busy_o,
      .done_o,
      .error_o,
      .error_layer_o,
      .list_write_i,
      .list_index_i,
      .list_addr_i,
      .cmd_valid_o   (descriptor_cmd_valid_o),
      .cmd_ready_i   (descriptor_cmd_ready_i),
      .cmd_addr_o    (descriptor_cmd_addr_o),
      .cmd_beats_o   (descriptor_cmd_beats_o),
      .data_valid_i  (descriptor_data_valid_i),
      .data_ready_o  (descriptor_data_ready_o),
      .data_i        (descriptor_data_i),
      .layer_o       (layer),
      .addresses_o   (addresses),
      .images_o      (images),
      .weight_rows_o (weight_rows),
      .record_rows_o (record_rows),
      .write_column_tiles_o(write_column_tiles),
      .write_last_columns_o(write_last_columns),
      .layer_fits_i  (layer_fits),
      .running_o     (running),
      .table_valid_o (table_valid),
      .table_ready_i (table_ready),
      .read_valid_o  (read_valid),
      .read_ready_i  (read_ready),
      .weight_valid_o(weight_job_valid),
      .weight_ready_i(weight_job_ready),
      .record_valid_o(record_job_valid),
      .record_ready_i(record_job_ready),
      .write_valid_o (write_job_valid),
      .write_ready_i (write_job_ready),
      .parts_idle_i  (parts_idle),
      .layer_done_o,
      .layer_index_o,
      .layer_cycles_o
  );

  // ---------------------------------------------------------------- activations

  act_job_pkg::act_job_t job;

  act_job_maker #(
      .TR         (TR),
      .ActBits    (ActBits),
      .BufferSlots(ActWords),
      .DataBits   (DataBits),
      .MaxImages  (MaxImages)
  ) u_job_maker (
      .clk_i,
      .layer_i    (layer),
      .addresses_i(addresses),
      .images_i   (images),
      .job_o      (job),
      .fits_o     (read_fits)
  );

  localparam int unsigned WordsBits = $clog2(VectorLanes + 1);

  logic                                   act_valid, act_ready, act_first, act_last;
  logic                                   act_tile_last, act_signed;
  logic [TP-1:0][ActBits-1:0]             act_data;
  logic                                   vec_valid, vec_ready, vec_first, vec_last, vec_pad;
  logic                                   vec_second, vec_signed, vec_last_chunk;
  logic [15:0]                            vec_chunk;
  logic [WordsBits-1:0]                   vec_words;
  logic [VectorLanes-1:0][LOGIT_BITS-1:0] vec_data;
  logic                                   act_error, act_idle;

  act_reader #(
      .TP         (TP),
      .ActBits    (ActBits),
      .VectorLanes(VectorLanes),
      .BufferSlots(ActWords),
      .DataBits   (DataBits)
  ) u_act_reader (
      .clk_i,
      .rst_ni,
      .job_valid_i    (read_valid),
      .job_ready_o    (read_ready),
      .job_i          (job),
      .error_o        (act_error),
      .idle_o         (act_idle),
      .cmd_valid_o    (act_cmd_valid_o),
      .cmd_ready_i    (act_cmd_ready_i),
      .cmd_addr_o     (act_cmd_addr_o),
      .cmd_beats_o    (act_cmd_beats_o),
      .data_valid_i   (act_data_valid_i),
      .data_ready_o   (act_data_ready_o),
      .data_i         (act_data_i),
      .act_valid_o    (act_valid),
      .act_ready_i    (act_ready),
      .act_data_o     (act_data),
      .act_first_o    (act_first),
      .act_last_o     (act_last),
      .act_tile_last_o(act_tile_last),
      .act_signed_o   (act_signed),
      .vec_valid_o     (vec_valid),
      .vec_ready_i     (vec_ready),
      .vec_data_o      (vec_data),
      .vec_first_o     (vec_first),
      .vec_last_o      (vec_last),
      .vec_pad_o       (vec_pad),
      .vec_second_o    (vec_second),
      .vec_signed_o    (vec_signed),
      .vec_last_chunk_o(vec_last_chunk),
      .vec_chunk_o     (vec_chunk),
      .vec_words_o     (vec_words)
  );

  // ---------------------------------------------------------------- weights

  logic                          weight_valid, weight_ready, weight_idle;
  logic [TP-1:0][WeightBits-1:0] weight_data;

  weight_reader #(
      .TR         (TR),
      .TP         (TP),
      .TC         (TC),
      .StoredBits (StoredBits),
      .WeightBits (WeightBits),
      .BufferWords(WeightWords),
      .DataBits   (DataBits),
      .Join       (!Lpu)
  ) u_weight_reader (
      .clk_i,
      .rst_ni,
      .job_valid_i(weight_job_valid),
      .job_ready_o(weight_job_ready),
      .layer_i    (layer),
      .high_base_i(addresses.weights),
      .low_base_i (addresses.weights_low),
      .rows_i     (weight_rows),
      .fits_o     (weights_fit),
      .idle_o     (weight_idle),
      .high_cmd_valid_o,
      .high_cmd_ready_i,
      .high_cmd_addr_o,
      .high_cmd_beats_o,
      .high_data_valid_i,
      .high_data_ready_o,
      .high_data_i,
      .low_cmd_valid_o,
      .low_cmd_ready_i,
      .low_cmd_addr_o,
      .low_cmd_beats_o,
      .low_data_valid_i,
      .low_data_ready_o,
      .low_data_i,
      .weight_valid_o(weight_valid),
      .weight_ready_i(weight_ready),
      .weight_data_o (weight_data)
  );

  // ---------------------------------------------------------------- products

  logic                       acc_valid, acc_ready;
  logic [TC-1:0][AccBits-1:0] acc_data;

  mm_unit #(
      .TR        (TR),
      .TP        (TP),
      .TC        (TC),
      .WeightBits(WeightBits),
      .ActBits   (ActBits),
      .AccBits   (AccBits),
      .DspPes    (DspPes),
      .PackColumns(PackColumns),
      .DspBits   (DspBits)
  ) u_mm_unit (
      .clk_i,
      .rst_ni,
      .weight_valid_i (weight_valid),
      .weight_ready_o (weight_ready),
      .weight_data_i  (weight_data),
      .act_valid_i    (act_valid),
      .act_ready_o    (act_ready),
      .act_data_i     (act_data),
      .act_first_i    (act_first),
      .act_last_i     (act_last),
      .act_tile_last_i(act_tile_last),
      .act_signed_i   (act_signed),
      .out_valid_o    (acc_valid),
      .out_ready_i    (acc_ready),
      .out_data_o     (acc_data)
  );

  logic                         product_valid, product_ready, record_idle;
  logic [TC-1:0][MAX_BITS-1:0]  product_words;
  logic                         records_cmd_valid, records_cmd_ready, records_data_ready;
  addr_t                        records_cmd_addr;
  logic [BEATS_BITS-1:0]        records_cmd_beats;

  product_scaler #(
      .TC          (TC),
      .AccBits     (AccBits),
      .ActBits     (ActBits),
      .DataBits    (DataBits),
      .Corrected   (Lpu),
      .LeakySupport(LeakySupport)
  ) u_scaler (
      .clk_i,
      .rst_ni,
      .job_valid_i (record_job_valid),
      .job_ready_o (record_job_ready),
      .layer_i     (layer),
      .base_i      (addresses.records),
      .rows_i      (record_rows),
      .idle_o      (record_idle),
      .cmd_valid_o (records_cmd_valid),
      .cmd_ready_i (records_cmd_ready),
      .cmd_addr_o  (records_cmd_addr),
      .cmd_beats_o (records_cmd_beats),
      .data_valid_i(record_data_valid_i && !table_valid),
      .data_ready_o(records_data_ready),
      .data_i      (record_data_i),
      .acc_valid_i (acc_valid),
      .acc_ready_o (acc_ready),
      .acc_data_i  (acc_data),
      .out_valid_o (product_valid),
      .out_ready_i (product_ready),
      .out_words_o (product_words)
  );

  logic                        pooled_valid, pooled_ready, pool_idle;
  logic [TC-1:0][MAX_BITS-1:0] pooled_words;

  if (PoolWidth > 0) begin : gen_pool
    row_pool #(
        .Lanes(TC),
        .Bits (ActBits),
        .Width(PoolWidth)
    ) u_pool (
        .clk_i,
        .rst_ni,
        .size_i     (layer.pool_size),
        .overlaps_i (layer.pool_overlaps),
        .pad_i      (layer.pool_pad),
        .line_i     (layer.pool_line),
        .rows_i     (layer.rows),
        .width_i    (layer.pool_width),
        .height_i   (layer.pool_height),
        .signed_i   (layer.pool_signed),
        .idle_o     (pool_idle),
        .in_valid_i (product_valid),
        .in_ready_o (product_ready),
        .in_words_i (product_words),
        .out_valid_o(pooled_valid),
        .out_ready_i(pooled_ready),
        .out_words_o(pooled_words)
    );
  end else begin : gen_no_pool
    assign pool_idle     = 1'b1;
    assign pooled_valid  = product_valid;
    assign product_ready = pooled_ready;
    assign pooled_words  = product_words;
  end

  // A tile's rows all come with its last chunk: they are written while the next tile is worked on.
  logic                        row_valid, row_ready;
  logic [TC-1:0][MAX_BITS-1:0] row_words;

  fifo #(
      .Width(TC * MAX_BITS),
      .Depth(OutputRows)
  ) u_rows (
      .clk_i,
      .rst_ni,
      .in_valid_i (pooled_valid),
      .in_ready_o (pooled_ready),
      .in_data_i  (pooled_words),
      .out_valid_o(row_valid),
      .out_ready_i(row_ready),
      .out_data_o (row_words)
  );

  // ---------------------------------------------------------------- vectors

  logic                                 vector_valid, vector_ready;
  logic [VectorLanes-1:0][MAX_BITS-1:0] vector_words;
  logic                                 plain_in_ready, plain_valid, plain_ready;
  logic [VectorLanes-1:0][MAX_BITS-1:0] plain_words;

  vector_unit #(
      .Lanes       (VectorLanes),
      .InBits      (LOGIT_BITS),
      .ActBits     (ActBits),
      .OutBits     (MAX_BITS),
      .AccBits     (VectorBits),
      .LeakySupport(LeakySupport)
  ) u_vector_unit (
      .clk_i,
      .rst_ni,
      .op_i            (layer.op),
      .in_signed_i     (layer.in_signed),
      .second_signed_i (layer.second_signed),
      .zero_in_i       (layer.zero_in),
      .zero_second_i   (layer.zero_second),
      .align_first_i   (layer.align_first),
      .align_second_i  (layer.align_second),
      .count_pad_i     (layer.count_pad),
      .shift_i         (shift_t'(layer.shift)),
      .low_i           (layer.low),
      .high_i          (layer.high),
      .zero_out_i      (layer.zero_out[ActBits-1:0]),
      .out_wide_i      (layer.out_wide),
      .leaky_i         (layer.leaky),
      .slope_mantissa_i(layer.slope_mantissa),
      .slope_shift_i   (shift_t'(layer.slope_shift)),
      .in_valid_i      (vec_valid && !is_lrn),
      .in_ready_o      (plain_in_ready),
      .in_words_i      (vec_data),
      .in_first_i      (vec_first),
      .in_last_i       (vec_last),
      .in_pad_i        (vec_pad),
      .in_second_i     (vec_second),
      .out_valid_o     (plain_valid),
      .out_ready_i     (plain_ready),
      .out_words_o     (plain_words)
  );

  assign plain_ready = vector_ready && !is_lrn;

  if (LrnSize != 0) begin : gen_lrn
    logic                                 normal_in_ready, normal_valid, normal_last;
    logic [VectorLanes-1:0][MAX_BITS-1:0] normal_words;
    logic [VectorLanes-1:0][ActBits-1:0]  narrow_words;
    logic                                 lrn_idle, table_write;
    logic [lrn_pkg::ENTRY_BITS-1:0]       table_index;
    lrn_pkg::entry_t                      table_entry;
    lrn_pkg::settings_t                   settings;
    logic                                 table_cmd_valid, table_data_ready;
    addr_t                                table_cmd_addr;
    logic [BEATS_BITS-1:0]                table_cmd_beats;
    logic                                 unused_last;

    assign unused_last = normal_last;
    assign settings = '{
        half:      layer.window[3:1],
        floor:     layer.table_floor,
        shift:     shift_t'(layer.shift),
        is_signed: layer.in_signed,
        zero_in:   layer.zero_in,
        zero_out:  layer.zero_out,
        low:       layer.low,
        high:      layer.high
    };

    for (genvar lane = 0; lane < VectorLanes; lane++) begin : gen_lane
      assign narrow_words[lane] = vec_data[lane][ActBits-1:0];
    end

    // Records' port is the table's while it is read; no products are under way then.
    lrn_table_reader #(
        .DataBits(DataBits)
    ) u_table_reader (
        .clk_i,
        .rst_ni,
        .job_valid_i  (table_valid),
        .job_ready_o  (table_ready),
        .job_base_i   (addresses.records),
        .cmd_valid_o  (table_cmd_valid),
        .cmd_ready_i  (record_cmd_ready_i),
        .cmd_addr_o   (table_cmd_addr),
        .cmd_beats_o  (table_cmd_beats),
        .data_valid_i (record_data_valid_i && table_valid),
        .data_ready_o (table_data_ready),
        .data_i       (record_data_i),
        .table_write_o(table_write),
        .table_index_o(table_index),
        .table_entry_o(table_entry)
    );

    lrn_unit #(
        .VectorLanes(VectorLanes),
        .WordBits   (ActBits),
        .OutBits    (MAX_BITS),
        .MaxSize    (LrnSize)
    ) u_lrn (
        .clk_i,
        .rst_ni,
        .settings_i   (settings),
        .idle_o       (lrn_idle),
        .table_write_i(table_write),
        .table_index_i(table_index),
        .table_entry_i(table_entry),
        .in_valid_i   (vec_valid && is_lrn),
        .in_ready_o   (normal_in_ready),
        .in_last_i    (vec_last_chunk),
        .in_count_i   (vec_words),
        .in_words_i   (narrow_words),
        .out_valid_o  (normal_valid),
        .out_ready_i  (vector_ready && is_lrn),
        .out_last_o   (normal_last),
        .out_words_o  (normal_words)
    );

    assign record_cmd_valid_o  = table_valid ? table_cmd_valid : records_cmd_valid;
    assign record_cmd_addr_o   = table_valid ? table_cmd_addr : records_cmd_addr;
    assign record_cmd_beats_o  = table_valid ? table_cmd_beats : records_cmd_beats;
    assign record_data_ready_o = table_valid ? table_data_ready : records_data_ready;
    assign records_cmd_ready   = record_cmd_ready_i && !table_valid;
    assign vec_ready    = is_lrn ? normal_in_ready : plain_in_ready;
    assign vector_valid = is_lrn ? normal_valid : plain_valid;
    assign vector_words = is_lrn ? normal_words : plain_words;

    `CASC_ASSERT(LrnIdleForTable, !table_write || lrn_idle)
  end else begin : gen_no_lrn
    logic unused_counts;
    assign unused_counts = ^{vec_last_chunk, vec_words, table_valid};

    assign table_ready         = 1'b1;
    assign record_cmd_valid_o  = records_cmd_valid;
    assign record_cmd_addr_o   = records_cmd_addr;
    assign record_cmd_beats_o  = records_cmd_beats;
    assign record_data_ready_o = records_data_ready;
    assign records_cmd_ready   = record_cmd_ready_i;
    assign vec_ready           = plain_in_ready;
    assign vector_valid        = plain_valid;
    assign vector_words        = plain_words;
  end

  logic unused_vector;
  assign unused_vector = ^{vec_signed, vec_chunk};

  // ---------------------------------------------------------------- writer

  logic write_idle;

  output_writer #(
      .TC         (TC),
      .VectorLanes(VectorLanes),
      .DataBits   (DataBits)
  ) u_writer (
      .clk_i,
      .rst_ni,
      .vector_i       (!is_product),
      .container_i    (layer.out_container),
      .rows_i         (pooled ? layer.pool_rows : rows),
      .pitch_i        ((layer.op == 8'(OP_DENSE)) ? layer.out_stride
                                                 : addr_t'(layer.out_pixel_bytes)),
      .groups_i       (layer.groups),
      .channels_i     (layer.out_channels),
      .job_valid_i    (write_job_valid),
      .job_ready_o    (write_job_ready),
      .job_base_i     (addresses.result),
      .job_column_tiles_i(write_column_tiles),
      .job_last_columns_i(write_last_columns),
      .idle_o         (write_idle),
      .product_valid_i(row_valid),
      .product_ready_o(row_ready),
      .product_words_i(row_words),
      .vector_valid_i (vector_valid),
      .vector_ready_o (vector_ready),
      .vector_words_i (vector_words),
      .wr_valid_o,
      .wr_ready_i,
      .wr_addr_o,
      .wr_data_o,
      .wr_strb_o,
      .wr_last_o,
      .wr_idle_i
  );

  // The writer has had every beat, and the last rows of a map that no window wants have come:
  // nothing is left between the readers and it.
  assign parts_idle = act_idle && weight_idle && record_idle && write_idle && pool_idle;

  // ---------------------------------------------------------------- counters

  engine_counters u_counters (
      .clk_i,
      .rst_ni,
      .clear_i    (start_i && !busy_o),
      .count_i    (busy_o),
      .use_i      ((act_valid && act_ready) || (vec_valid && vec_ready)),
      .blocked_i  ((product_valid && !product_ready) || (vector_valid && !vector_ready)),
      .act_valid_i(act_valid || vec_valid),
      .running_i  (running),
      .cycles_o
  );

  `CASC_ASSERT(JobFits, !act_error)
  `CASC_ASSERT(NothingLeft, !layer_done_o
      || !(act_valid || vec_valid || weight_valid || acc_valid || product_valid || row_valid || vector_valid))

endmodule
