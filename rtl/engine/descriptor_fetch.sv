// SPDX-License-Identifier: Apache-2.0
//
// Reads descriptors one after the other and hands them on, each fetched while the one before works.
//
// start_i (only while idle_o) begins at addr_i; count_i descriptors are read, at least one. cancel_i
// ends that early: what is under way is taken from memory and dropped. idle_o: nothing is under way
// or waiting.
//
// Latency:    a descriptor is offered the cycle after its last beat.
// Throughput: a descriptor in the memory's latency + Beats + 2 cycles, when taken at once.

`include "casc_assert.svh"

module descriptor_fetch
  import descriptor_pkg::*;
  import engine_pkg::*;
#(
    parameter  int unsigned DataBits  = 64,  // 64 or 128
    parameter  int unsigned CountBits = 16
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic                 start_i,
    input  addr_t                addr_i,
    input  logic [CountBits-1:0] count_i,
    input  logic                 cancel_i,
    output logic                 idle_o,

    output logic                  cmd_valid_o,
    input  logic                  cmd_ready_i,
    output addr_t                 cmd_addr_o,
    output logic [BEATS_BITS-1:0] cmd_beats_o,
    input  logic                  data_valid_i,
    output logic                  data_ready_o,
    input  logic [DataBits-1:0]   data_i,

    output logic        out_valid_o,
    input  logic        out_ready_i,
    output descriptor_t out_descriptor_o
);

  localparam int unsigned Beats = DESCRIPTOR_BITS / DataBits;
  localparam int unsigned BeatBits = $clog2(Beats);

  `CASC_CHECK_PARAM(data_bits, DataBits == 64 || DataBits == 128)
  `CASC_CHECK_PARAM(count_bits, CountBits >= 1)

  typedef enum logic [1:0] {
    Idle,
    Command,
    Receive,
    Offer
  } state_e;

  state_e                     state_q, state_d;
  logic                       cancelled_q;
  addr_t                      addr_q;
  logic [CountBits-1:0]       left_q;  // descriptors to come, the current one included
  logic [BeatBits-1:0]        beat_q;
  logic [DESCRIPTOR_BITS-1:0] words_q;
  logic                       cancel, take;

  assign cancel      = cancel_i || cancelled_q;
  assign idle_o      = state_q == Idle;
  assign cmd_valid_o = state_q == Command;
  assign cmd_addr_o  = addr_q;
  assign cmd_beats_o = BEATS_BITS'(Beats);

  assign data_ready_o     = state_q == Receive;
  assign out_valid_o      = state_q == Offer;
  assign out_descriptor_o = descriptor_of(words_q);
  assign take             = data_valid_i && data_ready_o;

  always_comb begin
    state_d = state_q;
    case (state_q)
      Idle:    if (start_i) state_d = Command;
      Command: if (cmd_ready_i) state_d = Receive;
      Receive: if (take && beat_q == BeatBits'(Beats - 1)) state_d = cancel ? Idle : Offer;
      // An offer stands; the sequencer takes what it asked for, or cancels by taking it.
      Offer:   if (out_ready_i) state_d = (left_q == 1 || cancel) ? Idle : Command;
      default: state_d = Idle;
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q     <= Idle;
      cancelled_q <= 1'b0;
      beat_q      <= '0;
    end else begin
      state_q     <= state_d;
      cancelled_q <= cancel && state_d != Idle;
      if (take) beat_q <= beat_q + 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (idle_o) begin
      addr_q <= addr_i;
      left_q <= count_i;
    end else if (out_valid_o && out_ready_i) begin
      addr_q <= addr_q + addr_t'(DESCRIPTOR_BITS / 8);
      left_q <= left_q - 1'b1;
    end
    if (take) words_q <= {data_i, words_q[DESCRIPTOR_BITS-1:DataBits]};
  end

  `CASC_ASSERT_STREAM(Cmd, cmd_valid_o, cmd_ready_i, {cmd_addr_o, cmd_beats_o})
  `CASC_ASSERT_STREAM(Data, data_valid_i, data_ready_o, data_i)
  `CASC_ASSERT_STREAM(Out, out_valid_o, out_ready_i, out_descriptor_o)
  `CASC_ASSERT(StartWhileIdle, !start_i || (idle_o && count_i != '0))

endmodule
