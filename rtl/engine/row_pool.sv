// SPDX-License-Identifier: Apache-2.0
//
// Max pooling of a convolution's rows on their way to the writer, so that the map that is pooled
// never goes through memory: windows of size_i x size_i pixels side by side, no padding.
//
// Rows are pixels of maps of line_i pixels a line and rows_i pixels in all, one map after the other,
// Lanes channels each. With size_i 0 or 1 they pass as they are. Pixels that fill no window are
// dropped.
//
// Latency:    none: a window's row is offered with its last pixel.
// Throughput: a row a cycle.
// Numbers:    words of Bits bits, two's complement with signed_i; they come and leave sign- or
//             zero-extended to MAX_BITS. Rows that pass may use all of these.
// Settings change only while no map is under way.

`include "casc_assert.svh"

module row_pool
  import cascade_pkg::*;
#(
    parameter  int unsigned Lanes    = 4,  // 1..
    parameter  int unsigned Bits     = 8,  // 2..16
    parameter  int unsigned Width    = 4,  // 1..65535: most windows side by side
    localparam int unsigned AddrBits = index_bits(Width)
) (
    input logic clk_i,
    input logic rst_ni,

    input logic [3:0]  size_i,
    input logic [15:0] line_i,    // 1..: if pooled, line_i / size_i is at most Width
    input logic [31:0] rows_i,    // whole lines
    input logic        signed_i,

    input  logic                           in_valid_i,
    output logic                           in_ready_o,
    input  logic [Lanes-1:0][MAX_BITS-1:0] in_words_i,

    output logic                           out_valid_o,
    input  logic                           out_ready_i,
    output logic [Lanes-1:0][MAX_BITS-1:0] out_words_o
);

  `CASC_CHECK_PARAM(bits, Bits >= MIN_BITS && Bits <= MAX_BITS)
  `CASC_CHECK_PARAM(width, Width >= 1 && Width <= 65535)

  typedef logic [Bits-1:0] word_t;

  function automatic word_t larger(input word_t a, input word_t b, input logic is_signed);
    return ($signed({is_signed && a[Bits-1], a}) > $signed({is_signed && b[Bits-1], b})) ? a : b;
  endfunction

  logic        pools, take, first_x, first_y, last_x, last_y, ends_line, ends_map;
  logic [3:0]  x_q, y_q;        // in the window
  logic [15:0] pixel_q, window_q;  // in the line
  logic [31:0] row_q;

  assign pools     = size_i > 4'd1;
  assign first_x   = x_q == '0;
  assign first_y   = y_q == '0;
  assign last_x    = x_q == size_i - 1'b1;
  assign last_y    = y_q == size_i - 1'b1;
  assign ends_line = pixel_q == line_i - 1'b1;
  assign ends_map  = row_q == rows_i - 1'b1;

  assign out_valid_o = in_valid_i && (!pools || (last_x && last_y));
  assign in_ready_o  = out_ready_i || (pools && !(last_x && last_y));
  assign take        = in_valid_i && in_ready_o && pools;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      x_q      <= '0;
      y_q      <= '0;
      pixel_q  <= '0;
      window_q <= '0;
      row_q    <= '0;
    end else if (take) begin
      x_q      <= (last_x || ends_line) ? '0 : x_q + 1'b1;
      pixel_q  <= ends_line ? '0 : pixel_q + 1'b1;
      window_q <= ends_line ? '0 : last_x ? window_q + 1'b1 : window_q;
      row_q    <= ends_map ? '0 : row_q + 1'b1;
      if (ends_map) y_q <= '0;
      else if (ends_line) y_q <= last_y ? '0 : y_q + 1'b1;
    end
  end

  // The window's maxima: of this line's pixels so far, and of its lines above. The latter are read a
  // cycle before they are needed: a window has at least two pixels in a line.
  word_t [Lanes-1:0] pixel, line_q, line, above, window;

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
    assign pixel[lane]  = in_words_i[lane][Bits-1:0];
    assign line[lane]   = first_x ? pixel[lane] : larger(pixel[lane], line_q[lane], signed_i);
    assign window[lane] = first_y ? line[lane] : larger(line[lane], above[lane], signed_i);
    assign out_words_o[lane] = pools
        ? {{(MAX_BITS - Bits) {signed_i && window[lane][Bits-1]}}, window[lane]}
        : in_words_i[lane];
  end

  always_ff @(posedge clk_i) begin
    if (take) line_q <= line;
  end

  ram_1r1w #(
      .Width(Lanes * Bits),
      .Depth(Width)
  ) u_above (
      .clk_i,
      .read_en_i   (1'b1),
      .read_addr_i (AddrBits'(window_q)),
      .read_data_o (above),
      .write_en_i  (take && last_x),
      .write_addr_i(AddrBits'(window_q)),
      .write_data_i(window)
  );

  logic unused_bits;
  assign unused_bits = ^{in_words_i, window_q};

  `CASC_ASSERT(WindowsFit, !(take && last_x) || window_q < 16'(Width))
  `CASC_ASSERT(WholeLines, !take || !ends_map || ends_line)
  `CASC_ASSERT(SettingsStable, !$past(rst_ni && (row_q != '0)) || row_q == '0
      || $stable({size_i, line_i, rows_i, signed_i}))

endmodule
