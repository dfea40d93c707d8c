// SPDX-License-Identifier: Apache-2.0
//
// Delays data by Depth enabled clock cycles; a shift register without reset, so that it can live in
// LUT shift registers. Depth 0 is a wire.

`include "casc_assert.svh"

module delay_line #(
    parameter int unsigned Width = 8,  // 1..
    parameter int unsigned Depth = 1   // 0..
) (
    input  logic             clk_i,
    input  logic             en_i,
    input  logic [Width-1:0] data_i,
    output logic [Width-1:0] data_o
);

  `CASC_CHECK_PARAM(width, Width >= 1)

  if (Depth == 0) begin : gen_wire
    logic unused;
    assign unused = ^{clk_i, en_i};
    assign data_o = data_i;
  end else begin : gen_line
    logic [Depth-1:0][Width-1:0] line_q;

    always_ff @(posedge clk_i) begin
      if (en_i) line_q <= (Depth * Width)'({line_q, data_i});
    end

    assign data_o = line_q[Depth-1];
  end

endmodule
