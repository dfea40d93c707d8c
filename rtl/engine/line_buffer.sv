// SPDX-License-Identifier: Apache-2.0
//
// Ring of slots, written by whole beats and read by ReadSlots successive slots from any slot on.
//
// The slots lie over Banks memories in turns of BankSlots, as few as hold any ReadSlots successive
// ones at one address each or at two successive ones. A rotation puts the first slot in lane 0.
//
// Latency:    read data follows its address by one cycle and holds while read_en_i is low.
// Throughput: a write and a read a cycle. A read of what is written in the same cycle is old.

`include "casc_assert.svh"

module line_buffer #(
    parameter  int unsigned SlotBits  = 8,     // 2..16
    parameter  int unsigned Slots     = 4096,  // a power of two, at least two turns of the banks
    parameter  int unsigned BeatSlots = 8,     // a power of two: written at a time
    parameter  int unsigned ReadSlots = 8,     // 1..
    localparam int unsigned AddrBits  = $clog2(Slots),
    localparam int unsigned BeatBits  = $clog2(Slots / BeatSlots)
) (
    input  logic                               clk_i,
    input  logic                               write_en_i,
    input  logic [BeatBits-1:0]                write_beat_i,
    input  logic [BeatSlots-1:0][SlotBits-1:0] write_data_i,
    input  logic                               read_en_i,
    input  logic [AddrBits-1:0]                read_addr_i,
    output logic [ReadSlots-1:0][SlotBits-1:0] read_data_o
);

  import cascade_pkg::*;

  localparam int unsigned BankSlots = min_of(BeatSlots, 1 << $clog2(ReadSlots));
  // Wherever a read begins within a bank, its last slot is within the banks.
  localparam int unsigned ReadBanks = (ReadSlots + 2 * BankSlots - 2) / BankSlots;
  localparam int unsigned BeatBanks = BeatSlots / BankSlots;
  localparam int unsigned Banks = 1 << $clog2((ReadBanks > BeatBanks) ? ReadBanks : BeatBanks);
  localparam int unsigned TurnSlots = Banks * BankSlots;
  localparam int unsigned Depth = Slots / TurnSlots;
  localparam int unsigned DepthBits = index_bits(Depth);
  localparam int unsigned TurnBits = index_bits(TurnSlots);

  `CASC_CHECK_PARAM(slot_bits, SlotBits >= MIN_BITS && SlotBits <= MAX_BITS)
  `CASC_CHECK_PARAM(read_slots, ReadSlots >= 1)
  `CASC_CHECK_PARAM(beat_slots, BeatSlots >= 2 && 1 << $clog2(BeatSlots) == BeatSlots)
  `CASC_CHECK_PARAM(slots, 1 << $clog2(Slots) == Slots && Slots >= 2 * TurnSlots)

  logic [TurnSlots-1:0][SlotBits-1:0] turn;
  logic [DepthBits-1:0]               read_turn;
  logic [TurnBits-1:0]                read_slot, read_slot_q;

  assign read_turn = read_addr_i[AddrBits-1:$clog2(TurnSlots)];
  assign read_slot = read_addr_i[TurnBits-1:0];

  for (genvar bank = 0; bank < Banks; bank++) begin : gen_bank
    logic                 here;        // the beat is, at least partly, of this bank
    logic [DepthBits-1:0] write_turn;
    logic                 next_turn;   // the read takes this bank's slots from behind its turn's end

    if (Banks == BeatBanks) begin : gen_whole
      assign here       = 1'b1;
      assign write_turn = write_beat_i;
    end else begin : gen_part
      localparam int unsigned Parts = Banks / BeatBanks;
      assign here       = write_beat_i[$clog2(Parts)-1:0] == $clog2(Parts)'(bank / BeatBanks);
      assign write_turn = write_beat_i[BeatBits-1:$clog2(Parts)];
    end

    if (bank == Banks - 1) begin : gen_last
      assign next_turn = 1'b0;
    end else begin : gen_other
      assign next_turn = TurnBits'(bank * BankSlots + BankSlots - 1) < read_slot;
    end

    ram_1r1w #(
        .Width(BankSlots * SlotBits),
        .Depth(Depth)
    ) u_ram (
        .clk_i,
        .read_en_i,
        .read_addr_i (read_turn + DepthBits'(next_turn)),
        .read_data_o (turn[bank*BankSlots+:BankSlots]),
        .write_en_i  (write_en_i && here),
        .write_addr_i(write_turn),
        .write_data_i(write_data_i[(bank%BeatBanks)*BankSlots+:BankSlots])
    );
  end

  always_ff @(posedge clk_i) begin
    if (read_en_i) read_slot_q <= read_slot;
  end

  word_rotate #(
      .InWords (TurnSlots),
      .OutWords(ReadSlots),
      .WordBits(SlotBits)
  ) u_rotate (
      .words_i(turn),
      .place_i(read_slot_q),
      .words_o(read_data_o)
  );

endmodule
