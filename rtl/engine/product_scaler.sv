// SPDX-License-Identifier: Apache-2.0
//
// Turns the MM unit's accumulators into words: each row of a column tile with the tile's biases and
// shifts, which the record reader fetches.
//
// A job (ready/valid) is one product: an image of a convolution, a dense layer's batch. Rows come in
// the order of docs/engine.md, rows_i of them for each column tile.
//
// Latency:    that of requantise (4 cycles, 7 with LeakySupport), if the tile's records are there.
// Throughput: a row a cycle; a column tile takes at least TC + 1 cycles (record_reader).
// Numbers:    see channel_settings and requantise.
// layer_i and rows_i are a layer's: they change only while idle_o is high and nothing is inside.

`include "casc_assert.svh"

module product_scaler
  import cascade_pkg::*;
  import descriptor_pkg::*;
  import engine_pkg::*;
#(
    parameter int unsigned TC           = 4,     // 1..255
    parameter int unsigned AccBits      = 32,    // 2..46
    parameter int unsigned ActBits      = 8,     // 2..16
    parameter int unsigned DataBits     = 64,    // 64 or 128
    parameter bit          Corrected    = 1'b1,
    parameter bit          LeakySupport = 1'b1
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic        job_valid_i,
    output logic        job_ready_o,
    input  descriptor_t layer_i,
    input  addr_t       base_i,
    input  logic [31:0] rows_i,
    output logic        idle_o,

    output logic                  cmd_valid_o,
    input  logic                  cmd_ready_i,
    output addr_t                 cmd_addr_o,
    output logic [BEATS_BITS-1:0] cmd_beats_o,
    input  logic                  data_valid_i,
    output logic                  data_ready_o,
    input  logic [DataBits-1:0]   data_i,

    input  logic                       acc_valid_i,
    output logic                       acc_ready_o,
    input  logic [TC-1:0][AccBits-1:0] acc_data_i,

    output logic                        out_valid_o,
    input  logic                        out_ready_i,
    output logic [TC-1:0][MAX_BITS-1:0] out_words_o
);

  logic                         setting_valid, setting_ready;
  logic [TC-1:0][BIAS_BITS-1:0] bias;
  shift_t [TC-1:0]              shift;
  logic                         scale_ready, take, last_row;
  logic [31:0]                  row_q;  // of the column tile

  record_reader #(
      .TC       (TC),
      .DataBits (DataBits),
      .Corrected(Corrected)
  ) u_records (
      .clk_i,
      .rst_ni,
      .job_valid_i,
      .job_ready_o,
      .layer_i,
      .base_i,
      .idle_o,
      .cmd_valid_o,
      .cmd_ready_i,
      .cmd_addr_o,
      .cmd_beats_o,
      .data_valid_i,
      .data_ready_o,
      .data_i,
      .out_valid_o(setting_valid),
      .out_ready_i(setting_ready),
      .out_bias_o (bias),
      .out_shift_o(shift)
  );

  assign take          = acc_valid_i && setting_valid && scale_ready;
  assign last_row      = row_q == rows_i - 1'b1;
  assign acc_ready_o   = setting_valid && scale_ready;
  assign setting_ready = take && last_row;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) row_q <= '0;
    else if (take) row_q <= last_row ? '0 : row_q + 1'b1;
  end

  requantise #(
      .Lanes       (TC),
      .AccBits     (AccBits),
      .ActBits     (ActBits),
      .OutBits     (MAX_BITS),
      .LeakySupport(LeakySupport)
  ) u_requantise (
      .clk_i,
      .rst_ni,
      .bias_i          (bias),
      .shift_i         (shift),
      .low_i           (layer_i.low),
      .high_i          (layer_i.high),
      .zero_i          (layer_i.zero_out[ActBits-1:0]),
      .wide_i          (layer_i.out_wide),
      .leaky_i         (layer_i.leaky),
      .slope_mantissa_i(layer_i.slope_mantissa),
      .slope_shift_i   (shift_t'(layer_i.slope_shift)),
      .in_valid_i      (acc_valid_i && setting_valid),
      .in_ready_o      (scale_ready),
      .in_acc_i        (acc_data_i),
      .out_valid_o,
      .out_ready_i,
      .out_words_o
  );

  logic unused_fields;
  assign unused_fields = ^layer_i;

  `CASC_ASSERT_STREAM(Acc, acc_valid_i, acc_ready_o, acc_data_i)

endmodule
