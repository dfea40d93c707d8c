// SPDX-License-Identifier: Apache-2.0
//
// The cascade without its registers: both units, the CEU's control, and their AXI4 masters.
//
// A run: see cascade_control; start_i takes config_i, units_i and layers_i.
// Memory: three AXI4 masters: the LPU's at 0, the HPU's at 1, the control's (logits, records) at 2.
// Errors: a run ends early with the control's outcome. Memory that does not answer for limit_i cycles
//         (0: never) ends it with RUN_TIMEOUT: everything is stopped, and starts are refused until a
//         soft reset.
// Soft reset (a pulse, at any time): the engines and the control are reset at once, the masters when
//         what they have under way has ended, or RESET_CYCLES later if memory does not answer: then
//         memory must have forgotten it. busy_o is high until it is done.
// Numbers, cycles: those of the parts.

`include "casc_assert.svh"

module cascade_core
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

    input  logic                            start_i,
    input  logic                            abort_i,
    input  logic                            soft_reset_i,
    input  run_config_t                     config_i,
    input  engine_pkg::bases_t [1:0]        units_i,   // workspaces are config_i's
    input  logic               [1:0][15:0]  layers_i,  // descriptors
    input  logic               [AddrBits-1:0] axi_base_i,
    input  logic               [31:0]       limit_i,
    output logic                            busy_o,
    output logic                            done_o,
    output logic                            refused_o,
    output outcome_e                        outcome_o,
    output image_t                          outcome_image_o,
    output run_counters_t                   counters_o,

    output engine_pkg::error_e  [1:0]       error_o,        // why a unit's last run failed
    output logic                [1:0][15:0] error_layer_o,
    output engine_pkg::addr_t   [1:0]       error_addr_o,
    output logic                [2:0]       timeout_o,      // which port's memory is silent
    output engine_pkg::cycles_t [1:0]       cycles_o,       // of the units, since the start
    output logic                [1:0][31:0] read_beats_o,
    output logic                [1:0][31:0] written_beats_o,
    output logic                [1:0]       layer_done_o,   // a unit has ended a step
    output logic                [1:0][15:0] layer_index_o,
    output logic                [1:0][31:0] layer_cycles_o,
    output batch_t              [1:0]       layer_images_o,
    output addr_t               [1:0]       layer_workspace_o,

    output logic [2:0]                 ar_valid_o,
    input  logic [2:0]                 ar_ready_i,
    output logic [2:0][AddrBits-1:0]   ar_addr_o,
    output logic [2:0][7:0]            ar_len_o,
    output logic [2:0][2:0]            ar_size_o,
    output logic [2:0][1:0]            ar_burst_o,
    input  logic [2:0]                 r_valid_i,
    output logic [2:0]                 r_ready_o,
    input  logic [2:0][DataBits-1:0]   r_data_i,
    input  logic [2:0][1:0]            r_resp_i,
    input  logic [2:0]                 r_last_i,
    output logic [2:0]                 aw_valid_o,
    input  logic [2:0]                 aw_ready_i,
    output logic [2:0][AddrBits-1:0]   aw_addr_o,
    output logic [2:0][7:0]            aw_len_o,
    output logic [2:0][2:0]            aw_size_o,
    output logic [2:0][1:0]            aw_burst_o,
    output logic [2:0]                 w_valid_o,
    input  logic [2:0]                 w_ready_i,
    output logic [2:0][DataBits-1:0]   w_data_o,
    output logic [2:0][DataBits/8-1:0] w_strb_o,
    output logic [2:0]                 w_last_o,
    input  logic [2:0]                 b_valid_i,
    output logic [2:0]                 b_ready_o,
    input  logic [2:0][1:0]            b_resp_i
);

  localparam int unsigned IndexBits = cascade_pkg::index_bits(MaxBatch);
  localparam int unsigned CountBits = $clog2(MaxBatch + 1);
  localparam int unsigned ResetBits = 16;  // cycles that a soft reset waits for memory, at most: all ones
  localparam int unsigned Results = 2;     // the control's port

  // ---------------------------------------------------------------- what stops everything

  typedef enum logic [1:0] {
    Ready,
    Dead,   // memory does not answer
    Quiet,  // soft reset: wait for what is under way
    Reset
  } state_e;

  state_e               state_q, state_d;
  logic [ResetBits-1:0] waited_q;
  logic [2:0]           quiet, timeouts_q;
  logic [2:0]           timeout;
  logic                 parts_rst_n, control_rst_n, halt, control_busy, control_done;
  logic                 control_refused, refused_q;
  outcome_e             control_outcome;

  always_comb begin
    state_d = state_q;
    case (state_q)
      Ready:   if (timeout != '0) state_d = Dead;
      Dead:    state_d = Dead;
      Quiet:   if (quiet == '1 || waited_q == '1) state_d = Reset;
      Reset:   state_d = Ready;
      default: state_d = Ready;
    endcase
    if (soft_reset_i && !(state_q inside {Quiet, Reset})) state_d = Quiet;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q    <= Ready;
      waited_q   <= '0;
      timeouts_q <= '0;
      refused_q  <= 1'b0;
    end else begin
      state_q   <= state_d;
      waited_q  <= (state_q == Quiet) ? waited_q + 1'b1 : '0;
      refused_q <= start_i && state_q != Ready;
      if (state_q == Reset) timeouts_q <= '0;
      else if (state_q == Ready) timeouts_q <= timeout;
    end
  end

  assign halt          = state_q inside {Dead, Quiet};
  assign parts_rst_n   = rst_ni && state_q != Reset;
  assign control_rst_n = rst_ni && state_q == Ready;
  assign busy_o        = (control_busy && state_q == Ready) || state_q inside {Quiet, Reset};
  assign done_o        = (control_done && state_q == Ready)
                      || (state_q == Ready && state_d == Dead);
  assign outcome_o     = (state_q == Dead || state_d == Dead) ? RUN_TIMEOUT : control_outcome;
  assign timeout_o     = timeouts_q;
  assign refused_o     = control_refused || refused_q;

  // ---------------------------------------------------------------- control

  logic   [1:0]                list_write, run_valid, run_ready, run_stop, run_done, run_failed;
  logic   [1:0][IndexBits-1:0] list_index;
  addr_t  [1:0]                list_addr, run_workspace;
  batch_t [1:0]                run_images;
  logic                        cmd_valid, cmd_ready, data_valid, data_ready, data_error;
  addr_t                       cmd_addr;
  logic [15:0]                 cmd_beats;
  logic [DataBits-1:0]         data;
  logic                        wr_valid, wr_ready, wr_last, wr_idle, wr_error;
  addr_t                       wr_addr;
  logic [DataBits-1:0]         wr_data;
  logic [DataBits/8-1:0]       wr_strb;

  cascade_control #(
      .DataBits  (DataBits),
      .MaxBatch  (MaxBatch),
      .QueueDepth(QueueDepth),
      .MaxClasses(MaxClasses),
      .MaxN      (MaxN)
  ) u_control (
      .clk_i,
      .rst_ni         (control_rst_n),
      .start_i,
      .abort_i,
      .config_i,
      .busy_o         (control_busy),
      .done_o         (control_done),
      .refused_o      (control_refused),
      .outcome_o      (control_outcome),
      .outcome_image_o,
      .counters_o,
      .list_write_o   (list_write),
      .list_index_o   (list_index),
      .list_addr_o    (list_addr),
      .run_valid_o    (run_valid),
      .run_ready_i    (run_ready),
      .run_images_o   (run_images),
      .run_workspace_o(run_workspace),
      .run_stop_o     (run_stop),
      .run_done_i     (run_done),
      .run_failed_i   (run_failed),
      .cmd_valid_o    (cmd_valid),
      .cmd_ready_i    (cmd_ready),
      .cmd_addr_o     (cmd_addr),
      .cmd_beats_o    (cmd_beats),
      .data_valid_i   (data_valid),
      .data_ready_o   (data_ready),
      .data_i         (data),
      .data_error_i   (data_error),
      .wr_valid_o     (wr_valid),
      .wr_ready_i     (wr_ready),
      .wr_addr_o      (wr_addr),
      .wr_data_o      (wr_data),
      .wr_strb_o      (wr_strb),
      .wr_last_o      (wr_last),
      .wr_idle_i      (wr_idle),
      .wr_error_i     (wr_error)
  );

  result_port #(
      .DataBits   (DataBits),
      .AddrBits   (AddrBits),
      .MaxBurst   (MaxBurst),
      .BufferBeats(BufferBeats)
  ) u_results (
      .clk_i,
      .rst_ni      (parts_rst_n),
      .run_i       (control_busy),
      .halt_i      (halt),
      .quiet_o     (quiet[Results]),
      .axi_base_i,
      .limit_i,
      .timeout_o   (timeout[Results]),
      .cmd_valid_i (cmd_valid),
      .cmd_ready_o (cmd_ready),
      .cmd_addr_i  (cmd_addr),
      .cmd_beats_i (cmd_beats),
      .data_valid_o(data_valid),
      .data_ready_i(data_ready),
      .data_o      (data),
      .data_error_o(data_error),
      .wr_valid_i  (wr_valid),
      .wr_ready_o  (wr_ready),
      .wr_addr_i   (wr_addr),
      .wr_data_i   (wr_data),
      .wr_strb_i   (wr_strb),
      .wr_last_i   (wr_last),
      .wr_idle_o   (wr_idle),
      .wr_error_o  (wr_error),
      .ar_valid_o  (ar_valid_o[Results]),
      .ar_ready_i  (ar_ready_i[Results]),
      .ar_addr_o   (ar_addr_o[Results]),
      .ar_len_o    (ar_len_o[Results]),
      .ar_size_o   (ar_size_o[Results]),
      .ar_burst_o  (ar_burst_o[Results]),
      .r_valid_i   (r_valid_i[Results]),
      .r_ready_o   (r_ready_o[Results]),
      .r_data_i    (r_data_i[Results]),
      .r_resp_i    (r_resp_i[Results]),
      .r_last_i    (r_last_i[Results]),
      .aw_valid_o  (aw_valid_o[Results]),
      .aw_ready_i  (aw_ready_i[Results]),
      .aw_addr_o   (aw_addr_o[Results]),
      .aw_len_o    (aw_len_o[Results]),
      .aw_size_o   (aw_size_o[Results]),
      .aw_burst_o  (aw_burst_o[Results]),
      .w_valid_o   (w_valid_o[Results]),
      .w_ready_i   (w_ready_i[Results]),
      .w_data_o    (w_data_o[Results]),
      .w_strb_o    (w_strb_o[Results]),
      .w_last_o    (w_last_o[Results]),
      .b_valid_i   (b_valid_i[Results]),
      .b_ready_o   (b_ready_o[Results]),
      .b_resp_i    (b_resp_i[Results])
  );

  // ---------------------------------------------------------------- units

  logic                           begin_run;
  engine_pkg::bases_t [1:0]       bases_q;
  logic               [1:0][15:0] layers_q;

  assign begin_run = start_i && !busy_o;

  always_ff @(posedge clk_i) begin
    if (begin_run) begin
      bases_q  <= units_i;
      layers_q <= layers_i;
    end
  end

  for (genvar unit = 0; unit < 2; unit++) begin : gen_unit

    engine_unit #(
        .TR          (unit == 0 ? LpuTR : HpuTR),
        .TP          (unit == 0 ? LpuTP : HpuTP),
        .TC          (unit == 0 ? LpuTC : HpuTC),
        .DspPes      (unit == 0 ? LpuDspPes : HpuDspPes),
        .PackColumns (unit == 0 ? LpuPackColumns : HpuPackColumns),
        .DspBits     (DspBits),
        .WeightBits  (unit == 0 ? LpuWeightBits : HpuWeightBits),
        .ActBits     (unit == 0 ? LpuActBits : HpuActBits),
        .AccBits     (unit == 0 ? LpuAccBits : HpuAccBits),
        .VectorBits  (VectorBits),
        .StoredBits  (HpuWeightBits),
        .WeightWords (unit == 0 ? LpuWeightWords : HpuWeightWords),
        .ActWords    (unit == 0 ? LpuActWords : HpuActWords),
        .VectorLanes (VectorLanes),
        .DataBits    (DataBits),
        .MaxImages   (MaxBatch),
        .Lpu         (unit == 0),
        .LeakySupport(LeakySupport),
        .PoolWidth   (PoolWidth),
        .LrnSize     (LrnSize),
        .AddrBits    (AddrBits),
        .MaxBurst    (MaxBurst),
        .BufferBeats (BufferBeats),
        .Outstanding (Outstanding)
    ) u_unit (
        .clk_i,
        .rst_ni         (parts_rst_n),
        .halt_i         (halt),
        .quiet_o        (quiet[unit]),
        .clear_i        (begin_run),
        .bases_i        (bases_q[unit]),
        .layers_i       (layers_q[unit]),
        .axi_base_i,
        .limit_i,
        .list_write_i   (list_write[unit]),
        .list_index_i   (list_index[unit]),
        .list_addr_i    (list_addr[unit]),
        .run_valid_i    (run_valid[unit]),
        .run_ready_o    (run_ready[unit]),
        .run_images_i   (run_images[unit][CountBits-1:0]),
        .run_workspace_i(run_workspace[unit]),
        .run_stop_i     (run_stop[unit]),
        .run_done_o     (run_done[unit]),
        .run_failed_o   (run_failed[unit]),
        .error_o        (error_o[unit]),
        .error_layer_o  (error_layer_o[unit]),
        .error_addr_o   (error_addr_o[unit]),
        .timeout_o      (timeout[unit]),
        .cycles_o       (cycles_o[unit]),
        .read_beats_o   (read_beats_o[unit]),
        .written_beats_o(written_beats_o[unit]),
        .layer_done_o   (layer_done_o[unit]),
        .layer_index_o  (layer_index_o[unit]),
        .layer_cycles_o (layer_cycles_o[unit]),
        .ar_valid_o     (ar_valid_o[unit]),
        .ar_ready_i     (ar_ready_i[unit]),
        .ar_addr_o      (ar_addr_o[unit]),
        .ar_len_o       (ar_len_o[unit]),
        .ar_size_o      (ar_size_o[unit]),
        .ar_burst_o     (ar_burst_o[unit]),
        .r_valid_i      (r_valid_i[unit]),
        .r_ready_o      (r_ready_o[unit]),
        .r_data_i       (r_data_i[unit]),
        .r_resp_i       (r_resp_i[unit]),
        .r_last_i       (r_last_i[unit]),
        .aw_valid_o     (aw_valid_o[unit]),
        .aw_ready_i     (aw_ready_i[unit]),
        .aw_addr_o      (aw_addr_o[unit]),
        .aw_len_o       (aw_len_o[unit]),
        .aw_size_o      (aw_size_o[unit]),
        .aw_burst_o     (aw_burst_o[unit]),
        .w_valid_o      (w_valid_o[unit]),
        .w_ready_i      (w_ready_i[unit]),
        .w_data_o       (w_data_o[unit]),
        .w_strb_o       (w_strb_o[unit]),
        .w_last_o       (w_last_o[unit]),
        .b_valid_i      (b_valid_i[unit]),
        .b_ready_o      (b_ready_o[unit]),
        .b_resp_i       (b_resp_i[unit])
    );
  end

  // What a unit's run is about stands until the next one starts.
  always_ff @(posedge clk_i) begin
    for (int unsigned unit = 0; unit < 2; unit++) begin
      if (run_valid[unit] && run_ready[unit]) begin
        layer_images_o[unit]    <= run_images[unit];
        layer_workspace_o[unit] <= run_workspace[unit];
      end
    end
  end

  `CASC_CHECK_PARAM(lpu_weights, LpuWeightBits <= HpuWeightBits)
  `CASC_ASSERT(LayersLegal, !begin_run || (layers_i[0] != '0 && layers_i[1] != '0))

endmodule
