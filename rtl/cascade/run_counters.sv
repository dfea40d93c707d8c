// SPDX-License-Identifier: Apache-2.0
//
// Counts what happens in a run. The counts stand from the end of a run to the start of the next.

module run_counters
  import control_pkg::*;
(
    input logic clk_i,
    input logic rst_ni,

    input  logic          clear_i,  // a run starts: cycles are counted from the next one
    input  logic          running_i,
    input  logic          lpu_image_i,
    input  logic          hpu_image_i,
    input  logic          forwarded_i,
    input  logic          lpu_busy_i,
    input  logic          hpu_busy_i,
    input  logic          ceu_busy_i,
    output run_counters_t counters_o
);

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      counters_o <= '0;
    end else if (running_i) begin
      counters_o.lpu_images <= counters_o.lpu_images + image_t'(lpu_image_i);
      counters_o.hpu_images <= counters_o.hpu_images + image_t'(hpu_image_i);
      counters_o.forwarded  <= counters_o.forwarded + image_t'(forwarded_i);
      counters_o.cycles     <= counters_o.cycles + 1'b1;
      counters_o.lpu_busy   <= counters_o.lpu_busy + cycles_t'(lpu_busy_i);
      counters_o.hpu_busy   <= counters_o.hpu_busy + cycles_t'(hpu_busy_i);
      counters_o.ceu_busy   <= counters_o.ceu_busy + cycles_t'(ceu_busy_i);
    end
  end

endmodule
