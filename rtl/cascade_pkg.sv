// SPDX-License-Identifier: Apache-2.0
//
// Types, limits and arithmetic that every module shares. Written by hand.
//
// The arithmetic mirrors toolflow/fixedpoint.py, which is the definition: rounding is half up, then
// saturation. verif/unit/fixedpoint drives both over the corner values.

package cascade_pkg;

  // Wordlengths of weights and activations that the hardware can be built for.
  localparam int unsigned MIN_BITS = 2;
  localparam int unsigned MAX_BITS = 16;

  // Weights that are stored together, bit position by bit position (see weight_planes): one beat of
  // a 128-bit memory port, two of a 64-bit port. `BLOCK_WORDS` in toolflow/emission/memory_images.py.
  localparam int unsigned WEIGHT_BLOCK = 128;

  // Biases, at the accumulator's scale; signed. What the low-precision unit's bias differs by from
  // the one cut of the stored bias; signed. How much longer a channel's shift is than the layer's.
  localparam int unsigned BIAS_BITS       = 32;
  localparam int unsigned CORRECTION_BITS = 24;
  localparam int unsigned STEP_BITS       = 8;
  localparam int unsigned RECORD_BITS     = BIAS_BITS + CORRECTION_BITS + STEP_BITS;

  // The last layer's output; signed.
  localparam int unsigned LOGIT_BITS = 16;

  // Run-time right shifts: 0..31.
  localparam int unsigned SHIFT_BITS = 5;

  // LeakyReLU: unsigned mantissa of the slope, and the bits kept above the activations' wordlength
  // between its two roundings.
  localparam int unsigned LEAKY_SLOPE_BITS = 8;
  localparam int unsigned LEAKY_GUARD_BITS = 6;

  // Unsigned reciprocal that an average pooling multiplies by.
  localparam int unsigned RECIPROCAL_BITS = 16;

  // The widest intermediate of the fixed-point functions: the width of a DSP48 accumulator.
  localparam int unsigned WIDE_BITS = 48;

  typedef logic signed [WIDE_BITS-1:0] wide_t;
  typedef logic [SHIFT_BITS-1:0] shift_t;

  // An output channel's record in memory: channels.bin, see toolflow/emission/memory_images.py.
  typedef struct packed {
    logic [STEP_BITS-1:0]              step;
    logic signed [CORRECTION_BITS-1:0] correction;
    logic signed [BIAS_BITS-1:0]       bias;
  } channel_record_t;

  // Smallest integer of a format of `bits` (1..WIDE_BITS-1) bits.
  function automatic wide_t format_low(input int unsigned bits, input bit is_signed);
    return is_signed ? -(wide_t'(1) <<< (bits - 1)) : '0;
  endfunction

  // Largest integer of a format of `bits` (1..WIDE_BITS-1) bits.
  function automatic wide_t format_high(input int unsigned bits, input bit is_signed);
    return (wide_t'(1) <<< (is_signed ? bits - 1 : bits)) - wide_t'(1);
  endfunction

  // floor(value / 2**shift + 1/2): half up, so the bit below the new last place is the carry in.
  // Adding that bit after the shift equals adding 2**(shift-1) before it, cannot overflow, and needs
  // an adder of the result's width only.
  function automatic wide_t round_shift(input wide_t value, input shift_t shift);
    logic signed [WIDE_BITS:0] shifted;  // one place below the result's last
    shifted = $signed({value, 1'b0}) >>> shift;
    return $signed(shifted[WIDE_BITS:1]) + $signed({{(WIDE_BITS - 1) {1'b0}}, shifted[0]});
  endfunction

  // Clamp to low..high (low <= high).
  function automatic wide_t saturate(input wide_t value, input wide_t low, input wide_t high);
    return (value < low) ? low : (value > high) ? high : value;
  endfunction

  // Packed MACCs: columns that share a multiplier (see rtl/mm/pe.sv). `toolflow/hardware/packing.py`
  // is the same in Python.

  // Bits from one column's sum to the next one's: what tp products need, or what the multiplier's wide
  // operand of dsp_bits has room for.
  function automatic int unsigned lane_bits(
      input int unsigned columns, input int unsigned weight_bits, input int unsigned act_bits,
      input int unsigned tp, input int unsigned dsp_bits);
    automatic int unsigned wanted = weight_bits + $clog2(tp * ((1 << act_bits) - 1));
    if (columns == 1) return wanted;
    return min_of(wanted, (dsp_bits - weight_bits - 1) / (columns - 1));
  endfunction

  // Products that a column's sum holds before it runs into the next column's: 0 if not one.
  function automatic int unsigned chain_depth(
      input int unsigned columns, input int unsigned weight_bits, input int unsigned act_bits,
      input int unsigned tp, input int unsigned dsp_bits);
    automatic int unsigned lane = lane_bits(columns, weight_bits, act_bits, tp, dsp_bits);
    if (columns == 1) return tp;
    if (lane < weight_bits) return 0;
    return min_of(tp, (1 << (lane - weight_bits)) / ((1 << act_bits) - 1));
  endfunction

  // Chains of a dot product.
  function automatic int unsigned segment_count(input int unsigned tp, input int unsigned depth);
    return (depth == 0 || tp == 0) ? 1 : (tp + depth - 1) / depth;
  endfunction

  // Cycles that lane p of the activations is behind lane 0, where chains of `depth` lanes work side by
  // side and their sums are added up one after the other, the first two at once.
  function automatic int unsigned lane_delay(
      input int unsigned p, input int unsigned tp, input int unsigned depth);
    automatic int unsigned segment = p / depth;
    automatic int unsigned first = segment * depth;
    automatic int unsigned missing = (first + depth > tp) ? first + depth - tp : 0;
    return p - first + missing + ((segment > 1) ? segment - 1 : 0);
  endfunction

  // Bits of an index into `count` entries; at least one, so that it can be a port.
  function automatic int unsigned index_bits(input int unsigned count);
    return (count > 1) ? $clog2(count) : 1;
  endfunction

  function automatic int unsigned min_of(input int unsigned a, input int unsigned b);
    return (a < b) ? a : b;
  endfunction

endpackage
