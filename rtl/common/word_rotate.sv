// SPDX-License-Identifier: Apache-2.0
//
// Words of a ring from any place on: out[w] = in[(place + w) % InWords]. Combinational.
//
// A level turns by two bits of the place, a multiplexer of four a bit (one LUT6). The highest bits come
// first: behind a level that turns by multiples of 4**k only OutWords + 4**k - 1 words matter, and
// synthesis drops the others.

`include "casc_assert.svh"

module word_rotate #(
    parameter  int unsigned InWords   = 8,  // 2..: a power of two
    parameter  int unsigned OutWords  = 4,  // 1..InWords
    parameter  int unsigned WordBits  = 8,  // 1..
    localparam int unsigned PlaceBits = cascade_pkg::index_bits(InWords)
) (
    input  logic [InWords-1:0][WordBits-1:0]  words_i,
    input  logic [PlaceBits-1:0]              place_i,
    output logic [OutWords-1:0][WordBits-1:0] words_o
);

  `CASC_CHECK_PARAM(in_words, InWords >= 2 && (InWords & (InWords - 1)) == 0)
  `CASC_CHECK_PARAM(out_words, OutWords >= 1 && OutWords <= InWords)
  `CASC_CHECK_PARAM(word_bits, WordBits >= 1)

  localparam int unsigned Levels = (PlaceBits + 1) / 2;

  logic [2*Levels-1:0] place;
  assign place = (2 * Levels)'(place_i);

  // Level k has been turned by the place's bits from 2 * k on.
  logic [Levels:0][InWords-1:0][WordBits-1:0] turned;
  assign turned[Levels] = words_i;

  for (genvar level = 0; level < Levels; level++) begin : gen_level
    for (genvar word = 0; word < InWords; word++) begin : gen_word
      logic [3:0][WordBits-1:0] choice;
      for (genvar way = 0; way < 4; way++) begin : gen_way
        assign choice[way] = turned[level+1][(word + (way << (2 * level))) % InWords];
      end
      assign turned[level][word] = choice[place[2*level+:2]];
    end
  end

  assign words_o = turned[0][OutWords-1:0];

  if (OutWords < InWords) begin : gen_unused
    logic unused_turned;
    assign unused_turned = ^turned[0][InWords-1:OutWords];
  end

endmodule
