// SPDX-License-Identifier: Apache-2.0
//
// Skid buffer: cuts every combinational path of a ready/valid stream in both directions.
//
// Latency:    1 cycle.
// Throughput: 1 beat per cycle.
// Capacity:   2 beats. in_ready_o, out_valid_o and out_data_o are registers.
// Order and data are kept; reset (synchronous) empties it.

`include "casc_assert.svh"

module skid_buffer #(
    parameter int unsigned Width = 8  // 1..
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

  `CASC_CHECK_PARAM(width, Width >= 1)

  logic             out_valid_q;
  logic             spare_valid_q;  // the beat that arrived while the output was stalled
  logic [Width-1:0] out_data_q;
  logic [Width-1:0] spare_data_q;

  logic out_free;
  assign out_free = !out_valid_q || out_ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      out_valid_q   <= 1'b0;
      spare_valid_q <= 1'b0;
    end else if (out_free) begin
      out_valid_q   <= spare_valid_q || in_valid_i;
      spare_valid_q <= 1'b0;
    end else if (in_valid_i && in_ready_o) begin
      spare_valid_q <= 1'b1;
    end
  end

  // Data needs no reset: it is only looked at where a valid flag is set.
  always_ff @(posedge clk_i) begin
    if (out_free) out_data_q <= spare_valid_q ? spare_data_q : in_data_i;
    if (!spare_valid_q) spare_data_q <= in_data_i;
  end

  assign in_ready_o  = !spare_valid_q;
  assign out_valid_o = out_valid_q;
  assign out_data_o  = out_data_q;

  `CASC_ASSERT_STREAM(InStream, in_valid_i, in_ready_o, in_data_i)
  `CASC_ASSERT_STREAM(OutStream, out_valid_o, out_ready_i, out_data_o)
  `CASC_ASSERT(SpareOnlyBehindOutput, !spare_valid_q || out_valid_q)

endmodule
