// SPDX-License-Identifier: Apache-2.0
//
// Memory with one synchronous read port and one write port on one clock.
//
// Latency:   read data follows the address by one cycle and holds while read_en_i is low.
// Collision: a read of the word that is written in the same cycle returns the old word.
// No reset and no initial content: read only what was written.
// Mapping:   up to 64 words lie in LUT RAM, more in block RAM, so that what it takes can be foretold.

`include "casc_assert.svh"

module ram_1r1w #(
    parameter int unsigned Width = 8,  // 1..
    parameter int unsigned Depth = 2,  // 1..
    localparam int unsigned AddrBits = cascade_pkg::index_bits(Depth)
) (
    input  logic                clk_i,
    input  logic                read_en_i,
    input  logic [AddrBits-1:0] read_addr_i,
    output logic [   Width-1:0] read_data_o,
    input  logic                write_en_i,
    input  logic [AddrBits-1:0] write_addr_i,
    input  logic [   Width-1:0] write_data_i
);

  `CASC_CHECK_PARAM(width, Width >= 1)
  `CASC_CHECK_PARAM(depth, Depth >= 1)

  // An attribute must be a literal: hence two branches.
  if (Depth > 64) begin : gen_block
    (* ram_style = "block" *) logic [Width-1:0] mem [Depth];

    always_ff @(posedge clk_i) begin
      if (read_en_i) read_data_o <= mem[read_addr_i];
      if (write_en_i) mem[write_addr_i] <= write_data_i;
    end
  end else begin : gen_distributed
    (* ram_style = "distributed" *) logic [Width-1:0] mem [Depth];

    always_ff @(posedge clk_i) begin
      if (read_en_i) read_data_o <= mem[read_addr_i];
      if (write_en_i) mem[write_addr_i] <= write_data_i;
    end
  end

endmodule
