// SPDX-License-Identifier: Apache-2.0
//
// Reads a normalisation's table (channels.bin) and writes it into lrn_unit: an entry in the lowest
// bits of each eight bytes, entry 0 first.
//
// A job (ready/valid) is the table's address; job_ready_o is high in the cycle of the last write.
// Cycles: an entry a cycle once the memory answers.

`include "casc_assert.svh"

module lrn_table_reader
  import engine_pkg::*;
  import lrn_pkg::*;
#(
    parameter int unsigned DataBits = 64  // 64 or 128
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic  job_valid_i,
    output logic  job_ready_o,
    input  addr_t job_base_i,  // a beat's boundary

    output logic                  cmd_valid_o,
    input  logic                  cmd_ready_i,
    output addr_t                 cmd_addr_o,
    output logic [BEATS_BITS-1:0] cmd_beats_o,
    input  logic                  data_valid_i,
    output logic                  data_ready_o,
    input  logic [DataBits-1:0]   data_i,

    output logic                  table_write_o,
    output logic [ENTRY_BITS-1:0] table_index_o,
    output entry_t                table_entry_o
);

  localparam int unsigned SlotBits = 64;
  localparam int unsigned BeatEntries = DataBits / SlotBits;
  localparam int unsigned PartBits = cascade_pkg::index_bits(BeatEntries);

  `CASC_CHECK_PARAM(data_bits, DataBits == 64 || DataBits == 128)

  logic                     commanded_q;  // the job's command was taken
  logic [ENTRY_BITS-1:0]    index_q;
  logic [PartBits-1:0]      part;         // of the beat
  logic                     take;
  logic [BeatEntries-1:0][SlotBits-1:0] slots;

  assign slots = data_i;
  assign part  = (BeatEntries > 1) ? index_q[PartBits-1:0] : '0;
  assign take  = commanded_q && data_valid_i;

  assign cmd_valid_o = job_valid_i && !commanded_q;
  assign cmd_addr_o  = job_base_i;
  assign cmd_beats_o = BEATS_BITS'((1 << ENTRY_BITS) / BeatEntries);

  assign data_ready_o  = commanded_q && part == PartBits'(BeatEntries - 1);
  assign table_write_o = take;
  assign table_index_o = index_q;
  assign table_entry_o = slots[part][$bits(entry_t)-1:0];
  assign job_ready_o   = take && index_q == '1;

  logic unused_bits;
  assign unused_bits = ^slots;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      commanded_q <= 1'b0;
      index_q     <= '0;
    end else begin
      if (cmd_valid_o && cmd_ready_i) commanded_q <= 1'b1;
      else if (job_ready_o) commanded_q <= 1'b0;
      if (take) index_q <= index_q + 1'b1;
    end
  end

  `CASC_ASSERT_STREAM(Job, job_valid_i, job_ready_o, job_base_i)
  `CASC_ASSERT_STREAM(Command, cmd_valid_o, cmd_ready_i, {cmd_addr_o, cmd_beats_o})

endmodule
