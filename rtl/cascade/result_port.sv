// SPDX-License-Identifier: Apache-2.0
//
// The cascade control's AXI4 master: reads logits, writes result records.
//
// Ports of the control: see cascade_control. wr_error_o is a level: from the first answer with an error
// on, until the run has ended; then the masters forget it.
// halt_i: what is under way ends, nothing new begins. quiet_o: nothing is under way.
// Latency and throughput: axi_read's and axi_write's.

`include "casc_assert.svh"

module result_port
  import engine_pkg::*;
#(
    parameter int unsigned DataBits    = 64,  // 64 or 128
    parameter int unsigned AddrBits    = 32,  // 32..64: of the port
    parameter int unsigned MaxBurst    = 16,  // 1..256
    parameter int unsigned BufferBeats = 64,  // MaxBurst..
    parameter int unsigned Outstanding = 4    // 2..: bursts under way
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic                run_i,  // a run is under way
    input  logic                halt_i,
    output logic                quiet_o,
    input  logic [AddrBits-1:0] axi_base_i,
    input  logic [31:0]         limit_i,
    output logic                timeout_o,

    input  logic                  cmd_valid_i,
    output logic                  cmd_ready_o,
    input  addr_t                 cmd_addr_i,
    input  logic [BEATS_BITS-1:0] cmd_beats_i,
    output logic                  data_valid_o,
    input  logic                  data_ready_i,
    output logic [DataBits-1:0]   data_o,
    output logic                  data_error_o,
    input  logic                  wr_valid_i,
    output logic                  wr_ready_o,
    input  addr_t                 wr_addr_i,
    input  logic [DataBits-1:0]   wr_data_i,
    input  logic [DataBits/8-1:0] wr_strb_i,
    input  logic                  wr_last_i,
    output logic                  wr_idle_o,
    output logic                  wr_error_o,

    output logic                  ar_valid_o,
    input  logic                  ar_ready_i,
    output logic [AddrBits-1:0]   ar_addr_o,
    output logic [7:0]            ar_len_o,
    output logic [2:0]            ar_size_o,
    output logic [1:0]            ar_burst_o,
    input  logic                  r_valid_i,
    output logic                  r_ready_o,
    input  logic [DataBits-1:0]   r_data_i,
    input  logic [1:0]            r_resp_i,
    input  logic                  r_last_i,
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

  logic  read_idle, read_timeout, write_timeout, master_rst_n;
  logic  unused_client, unused_error;
  addr_t unused_read_addr, unused_write_addr;

  assign quiet_o      = read_idle && wr_idle_o;
  assign timeout_o    = read_timeout || write_timeout;
  // Between runs the masters are in reset: an error is forgotten.
  assign master_rst_n = rst_ni && (run_i || !quiet_o);

  axi_read #(
      .Clients    (1),
      .DataBits   (DataBits),
      .AddrBits   (AddrBits),
      .MaxBurst   (MaxBurst),
      .BufferBeats(BufferBeats),
      .Outstanding(Outstanding)
  ) u_read (
      .clk_i,
      .rst_ni        (master_rst_n),
      .cmd_valid_i,
      .cmd_ready_o,
      .cmd_addr_i,
      .cmd_beats_i,
      .data_valid_o,
      .data_ready_i,
      .data_o,
      .data_error_o,
      .stop_i        (halt_i),
      .idle_o        (read_idle),
      .limit_i,
      .timeout_o     (read_timeout),
      .error_o       (unused_error),
      .error_client_o(unused_client),
      .error_addr_o  (unused_read_addr),
      .base_i        (axi_base_i),
      .ar_valid_o,
      .ar_ready_i,
      .ar_addr_o,
      .ar_len_o,
      .ar_size_o,
      .ar_burst_o,
      .r_valid_i,
      .r_ready_o,
      .r_data_i,
      .r_resp_i,
      .r_last_i
  );

  axi_write #(
      .DataBits   (DataBits),
      .AddrBits   (AddrBits),
      .MaxBurst   (MaxBurst),
      .BufferBeats(BufferBeats),
      .Outstanding(Outstanding)
  ) u_write (
      .clk_i,
      .rst_ni      (master_rst_n),
      .in_valid_i  (wr_valid_i),
      .in_ready_o  (wr_ready_o),
      .in_addr_i   (wr_addr_i),
      .in_data_i   (wr_data_i),
      .in_strb_i   (wr_strb_i),
      .in_last_i   (wr_last_i),
      .stop_i      (halt_i),
      .idle_o      (wr_idle_o),
      .limit_i,
      .timeout_o   (write_timeout),
      .error_o     (wr_error_o),
      .error_addr_o(unused_write_addr),
      .base_i      (axi_base_i),
      .aw_valid_o,
      .aw_ready_i,
      .aw_addr_o,
      .aw_len_o,
      .aw_size_o,
      .aw_burst_o,
      .w_valid_o,
      .w_ready_i,
      .w_data_o,
      .w_strb_o,
      .w_last_o,
      .b_valid_i,
      .b_ready_o,
      .b_resp_i
  );

  logic unused;
  assign unused = ^{unused_client, unused_error, unused_read_addr, unused_write_addr};

endmodule
