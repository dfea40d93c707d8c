// SPDX-License-Identifier: Apache-2.0
//
// Memory that is written a row of words at a time and read Words words from any word on.
//
// Word address a is word a % RowWords of row a / RowWords; addresses wrap at the end. Rows lie in two
// banks, the even ones and the odd ones, so that a read that runs over a row's end takes both in one
// cycle; what was read is then turned.
//
// Latency:    2 cycles while en_i is high; everything holds while it is low.
// Throughput: one read and one row written a cycle.
// Collision:  a read in the cycle of a write to its row may see the old row. No reset.

`include "casc_assert.svh"

module word_ram #(
    parameter  int unsigned Words    = 4,   // 1..: words of a read
    parameter  int unsigned WordBits = 8,   // 1..
    parameter  int unsigned Rows     = 64,  // 4..: a power of two
    localparam int unsigned OffBits  = cascade_pkg::index_bits(Words),
    localparam int unsigned RowWords = 1 << OffBits,
    localparam int unsigned RowBits  = $clog2(Rows),
    localparam int unsigned AddrBits = RowBits + OffBits
) (
    input  logic                              clk_i,
    input  logic                              en_i,
    input  logic [AddrBits-1:0]               read_addr_i,
    output logic [Words-1:0][WordBits-1:0]    read_words_o,
    input  logic                              write_en_i,
    input  logic [RowBits-1:0]                write_row_i,
    input  logic [RowWords-1:0][WordBits-1:0] write_words_i
);

  `CASC_CHECK_PARAM(words, Words >= 1)
  `CASC_CHECK_PARAM(word_bits, WordBits >= 1)
  `CASC_CHECK_PARAM(rows, Rows >= 4 && (Rows & (Rows - 1)) == 0)

  localparam int unsigned BankBits = cascade_pkg::index_bits(Rows / 2);

  logic [RowBits-1:0]                       row, row_up;
  logic [1:0][BankBits-1:0]                 bank_addr;
  logic [2*RowWords-1:0][WordBits-1:0]      bank_words;
  logic [OffBits:0]                         place_q;  // of the first word in the two banks
  logic [Words-1:0][WordBits-1:0]           turned;

  assign row    = read_addr_i[AddrBits-1:OffBits];
  assign row_up = row + 1'b1;

  // Row r is in bank r % 2; the even bank holds the second row of a read that begins in an odd one.
  assign bank_addr[0] = BankBits'((row[0] ? row_up : row) >> 1);
  assign bank_addr[1] = BankBits'(row >> 1);

  for (genvar bank = 0; bank < 2; bank++) begin : gen_bank
    ram_1r1w #(
        .Width(RowWords * WordBits),
        .Depth(Rows / 2)
    ) u_ram (
        .clk_i,
        .read_en_i   (en_i),
        .read_addr_i (bank_addr[bank]),
        .read_data_o (bank_words[bank*RowWords+:RowWords]),
        .write_en_i  (write_en_i && write_row_i[0] == 1'(unsigned'(bank))),
        .write_addr_i(BankBits'(write_row_i >> 1)),
        .write_data_i(write_words_i)
    );
  end

  word_rotate #(
      .InWords (2 * RowWords),
      .OutWords(Words),
      .WordBits(WordBits)
  ) u_rotate (
      .words_i(bank_words),
      .place_i(place_q),
      .words_o(turned)
  );

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      place_q      <= read_addr_i[OffBits:0];
      read_words_o <= turned;
    end
  end

endmodule
