// SPDX-License-Identifier: Apache-2.0
//
// Assertion macros. They are active in simulation (Verilator included) and in formal runs, and
// vanish when SYNTHESIS is defined. Clocked checks are written as one boolean over $past, because
// the open synthesis front end reads clocked booleans but no implication operator.
//
// The clock is clk_i and the synchronous, active-low reset rst_ni of the module that uses a macro.
// rst_ni must be low at the first clock edge.

`ifndef CASC_ASSERT_SVH
`define CASC_ASSERT_SVH

// Elaboration-time check of a parameter; active in every tool. `label_` names the generate block.
`define CASC_CHECK_PARAM(label_, condition_) \
  if (!(condition_)) begin : gen_illegal_``label_ \
    $error("illegal parameter: %s must hold", `"condition_`"); \
  end

`ifdef SYNTHESIS

`define CASC_ASSERT(name_, condition_)
`define CASC_ASSERT_STREAM(name_, valid_, ready_, data_)

`else

// `condition_` holds at every clock edge outside reset.
`define CASC_ASSERT(name_, condition_) \
  name_ : assert property (@(posedge clk_i) disable iff (!rst_ni) (condition_)) \
  else $error("assertion %s failed", `"name_`");

// Ready/valid rule: a beat that was offered and not taken is offered again, unchanged.
`define CASC_ASSERT_STREAM(name_, valid_, ready_, data_) \
  `CASC_ASSERT(name_``_holds_valid, !$past(rst_ni && (valid_) && !(ready_)) || (valid_)) \
  `CASC_ASSERT(name_``_holds_data, \
      !$past(rst_ni && (valid_) && !(ready_)) || $stable(data_))

`endif

`endif
