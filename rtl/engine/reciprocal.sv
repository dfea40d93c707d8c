// SPDX-License-Identifier: Apache-2.0
//
// 1 / divisor as mantissa * 2**-(RECIPROCAL_BITS - 1 + exponent): a divider, a few bits a stage.
//
// Latency:    12 enabled cycles.
// Throughput: 1 divisor per enabled cycle.
// Numbers:    exponent = bits of (divisor - 1), so 2**(exponent-1) < divisor <= 2**exponent, and the
//             mantissa is 2**(RECIPROCAL_BITS - 1 + exponent) / divisor, rounded half up: for every
//             divisor, 2**(RECIPROCAL_BITS - 1) up to all of its bits. Equal to
//             fixedpoint.reciprocal_of (shift = RECIPROCAL_BITS - 1 + exponent).
// divisor 1..2**RECIPROCAL_BITS - 1. With en_i low everything stands still.

`include "casc_assert.svh"

module reciprocal
  import cascade_pkg::*;
(
    input  logic                       clk_i,
    input  logic                       rst_ni,
    input  logic                       en_i,
    input  logic                       in_valid_i,
    input  logic [RECIPROCAL_BITS-1:0] in_divisor_i,
    output logic                       out_valid_o,
    output logic [RECIPROCAL_BITS-1:0] out_mantissa_o,
    output shift_t                     out_exponent_o
);

  // The divisor is shifted to 2**(Bits-1) < divisor <= 2**Bits; 2**(2 * Bits) over it then has one
  // bit more than the mantissa, to round by. Long division makes it bit by bit, from the remainder
  // 2**(Bits-2), where all quotient bits so far are 0.
  localparam int unsigned Bits       = RECIPROCAL_BITS;
  localparam int unsigned StageSteps = 2;  // quotient bits a stage
  localparam int unsigned Stages     = (Bits + 2) / StageSteps;
  localparam int unsigned Latency    = 2 + Stages + 1;

  typedef struct packed {
    logic [Bits:0] divisor;
    logic [Bits:0] remainder;  // below the divisor
    logic [Bits:0] quotient;
  } division_t;

  function automatic division_t divided(input division_t old);
    division_t     now;
    logic [Bits:0] twice;
    now = old;
    for (int unsigned step = 0; step < StageSteps; step++) begin
      // Below twice the divisor, hence below 2**(Bits+1).
      twice         = {now.remainder[Bits-1:0], 1'b0};
      now.quotient  = {now.quotient[Bits-1:0], twice >= now.divisor};
      now.remainder = (twice >= now.divisor) ? twice - now.divisor : twice;
    end
    return now;
  endfunction

  function automatic shift_t exponent_of(input logic [Bits-1:0] divisor);
    logic [Bits-1:0] below;
    shift_t          exponent;
    below    = divisor - 1'b1;
    exponent = '0;
    for (int unsigned place = 0; place < Bits; place++) begin
      if (below[place]) exponent = shift_t'(place + 1);
    end
    return exponent;
  endfunction

  logic [Latency-1:0]   valid_q;
  shift_t [Latency-1:0] exponent_q;
  logic [Bits-1:0]      divisor_q;
  division_t            division_q[Stages+1];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else if (en_i) valid_q <= {valid_q[Latency-2:0], in_valid_i};
  end

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      exponent_q    <= {exponent_q[Latency-2:0], exponent_of(in_divisor_i)};
      divisor_q     <= in_divisor_i;
      division_q[0] <= '{
          divisor:   {1'b0, divisor_q} << (shift_t'(Bits) - exponent_q[0]),
          remainder: (Bits + 1)'(1) << (Bits - 2),
          quotient:  '0
      };
      for (int unsigned stage = 0; stage < Stages; stage++) begin
        division_q[stage+1] <= divided(division_q[stage]);
      end
      out_mantissa_o <= division_q[Stages].quotient[Bits:1]
          + Bits'(division_q[Stages].quotient[0]);
    end
  end

  assign out_valid_o    = valid_q[Latency-1];
  assign out_exponent_o = exponent_q[Latency-1];

  `CASC_ASSERT(DivisorNotZero, !(en_i && in_valid_i) || in_divisor_i != '0)

endmodule
