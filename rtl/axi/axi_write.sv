// SPDX-License-Identifier: Apache-2.0
//
// AXI4 write master: writes what an engine's writer gives it (docs/engine.md), in bursts.
//
// Beats carry their own addresses; a run is successive addresses up to a beat with in_last_i. A run
// becomes INCR bursts of at most MaxBurst beats that never cross a 4 KiB boundary. Beats wait in a
// buffer until their burst's length is known, so neither address nor data ever wait for the writer.
//
// Errors: an answer of SLVERR or DECERR sets error_o, with the burst's address, until reset. timeout_o
// is set until reset when something is under way and nothing moved for limit_i cycles (0: never).
// stop_i: beats are taken and forgotten, the burst under way ends with the beats it has; what has an
// address is written. It must stay high until idle_o.
// idle_o: no beat is here and every burst is answered: all is in memory.
//
// Latency:    2 cycles from a burst's last beat to its address, 3 to its first data.
// Throughput: a beat a cycle, runs of any length.

`include "casc_assert.svh"

module axi_write
  import engine_pkg::*;
#(
    parameter int unsigned DataBits    = 64,  // 64 or 128
    parameter int unsigned AddrBits    = 32,  // 32..64: of the port
    parameter int unsigned MaxBurst    = 16,  // 1..256
    parameter int unsigned BufferBeats = 64,  // MaxBurst..
    parameter int unsigned Outstanding = 8    // 2..: bursts that are closed and not answered
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic                  in_valid_i,
    output logic                  in_ready_o,
    input  addr_t                 in_addr_i,  // on a beat's boundary
    input  logic [DataBits-1:0]   in_data_i,
    input  logic [DataBits/8-1:0] in_strb_i,
    input  logic                  in_last_i,

    input  logic        stop_i,
    output logic        idle_o,
    input  logic [31:0] limit_i,
    output logic        timeout_o,
    output logic        error_o,
    output addr_t       error_addr_o,

    input  logic [AddrBits-1:0] base_i,  // added to every address; 4 KiB aligned

    output logic                  aw_valid_o,
    input  logic                  aw_ready_i,
    output logic [AddrBits-1:0]   aw_addr_o,
    output logic [7:0]            aw_len_o,
    output logic [2:0]            aw_size_o,
    output logic [1:0]            aw_burst_o,
    output logic                  w_valid_o,
    input  logic                  w_ready_i,
    output logic [DataBits-1:0]   w_data_o,
    output logic [DataBits/8-1:0] w_strb_o,
    output logic                  w_last_o,
    input  logic                  b_valid_i,
    output logic                  b_ready_o,
    input  logic [1:0]            b_resp_i
);

  `CASC_CHECK_PARAM(data_bits, DataBits == 64 || DataBits == 128)
  `CASC_CHECK_PARAM(addr_bits, AddrBits >= ADDR_BITS && AddrBits <= 64)
  `CASC_CHECK_PARAM(max_burst, MaxBurst >= 1 && MaxBurst <= 256)
  `CASC_CHECK_PARAM(buffer, BufferBeats >= MaxBurst)
  `CASC_CHECK_PARAM(outstanding, Outstanding >= 2)

  localparam int unsigned ByteBits = $clog2(DataBits / 8);
  localparam int unsigned LenBits  = 9;

  typedef struct packed {
    addr_t      addr;
    logic [7:0] len;  // beats less one
  } burst_t;

  // ---------------------------------------------------------------- beats to bursts

  logic [LenBits-1:0] open_q;       // beats of the burst that is not listed yet
  logic [LenBits-1:0] open_next;
  addr_t              open_addr_q;  // its first
  logic               close_q;      // its length is known
  logic               take, closes, ends_page, beat_ready, lists_ready, close_late;
  logic               list, beat_valid, address_ready, length_ready, answer_ready;
  logic               length_valid, answer_valid;
  burst_t             closed, address_burst;
  logic [7:0]         length;
  addr_t              answer_addr;

  assign in_ready_o = stop_i || (beat_ready && lists_ready);
  assign take       = in_valid_i && in_ready_o && !stop_i;
  assign ends_page  = &in_addr_i[11:ByteBits];
  assign closes     = in_last_i || ends_page || open_next == LenBits'(MaxBurst);

  assign open_next = (close_q ? '0 : open_q) + 1'b1;

  // A stop closes what is open, once what was closed before has been listed.
  assign close_late = stop_i && open_q != '0 && !close_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      open_q  <= '0;
      close_q <= 1'b0;
    end else if (take) begin
      open_q  <= open_next;
      close_q <= closes;
    end else if (close_q && lists_ready) begin
      open_q  <= '0;
      close_q <= 1'b0;
    end else if (close_late) begin
      close_q <= 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (take && (open_q == '0 || close_q)) open_addr_q <= in_addr_i;
  end

  assign closed = '{addr: open_addr_q, len: 8'(open_q - 1'b1)};

  fifo #(
      .Width(DataBits + DataBits / 8),
      .Depth(BufferBeats)
  ) u_beats (
      .clk_i,
      .rst_ni,
      .in_valid_i (take),
      .in_ready_o (beat_ready),
      .in_data_i  ({in_strb_i, in_data_i}),
      .out_valid_o(beat_valid),
      .out_ready_i(w_valid_o && w_ready_i),
      .out_data_o ({w_strb_o, w_data_o})
  );

  // A closed burst is needed three times: for its address, its data and its answer.
  assign lists_ready = address_ready && length_ready && answer_ready;
  assign list        = close_q && lists_ready;

  fifo #(
      .Width($bits(burst_t)),
      .Depth(Outstanding)
  ) u_addresses (
      .clk_i,
      .rst_ni,
      .in_valid_i (list),
      .in_ready_o (address_ready),
      .in_data_i  (closed),
      .out_valid_o(aw_valid_o),
      .out_ready_i(aw_ready_i),
      .out_data_o (address_burst)
  );

  fifo #(
      .Width(8),
      .Depth(Outstanding)
  ) u_lengths (
      .clk_i,
      .rst_ni,
      .in_valid_i (list),
      .in_ready_o (length_ready),
      .in_data_i  (closed.len),
      .out_valid_o(length_valid),
      .out_ready_i(w_valid_o && w_ready_i && w_last_o),
      .out_data_o (length)
  );

  fifo #(
      .Width(ADDR_BITS),
      .Depth(Outstanding)
  ) u_answers (
      .clk_i,
      .rst_ni,
      .in_valid_i (list),
      .in_ready_o (answer_ready),
      .in_data_i  (closed.addr),
      .out_valid_o(answer_valid),
      .out_ready_i(b_valid_i),
      .out_data_o (answer_addr)
  );

  // ---------------------------------------------------------------- the port

  logic [7:0] sent_q;  // beats of the burst

  assign aw_addr_o  = base_i + AddrBits'(address_burst.addr);
  assign aw_len_o   = address_burst.len;
  assign aw_size_o  = 3'(ByteBits);
  assign aw_burst_o = 2'b01;  // INCR
  assign w_valid_o  = length_valid && beat_valid;
  assign w_last_o   = sent_q == length;
  assign b_ready_o  = 1'b1;
  assign idle_o     = open_q == '0 && !answer_valid && !length_valid && !aw_valid_o;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) sent_q <= '0;
    else if (w_valid_o && w_ready_i) sent_q <= w_last_o ? '0 : sent_q + 1'b1;
  end

  // ---------------------------------------------------------------- errors

  logic [31:0] still_q;
  logic        moves;

  assign moves = (aw_valid_o && aw_ready_i) || (w_valid_o && w_ready_i) || b_valid_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      still_q   <= '0;
      timeout_o <= 1'b0;
      error_o   <= 1'b0;
    end else begin
      still_q <= (moves || !answer_valid) ? '0 : still_q + 1'b1;
      if (limit_i != '0 && still_q >= limit_i) timeout_o <= 1'b1;
      if (b_valid_i && b_resp_i[1]) error_o <= 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!error_o) error_addr_o <= answer_addr;
  end

  logic unused_resp;
  assign unused_resp = b_resp_i[0];

  `CASC_ASSERT_STREAM(Address, aw_valid_o, aw_ready_i, {aw_addr_o, aw_len_o})
  `CASC_ASSERT_STREAM(Data, w_valid_o, w_ready_i, {w_data_o, w_strb_o, w_last_o})
  `CASC_ASSERT(AnswerIsExpected, !b_valid_i || answer_valid)
  `CASC_ASSERT(BeatIsAligned, !in_valid_i || in_addr_i[ByteBits-1:0] == '0)
  `CASC_ASSERT(RunGoesOn, !take || open_q == '0 || close_q
      || in_addr_i == open_addr_q + (addr_t'(open_q) << ByteBits))
  `CASC_ASSERT(StopIsKept, !$past(rst_ni && stop_i && !idle_o) || stop_i)

endmodule
