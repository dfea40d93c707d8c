// SPDX-License-Identifier: Apache-2.0
//
// The accelerator: registers, low- and high-precision unit, confidence evaluation, AXI4 masters.
//
// An integrator connects a clock, a synchronous reset, the AXI4-Lite slave, the interrupt and the three
// AXI4 masters (LPU, HPU, logits and results: one memory, by any interconnect), puts a plan's files and
// the images into memory, and writes the registers: docs/engine.md, section Registers. Ports of the
// buses have the standard's names, which block design tools know; all of a bus is of clk_i.
//
// Steps: step_*_o say when a unit has ended a step of its descriptors, for simulation and tracing: the
//        step's index, cycles, images and the workspace its output is in; the LPU's in the low half.
// Parameters: a plan's are in its cascade_config_pkg.sv; see cascade_core.
// Latency, throughput, numbers: see the parts; results equal the emulator's, bit for bit.

`include "casc_assert.svh"

module cascade_top
  import control_pkg::*;
#(
    parameter int unsigned LpuTR          = 8,     // cnn_engine's parameters of the LPU
    parameter int unsigned LpuTP          = 4,
    parameter int unsigned LpuTC          = 4,
    parameter int unsigned LpuDspPes      = LpuTC,
    parameter int unsigned LpuPackColumns = 1,
    parameter int unsigned LpuWeightBits  = 4,
    parameter int unsigned LpuActBits     = 4,
    parameter int unsigned LpuAccBits     = 32,
    parameter int unsigned LpuWeightWords = 4096,
    parameter int unsigned LpuActWords    = 4096,
    parameter int unsigned HpuTR          = 8,     // of the HPU
    parameter int unsigned HpuTP          = 4,
    parameter int unsigned HpuTC          = 4,
    parameter int unsigned HpuDspPes      = HpuTC,
    parameter int unsigned HpuPackColumns = 1,
    parameter int unsigned HpuWeightBits  = 8,     // stored weights'
    parameter int unsigned HpuActBits     = 8,
    parameter int unsigned HpuAccBits     = 32,
    parameter int unsigned HpuWeightWords = 4096,
    parameter int unsigned HpuActWords    = 4096,
    parameter int unsigned VectorBits     = 46,    // of both
    parameter int unsigned VectorLanes    = 8,
    parameter int unsigned DspBits        = 25,    // 18..27: a DSP block's wide operand
    parameter bit          LeakySupport   = 1'b1,
    parameter int unsigned PoolWidth      = 0,
    parameter int unsigned LrnSize        = 0,
    parameter int unsigned DataBits       = 64,    // 64 or 128
    parameter int unsigned AddrBits       = 32,    // 32..64: of the AXI ports
    parameter int unsigned MaxBurst       = 16,    // 1..256
    parameter int unsigned BufferBeats    = 128,   // MaxBurst..
    parameter int unsigned Outstanding    = 32,    // 2..
    parameter int unsigned MaxBatch       = 64,    // cascade_control's
    parameter int unsigned QueueDepth     = 128,
    parameter int unsigned MaxClasses     = 1000,
    parameter int unsigned MaxN           = 8
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic                       s_axil_awvalid,
    output logic                       s_axil_awready,
    input  logic [8:0]                 s_axil_awaddr,
    input  logic [2:0]                 s_axil_awprot,
    input  logic                       s_axil_wvalid,
    output logic                       s_axil_wready,
    input  logic [31:0]                s_axil_wdata,
    input  logic [3:0]                 s_axil_wstrb,
    output logic                       s_axil_bvalid,
    input  logic                       s_axil_bready,
    output logic [1:0]                 s_axil_bresp,
    input  logic                       s_axil_arvalid,
    output logic                       s_axil_arready,
    input  logic [8:0]                 s_axil_araddr,
    input  logic [2:0]                 s_axil_arprot,
    output logic                       s_axil_rvalid,
    input  logic                       s_axil_rready,
    output logic [31:0]                s_axil_rdata,
    output logic [1:0]                 s_axil_rresp,
    output logic                       irq_o,

    output logic                        m_axi_lpu_arvalid,
    input  logic                        m_axi_lpu_arready,
    output logic [AddrBits-1:0]         m_axi_lpu_araddr,
    output logic [7:0]                  m_axi_lpu_arlen,
    output logic [2:0]                  m_axi_lpu_arsize,
    output logic [1:0]                  m_axi_lpu_arburst,
    output logic [3:0]                  m_axi_lpu_arcache,
    output logic [2:0]                  m_axi_lpu_arprot,
    input  logic                        m_axi_lpu_rvalid,
    output logic                        m_axi_lpu_rready,
    input  logic [DataBits-1:0]         m_axi_lpu_rdata,
    input  logic [1:0]                  m_axi_lpu_rresp,
    input  logic                        m_axi_lpu_rlast,
    output logic                        m_axi_lpu_awvalid,
    input  logic                        m_axi_lpu_awready,
    output logic [AddrBits-1:0]         m_axi_lpu_awaddr,
    output logic [7:0]                  m_axi_lpu_awlen,
    output logic [2:0]                  m_axi_lpu_awsize,
    output logic [1:0]                  m_axi_lpu_awburst,
    output logic [3:0]                  m_axi_lpu_awcache,
    output logic [2:0]                  m_axi_lpu_awprot,
    output logic                        m_axi_lpu_wvalid,
    input  logic                        m_axi_lpu_wready,
    output logic [DataBits-1:0]         m_axi_lpu_wdata,
    output logic [DataBits/8-1:0]       m_axi_lpu_wstrb,
    output logic                        m_axi_lpu_wlast,
    input  logic                        m_axi_lpu_bvalid,
    output logic                        m_axi_lpu_bready,
    input  logic [1:0]                  m_axi_lpu_bresp,

    output logic                        m_axi_hpu_arvalid,
    input  logic                        m_axi_hpu_arready,
    output logic [AddrBits-1:0]         m_axi_hpu_araddr,
    output logic [7:0]                  m_axi_hpu_arlen,
    output logic [2:0]                  m_axi_hpu_arsize,
    output logic [1:0]                  m_axi_hpu_arburst,
    output logic [3:0]                  m_axi_hpu_arcache,
    output logic [2:0]                  m_axi_hpu_arprot,
    input  logic                        m_axi_hpu_rvalid,
    output logic                        m_axi_hpu_rready,
    input  logic [DataBits-1:0]         m_axi_hpu_rdata,
    input  logic [1:0]                  m_axi_hpu_rresp,
    input  logic                        m_axi_hpu_rlast,
    output logic                        m_axi_hpu_awvalid,
    input  logic                        m_axi_hpu_awready,
    output logic [AddrBits-1:0]         m_axi_hpu_awaddr,
    output logic [7:0]                  m_axi_hpu_awlen,
    output logic [2:0]                  m_axi_hpu_awsize,
    output logic [1:0]                  m_axi_hpu_awburst,
    output logic [3:0]                  m_axi_hpu_awcache,
    output logic [2:0]                  m_axi_hpu_awprot,
    output logic                        m_axi_hpu_wvalid,
    input  logic                        m_axi_hpu_wready,
    output logic [DataBits-1:0]         m_axi_hpu_wdata,
    output logic [DataBits/8-1:0]       m_axi_hpu_wstrb,
    output logic                        m_axi_hpu_wlast,
    input  logic                        m_axi_hpu_bvalid,
    output logic                        m_axi_hpu_bready,
    input  logic [1:0]                  m_axi_hpu_bresp,

    output logic                        m_axi_results_arvalid,
    input  logic                        m_axi_results_arready,
    output logic [AddrBits-1:0]         m_axi_results_araddr,
    output logic [7:0]                  m_axi_results_arlen,
    output logic [2:0]                  m_axi_results_arsize,
    output logic [1:0]                  m_axi_results_arburst,
    output logic [3:0]                  m_axi_results_arcache,
    output logic [2:0]                  m_axi_results_arprot,
    input  logic                        m_axi_results_rvalid,
    output logic                        m_axi_results_rready,
    input  logic [DataBits-1:0]         m_axi_results_rdata,
    input  logic [1:0]                  m_axi_results_rresp,
    input  logic                        m_axi_results_rlast,
    output logic                        m_axi_results_awvalid,
    input  logic                        m_axi_results_awready,
    output logic [AddrBits-1:0]         m_axi_results_awaddr,
    output logic [7:0]                  m_axi_results_awlen,
    output logic [2:0]                  m_axi_results_awsize,
    output logic [1:0]                  m_axi_results_awburst,
    output logic [3:0]                  m_axi_results_awcache,
    output logic [2:0]                  m_axi_results_awprot,
    output logic                        m_axi_results_wvalid,
    input  logic                        m_axi_results_wready,
    output logic [DataBits-1:0]         m_axi_results_wdata,
    output logic [DataBits/8-1:0]       m_axi_results_wstrb,
    output logic                        m_axi_results_wlast,
    input  logic                        m_axi_results_bvalid,
    output logic                        m_axi_results_bready,
    input  logic [1:0]                  m_axi_results_bresp,

    output logic [1:0]                 step_done_o,
    output logic [1:0][15:0]           step_index_o,
    output logic [1:0][31:0]           step_cycles_o,
    output logic [1:0][7:0]            step_images_o,
    output logic [1:0][31:0]           step_workspace_o
);

  localparam logic [3:0] CACHE = 4'b0011;  // bufferable, modifiable
  localparam logic [2:0] PROT = 3'b000;    // unprivileged, secure, data

  assign m_axi_lpu_arcache = CACHE;
  assign m_axi_lpu_arprot  = PROT;
  assign m_axi_lpu_awcache = CACHE;
  assign m_axi_lpu_awprot  = PROT;
  assign m_axi_hpu_arcache = CACHE;
  assign m_axi_hpu_arprot  = PROT;
  assign m_axi_hpu_awcache = CACHE;
  assign m_axi_hpu_awprot  = PROT;
  assign m_axi_results_arcache = CACHE;
  assign m_axi_results_arprot  = PROT;
  assign m_axi_results_awcache = CACHE;
  assign m_axi_results_awprot  = PROT;

  logic                            start, abort, soft_reset, busy, done, refused;
  run_config_t                     config_regs;
  engine_pkg::bases_t  [1:0]       units;
  logic                [1:0][15:0] layers;
  logic                [63:0]      axi_base;
  logic                [31:0]      limit;
  outcome_e                        outcome;
  image_t                          outcome_image;
  run_counters_t                   counters;
  engine_pkg::error_e  [1:0]       error;
  logic                [1:0][15:0] error_layer;
  engine_pkg::addr_t   [1:0]       error_addr;
  logic                [2:0]       timeout;
  engine_pkg::cycles_t [1:0]       cycles;
  logic                [1:0][31:0] read_beats, written_beats;

  cascade_csr #(
      .LpuTR        (LpuTR),
      .LpuTP        (LpuTP),
      .LpuTC        (LpuTC),
      .LpuWeightBits(LpuWeightBits),
      .LpuActBits   (LpuActBits),
      .HpuTR        (HpuTR),
      .HpuTP        (HpuTP),
      .HpuTC        (HpuTC),
      .HpuWeightBits(HpuWeightBits),
      .HpuActBits   (HpuActBits),
      .DataBits     (DataBits),
      .MaxBatch     (MaxBatch),
      .MaxClasses   (MaxClasses),
      .MaxN         (MaxN)
  ) u_csr (
      .clk_i,
      .rst_ni,
      .s_axil_awvalid,
      .s_axil_awready,
      .s_axil_awaddr,
      .s_axil_awprot,
      .s_axil_wvalid,
      .s_axil_wready,
      .s_axil_wdata,
      .s_axil_wstrb,
      .s_axil_bvalid,
      .s_axil_bready,
      .s_axil_bresp,
      .s_axil_arvalid,
      .s_axil_arready,
      .s_axil_araddr,
      .s_axil_arprot,
      .s_axil_rvalid,
      .s_axil_rready,
      .s_axil_rdata,
      .s_axil_rresp,
      .irq_o,
      .start_o         (start),
      .abort_o         (abort),
      .soft_reset_o    (soft_reset),
      .config_o        (config_regs),
      .units_o         (units),
      .layers_o        (layers),
      .axi_base_o      (axi_base),
      .limit_o         (limit),
      .busy_i          (busy),
      .done_i          (done),
      .refused_i       (refused),
      .outcome_i       (outcome),
      .outcome_image_i (outcome_image),
      .counters_i      (counters),
      .error_i         (error),
      .error_layer_i   (error_layer),
      .error_addr_i    (error_addr),
      .timeout_i       (timeout),
      .cycles_i        (cycles),
      .read_beats_i    (read_beats),
      .written_beats_i (written_beats)
  );

  cascade_core #(
      .LpuTR         (LpuTR),
      .LpuTP         (LpuTP),
      .LpuTC         (LpuTC),
      .LpuDspPes     (LpuDspPes),
      .LpuPackColumns(LpuPackColumns),
      .LpuWeightBits (LpuWeightBits),
      .LpuActBits    (LpuActBits),
      .LpuAccBits    (LpuAccBits),
      .LpuWeightWords(LpuWeightWords),
      .LpuActWords   (LpuActWords),
      .HpuTR         (HpuTR),
      .HpuTP         (HpuTP),
      .HpuTC         (HpuTC),
      .HpuDspPes     (HpuDspPes),
      .HpuPackColumns(HpuPackColumns),
      .HpuWeightBits (HpuWeightBits),
      .HpuActBits    (HpuActBits),
      .HpuAccBits    (HpuAccBits),
      .HpuWeightWords(HpuWeightWords),
      .HpuActWords   (HpuActWords),
      .VectorBits    (VectorBits),
      .VectorLanes   (VectorLanes),
      .DspBits       (DspBits),
      .LeakySupport  (LeakySupport),
      .PoolWidth     (PoolWidth),
      .LrnSize       (LrnSize),
      .DataBits      (DataBits),
      .AddrBits      (AddrBits),
      .MaxBurst      (MaxBurst),
      .BufferBeats   (BufferBeats),
      .Outstanding   (Outstanding),
      .MaxBatch      (MaxBatch),
      .QueueDepth    (QueueDepth),
      .MaxClasses    (MaxClasses),
      .MaxN          (MaxN)
  ) u_core (
      .clk_i,
      .rst_ni,
      .start_i          (start),
      .abort_i          (abort),
      .soft_reset_i     (soft_reset),
      .config_i         (config_regs),
      .units_i          (units),
      .layers_i         (layers),
      .limit_i          (limit),
      .axi_base_i       (axi_base[AddrBits-1:0]),
      .busy_o           (busy),
      .done_o           (done),
      .refused_o        (refused),
      .outcome_o        (outcome),
      .outcome_image_o  (outcome_image),
      .counters_o       (counters),
      .error_o          (error),
      .error_layer_o    (error_layer),
      .error_addr_o     (error_addr),
      .timeout_o        (timeout),
      .cycles_o         (cycles),
      .read_beats_o     (read_beats),
      .written_beats_o  (written_beats),
      .layer_done_o     (step_done_o),
      .layer_index_o    (step_index_o),
      .layer_cycles_o   (step_cycles_o),
      .layer_images_o   (step_images_o),
      .layer_workspace_o(step_workspace_o),
      .ar_valid_o       ({m_axi_results_arvalid, m_axi_hpu_arvalid, m_axi_lpu_arvalid}),
      .ar_ready_i       ({m_axi_results_arready, m_axi_hpu_arready, m_axi_lpu_arready}),
      .ar_addr_o        ({m_axi_results_araddr, m_axi_hpu_araddr, m_axi_lpu_araddr}),
      .ar_len_o         ({m_axi_results_arlen, m_axi_hpu_arlen, m_axi_lpu_arlen}),
      .ar_size_o        ({m_axi_results_arsize, m_axi_hpu_arsize, m_axi_lpu_arsize}),
      .ar_burst_o       ({m_axi_results_arburst, m_axi_hpu_arburst, m_axi_lpu_arburst}),
      .r_valid_i        ({m_axi_results_rvalid, m_axi_hpu_rvalid, m_axi_lpu_rvalid}),
      .r_ready_o        ({m_axi_results_rready, m_axi_hpu_rready, m_axi_lpu_rready}),
      .r_data_i         ({m_axi_results_rdata, m_axi_hpu_rdata, m_axi_lpu_rdata}),
      .r_resp_i         ({m_axi_results_rresp, m_axi_hpu_rresp, m_axi_lpu_rresp}),
      .r_last_i         ({m_axi_results_rlast, m_axi_hpu_rlast, m_axi_lpu_rlast}),
      .aw_valid_o       ({m_axi_results_awvalid, m_axi_hpu_awvalid, m_axi_lpu_awvalid}),
      .aw_ready_i       ({m_axi_results_awready, m_axi_hpu_awready, m_axi_lpu_awready}),
      .aw_addr_o        ({m_axi_results_awaddr, m_axi_hpu_awaddr, m_axi_lpu_awaddr}),
      .aw_len_o         ({m_axi_results_awlen, m_axi_hpu_awlen, m_axi_lpu_awlen}),
      .aw_size_o        ({m_axi_results_awsize, m_axi_hpu_awsize, m_axi_lpu_awsize}),
      .aw_burst_o       ({m_axi_results_awburst, m_axi_hpu_awburst, m_axi_lpu_awburst}),
      .w_valid_o        ({m_axi_results_wvalid, m_axi_hpu_wvalid, m_axi_lpu_wvalid}),
      .w_ready_i        ({m_axi_results_wready, m_axi_hpu_wready, m_axi_lpu_wready}),
      .w_data_o         ({m_axi_results_wdata, m_axi_hpu_wdata, m_axi_lpu_wdata}),
      .w_strb_o         ({m_axi_results_wstrb, m_axi_hpu_wstrb, m_axi_lpu_wstrb}),
      .w_last_o         ({m_axi_results_wlast, m_axi_hpu_wlast, m_axi_lpu_wlast}),
      .b_valid_i        ({m_axi_results_bvalid, m_axi_hpu_bvalid, m_axi_lpu_bvalid}),
      .b_ready_o        ({m_axi_results_bready, m_axi_hpu_bready, m_axi_lpu_bready}),
      .b_resp_i         ({m_axi_results_bresp, m_axi_hpu_bresp, m_axi_lpu_bresp})
  );

  logic unused;
  assign unused = ^axi_base;

endmodule
