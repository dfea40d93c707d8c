// SPDX-License-Identifier: Apache-2.0
//
// Insertion sorter: keeps the MaxN largest of a series of (logit, class) pairs, best first.
//
// Latency:    a pair stands in the list one cycle after in_valid_i.
// Throughput: 1 pair per cycle; there is no back-pressure.
// Order:      signed logits, largest first. Of equal logits the earlier pair stays in front, so
//             ties go to the lower class where classes come in ascending order.
// clear_i:    empties the list; a pair of the same cycle becomes its only entry.
// Empty entries have valid 0, logit 0 and class 0.

`include "casc_assert.svh"

module top_n #(
    parameter int unsigned MaxN      = 8,   // 2..
    parameter int unsigned LogitBits = 16,  // 2..
    parameter int unsigned ClassBits = 10   // 1..
) (
    input  logic                        clk_i,
    input  logic                        rst_ni,
    input  logic                        clear_i,
    input  logic                        in_valid_i,
    input  logic signed [LogitBits-1:0] in_logit_i,
    input  logic [ClassBits-1:0]        in_class_i,
    output logic [MaxN-1:0]                list_valid_o,
    output logic [MaxN-1:0][LogitBits-1:0] list_logit_o,
    output logic [MaxN-1:0][ClassBits-1:0] list_class_o
);

  `CASC_CHECK_PARAM(max_n, MaxN >= 2)
  `CASC_CHECK_PARAM(logit_bits, LogitBits >= 2)
  `CASC_CHECK_PARAM(class_bits, ClassBits >= 1)

  typedef struct packed {
    logic                 valid;
    logic [LogitBits-1:0] logit;
    logic [ClassBits-1:0] index;
  } entry_t;

  entry_t            incoming;
  entry_t [MaxN-1:0] list_q;
  entry_t [MaxN-1:0] base;    // the list that the pair goes into
  logic   [MaxN-1:0] beaten;  // entries that the pair goes in front of
  entry_t [MaxN-1:0] list_d;

  assign incoming = '{valid: 1'b1, logit: in_logit_i, index: in_class_i};
  assign base     = clear_i ? '0 : list_q;

  // The list is sorted, so `beaten` is a run of ones that reaches the last entry: the pair goes in
  // where the run starts, and the run moves down by one.
  for (genvar k = 0; k < MaxN; k++) begin : gen_entry
    assign beaten[k] = in_valid_i && (!base[k].valid || in_logit_i > $signed(base[k].logit));

    if (k == 0) begin : gen_head
      assign list_d[k] = beaten[k] ? incoming : base[k];
    end else begin : gen_tail
      assign list_d[k] = !beaten[k] ? base[k] : beaten[k-1] ? base[k-1] : incoming;

      `CASC_ASSERT(Sorted, !list_q[k].valid || (list_q[k-1].valid
          && $signed(list_q[k].logit) <= $signed(list_q[k-1].logit)))
    end

    assign list_valid_o[k] = list_q[k].valid;
    assign list_logit_o[k] = list_q[k].logit;
    assign list_class_o[k] = list_q[k].index;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) list_q <= '0;
    else list_q <= list_d;
  end

endmodule
