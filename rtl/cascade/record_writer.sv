// SPDX-License-Identifier: Apache-2.0
//
// Writes result records to memory: 64 bytes as one run of successive beats, the last word last.
//
// Latency:    none; beats follow from the record that is offered, which is taken with its last beat.
// Throughput: 1 beat per cycle: a record every 512 / DataBits cycles.
// Address:    results_i + 64 * the record's image, wrapping at 2^32; results_i on a 64-byte boundary.

`include "casc_assert.svh"

module record_writer
  import control_pkg::*;
  import result_record_pkg::*;
#(
    parameter int unsigned DataBits = 64  // 64 or 128
) (
    input logic clk_i,
    input logic rst_ni,

    input  addr_t          results_i,
    input  logic           record_valid_i,
    output logic           record_ready_o,
    input  result_record_t record_i,

    output logic                  wr_valid_o,
    input  logic                  wr_ready_i,
    output addr_t                 wr_addr_o,
    output logic [DataBits-1:0]   wr_data_o,
    output logic [DataBits/8-1:0] wr_strb_o,
    output logic                  wr_last_o
);

  localparam int unsigned Beats     = RESULT_BITS / DataBits;
  localparam int unsigned BeatBits  = $clog2(Beats);
  localparam int unsigned ByteBits  = $clog2(DataBits / 8);
  localparam int unsigned PlaceBits = BeatBits + ByteBits;  // of a byte in a record

  `CASC_CHECK_PARAM(data_bits, DataBits == 64 || DataBits == 128)

  logic [BeatBits-1:0]            beat_q;
  logic [Beats-1:0][DataBits-1:0] words;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) beat_q <= '0;
    else if (wr_valid_o && wr_ready_i) beat_q <= beat_q + 1'b1;
  end

  assign words          = result_words(record_i);
  assign wr_valid_o     = record_valid_i;
  assign wr_data_o      = words[beat_q];
  assign wr_strb_o      = '1;
  assign wr_last_o      = beat_q == '1;
  assign wr_addr_o      = results_i + addr_t'({record_i.image, {PlaceBits{1'b0}}})
                        + addr_t'({beat_q, {ByteBits{1'b0}}});
  assign record_ready_o = wr_ready_i && wr_last_o;

  `CASC_ASSERT_STREAM(Record, record_valid_i, record_ready_o, record_i)
  `CASC_ASSERT(Aligned, !wr_valid_o || results_i[PlaceBits-1:0] == '0)

endmodule
