// SPDX-License-Identifier: Apache-2.0
//
// Reads a batch's logits from memory and streams them, an image after the other.
//
// Memory: a command an image, of its beats; all of a batch's commands may go ahead of the data. Image
//         b's logits are successive 16-bit words at addr + b * stride, the first in the lowest bits
//         of the first beat; what follows the last in its beat is dropped. Addresses and the stride
//         are whole beats. data_error_i belongs to a beat: its word is not what memory holds.
// Output: the logits of an image, last with the last one; error if a beat of the image had one,
//         valid with the last.
// drop_i: must stay high until idle_o, then reset: no new command, what comes is dropped.
//
// Latency:    the first command in the cycle after start_i; a logit in the cycle after its beat.
// Throughput: 1 logit per cycle, also from image to image, while beats come in time.
// A job starts with start_i, when the logits of the one before have all been taken; addr_i and
// images_i are sampled with it, stride_i and classes_i must be stable.

`include "casc_assert.svh"

module logit_reader
  import control_pkg::*;
#(
    parameter int unsigned DataBits = 64  // 64 or 128
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic                    drop_i,
    output logic                    idle_o,  // no command is offered, no data outstanding
    input  logic                    start_i,
    input  addr_t                   addr_i,
    input  batch_t                  images_i,
    input  addr_t                   stride_i,
    input  logic [CLASSES_BITS-1:0] classes_i,

    output logic                cmd_valid_o,
    input  logic                cmd_ready_i,
    output addr_t               cmd_addr_o,
    output logic [15:0]         cmd_beats_o,
    input  logic                data_valid_i,
    output logic                data_ready_o,
    input  logic [DataBits-1:0] data_i,
    input  logic                data_error_i,

    output logic                               out_valid_o,
    input  logic                               out_ready_i,
    output logic [cascade_pkg::LOGIT_BITS-1:0] out_logit_o,
    output logic                               out_last_o,
    output logic                               out_error_o
);

  localparam int unsigned LogitBits = cascade_pkg::LOGIT_BITS;
  localparam int unsigned Lanes     = DataBits / LogitBits;
  localparam int unsigned LaneBits  = $clog2(Lanes);
  localparam int unsigned DueBits   = BATCH_BITS + CLASSES_BITS - LaneBits;

  `CASC_CHECK_PARAM(data_bits, DataBits == 64 || DataBits == 128)

  // ---- commands ----

  batch_t             commands_q;  // to be given
  logic [DueBits-1:0] due_q;       // beats that were commanded and have not come
  logic               command, beat;

  assign command = cmd_valid_o && cmd_ready_i;
  assign beat    = data_valid_i && data_ready_o;

  assign cmd_valid_o = commands_q != '0;
  assign cmd_beats_o = 16'((classes_i + CLASSES_BITS'(Lanes - 1)) >> LaneBits);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      commands_q <= '0;
      due_q      <= '0;
    end else begin
      if (start_i) commands_q <= images_i;
      else if (drop_i) commands_q <= batch_t'(cmd_valid_o && !command);  // an offer must stand
      else if (command) commands_q <= commands_q - 1'b1;
      due_q <= due_q + (command ? DueBits'(cmd_beats_o) : '0) - DueBits'(beat);
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i) cmd_addr_o <= addr_i;
    else if (command) cmd_addr_o <= cmd_addr_o + stride_i;
  end

  // ---- data ----

  logic                    valid_q;  // a beat is here
  logic [DataBits-1:0]     data_q;
  logic [LaneBits-1:0]     lane_q;
  logic [CLASSES_BITS-1:0] class_q;
  logic                    bad_q;   // a beat of the image had an error
  logic                    take, beat_over;

  assign take      = out_valid_o && out_ready_i;
  assign beat_over = take && (lane_q == '1 || out_last_o);

  assign data_ready_o = drop_i || !valid_q || beat_over;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= 1'b0;
      class_q <= '0;
      bad_q <= 1'b0;
    end else begin
      valid_q <= beat || (valid_q && !beat_over);
      if (take) class_q <= out_last_o ? '0 : class_q + 1'b1;
      bad_q <= (bad_q && !(take && out_last_o)) || (beat && data_error_i);
    end
  end

  always_ff @(posedge clk_i) begin
    if (beat) begin
      data_q <= data_i;
      lane_q <= '0;
    end else if (take) begin
      data_q <= data_q >> LogitBits;
      lane_q <= lane_q + 1'b1;
    end
  end

  assign idle_o      = !cmd_valid_o && due_q == '0;
  assign out_valid_o = valid_q && !drop_i;
  assign out_logit_o = data_q[LogitBits-1:0];
  assign out_last_o  = class_q == classes_i - 1'b1;
  assign out_error_o = bad_q;

  `CASC_ASSERT_STREAM(Command, cmd_valid_o, cmd_ready_i, {cmd_addr_o, cmd_beats_o})
  `CASC_ASSERT_STREAM(Data, data_valid_i, data_ready_o, {data_i, data_error_i})
  `CASC_ASSERT(StartAfterTheLast, !start_i || (idle_o && !valid_q))
  `CASC_ASSERT(DataWasAskedFor, !data_valid_i || due_q != '0)

endmodule
