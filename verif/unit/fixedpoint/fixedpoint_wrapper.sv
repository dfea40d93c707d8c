// SPDX-License-Identifier: Apache-2.0
//
// Ports for the combinational functions of cascade_pkg, so that a bench can drive them.

module fixedpoint_wrapper
  import cascade_pkg::*;
(
    input  wide_t      value_i,
    input  shift_t     shift_i,
    input  wide_t      low_i,
    input  wide_t      high_i,
    input  logic [5:0] bits_i,
    input  logic       is_signed_i,
    output wide_t      shifted_o,
    output wide_t      saturated_o,
    output wide_t      window_o,
    output wide_t      format_low_o,
    output wide_t      format_high_o
);

  int unsigned bits;
  assign bits = 32'(bits_i);

  assign shifted_o     = round_shift(value_i, shift_i);
  assign saturated_o   = saturate(value_i, low_i, high_i);
  assign format_low_o  = format_low(bits, is_signed_i);
  assign format_high_o = format_high(bits, is_signed_i);
  assign window_o      = saturate(shifted_o, format_low_o, format_high_o);

endmodule
