// SPDX-License-Identifier: Apache-2.0
//
// Runs a network's steps: reads their descriptors, checks them, and gives every part of the engine
// its jobs, a step for all images before the next step.
//
// A run: start_i while busy_o is low; images_i, layers_i, bases_i, use_list_i are sampled with it.
// busy_o is high until everything is written and nothing is under way; done_o is high in the last
// cycle of it. error_o and error_layer_o say how it ended, until the next start. stop_i or a
// bus_error_i end a run early: jobs that were given are finished, no more are given (but for those of
// a tile-major step, whose weights are all images'); so does a descriptor that is not legal, of which
// no job is given.
//
// Jobs (ready/valid): of a convolution or vector step one an image and part, of a dense layer one in
// all, whose rows are the images; of a normalisation first one for its table, taken when it is read.
// A tile-major convolution does a column tile for all images before the next one: its weights and
// records are one job for all of them, with the first image's; reader and writer get one an image for
// each column tile.
// Joined images (2**images_log of them, one behind the other in memory) are one image here: one job,
// addressed by the first. The last of them may be no image of the run's: the workspace has room.
// An image's jobs are offered together and taken by each part when it likes; the next image's when all
// are taken. layer_o, images_o, weight_rows_o and record_rows_o belong to all jobs of a step,
// addresses_o and write_* to the job that is offered. A part must keep what it needs from taking a
// job: the next image's may follow at once. The next step's jobs follow only when parts_idle_i was
// high with no job offered: then everything is written, and layer_o may change.
//
// Images: number i's stored image is at images + i * in_stride, or with use_list_i at entry i of the
// list (list_write_i), which holds byte addresses.
//
// Cycles: from a step's last written beat to the next one's first job: 6, when its descriptor is
// there (a normalisation's: 7 and what its table's job takes); 2 from an image's last job taken to the
// next one's first.

`include "casc_assert.svh"

module engine_sequencer
  import cascade_pkg::*;
  import descriptor_pkg::*;
  import engine_pkg::*;
#(
    parameter  int unsigned TP           = 4,   // 1..255: tile sizes of the engine
    parameter  int unsigned TC           = 4,   // 1..255
    parameter  int unsigned StoredBits   = 8,   // 2..16: stored weights
    parameter  int unsigned DataBits     = 64,  // 64 or 128: the memory port
    parameter  int unsigned MaxImages    = 64,  // 1..: of a run
    localparam int unsigned ImageBits    = index_bits(MaxImages),
    localparam int unsigned CountBits    = $clog2(MaxImages + 1)
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic                 start_i,
    input  logic                 stop_i,
    input  logic                 bus_error_i,
    input  logic [CountBits-1:0] images_i,  // 1..MaxImages
    input  logic [15:0]          layers_i,  // 1..: descriptors
    input  bases_t               bases_i,
    input  logic                 use_list_i,
    output logic                 busy_o,
    output logic                 done_o,
    output error_e               error_o,
    output logic [15:0]          error_layer_o,

    input logic                 list_write_i,
    input logic [ImageBits-1:0] list_index_i,
    input addr_t                list_addr_i,

    output logic                  cmd_valid_o,
    input  logic                  cmd_ready_i,
    output addr_t                 cmd_addr_o,
    output logic [BEATS_BITS-1:0] cmd_beats_o,
    input  logic                  data_valid_i,
    output logic                  data_ready_o,
    input  logic [DataBits-1:0]   data_i,

    output descriptor_t          layer_o,
    output addresses_t           addresses_o,
    output logic [CountBits-1:0] images_o,       // rows of a dense layer
    output logic [31:0]          weight_rows_o,  // of a job of weights: whole row tiles
    output logic [31:0]          record_rows_o,  // of a job of records
    output logic [15:0]          write_column_tiles_o,  // of a writer's job
    output logic [7:0]           write_last_columns_o,  // of its last column tile
    input  logic                 layer_fits_i,   // layer_o's needs are within the buffers
    output logic                 running_o,      // a step's jobs are under way
    output logic                 table_valid_o,  // normalisation's table
    input  logic                 table_ready_i,
    output logic                 read_valid_o,   // activation reader
    input  logic                 read_ready_i,
    output logic                 weight_valid_o, // weight reader: products only
    input  logic                 weight_ready_i,
    output logic                 record_valid_o, // record reader: products only
    input  logic                 record_ready_i,
    output logic                 write_valid_o,  // output writer
    input  logic                 write_ready_i,
    input  logic                 parts_idle_i,

    output logic        layer_done_o,    // a step ended
    output logic [15:0] layer_index_o,   // which
    output logic [31:0] layer_cycles_o   // from its descriptor's taking to the end of its writing
);

  `CASC_CHECK_PARAM(tp, TP >= 1 && TP <= 255)
  `CASC_CHECK_PARAM(tc, TC >= 1 && TC <= 255)
  `CASC_CHECK_PARAM(stored_bits, StoredBits >= MIN_BITS && StoredBits <= MAX_BITS)
  `CASC_CHECK_PARAM(max_images, MaxImages >= 1 && MaxImages <= 65535)

  typedef enum logic [3:0] {
    Idle,
    Take,     // wait for the step's descriptor
    Settle,   // its checks, and constants that the parts make of it
    Check,    // is it legal
    Address,  // add the bases; look the first image up
    Table,    // normalisation: wait until its table is read
    Look,     // the list's entry is being read
    Issue,    // offer an image's jobs
    Drain,    // wait for everything to be written
    Finish    // drop a descriptor that was read ahead
  } state_e;

  // Who has not taken its job yet.
  typedef struct packed {
    logic read;
    logic weight;
    logic record;
    logic write;
  } jobs_t;

  state_e               state_q, state_d;
  descriptor_t          layer_q;
  addresses_t           addresses_q;
  jobs_t                jobs_q, jobs_left;
  bases_t               bases_q;
  logic                 use_list_q;
  logic [15:0]          layers_q, index_q;
  logic [CountBits-1:0] images_q, image_q, images_left;
  logic [7:0]           joined;     // images of a job
  error_e               error_q, fault, fault_q, ending;
  logic                 ending_q;   // stopped or failed: no more jobs
  logic [31:0]          cycles_q;

  logic        fetch_idle, fetch_valid, fetch_ready;
  descriptor_t fetched;
  logic        begin_run, is_product, is_dense, is_last_image, halting;
  logic        tile_major, first_pass, last_pass, once;
  logic [15:0] pass_q;         // column tile of a tile-major step
  addr_t       pass_offset_q;  // of its first channel
  addr_t       list_addr;

  logic unused_base;  // it is used with start_i only
  assign unused_base = ^bases_q.descriptors;

  assign begin_run     = state_q == Idle && start_i;
  assign is_dense      = layer_q.op == OP_DENSE;
  assign is_product    = is_dense || layer_q.op == OP_CONV;
  assign joined        = 8'd1 << layer_q.images_log;
  assign images_left   = images_q - image_q;
  assign is_last_image = is_dense || 32'(images_left) <= 32'(joined);
  assign halting       = ending_q || stop_i || bus_error_i;
  assign tile_major    = layer_q.tile_major;
  assign first_pass    = pass_q == '0;
  assign last_pass     = !tile_major || pass_q == layer_q.column_tiles - 1'b1;
  // Weights and records are given once a step.
  assign once          = tile_major && !(first_pass && image_q == '0);

  assign jobs_left = '{
      read:   jobs_q.read && !read_ready_i,
      weight: jobs_q.weight && !weight_ready_i,
      record: jobs_q.record && !record_ready_i,
      write:  jobs_q.write && !write_ready_i
  };

  // ---------------------------------------------------------------- descriptors

  descriptor_fetch #(
      .DataBits (DataBits),
      .CountBits(16)
  ) u_fetch (
      .clk_i,
      .rst_ni,
      .start_i    (begin_run),
      .addr_i     (bases_i.descriptors),
      .count_i    (layers_i),
      .cancel_i   (ending_q || state_q == Finish),
      .idle_o     (fetch_idle),
      .cmd_valid_o,
      .cmd_ready_i,
      .cmd_addr_o,
      .cmd_beats_o,
      .data_valid_i,
      .data_ready_o,
      .data_i,
      .out_valid_o     (fetch_valid),
      .out_ready_i     (fetch_ready),
      .out_descriptor_o(fetched)
  );

  assign fetch_ready = state_q == Take || state_q == Finish;

  // What no descriptor of the toolflow's has; layer_q is stable from Settle on.
  logic known, sizes_legal, product_legal;

  assign known = layer_q.op inside {8'(OP_CONV), 8'(OP_DENSE), 8'(OP_MAX_POOL), 8'(OP_AVG_POOL),
                                    8'(OP_ADD), 8'(OP_ACTIVATE), 8'(OP_LRN)};

  function automatic logic container_legal(input logic [2:0] log2_bits);
    return log2_bits >= 3'd1 && log2_bits <= 3'd4;
  endfunction

  assign sizes_legal = layer_q.in_channels != '0 && layer_q.in_height != '0
      && layer_q.in_width != '0 && layer_q.out_channels != '0 && layer_q.out_height != '0
      && layer_q.out_width != '0 && layer_q.kernel_height != '0 && layer_q.kernel_width != '0
      && layer_q.stride_height != '0 && layer_q.stride_width != '0 && layer_q.rows != '0
      && layer_q.shift < 8'd32 && layer_q.slope_shift < 8'd32 && layer_q.low <= layer_q.high
      && container_legal(layer_q.in_container) && container_legal(layer_q.out_container)
      && (layer_q.op != OP_ADD || container_legal(layer_q.second_container));

  assign product_legal = layer_q.groups != '0 && layer_q.group_channels != '0
      && layer_q.columns != '0 && layer_q.column_tiles != '0 && layer_q.chunks != '0
      && layer_q.depth != '0 && layer_q.last_columns != '0 && layer_q.last_chunk != '0
      && layer_q.last_columns <= 8'(TC) && layer_q.last_chunk <= 8'(TP)
      && (!layer_q.tile_major || (layer_q.groups == 16'd1 && layer_q.op == OP_CONV))
      && (layer_q.images_log == '0 || (layer_q.op == OP_CONV && !layer_q.in_images))
      && (layer_q.pool_size <= 4'd1 || (layer_q.op == OP_CONV && layer_q.pool_line != '0
          && layer_q.pool_rows != '0 && layer_q.pool_width != '0 && layer_q.pool_height != '0
          && (!layer_q.pool_overlaps || layer_q.pool_size > 4'd2)))
      && layer_q.weight_high_bits != '0
      && 6'(layer_q.weight_high_bits) + 6'(layer_q.weight_low_bits) == 6'(StoredBits);

  always_comb begin
    fault = ERROR_NONE;
    if (!known) fault = ERROR_OP;
    else if (layer_q.tile_depth != 8'(TP) || layer_q.tile_columns != 8'(TC)) fault = ERROR_TILES;
    else if (!sizes_legal || (is_product ? !product_legal
        : layer_q.tile_major || layer_q.images_log != '0
          || layer_q.pool_size > 4'd1)) fault = ERROR_SIZES;
    else if (!layer_fits_i) fault = ERROR_BUFFER;
  end

  always_ff @(posedge clk_i) fault_q <= fault;

  // ---------------------------------------------------------------- control

  always_comb begin
    state_d = state_q;
    case (state_q)
      Idle:    if (start_i) state_d = Take;
      Take:    if (halting) state_d = Finish;
               else if (fetch_valid) state_d = Settle;
      Settle:  state_d = Check;
      Check:   state_d = (halting || fault_q != ERROR_NONE) ? Finish : Address;
      Address: state_d = (layer_q.op == OP_LRN) ? Table : Look;
      Table:   if (table_ready_i) state_d = Look;
      Look:    state_d = Issue;
      Issue:   if (jobs_left == '0) begin
        if (halting && !tile_major) state_d = Drain;
        else if (!is_last_image) state_d = Look;
        else state_d = last_pass ? Drain : Address;
      end
      Drain:   if (parts_idle_i) state_d = (halting || index_q == layers_q - 1'b1) ? Finish : Take;
      Finish:  if (fetch_idle) state_d = Idle;
      default: state_d = Idle;
    endcase
  end

  always_comb begin
    ending = ERROR_NONE;
    if (bus_error_i) ending = ERROR_BUS;
    else if (stop_i) ending = ERROR_STOPPED;
    else if (state_q == Check) ending = fault_q;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q       <= Idle;
      jobs_q        <= '0;
      error_q       <= ERROR_NONE;
      ending_q      <= 1'b0;
      error_layer_o <= '0;
    end else begin
      state_q <= state_d;
      // In Address jobs_q is empty, and stays so while the list is read.
      if (state_q == Look) begin
        jobs_q <= '{
            read: 1'b1,
            weight: is_product && !once,
            record: is_product && !once,
            write: 1'b1
        };
      end else begin
        jobs_q <= jobs_left;
      end
      if (begin_run) begin
        error_q <= ERROR_NONE;
      end else if (done_o) begin
        ending_q <= 1'b0;
      end else if (state_q != Idle && !ending_q && ending != ERROR_NONE) begin
        error_q       <= ending;
        ending_q      <= 1'b1;
        error_layer_o <= index_q;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (begin_run) begin
      bases_q    <= bases_i;
      use_list_q <= use_list_i;
      layers_q   <= layers_i;
      images_q   <= images_i;
      index_q    <= '0;
    end
    if (state_q == Take) begin
      layer_q  <= fetched;
      cycles_q <= '0;
    end else begin
      cycles_q <= cycles_q + 1'b1;
    end
    if (layer_done_o) index_q <= index_q + 1'b1;
  end

  // ---------------------------------------------------------------- addresses

  logic next_image;
  assign next_image = state_q == Issue && jobs_left == '0;

  always_ff @(posedge clk_i) begin
    if (state_q == Address) begin
      image_q     <= '0;
      addresses_q <= '{
          first:       (layer_q.in_images ? bases_q.images : bases_q.workspace) + layer_q.in_base,
          second:      bases_q.workspace + layer_q.second_base,
          result:      bases_q.workspace + layer_q.out_base + pass_offset_q,
          weights:     bases_q.weights + layer_q.weight_offset,
          weights_low: bases_q.weights + layer_q.weight_low_offset,
          records:     bases_q.records + layer_q.records_offset
      };
    end else if (next_image) begin
      image_q            <= image_q + CountBits'(joined);
      addresses_q.first  <= addresses_q.first + layer_q.in_stride;
      addresses_q.second <= addresses_q.second + layer_q.second_stride;
      addresses_q.result <= addresses_q.result + layer_q.out_stride;
    end
    if (state_q == Look && use_list_q && layer_q.in_images) addresses_q.first <= list_addr;
    if (state_q == Check) begin
      pass_q        <= '0;
      pass_offset_q <= '0;
    end else if (next_image && is_last_image) begin
      pass_q        <= pass_q + 1'b1;
      pass_offset_q <= pass_offset_q + (addr_t'(TC) << layer_q.out_container >> 3);
    end
  end

  // Rows of jobs: a dense layer's are the images; a tile-major step's all images'.
  logic [31:0]          rows_each_q, padded_each_q;
  logic [CountBits-1:0] jobs_of_all, times_q;

  assign jobs_of_all = CountBits'((17'(images_q) + 17'(joined) - 1'b1) >> layer_q.images_log);

  always_ff @(posedge clk_i) begin
    times_q       <= (is_dense || tile_major) ? jobs_of_all : CountBits'(1);
    rows_each_q   <= is_dense ? 32'd1 : layer_q.rows;
    padded_each_q <= is_dense ? 32'd1 : layer_q.padded_rows;
    if (state_q == Address) begin
      weight_rows_o <= 32'(times_q) * padded_each_q;
      record_rows_o <= 32'(times_q) * rows_each_q;
    end
  end

  // The list is read with the next image's number, so that its entry is there in Look.
  logic [ImageBits-1:0] looked_up;
  assign looked_up = (state_q == Address) ? '0 : ImageBits'(image_q + 1'b1);

  ram_1r1w #(
      .Width(ADDR_BITS),
      .Depth(MaxImages)
  ) u_list (
      .clk_i,
      .read_en_i   (state_q == Address || next_image),
      .read_addr_i (looked_up),
      .read_data_o (list_addr),
      .write_en_i  (list_write_i),
      .write_addr_i(list_index_i),
      .write_data_i(list_addr_i)
  );

  // ---------------------------------------------------------------- outputs

  assign busy_o         = state_q != Idle;
  assign done_o         = state_q == Finish && fetch_idle;
  assign error_o        = error_q;
  assign layer_o        = layer_q;
  assign addresses_o    = addresses_q;
  assign images_o       = images_q;
  assign running_o      = state_q inside {Look, Issue, Drain};
  assign read_valid_o   = jobs_q.read;
  assign weight_valid_o = jobs_q.weight;
  assign record_valid_o = jobs_q.record;
  assign table_valid_o  = state_q == Table;
  assign write_valid_o  = jobs_q.write;
  assign write_column_tiles_o = tile_major ? 16'd1 : layer_q.column_tiles;
  assign write_last_columns_o = last_pass ? layer_q.last_columns : 8'(TC);
  assign layer_done_o   = state_q == Drain && parts_idle_i;
  assign layer_index_o  = index_q;
  assign layer_cycles_o = cycles_q;

  `CASC_ASSERT_STREAM(Read, read_valid_o, read_ready_i, {layer_o, addresses_o})
  `CASC_ASSERT_STREAM(Weight, weight_valid_o, weight_ready_i, {layer_o, addresses_o})
  `CASC_ASSERT_STREAM(Record, record_valid_o, record_ready_i, {layer_o, addresses_o})
  `CASC_ASSERT_STREAM(Table, table_valid_o, table_ready_i, {layer_o, addresses_o})
  `CASC_ASSERT_STREAM(Write, write_valid_o, write_ready_i,
                      {layer_o, addresses_o, write_column_tiles_o, write_last_columns_o})
  `CASC_ASSERT(StartLegal, !begin_run || (layers_i != '0 && images_i != '0
      && images_i <= CountBits'(MaxImages)))

endmodule
