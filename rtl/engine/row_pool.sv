// SPDX-License-Identifier: Apache-2.0
//
// Max pooling of a convolution's rows on their way to the writer, so that the map that is pooled
// never goes through memory: windows of size_i x size_i pixels, side by side or, with overlaps_i, each
// sharing a line of pixels with the next one; pad_i: a line of padding above and left of the map.
//
// Rows are pixels of maps of line_i pixels a line and rows_i pixels in all, one map after the other,
// Lanes channels each. Of a map width_i x height_i windows are wanted; pixels that fill none of them
// are dropped, and the last windows of a line, and the last line of windows, may reach over the map's
// end. With size_i 0 or 1 rows pass as they are.
//
// Latency:    none: a window's row is offered with its last pixel.
// Throughput: a row a cycle.
// Numbers:    words of Bits bits, two's complement with signed_i; they come and leave sign- or
//             zero-extended to MAX_BITS. Rows that pass may use all of these.
// Settings change only while no map is under way, a cycle or more before the next one. No pixel ends
// two windows of a line (or line of a column): the toolflow asks for no such pooling.

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
    input logic        overlaps_i,  // size_i is at least 3
    input logic        pad_i,
    input logic [15:0] line_i,      // 1..: if pooled, at least from a window to the next
    input logic [31:0] rows_i,      // whole lines
    input logic [15:0] width_i,     // 1..Width: windows of a line
    input logic [15:0] height_i,    // 1..: lines of windows
    input logic        signed_i,

    output logic idle_o,  // no map is under way: none of its rows are to come

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

  // A line is cut into parts as long as from a window to the next; lines into parts likewise. A part
  // is a window, or with overlaps_i a window with the next part's first pixel.
  logic        pools, take, emits;
  logic        first_x_q, first_y_q, begins_x, begins_y, ends_line_q, ends_map, last_line;
  logic        shares_x, shares_y, done_x, done_y, wanted_x, wanted_y;
  logic [3:0]  last_q;             // of a part
  logic        more_x_q, more_y_q; // more windows of the line, lines of windows, are wanted
  logic [15:0] last_window_q, last_above_q;
  logic [3:0]  x_q, y_q;           // in the part
  logic [15:0] pixel_q;            // in the line
  logic [15:0] window_q, above_q;  // windows of the line, lines of windows that ended
  logic [31:0] row_q, last_rows_q; // in the map; where the last line begins
  logic [31:0] last_row_q;
  logic [15:0] before_last_q;      // pixel of a line

  assign idle_o    = row_q == '0;
  assign pools     = size_i > 4'd1;
  assign begins_x  = first_x_q || x_q == '0;
  assign begins_y  = first_y_q || y_q == '0;
  assign ends_map  = row_q == last_row_q;
  assign last_line = row_q >= last_rows_q;

  // A part's first pixel is the last one of the window before.
  assign shares_x = overlaps_i && x_q == '0 && !first_x_q;
  assign shares_y = overlaps_i && y_q == '0 && !first_y_q;
  assign done_x   = shares_x || ends_line_q || (!overlaps_i && x_q == last_q);
  assign done_y   = shares_y || last_line || (!overlaps_i && y_q == last_q);
  assign wanted_x = done_x && more_x_q;
  assign wanted_y = done_y && more_y_q;
  assign emits    = wanted_x && wanted_y;

  assign out_valid_o = in_valid_i && (!pools || emits);
  assign in_ready_o  = out_ready_i || (pools && !emits);
  assign take        = in_valid_i && in_ready_o && pools;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      row_q    <= '0;
      pixel_q  <= '0;
      window_q <= '0;
      above_q  <= '0;
    end else if (take) begin
      row_q    <= ends_map ? '0 : row_q + 1'b1;
      pixel_q  <= ends_line_q ? '0 : pixel_q + 1'b1;
      window_q <= ends_line_q ? '0 : window_q + 16'(done_x);
      if (ends_line_q) above_q <= ends_map ? '0 : above_q + 16'(done_y);
    end
  end

  // Between maps these follow the settings.
  always_ff @(posedge clk_i) begin
    last_rows_q   <= rows_i - 32'(line_i);
    last_row_q    <= rows_i - 1'b1;
    before_last_q <= line_i - 16'd2;
    last_q        <= size_i - 4'd1 - 4'(overlaps_i);
    last_window_q <= width_i - 1'b1;
    last_above_q  <= height_i - 1'b1;
    if (row_q == '0 && !take) begin
      x_q         <= 4'(pad_i);
      y_q         <= 4'(pad_i);
      first_x_q   <= 1'b1;
      first_y_q   <= 1'b1;
      more_x_q    <= 1'b1;
      more_y_q    <= 1'b1;
      ends_line_q <= line_i == 16'd1;
    end else if (take) begin
      x_q         <= ends_line_q ? 4'(pad_i) : (x_q == last_q) ? '0 : x_q + 1'b1;
      first_x_q   <= ends_line_q;
      ends_line_q <= ends_line_q ? line_i == 16'd1 : pixel_q == before_last_q;
      if (ends_line_q) first_y_q <= ends_map;
      more_x_q    <= ends_line_q || (more_x_q && !(done_x && window_q == last_window_q));
      if (ends_line_q) begin
        more_y_q <= ends_map || (more_y_q && !(done_y && above_q == last_above_q));
      end
      if (ends_map) y_q <= 4'(pad_i);
      else if (ends_line_q) y_q <= (y_q == last_q) ? '0 : y_q + 1'b1;
    end
  end

  // Maxima: of the line's pixels so far, and of the lines above, each with or without this pixel or
  // line where it belongs to two windows. The latter are read a cycle before they are needed.
  word_t [Lanes-1:0]   pixel, part_q, part, above, column, line, window;
  logic [AddrBits-1:0] next_window;

  for (genvar lane = 0; lane < Lanes; lane++) begin : gen_lane
    logic starts_x, starts_y;
    assign starts_x = begins_x && !shares_x;
    assign starts_y = begins_y && !shares_y;

    assign pixel[lane]  = in_words_i[lane][Bits-1:0];
    assign line[lane]   = starts_x ? pixel[lane] : larger(pixel[lane], part_q[lane], signed_i);
    assign part[lane]   = begins_x ? pixel[lane] : line[lane];
    assign window[lane] = starts_y ? line[lane] : larger(line[lane], above[lane], signed_i);
    assign column[lane] = begins_y ? line[lane] : window[lane];
    assign out_words_o[lane] = pools
        ? {{(MAX_BITS - Bits) {signed_i && window[lane][Bits-1]}}, window[lane]}
        : in_words_i[lane];
  end

  always_ff @(posedge clk_i) begin
    if (take) part_q <= part;
  end

  always_comb begin
    next_window = AddrBits'(window_q);
    if (take && done_x) next_window = ends_line_q ? '0 : AddrBits'(window_q + 1'b1);
  end

  ram_1r1w #(
      .Width(Lanes * Bits),
      .Depth(Width)
  ) u_above (
      .clk_i,
      .read_en_i   (1'b1),
      .read_addr_i (next_window),
      .read_data_o (above),
      .write_en_i  (take && wanted_x),
      .write_addr_i(AddrBits'(window_q)),
      .write_data_i(column)
  );

  logic unused_bits;
  assign unused_bits = ^{in_words_i, window_q};

  `CASC_ASSERT(WindowsFit, !take || 32'(width_i) <= Width)
  `CASC_ASSERT(WholeLines, !take || !ends_map || ends_line_q)
  `CASC_ASSERT(LinesLong, !take || line_i > 16'(last_q))
  `CASC_ASSERT(OneWindowEnds, !take || !ends_line_q || !shares_x || window_q + 1'b1 >= width_i)
  `CASC_ASSERT(SettingsStable, !$past(rst_ni && (row_q != '0)) || row_q == '0
      || $stable({size_i, overlaps_i, pad_i, line_i, rows_i, width_i, height_i, signed_i}))

endmodule
