// SPDX-License-Identifier: Apache-2.0
//
// AXI4 read master: serves the read clients of an engine (docs/engine.md) through one port.
//
// Commands become INCR bursts of at most MaxBurst beats that never cross a 4 KiB boundary; clients take
// turns burst by burst. All bursts have one ID, so answers come in the order of the requests. A burst is
// requested only when its client's answer buffer has room for the longest one: a client that takes nothing
// blocks no other, and r_ready_o is always high.
//
// Errors: an answer of SLVERR or DECERR sets error_o, with the client and the burst's address, until
// reset; its data is passed on as it came, with data_error_o beside each beat of it. timeout_o is set until reset when something is under way and
// nothing moved for limit_i cycles (0: never). stop_i: no burst is requested any more, what was
// requested is taken and dropped, commands and answers in the buffers are dropped; while it is high
// clients' commands are taken and forgotten. It must stay high until idle_o.
//
// Latency:    3 cycles from a command to its request, 1 from an answer to its client.
// Throughput: a burst request a cycle, of one client every two, a beat a cycle; with room for it in the answer buffers a client
//             alone keeps the port busy at any latency up to BufferBeats cycles.

`include "casc_assert.svh"

module axi_read
  import cascade_pkg::*;
  import engine_pkg::*;
#(
    parameter  int unsigned Clients     = 2,    // 1..
    parameter  int unsigned DataBits    = 64,   // 64 or 128
    parameter  int unsigned AddrBits    = 32,   // 32..64: of the port; the rest is high_addr_i
    parameter  int unsigned MaxBurst    = 16,   // 1..256
    parameter  int unsigned BufferBeats = 64,   // MaxBurst..: a client's answer buffer
    parameter  int unsigned Outstanding = 8,    // 1..: bursts under way
    localparam int unsigned ClientBits  = index_bits(Clients)
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic [Clients-1:0]                 cmd_valid_i,
    output logic [Clients-1:0]                 cmd_ready_o,
    input  addr_t [Clients-1:0]                cmd_addr_i,   // on a beat's boundary
    input  logic [Clients-1:0][BEATS_BITS-1:0] cmd_beats_i,  // 1..
    output logic [Clients-1:0]                 data_valid_o,
    input  logic [Clients-1:0]                 data_ready_i,
    output logic [Clients-1:0][DataBits-1:0]   data_o,
    output logic [Clients-1:0]                 data_error_o,

    input  logic                  stop_i,
    output logic                  idle_o,
    input  logic [31:0]           limit_i,
    output logic                  timeout_o,
    output logic                  error_o,
    output logic [ClientBits-1:0] error_client_o,
    output addr_t                 error_addr_o,

    input  logic [AddrBits-1:0] base_i,  // added to every address; 4 KiB aligned

    output logic                ar_valid_o,
    input  logic                ar_ready_i,
    output logic [AddrBits-1:0] ar_addr_o,
    output logic [7:0]          ar_len_o,
    output logic [2:0]          ar_size_o,
    output logic [1:0]          ar_burst_o,
    input  logic                r_valid_i,
    output logic                r_ready_o,
    input  logic [DataBits-1:0] r_data_i,
    input  logic [1:0]          r_resp_i,
    input  logic                r_last_i
);

  `CASC_CHECK_PARAM(clients, Clients >= 1)
  `CASC_CHECK_PARAM(data_bits, DataBits == 64 || DataBits == 128)
  `CASC_CHECK_PARAM(addr_bits, AddrBits >= ADDR_BITS && AddrBits <= 64)
  `CASC_CHECK_PARAM(max_burst, MaxBurst >= 1 && MaxBurst <= 256)
  `CASC_CHECK_PARAM(buffer, BufferBeats >= MaxBurst)
  `CASC_CHECK_PARAM(outstanding, Outstanding >= 1)

  localparam int unsigned BeatBytes = DataBits / 8;
  localparam int unsigned ByteBits  = $clog2(BeatBytes);
  localparam int unsigned PageBeats = 4096 / BeatBytes;
  localparam int unsigned RoomBits  = $clog2(BufferBeats + 1);
  localparam int unsigned LenBits   = 9;

  typedef struct packed {
    logic [ClientBits-1:0] client;
    addr_t                 addr;  // its low bits on the port
  } burst_t;

  // ---------------------------------------------------------------- clients

  logic [Clients-1:0]               wants, granted, push, pop, buffer_empty, under_way;
  logic [Clients-1:0][AddrBits-1:0] burst_addr;
  logic [Clients-1:0][LenBits-1:0]  burst_len;
  logic                             flush;  // answers are dropped

  for (genvar k = 0; k < Clients; k++) begin : gen_client
    addr_t                 addr_q;
    logic [BEATS_BITS-1:0] left_q;
    logic [RoomBits-1:0]   reserved_q;  // beats of the answer buffer that are filled or promised
    logic [LenBits-1:0]    in_page, len, len_q;
    logic                  burst_q, cut;  // a burst is there; it is cut off the command
    logic                  room_q;        // for any burst
    logic [AddrBits-1:0]   burst_addr_q;
    logic                  out_valid, buffer_ready;

    // Beats up to the next 4 KiB boundary, the burst limit, and the command's end: the least.
    assign in_page = LenBits'(min_of(PageBeats - 32'(addr_q[11:ByteBits]), MaxBurst));
    assign len     = (left_q < BEATS_BITS'(in_page)) ? LenBits'(left_q) : in_page;

    assign cut            = left_q != '0 && !burst_q;
    assign wants[k]       = burst_q && room_q && !stop_i;
    assign burst_addr[k]  = burst_addr_q;
    assign burst_len[k]   = len_q;
    assign cmd_ready_o[k] = left_q == '0 || stop_i;

    always_ff @(posedge clk_i) begin
      if (!rst_ni || stop_i) left_q <= '0;
      else if (cmd_valid_i[k] && cmd_ready_o[k]) left_q <= cmd_beats_i[k];
      else if (cut) left_q <= left_q - BEATS_BITS'(len);
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni || stop_i) burst_q <= 1'b0;
      else if (cut || granted[k]) burst_q <= cut;
    end

    always_ff @(posedge clk_i) begin
      if (cmd_ready_o[k]) addr_q <= cmd_addr_i[k];
      else if (cut) addr_q <= addr_q + (addr_t'(len) << ByteBits);
      if (cut) begin
        len_q        <= len;
        burst_addr_q <= base_i + AddrBits'(addr_q);
      end
    end

    always_ff @(posedge clk_i) begin
      // No burst is there in the cycle after one was asked for: it is counted by the next one.
      room_q <= reserved_q <= RoomBits'(BufferBeats - MaxBurst);
      if (!rst_ni || flush) reserved_q <= '0;
      else reserved_q <= reserved_q + (granted[k] ? RoomBits'(len_q) : '0) - RoomBits'(pop[k]);
    end

    fifo #(
        .Width(1 + DataBits),
        .Depth(BufferBeats)
    ) u_answers (
        .clk_i,
        .rst_ni     (rst_ni && !flush),
        .in_valid_i (push[k]),
        .in_ready_o (buffer_ready),
        .in_data_i  ({r_resp_i[1], r_data_i}),
        .out_valid_o(out_valid),
        .out_ready_i(data_ready_i[k]),
        .out_data_o ({data_error_o[k], data_o[k]})
    );

    assign data_valid_o[k] = out_valid && !flush;
    assign pop[k]          = data_valid_o[k] && data_ready_i[k];
    assign buffer_empty[k] = !out_valid;
    assign under_way[k]    = left_q != '0 || burst_q;

    `CASC_ASSERT(AnswerHasRoom, !push[k] || buffer_ready)
    `CASC_ASSERT(CommandIsAligned,
                 !cmd_valid_i[k] || (cmd_addr_i[k][ByteBits-1:0] == '0 && cmd_beats_i[k] != '0))
  end

  // ---------------------------------------------------------------- requests, in turn

  logic [ClientBits-1:0] turn_q, chosen;
  logic                  any, request, order_ready;
  burst_t                order_in, order_out;
  logic                  order_valid, burst_end;

  // The first client from turn_q on that wants a burst.
  always_comb begin
    any    = 1'b0;
    chosen = '0;
    for (int unsigned k = 0; k < Clients; k++) begin
      if (!any && wants[k] && k >= 32'(turn_q)) begin
        any    = 1'b1;
        chosen = ClientBits'(k);
      end
    end
    for (int unsigned k = 0; k < Clients; k++) begin
      if (!any && wants[k]) begin
        any    = 1'b1;
        chosen = ClientBits'(k);
      end
    end
  end

  assign request = any && order_ready && (!ar_valid_o || ar_ready_i);
  for (genvar k = 0; k < Clients; k++) begin : gen_granted
    assign granted[k] = request && chosen == ClientBits'(unsigned'(k));
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      ar_valid_o <= 1'b0;
      turn_q     <= '0;
    end else begin
      if (request) ar_valid_o <= 1'b1;
      else if (ar_ready_i) ar_valid_o <= 1'b0;
      if (request) turn_q <= (chosen == ClientBits'(Clients - 1)) ? '0 : chosen + 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (request) begin
      ar_addr_o <= burst_addr[chosen];
      ar_len_o  <= 8'(burst_len[chosen] - 1'b1);
    end
  end

  assign ar_size_o  = 3'(ByteBits);
  assign ar_burst_o = 2'b01;  // INCR

  // ---------------------------------------------------------------- answers, in order

  assign order_in = '{client: chosen, addr: addr_t'(burst_addr[chosen])};

  fifo #(
      .Width($bits(burst_t)),
      .Depth(Outstanding)
  ) u_order (
      .clk_i,
      .rst_ni,
      .in_valid_i (request),
      .in_ready_o (order_ready),
      .in_data_i  (order_in),
      .out_valid_o(order_valid),
      .out_ready_i(burst_end),
      .out_data_o (order_out)
  );

  assign r_ready_o = 1'b1;
  assign burst_end = r_valid_i && r_last_i;
  for (genvar k = 0; k < Clients; k++) begin : gen_push
    assign push[k] = r_valid_i && !flush && order_out.client == ClientBits'(unsigned'(k));
  end

  // From a stop on until nothing is under way.
  logic flush_q;
  assign flush  = stop_i || flush_q;
  assign idle_o = !order_valid && !ar_valid_o && (&buffer_empty) && !(|under_way);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) flush_q <= 1'b0;
    else flush_q <= flush && (order_valid || ar_valid_o);
  end

  // ---------------------------------------------------------------- errors

  logic [31:0] still_q;
  logic        moves;

  assign moves = (ar_valid_o && ar_ready_i) || r_valid_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      still_q   <= '0;
      timeout_o <= 1'b0;
      error_o   <= 1'b0;
    end else begin
      still_q <= (moves || !(order_valid || ar_valid_o)) ? '0 : still_q + 1'b1;
      if (limit_i != '0 && still_q >= limit_i) timeout_o <= 1'b1;
      if (r_valid_i && r_resp_i[1]) error_o <= 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!error_o) begin
      error_client_o <= order_out.client;
      error_addr_o   <= order_out.addr - addr_t'(base_i);
    end
  end

  logic unused_resp;
  assign unused_resp = r_resp_i[0];

  `CASC_ASSERT_STREAM(Request, ar_valid_o, ar_ready_i, {ar_addr_o, ar_len_o})
  `CASC_ASSERT(AnswerIsExpected, !r_valid_i || order_valid)
  `CASC_ASSERT(StopIsKept, !$past(rst_ni && stop_i && !idle_o) || stop_i)

endmodule
