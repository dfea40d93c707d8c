// SPDX-License-Identifier: Apache-2.0
//
// Counts what an engine does in every cycle of a run, each cycle once: which part it waited for.
//
// clear_i (with the start of a run) sets all to 0; while count_i each cycle adds one to the first of
//   busy          use_i: a beat of activations was used,
//   wait_output   blocked_i: results were not taken,
//   wait_weights  act_valid_i: a beat was there and was not used,
//   wait_input    running_i: none was there,
//   idle          no step's jobs were under way.
// Counters stop at their largest value. Latency: a cycle is counted at its end.

`include "casc_assert.svh"

module engine_counters
  import engine_pkg::*;
(
    input  logic    clk_i,
    input  logic    rst_ni,
    input  logic    clear_i,
    input  logic    count_i,
    input  logic    use_i,
    input  logic    blocked_i,
    input  logic    act_valid_i,
    input  logic    running_i,
    output cycles_t cycles_o
);

  cycles_t cycles_q, step;

  function automatic logic [31:0] counted(input logic [31:0] value, input logic [31:0] by);
    return (value == '1) ? value : value + by;
  endfunction

  always_comb begin
    step = '0;
    if (use_i) step.busy = 32'd1;
    else if (blocked_i) step.wait_output = 32'd1;
    else if (act_valid_i) step.wait_weights = 32'd1;
    else if (running_i) step.wait_input = 32'd1;
    else step.idle = 32'd1;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      cycles_q <= '0;
    end else if (count_i) begin
      cycles_q <= '{
          busy:         counted(cycles_q.busy, step.busy),
          wait_input:   counted(cycles_q.wait_input, step.wait_input),
          wait_weights: counted(cycles_q.wait_weights, step.wait_weights),
          wait_output:  counted(cycles_q.wait_output, step.wait_output),
          idle:         counted(cycles_q.idle, step.idle)
      };
    end
  end

  assign cycles_o = cycles_q;

  `CASC_ASSERT(UsedIsThere, !use_i || act_valid_i)

endmodule
