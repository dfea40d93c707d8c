// SPDX-License-Identifier: Apache-2.0
//
// First-word-fall-through FIFO between two ready/valid streams on one clock.
//
// Latency:    1 cycle.
// Throughput: 1 beat per cycle (Depth 1: one beat in two cycles).
// Capacity:   Depth beats, any Depth >= 1. in_ready_o and out_valid_o depend on registers only.
// Order and data are kept; reset (synchronous) empties it. The storage is read without a register,
// so it becomes distributed RAM: meant for depths up to a few hundred.

`include "casc_assert.svh"

module fifo #(
    parameter int unsigned Width = 8,  // 1..
    parameter int unsigned Depth = 4   // 1..
) (
    input  logic             clk_i,
    input  logic             rst_ni,
    input  logic             in_valid_i,
    output logic             in_ready_o,
    input  logic [Width-1:0] in_data_i,
    output logic             out_valid_o,
    input  logic             out_ready_i,
    output logic [Width-1:0] out_data_o
);

  localparam int unsigned AddrBits = cascade_pkg::index_bits(Depth);
  localparam int unsigned CountBits = $clog2(Depth + 1);
  localparam logic [AddrBits-1:0] LastAddr = AddrBits'(Depth - 1);

  `CASC_CHECK_PARAM(width, Width >= 1)
  `CASC_CHECK_PARAM(depth, Depth >= 1)

  logic [    Width-1:0] mem [Depth];
  logic [ AddrBits-1:0] write_addr_q;
  logic [ AddrBits-1:0] read_addr_q;
  logic [CountBits-1:0] count_q;

  logic push;
  logic pop;
  assign push = in_valid_i && in_ready_o;
  assign pop  = out_valid_o && out_ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_addr_q <= '0;
      read_addr_q  <= '0;
      count_q      <= '0;
    end else begin
      if (push) write_addr_q <= (write_addr_q == LastAddr) ? '0 : write_addr_q + 1'b1;
      if (pop) read_addr_q <= (read_addr_q == LastAddr) ? '0 : read_addr_q + 1'b1;
      if (push && !pop) count_q <= count_q + 1'b1;
      if (pop && !push) count_q <= count_q - 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (push) mem[write_addr_q] <= in_data_i;
  end

  assign in_ready_o  = count_q != CountBits'(Depth);
  assign out_valid_o = count_q != '0;
  assign out_data_o  = mem[read_addr_q];

  `CASC_ASSERT_STREAM(InStream, in_valid_i, in_ready_o, in_data_i)
  `CASC_ASSERT_STREAM(OutStream, out_valid_o, out_ready_i, out_data_o)
  `CASC_ASSERT(CountWithinDepth, count_q <= CountBits'(Depth))

endmodule
