// SPDX-License-Identifier: Apache-2.0
//
// Reads a layer's channel records and gives requantise the biases and shifts of a column tile at a
// time.
//
// Records lie in memory one after the other, for group, for output channel (channels.bin), so a
// layer's are read in one go. A beat of the output is a column tile's: TC biases and shifts, in the
// order group, column tile; lanes of columns that the tile lacks are 0. It stands until it is taken,
// after the tile's last row, while the next tile's records are read.
//
// Jobs (ready/valid): layer_i must be stable from a job's offer until idle_o; a job is taken when the
// last one's last record has been.
// Throughput: a record a cycle, a column tile in TC + 1 cycles.
// Numbers:    see channel_settings.

`include "casc_assert.svh"

module record_reader
  import cascade_pkg::*;
  import descriptor_pkg::*;
  import engine_pkg::*;
#(
    parameter int unsigned TC        = 4,     // 1..255
    parameter int unsigned DataBits  = 64,    // 64 or 128
    parameter bit          Corrected = 1'b1   // the low-precision unit's: biases are corrected
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic        job_valid_i,
    output logic        job_ready_o,
    input  descriptor_t layer_i,
    input  addr_t       base_i,       // belongs to the job; a beat's boundary
    output logic        idle_o,

    output logic                  cmd_valid_o,
    input  logic                  cmd_ready_i,
    output addr_t                 cmd_addr_o,
    output logic [BEATS_BITS-1:0] cmd_beats_o,
    input  logic                  data_valid_i,
    output logic                  data_ready_o,
    input  logic [DataBits-1:0]   data_i,

    output logic                         out_valid_o,
    input  logic                         out_ready_i,
    output logic [TC-1:0][BIAS_BITS-1:0] out_bias_o,
    output shift_t [TC-1:0]              out_shift_o
);

  `CASC_CHECK_PARAM(tc, TC >= 1 && TC <= 255)
  `CASC_CHECK_PARAM(data_bits, DataBits == 64 || DataBits == 128)

  localparam int unsigned BeatRecords = DataBits / RECORD_BITS;
  localparam int unsigned PartBits    = index_bits(BeatRecords);

  // ---------------------------------------------------------------- records of a job, one by one

  // Constants of the layer, a cycle behind it.
  logic [15:0] last_tile_q, last_group_q;
  logic [7:0]  tail_column_q;  // of a group's last tile
  logic [31:0] channels_q;     // of the job

  // Groups and columns are at most 16 bits each, output channels as well: the product is.
  always_ff @(posedge clk_i) begin
    last_tile_q   <= layer_i.column_tiles - 1'b1;
    last_group_q  <= layer_i.groups - 1'b1;
    tail_column_q <= layer_i.last_columns - 1'b1;
    channels_q    <= 32'(layer_i.groups) * 32'(layer_i.columns);
  end

  logic                busy_q, command_q;
  addr_t               base_q;
  logic [15:0]         group_q, tile_q;
  logic [7:0]          column_q;
  logic [PartBits-1:0] part_q;     // of the beat
  logic                last_tile, last_column, last_record, take, settings_ready;

  assign cmd_valid_o = command_q;
  assign cmd_addr_o  = base_q;
  assign cmd_beats_o = BEATS_BITS'((channels_q + 32'(BeatRecords - 1)) / BeatRecords);
  assign job_ready_o = !busy_q;

  assign last_tile   = tile_q == last_tile_q;
  assign last_column = column_q == (last_tile ? tail_column_q : 8'(TC - 1));
  assign last_record = last_column && last_tile && group_q == last_group_q;
  assign take        = busy_q && data_valid_i && settings_ready;
  // The last record may leave the rest of its beat.
  assign data_ready_o = busy_q && settings_ready
      && (last_record || part_q == PartBits'(BeatRecords - 1));

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      busy_q    <= 1'b0;
      command_q <= 1'b0;
    end else if (!busy_q) begin
      busy_q    <= job_valid_i;
      command_q <= job_valid_i;
    end else begin
      if (cmd_ready_i) command_q <= 1'b0;
      if (take && last_record) busy_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!busy_q) begin
      base_q   <= base_i;
      group_q  <= '0;
      tile_q   <= '0;
      column_q <= '0;
      part_q   <= '0;
    end else if (take) begin
      column_q <= last_column ? '0 : column_q + 1'b1;
      part_q   <= (part_q == PartBits'(BeatRecords - 1)) ? '0 : part_q + 1'b1;
      if (last_column) tile_q <= last_tile ? '0 : tile_q + 1'b1;
      if (last_column && last_tile) group_q <= group_q + 1'b1;
    end
  end

  // ---------------------------------------------------------------- settings

  logic                 setting_valid, setting_ready;
  logic [0:0][BIAS_BITS-1:0] bias;
  shift_t [0:0]         shift;
  logic [1:0]           in_flight_q;  // records in channel_settings

  channel_settings #(
      .Lanes    (1),
      .Corrected(Corrected)
  ) u_settings (
      .clk_i,
      .rst_ni,
      .bias_window_i(layer_i.bias_window),
      .shift_i      (shift_t'(layer_i.shift)),
      .in_valid_i   (take),
      .in_ready_o   (settings_ready),
      .in_records_i (data_i[part_q*RECORD_BITS+:RECORD_BITS]),
      .out_valid_o  (setting_valid),
      .out_ready_i  (setting_ready),
      .out_bias_o   (bias),
      .out_shift_o  (shift)
  );

  // ---------------------------------------------------------------- a tile's registers

  logic [7:0]                   filled_q, columns_q;  // columns of the tile, a cycle behind its number
  logic [15:0]                  filled_tile_q;
  logic                         full, move;
  logic [TC-1:0][BIAS_BITS-1:0] bias_q;
  shift_t [TC-1:0]              shift_q;

  always_ff @(posedge clk_i) begin
    columns_q <= (filled_tile_q == last_tile_q) ? layer_i.last_columns : 8'(TC);
  end

  assign full          = filled_q == columns_q;
  assign move          = full && filled_q != '0 && (!out_valid_o || out_ready_i);
  assign setting_ready = !full || filled_q == '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      filled_q      <= '0;
      filled_tile_q <= '0;
      out_valid_o   <= 1'b0;
    end else begin
      if (move) begin
        filled_q      <= '0;
        filled_tile_q <= (filled_tile_q == last_tile_q) ? '0
                                                                        : filled_tile_q + 1'b1;
      end else if (setting_valid && setting_ready) begin
        filled_q <= filled_q + 1'b1;
      end
      if (move) out_valid_o <= 1'b1;
      else if (out_ready_i) out_valid_o <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (move) begin
      out_bias_o  <= bias_q;
      out_shift_o <= shift_q;
      bias_q      <= '0;
      shift_q     <= '0;
    end else if (setting_valid && setting_ready) begin
      for (int unsigned lane = 0; lane < TC; lane++) begin
        if (filled_q == 8'(lane)) begin
          bias_q[lane]  <= bias[0];
          shift_q[lane] <= shift[0];
        end
      end
    end
    if (!rst_ni) begin
      bias_q  <= '0;
      shift_q <= '0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) in_flight_q <= '0;
    else in_flight_q <= in_flight_q + 2'(take) - 2'(setting_valid && setting_ready);
  end

  assign idle_o = !busy_q && in_flight_q == '0 && filled_q == '0 && !out_valid_o;

  `CASC_ASSERT_STREAM(Command, cmd_valid_o, cmd_ready_i, {cmd_addr_o, cmd_beats_o})
  `CASC_ASSERT_STREAM(Output, out_valid_o, out_ready_i, {out_bias_o, out_shift_o})

endmodule
