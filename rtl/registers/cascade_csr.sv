// SPDX-License-Identifier: Apache-2.0
//
// The host's side of the cascade: AXI4-Lite registers (cascade_registers.rdl), start and interrupt.
//
// Start:     a write of control.start starts a run in the cycle after it. With control.auto_restart a
//            run that ended well is followed by the next at once, and counts as done when the bit is
//            cleared.
// Interrupt: irq_o is high while gie.enable and a bit of isr that ier names are set: done (a run has
//            ended), error (not well), refused (a start while a run was under way).
// Bus:       AXI4-Lite, 32 bits; addresses without a register answer SLVERR.
// Latency:   2 cycles from a write's acceptance to its effect. Names of the bus are the standard's.

`include "casc_assert.svh"

module cascade_csr
  import control_pkg::*;
#(
    parameter  int unsigned LpuTR         = 8,   // what was built: read by the host
    parameter  int unsigned LpuTP         = 4,
    parameter  int unsigned LpuTC         = 4,
    parameter  int unsigned LpuWeightBits = 4,
    parameter  int unsigned LpuActBits    = 4,
    parameter  int unsigned HpuTR         = 8,
    parameter  int unsigned HpuTP         = 4,
    parameter  int unsigned HpuTC         = 4,
    parameter  int unsigned HpuWeightBits = 8,
    parameter  int unsigned HpuActBits    = 8,
    parameter  int unsigned DataBits      = 64,
    parameter  int unsigned MaxBatch      = 64,
    parameter  int unsigned MaxClasses    = 1000,
    parameter  int unsigned MaxN          = 8,
    localparam int unsigned AddrBits      = 9
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic                s_axil_awvalid,
    output logic                s_axil_awready,
    input  logic [AddrBits-1:0] s_axil_awaddr,
    input  logic [2:0]          s_axil_awprot,
    input  logic                s_axil_wvalid,
    output logic                s_axil_wready,
    input  logic [31:0]         s_axil_wdata,
    input  logic [3:0]          s_axil_wstrb,
    output logic                s_axil_bvalid,
    input  logic                s_axil_bready,
    output logic [1:0]          s_axil_bresp,
    input  logic                s_axil_arvalid,
    output logic                s_axil_arready,
    input  logic [AddrBits-1:0] s_axil_araddr,
    input  logic [2:0]          s_axil_arprot,
    output logic                s_axil_rvalid,
    input  logic                s_axil_rready,
    output logic [31:0]         s_axil_rdata,
    output logic [1:0]          s_axil_rresp,
    output logic                irq_o,

    output logic                           start_o,
    output logic                           abort_o,
    output logic                           soft_reset_o,
    output run_config_t                    config_o,
    output engine_pkg::bases_t [1:0]       units_o,
    output logic               [1:0][15:0] layers_o,
    output logic               [63:0]      axi_base_o,
    output logic               [31:0]      limit_o,
    input  logic                           busy_i,
    input  logic                           done_i,
    input  logic                           refused_i,
    input  outcome_e                       outcome_i,
    input  image_t                         outcome_image_i,
    input  run_counters_t                  counters_i,
    input  engine_pkg::error_e  [1:0]       error_i,
    input  logic                [1:0][15:0] error_layer_i,
    input  engine_pkg::addr_t   [1:0]       error_addr_i,
    input  logic                [2:0]       timeout_i,
    input  engine_pkg::cycles_t [1:0]       cycles_i,
    input  logic                [1:0][31:0] read_beats_i,
    input  logic                [1:0][31:0] written_beats_i
);

  cascade_registers_pkg::cascade_registers__in_t  shown;
  cascade_registers_pkg::cascade_registers__out_t registers;

  cascade_registers u_registers (
      .clk     (clk_i),
      .rst_n   (rst_ni),
      .s_axil_awready,
      .s_axil_awvalid,
      .s_axil_awaddr,
      .s_axil_awprot,
      .s_axil_wready,
      .s_axil_wvalid,
      .s_axil_wdata,
      .s_axil_wstrb,
      .s_axil_bready,
      .s_axil_bvalid,
      .s_axil_bresp,
      .s_axil_arready,
      .s_axil_arvalid,
      .s_axil_araddr,
      .s_axil_arprot,
      .s_axil_rready,
      .s_axil_rvalid,
      .s_axil_rdata,
      .s_axil_rresp,
      .hwif_in (shown),
      .hwif_out(registers)
  );

  // ---------------------------------------------------------------- start and end

  logic again, again_q;  // the next run follows at once

  assign again        = done_i && registers.control.auto_restart.value && outcome_i == RUN_GOOD;
  assign start_o      = registers.control.start.value || again_q;
  assign abort_o      = registers.control.abort.value;
  assign soft_reset_o = registers.control.soft_reset.value;
  assign irq_o        = registers.gie.enable.value
      && ((registers.isr.done.value && registers.ier.done.value)
          || (registers.isr.error.value && registers.ier.error.value)
          || (registers.isr.refused.value && registers.ier.refused.value));

  always_ff @(posedge clk_i) begin
    if (!rst_ni) again_q <= 1'b0;
    else again_q <= again;
  end

  // ---------------------------------------------------------------- settings

  assign config_o.count        = registers.count.value.value;
  assign config_o.images       = registers.images.value.value;
  assign config_o.image_stride = registers.image_stride.value.value;
  assign config_o.classes      = registers.classes.value.value;
  assign config_o.results      = registers.results.value.value;
  assign config_o.run          = registers.run.value.value;
  assign config_o.m            = registers.ranks.m.value;
  assign config_o.n            = registers.ranks.n.value;
  assign config_o.threshold    = registers.threshold.value.value;
  assign config_o.exp_mult     = registers.exponent.mult.value;
  assign config_o.exp_shift    = registers.exponent.shift.value;
  assign config_o.eager        = registers.mode.eager.value;
  assign config_o.exclusive    = registers.mode.exclusive.value;
  assign config_o.chunk        = registers.chunk.value.value;

  assign limit_o    = registers.limit.value.value;
  assign axi_base_o = {registers.base_high.value.value, registers.base_low.value.value};

  assign config_o.lpu = '{
      batch:         registers.lpu.batch.value.value,
      workspace:     registers.lpu.workspace.value.value,
      bank_bytes:    registers.lpu.bank_bytes.value.value,
      logits:        registers.lpu.logits.value.value,
      logits_stride: registers.lpu.logits_stride.value.value
  };

  assign units_o[0] = '{
      descriptors: registers.lpu.descriptors.value.value,
      weights:     registers.lpu.weights.value.value,
      records:     registers.lpu.records.value.value,
      images:      registers.images.value.value,
      workspace:   registers.lpu.workspace.value.value
  };

  assign layers_o[0] = registers.lpu.layers.value.value;

  assign config_o.hpu = '{
      batch:         registers.hpu.batch.value.value,
      workspace:     registers.hpu.workspace.value.value,
      bank_bytes:    registers.hpu.bank_bytes.value.value,
      logits:        registers.hpu.logits.value.value,
      logits_stride: registers.hpu.logits_stride.value.value
  };

  assign units_o[1] = '{
      descriptors: registers.hpu.descriptors.value.value,
      weights:     registers.hpu.weights.value.value,
      records:     registers.hpu.records.value.value,
      images:      registers.images.value.value,
      workspace:   registers.hpu.workspace.value.value
  };

  assign layers_o[1] = registers.hpu.layers.value.value;

  // ---------------------------------------------------------------- what the host reads

  always_comb begin
    shown.control.idle.next = !busy_i;
    shown.control.done.hwset = done_i && !again;
    shown.isr.done.hwset = done_i && !again;
    shown.isr.error.hwset = done_i && outcome_i != RUN_GOOD;
    shown.isr.refused.hwset = refused_i;
    shown.status.outcome.next = outcome_i;
    shown.status.lpu_error.next = error_i[0];
    shown.status.hpu_error.next = error_i[1];
    shown.status.timeout.next = timeout_i;
    shown.status.busy.next = busy_i;
    shown.outcome_image.value.next = outcome_image_i;
    shown.error_layer.lpu.next = error_layer_i[0];
    shown.error_layer.hpu.next = error_layer_i[1];
    shown.lpu_error_addr.value.next = error_addr_i[0];
    shown.hpu_error_addr.value.next = error_addr_i[1];

    shown.build.data_bits.next = 8'(DataBits);
    shown.build.max_batch.next = 8'(MaxBatch);
    shown.build.max_n.next = 8'(MaxN);
    shown.max_classes.value.next = 24'(MaxClasses);
    shown.lpu_tiles.t_r.next = 16'(LpuTR);
    shown.lpu_tiles.t_p.next = 8'(LpuTP);
    shown.lpu_tiles.t_c.next = 8'(LpuTC);
    shown.lpu_bits.weights.next = 8'(LpuWeightBits);
    shown.lpu_bits.activations.next = 8'(LpuActBits);
    shown.hpu_tiles.t_r.next = 16'(HpuTR);
    shown.hpu_tiles.t_p.next = 8'(HpuTP);
    shown.hpu_tiles.t_c.next = 8'(HpuTC);
    shown.hpu_bits.weights.next = 8'(HpuWeightBits);
    shown.hpu_bits.activations.next = 8'(HpuActBits);

    shown.lpu_images.value.next = counters_i.lpu_images;
    shown.hpu_images.value.next = counters_i.hpu_images;
    shown.forwarded.value.next = counters_i.forwarded;
    shown.cycles_low.value.next = counters_i.cycles[31:0];
    shown.cycles_high.value.next = counters_i.cycles[47:32];
    shown.lpu_busy_low.value.next = counters_i.lpu_busy[31:0];
    shown.lpu_busy_high.value.next = counters_i.lpu_busy[47:32];
    shown.hpu_busy_low.value.next = counters_i.hpu_busy[31:0];
    shown.hpu_busy_high.value.next = counters_i.hpu_busy[47:32];
    shown.ceu_busy_low.value.next = counters_i.ceu_busy[31:0];
    shown.ceu_busy_high.value.next = counters_i.ceu_busy[47:32];
    shown.lpu_engine.busy.value.next = cycles_i[0].busy;
    shown.lpu_engine.wait_input.value.next = cycles_i[0].wait_input;
    shown.lpu_engine.wait_weights.value.next = cycles_i[0].wait_weights;
    shown.lpu_engine.wait_output.value.next = cycles_i[0].wait_output;
    shown.lpu_engine.idle.value.next = cycles_i[0].idle;
    shown.lpu_engine.read_beats.value.next = read_beats_i[0];
    shown.lpu_engine.written_beats.value.next = written_beats_i[0];
    shown.hpu_engine.busy.value.next = cycles_i[1].busy;
    shown.hpu_engine.wait_input.value.next = cycles_i[1].wait_input;
    shown.hpu_engine.wait_weights.value.next = cycles_i[1].wait_weights;
    shown.hpu_engine.wait_output.value.next = cycles_i[1].wait_output;
    shown.hpu_engine.idle.value.next = cycles_i[1].idle;
    shown.hpu_engine.read_beats.value.next = read_beats_i[1];
    shown.hpu_engine.written_beats.value.next = written_beats_i[1];
  end

endmodule
