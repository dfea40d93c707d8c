// SPDX-License-Identifier: Apache-2.0
//
// Turns runs of weight blocks into read commands for one of their planes.
//
// A plane lies in memory block after block, bits_i * 16 bytes each (weight_planes). A run is count_i
// successive blocks from block first_i on; commands are of MaxBlocks blocks at most. Runs of a plane
// of no bits are taken and make no commands. bits_i and base_i belong to the run.
//
// Latency:    the first command two cycles after the run is taken.
// Throughput: a command a cycle of a run; a run with one command every three cycles.

`include "casc_assert.svh"

module plane_commands
  import cascade_pkg::*;
  import engine_pkg::*;
#(
    parameter  int unsigned DataBits  = 64,  // 64 or 128
    parameter  int unsigned RunBits   = 26,  // 8..28: of a block's number
    localparam int unsigned WidthBits = 5
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic                 run_valid_i,
    output logic                 run_ready_o,
    input  logic [RunBits-1:0]   first_i,
    input  logic [RunBits-1:0]   count_i,  // 1..
    input  logic [WidthBits-1:0] bits_i,   // 0..16
    input  addr_t                base_i,

    output logic                  cmd_valid_o,
    input  logic                  cmd_ready_i,
    output addr_t                 cmd_addr_o,
    output logic [BEATS_BITS-1:0] cmd_beats_o,
    output logic                  idle_o
);

  localparam int unsigned BlockBytes = WEIGHT_BLOCK / 8;  // of one bit of all its weights
  localparam int unsigned BlockBeats = WEIGHT_BLOCK / DataBits;
  localparam int unsigned MaxBlocks  = 32;

  `CASC_CHECK_PARAM(data_bits, DataBits == 64 || DataBits == 128)
  `CASC_CHECK_PARAM(run_bits, RunBits >= 8 && RunBits <= 28)

  typedef enum logic [1:0] {
    Idle,
    Multiply,  // the first block's place
    Issue
  } state_e;

  state_e               state_q;
  logic [RunBits-1:0]   first_q, left_q;
  logic [WidthBits-1:0] bits_q;
  addr_t                addr_q;
  logic [RunBits-1:0]   blocks;  // of the command

  assign blocks      = (left_q > RunBits'(MaxBlocks)) ? RunBits'(MaxBlocks) : left_q;
  assign run_ready_o = state_q == Idle;
  assign idle_o      = state_q == Idle;
  assign cmd_valid_o = state_q == Issue;
  assign cmd_addr_o  = addr_q;
  assign cmd_beats_o = BEATS_BITS'(blocks) * BEATS_BITS'(bits_q) * BEATS_BITS'(BlockBeats);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= Idle;
    end else begin
      case (state_q)
        Idle: if (run_valid_i && bits_i != '0) state_q <= Multiply;
        Multiply: state_q <= Issue;
        Issue: if (cmd_ready_i && left_q == blocks) state_q <= Idle;
        default: state_q <= Idle;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (state_q == Idle) begin
      first_q <= first_i;
      left_q  <= count_i;
      bits_q  <= bits_i;
      addr_q  <= base_i;
    end else if (state_q == Multiply) begin
      addr_q <= addr_q + addr_t'(first_q) * addr_t'(bits_q) * addr_t'(BlockBytes);
    end else if (cmd_ready_i) begin
      left_q <= left_q - blocks;
      addr_q <= addr_q + addr_t'(MaxBlocks * BlockBytes) * addr_t'(bits_q);
    end
  end

  `CASC_ASSERT_STREAM(Command, cmd_valid_o, cmd_ready_i, {cmd_addr_o, cmd_beats_o})

endmodule
