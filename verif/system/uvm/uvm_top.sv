// SPDX-License-Identifier: Apache-2.0
//
// The whole accelerator on a memory, for the UVM environment: cascade_top and axi_memory.
//
// The memory's ports are the masters', in the order LPU, HPU, results; a number a port stands in 32 bits.

module uvm_top #(
    parameter int unsigned LpuTR          = 8,
    parameter int unsigned LpuTP          = 4,
    parameter int unsigned LpuTC          = 4,
    parameter int unsigned LpuDspPes      = 4,
    parameter int unsigned LpuWeightBits  = 4,
    parameter int unsigned LpuActBits     = 4,
    parameter int unsigned LpuAccBits     = 32,
    parameter int unsigned LpuWeightWords = 4096,
    parameter int unsigned LpuActWords    = 4096,
    parameter int unsigned HpuTR          = 8,
    parameter int unsigned HpuTP          = 4,
    parameter int unsigned HpuTC          = 4,
    parameter int unsigned HpuDspPes      = 4,
    parameter int unsigned HpuWeightBits  = 8,
    parameter int unsigned HpuActBits     = 8,
    parameter int unsigned HpuAccBits     = 32,
    parameter int unsigned HpuWeightWords = 4096,
    parameter int unsigned HpuActWords    = 4096,
    parameter int unsigned VectorLanes    = 8,
    parameter int unsigned PoolWidth      = 0,
    parameter int unsigned LrnSize        = 0,
    parameter int unsigned DataBits       = 64,
    parameter int unsigned MaxBatch       = 64,
    parameter int unsigned QueueDepth     = 128,
    parameter int unsigned MaxClasses     = 1000,
    parameter int unsigned MaxN           = 8,
    parameter int unsigned MemoryBytes    = 1 << 20
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic        s_axil_awvalid,
    output logic        s_axil_awready,
    input  logic [8:0]  s_axil_awaddr,
    input  logic [2:0]  s_axil_awprot,
    input  logic        s_axil_wvalid,
    output logic        s_axil_wready,
    input  logic [31:0] s_axil_wdata,
    input  logic [3:0]  s_axil_wstrb,
    output logic        s_axil_bvalid,
    input  logic        s_axil_bready,
    output logic [1:0]  s_axil_bresp,
    input  logic        s_axil_arvalid,
    output logic        s_axil_arready,
    input  logic [8:0]  s_axil_araddr,
    input  logic [2:0]  s_axil_arprot,
    output logic        s_axil_rvalid,
    input  logic        s_axil_rready,
    output logic [31:0] s_axil_rdata,
    output logic [1:0]  s_axil_rresp,
    output logic        irq_o,

    input  logic        load_i,
    input  logic        dump_i,
    input  logic [7:0]  stall_i,
    input  logic [15:0] latency_i,
    input  logic [15:0] latency_spread_i,
    input  logic [8:0]  burst_limit_i,
    input  logic [95:0] fail_read_i,
    input  logic [95:0] fail_write_i,
    input  logic [1:0]  fail_resp_i,
    output logic [2:0]  read_failed_o,
    output logic [2:0]  write_failed_o,
    output logic [95:0] read_beats_o,
    output logic [95:0] written_beats_o,
    output logic [95:0] turns_o,
    output logic [95:0] pauses_o,

    output logic [1:0]  step_done_o,
    output logic [31:0] step_index_o,
    output logic [63:0] step_cycles_o,
    output logic [15:0] step_images_o,
    output logic [63:0] step_workspace_o
);

  localparam int unsigned PORTS     = 3;
  localparam int unsigned ADDR_BITS = 32;

  logic [PORTS-1:0]                 ar_valid, ar_ready, r_valid, r_ready, r_last;
  logic [PORTS-1:0]                 aw_valid, aw_ready, w_valid, w_ready, w_last, b_valid, b_ready;
  logic [PORTS-1:0][ADDR_BITS-1:0]  ar_addr, aw_addr;
  logic [PORTS-1:0][7:0]            ar_len, aw_len;
  logic [PORTS-1:0][2:0]            ar_size, aw_size, unused_ar_prot, unused_aw_prot;
  logic [PORTS-1:0][1:0]            ar_burst, aw_burst, r_resp, b_resp;
  logic [PORTS-1:0][3:0]            unused_ar_cache, unused_aw_cache;
  logic [PORTS-1:0][DataBits-1:0]   r_data, w_data;
  logic [PORTS-1:0][DataBits/8-1:0] w_strb;

  // A simulation may begin with a clock edge, before the bench has driven the reset: it is not one yet.
  logic started;
  logic rst_n;

  initial started = 1'b0;
  always @(posedge clk_i) started <= 1'b1;
  assign rst_n = rst_ni && started;

  cascade_top #(
      .LpuTR         (LpuTR),
      .LpuTP         (LpuTP),
      .LpuTC         (LpuTC),
      .LpuDspPes     (LpuDspPes),
      .LpuWeightBits (LpuWeightBits),
      .LpuActBits    (LpuActBits),
      .LpuAccBits    (LpuAccBits),
      .LpuWeightWords(LpuWeightWords),
      .LpuActWords   (LpuActWords),
      .HpuTR         (HpuTR),
      .HpuTP         (HpuTP),
      .HpuTC         (HpuTC),
      .HpuDspPes     (HpuDspPes),
      .HpuWeightBits (HpuWeightBits),
      .HpuActBits    (HpuActBits),
      .HpuAccBits    (HpuAccBits),
      .HpuWeightWords(HpuWeightWords),
      .HpuActWords   (HpuActWords),
      .VectorLanes   (VectorLanes),
      .PoolWidth     (PoolWidth),
      .LrnSize       (LrnSize),
      .DataBits      (DataBits),
      .MaxBatch      (MaxBatch),
      .QueueDepth    (QueueDepth),
      .MaxClasses    (MaxClasses),
      .MaxN          (MaxN)
  ) u_cascade (
      .clk_i, .rst_ni(rst_n),
      .s_axil_awvalid, .s_axil_awready, .s_axil_awaddr, .s_axil_awprot,
      .s_axil_wvalid, .s_axil_wready, .s_axil_wdata, .s_axil_wstrb,
      .s_axil_bvalid, .s_axil_bready, .s_axil_bresp,
      .s_axil_arvalid, .s_axil_arready, .s_axil_araddr, .s_axil_arprot,
      .s_axil_rvalid, .s_axil_rready, .s_axil_rdata, .s_axil_rresp,
      .irq_o,
      .m_axi_lpu_arvalid      (ar_valid[0]),
      .m_axi_lpu_arready      (ar_ready[0]),
      .m_axi_lpu_araddr       (ar_addr[0]),
      .m_axi_lpu_arlen        (ar_len[0]),
      .m_axi_lpu_arsize       (ar_size[0]),
      .m_axi_lpu_arburst      (ar_burst[0]),
      .m_axi_lpu_arcache      (unused_ar_cache[0]),
      .m_axi_lpu_arprot       (unused_ar_prot[0]),
      .m_axi_lpu_rvalid       (r_valid[0]),
      .m_axi_lpu_rready       (r_ready[0]),
      .m_axi_lpu_rdata        (r_data[0]),
      .m_axi_lpu_rresp        (r_resp[0]),
      .m_axi_lpu_rlast        (r_last[0]),
      .m_axi_lpu_awvalid      (aw_valid[0]),
      .m_axi_lpu_awready      (aw_ready[0]),
      .m_axi_lpu_awaddr       (aw_addr[0]),
      .m_axi_lpu_awlen        (aw_len[0]),
      .m_axi_lpu_awsize       (aw_size[0]),
      .m_axi_lpu_awburst      (aw_burst[0]),
      .m_axi_lpu_awcache      (unused_aw_cache[0]),
      .m_axi_lpu_awprot       (unused_aw_prot[0]),
      .m_axi_lpu_wvalid       (w_valid[0]),
      .m_axi_lpu_wready       (w_ready[0]),
      .m_axi_lpu_wdata        (w_data[0]),
      .m_axi_lpu_wstrb        (w_strb[0]),
      .m_axi_lpu_wlast        (w_last[0]),
      .m_axi_lpu_bvalid       (b_valid[0]),
      .m_axi_lpu_bready       (b_ready[0]),
      .m_axi_lpu_bresp        (b_resp[0]),
      .m_axi_hpu_arvalid      (ar_valid[1]),
      .m_axi_hpu_arready      (ar_ready[1]),
      .m_axi_hpu_araddr       (ar_addr[1]),
      .m_axi_hpu_arlen        (ar_len[1]),
      .m_axi_hpu_arsize       (ar_size[1]),
      .m_axi_hpu_arburst      (ar_burst[1]),
      .m_axi_hpu_arcache      (unused_ar_cache[1]),
      .m_axi_hpu_arprot       (unused_ar_prot[1]),
      .m_axi_hpu_rvalid       (r_valid[1]),
      .m_axi_hpu_rready       (r_ready[1]),
      .m_axi_hpu_rdata        (r_data[1]),
      .m_axi_hpu_rresp        (r_resp[1]),
      .m_axi_hpu_rlast        (r_last[1]),
      .m_axi_hpu_awvalid      (aw_valid[1]),
      .m_axi_hpu_awready      (aw_ready[1]),
      .m_axi_hpu_awaddr       (aw_addr[1]),
      .m_axi_hpu_awlen        (aw_len[1]),
      .m_axi_hpu_awsize       (aw_size[1]),
      .m_axi_hpu_awburst      (aw_burst[1]),
      .m_axi_hpu_awcache      (unused_aw_cache[1]),
      .m_axi_hpu_awprot       (unused_aw_prot[1]),
      .m_axi_hpu_wvalid       (w_valid[1]),
      .m_axi_hpu_wready       (w_ready[1]),
      .m_axi_hpu_wdata        (w_data[1]),
      .m_axi_hpu_wstrb        (w_strb[1]),
      .m_axi_hpu_wlast        (w_last[1]),
      .m_axi_hpu_bvalid       (b_valid[1]),
      .m_axi_hpu_bready       (b_ready[1]),
      .m_axi_hpu_bresp        (b_resp[1]),
      .m_axi_results_arvalid  (ar_valid[2]),
      .m_axi_results_arready  (ar_ready[2]),
      .m_axi_results_araddr   (ar_addr[2]),
      .m_axi_results_arlen    (ar_len[2]),
      .m_axi_results_arsize   (ar_size[2]),
      .m_axi_results_arburst  (ar_burst[2]),
      .m_axi_results_arcache  (unused_ar_cache[2]),
      .m_axi_results_arprot   (unused_ar_prot[2]),
      .m_axi_results_rvalid   (r_valid[2]),
      .m_axi_results_rready   (r_ready[2]),
      .m_axi_results_rdata    (r_data[2]),
      .m_axi_results_rresp    (r_resp[2]),
      .m_axi_results_rlast    (r_last[2]),
      .m_axi_results_awvalid  (aw_valid[2]),
      .m_axi_results_awready  (aw_ready[2]),
      .m_axi_results_awaddr   (aw_addr[2]),
      .m_axi_results_awlen    (aw_len[2]),
      .m_axi_results_awsize   (aw_size[2]),
      .m_axi_results_awburst  (aw_burst[2]),
      .m_axi_results_awcache  (unused_aw_cache[2]),
      .m_axi_results_awprot   (unused_aw_prot[2]),
      .m_axi_results_wvalid   (w_valid[2]),
      .m_axi_results_wready   (w_ready[2]),
      .m_axi_results_wdata    (w_data[2]),
      .m_axi_results_wstrb    (w_strb[2]),
      .m_axi_results_wlast    (w_last[2]),
      .m_axi_results_bvalid   (b_valid[2]),
      .m_axi_results_bready   (b_ready[2]),
      .m_axi_results_bresp    (b_resp[2]),
      .step_done_o, .step_index_o, .step_cycles_o, .step_images_o, .step_workspace_o
  );

  axi_memory #(
      .Ports(PORTS), .DataBits(DataBits), .AddrBits(ADDR_BITS), .Bytes(MemoryBytes)
  ) u_memory (
      .clk_i, .rst_ni(rst_n),
      .load_i, .dump_i, .stall_i, .latency_i, .latency_spread_i, .burst_limit_i,
      .fail_read_i, .fail_write_i, .fail_resp_i, .read_failed_o, .write_failed_o,
      .read_beats_o, .written_beats_o, .turns_o, .pauses_o,
      .ar_valid_i(ar_valid), .ar_ready_o(ar_ready), .ar_addr_i(ar_addr), .ar_len_i(ar_len),
      .ar_size_i(ar_size), .ar_burst_i(ar_burst),
      .r_valid_o(r_valid), .r_ready_i(r_ready), .r_data_o(r_data), .r_resp_o(r_resp),
      .r_last_o(r_last),
      .aw_valid_i(aw_valid), .aw_ready_o(aw_ready), .aw_addr_i(aw_addr), .aw_len_i(aw_len),
      .aw_size_i(aw_size), .aw_burst_i(aw_burst),
      .w_valid_i(w_valid), .w_ready_o(w_ready), .w_data_i(w_data), .w_strb_i(w_strb),
      .w_last_i(w_last),
      .b_valid_o(b_valid), .b_ready_i(b_ready), .b_resp_o(b_resp)
  );

endmodule
