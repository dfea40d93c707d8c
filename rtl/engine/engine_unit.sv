// SPDX-License-Identifier: Apache-2.0
//
// A unit of the cascade: an engine with its AXI4 master, run by cascade_control.
//
// A run: run_valid_i and run_ready_o start the engine on the list's first images, with bases_i and
// run_workspace_i. run_done_o is high for a cycle when it has ended and nothing of it is under way;
// run_failed_o with it: no logits. error_o, error_layer_o and error_addr_o say why the last run failed
// until the next one starts.
// Errors: an engine that refuses a descriptor ends by itself. After an answer of SLVERR or DECERR, or
//         with run_stop_i, the engine is put in reset, the master takes the answers of what it has
//         requested and ends the burst that it writes, and the run has failed. Then all is as after
//         reset. timeout_o: memory has not answered for limit_i cycles (0: never); only rst_ni helps.
//         halt_i does the same at any time, and holds the engine in reset while it is high; quiet_o:
//         nothing is under way at the port.
// Memory: clients of the read channel in order: descriptors, activations, high planes, records, low
//         planes (high-precision unit only).
// Counts: read_beats_o and written_beats_o, beats since clear_i; cycles_o the engine's of all runs
//         since clear_i.

`include "casc_assert.svh"

module engine_unit
  import cascade_pkg::*;
  import engine_pkg::*;
#(
    parameter  int unsigned TR           = 8,     // the engine's parameters: see there
    parameter  int unsigned TP           = 4,
    parameter  int unsigned TC           = 4,
    parameter  int unsigned DspPes       = TC,
    parameter  int unsigned PackColumns  = 1,
    parameter  int unsigned DspBits      = 25,
    parameter  int unsigned WeightBits   = 8,
    parameter  int unsigned ActBits      = 8,
    parameter  int unsigned AccBits      = 32,
    parameter  int unsigned VectorBits   = 46,
    parameter  int unsigned StoredBits   = 8,
    parameter  int unsigned WeightWords  = 4096,
    parameter  int unsigned ActWords     = 4096,
    parameter  int unsigned VectorLanes  = 8,
    parameter  int unsigned DataBits     = 64,
    parameter  int unsigned MaxImages    = 64,
    parameter  bit          Lpu          = 1'b0,
    parameter  bit          LeakySupport = 1'b1,
    parameter  int unsigned PoolWidth    = 0,
    parameter  int unsigned LrnSize      = 0,
    parameter  int unsigned AddrBits     = 32,    // 32..64: of the port
    parameter  int unsigned MaxBurst     = 16,    // 1..256
    parameter  int unsigned BufferBeats  = 128,   // MaxBurst..: of each client
    parameter  int unsigned Outstanding  = 32,    // 2..: bursts under way
    localparam int unsigned ImageBits    = index_bits(MaxImages),
    localparam int unsigned CountBits    = $clog2(MaxImages + 1)
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic                 halt_i,
    output logic                 quiet_o,
    input  logic                 clear_i,
    input  bases_t               bases_i,      // its workspace is not looked at
    input  logic [15:0]          layers_i,     // 1..
    input  logic [AddrBits-1:0]  axi_base_i,   // added to every address; 4 KiB aligned
    input  logic [31:0]          limit_i,
    input  logic                 list_write_i,
    input  logic [ImageBits-1:0] list_index_i,
    input  addr_t                list_addr_i,
    input  logic                 run_valid_i,
    output logic                 run_ready_o,
    input  logic [CountBits-1:0] run_images_i,
    input  addr_t                run_workspace_i,
    input  logic                 run_stop_i,
    output logic                 run_done_o,
    output logic                 run_failed_o,

    output error_e      error_o,
    output logic [15:0] error_layer_o,
    output addr_t       error_addr_o,  // of ERROR_BUS: the burst's
    output logic        timeout_o,
    output cycles_t     cycles_o,
    output logic [31:0] read_beats_o,
    output logic [31:0] written_beats_o,
    output logic        layer_done_o,
    output logic [15:0] layer_index_o,
    output logic [31:0] layer_cycles_o,

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

  localparam int unsigned Ports = 5;  // of the engine
  localparam int unsigned Clients = Lpu ? Ports - 1 : Ports;
  localparam int unsigned ClientBits = index_bits(Clients);

  typedef enum logic [2:0] {
    Idle,
    Run,
    Settle,   // the engine has ended: wait for its writes
    Clear,    // failed: everything that is under way ends
    Restart   // the master forgets its error
  } state_e;

  state_e state_q, state_d;
  error_e error_q;
  logic   start, engine_done, bus_error, breaks, engine_rst_n, master_rst_n, stopping;
  logic   read_idle, write_idle, read_error, write_error, read_timeout, write_timeout;
  error_e engine_error;
  addr_t  read_error_addr, write_error_addr;
  bases_t bases;
  logic [15:0] engine_error_layer;

  assign run_ready_o = state_q == Idle;
  assign start       = run_valid_i && run_ready_o;
  assign bus_error   = read_error || write_error;
  assign breaks      = bus_error || run_stop_i;

  always_comb begin
    state_d = state_q;
    case (state_q)
      Idle:    if (start) state_d = Run;
      Run:     if (breaks) state_d = Clear;
               else if (engine_done) state_d = Settle;
      Settle:  if (breaks) state_d = Clear;
               else if (quiet_o) state_d = Idle;
      Clear:   if (quiet_o) state_d = Restart;
      Restart: state_d = Idle;
      default: state_d = Idle;
    endcase
    if (halt_i) state_d = Clear;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q       <= Idle;
      error_q       <= ERROR_NONE;
      error_layer_o <= '0;
      error_addr_o  <= '0;
    end else begin
      state_q <= state_d;
      if (start) begin
        error_q <= ERROR_NONE;
      end else if (state_q inside {Run, Settle} && breaks) begin
        error_q       <= bus_error ? ERROR_BUS : ERROR_STOPPED;
        error_layer_o <= layer_index_o;
        error_addr_o  <= read_error ? read_error_addr : write_error_addr;
      end else if (state_q == Run && engine_done) begin
        error_q       <= engine_error;
        error_layer_o <= engine_error_layer;
      end
    end
  end

  assign error_o      = error_q;
  assign quiet_o      = read_idle && write_idle;
  assign run_done_o   = state_q != Idle && state_d == Idle;
  assign run_failed_o = error_q != ERROR_NONE;
  assign timeout_o    = read_timeout || write_timeout;
  assign stopping     = state_q == Clear;
  assign engine_rst_n = rst_ni && !(state_q inside {Clear, Restart});
  assign master_rst_n = rst_ni && state_q != Restart;

  always_comb begin
    bases           = bases_i;
    bases.workspace = run_workspace_i;
  end

  // ---------------------------------------------------------------- engine

  logic [Ports-1:0]                 cmd_valid, cmd_ready, data_valid, data_ready;
  addr_t [Ports-1:0]                cmd_addr;
  logic [Ports-1:0][BEATS_BITS-1:0] cmd_beats;
  logic [Ports-1:0][DataBits-1:0]   data;
  logic                             wr_valid, wr_ready, wr_last, unused_busy;
  addr_t                            wr_addr;
  logic [DataBits-1:0]              wr_data;
  logic [DataBits/8-1:0]            wr_strb;
  cycles_t                          cycles;

  if (Lpu) begin : gen_no_low_planes
    assign cmd_ready[Ports-1]  = 1'b0;
    assign data_valid[Ports-1] = 1'b0;
    assign data[Ports-1]       = '0;
  end

  cnn_engine #(
      .TR          (TR),
      .TP          (TP),
      .TC          (TC),
      .DspPes      (DspPes),
      .PackColumns (PackColumns),
      .DspBits     (DspBits),
      .WeightBits  (WeightBits),
      .ActBits     (ActBits),
      .AccBits     (AccBits),
      .VectorBits  (VectorBits),
      .StoredBits  (StoredBits),
      .WeightWords (WeightWords),
      .ActWords    (ActWords),
      .VectorLanes (VectorLanes),
      .DataBits    (DataBits),
      .MaxImages   (MaxImages),
      .Lpu         (Lpu),
      .LeakySupport(LeakySupport),
      .PoolWidth   (PoolWidth),
      .LrnSize     (LrnSize)
  ) u_engine (
      .clk_i,
      .rst_ni                 (engine_rst_n),
      .start_i                (start),
      .stop_i                 (1'b0),
      .bus_error_i            (1'b0),
      .images_i               (run_images_i),
      .layers_i,
      .bases_i                (bases),
      .use_list_i             (1'b1),
      .busy_o                 (unused_busy),
      .done_o                 (engine_done),
      .error_o                (engine_error),
      .error_layer_o          (engine_error_layer),
      .cycles_o               (cycles),
      .layer_done_o,
      .layer_index_o,
      .layer_cycles_o,
      .list_write_i,
      .list_index_i,
      .list_addr_i,
      .descriptor_cmd_valid_o (cmd_valid[0]),
      .descriptor_cmd_ready_i (cmd_ready[0]),
      .descriptor_cmd_addr_o  (cmd_addr[0]),
      .descriptor_cmd_beats_o (cmd_beats[0]),
      .descriptor_data_valid_i(data_valid[0]),
      .descriptor_data_ready_o(data_ready[0]),
      .descriptor_data_i      (data[0]),
      .act_cmd_valid_o        (cmd_valid[1]),
      .act_cmd_ready_i        (cmd_ready[1]),
      .act_cmd_addr_o         (cmd_addr[1]),
      .act_cmd_beats_o        (cmd_beats[1]),
      .act_data_valid_i       (data_valid[1]),
      .act_data_ready_o       (data_ready[1]),
      .act_data_i             (data[1]),
      .high_cmd_valid_o       (cmd_valid[2]),
      .high_cmd_ready_i       (cmd_ready[2]),
      .high_cmd_addr_o        (cmd_addr[2]),
      .high_cmd_beats_o       (cmd_beats[2]),
      .high_data_valid_i      (data_valid[2]),
      .high_data_ready_o      (data_ready[2]),
      .high_data_i            (data[2]),
      .low_cmd_valid_o        (cmd_valid[4]),
      .low_cmd_ready_i        (cmd_ready[4]),
      .low_cmd_addr_o         (cmd_addr[4]),
      .low_cmd_beats_o        (cmd_beats[4]),
      .low_data_valid_i       (data_valid[4]),
      .low_data_ready_o       (data_ready[4]),
      .low_data_i             (data[4]),
      .record_cmd_valid_o     (cmd_valid[3]),
      .record_cmd_ready_i     (cmd_ready[3]),
      .record_cmd_addr_o      (cmd_addr[3]),
      .record_cmd_beats_o     (cmd_beats[3]),
      .record_data_valid_i    (data_valid[3]),
      .record_data_ready_o    (data_ready[3]),
      .record_data_i          (data[3]),
      .wr_valid_o             (wr_valid),
      .wr_ready_i             (wr_ready),
      .wr_addr_o              (wr_addr),
      .wr_data_o              (wr_data),
      .wr_strb_o              (wr_strb),
      .wr_last_o              (wr_last),
      .wr_idle_i              (write_idle)
  );

  // ---------------------------------------------------------------- memory

  logic [ClientBits-1:0] unused_client;
  logic [Clients-1:0]    unused_errors;  // an error ends the run

  axi_read #(
      .Clients    (Clients),
      .DataBits   (DataBits),
      .AddrBits   (AddrBits),
      .MaxBurst   (MaxBurst),
      .BufferBeats(BufferBeats),
      .Outstanding(Outstanding)
  ) u_read (
      .clk_i,
      .rst_ni        (master_rst_n),
      .cmd_valid_i   (cmd_valid[Clients-1:0]),
      .cmd_ready_o   (cmd_ready[Clients-1:0]),
      .cmd_addr_i    (cmd_addr[Clients-1:0]),
      .cmd_beats_i   (cmd_beats[Clients-1:0]),
      .data_valid_o  (data_valid[Clients-1:0]),
      .data_ready_i  (data_ready[Clients-1:0]),
      .data_o        (data[Clients-1:0]),
      .data_error_o  (unused_errors),
      .stop_i        (stopping),
      .idle_o        (read_idle),
      .limit_i,
      .timeout_o     (read_timeout),
      .error_o       (read_error),
      .error_client_o(unused_client),
      .error_addr_o  (read_error_addr),
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
      .in_valid_i  (wr_valid),
      .in_ready_o  (wr_ready),
      .in_addr_i   (wr_addr),
      .in_data_i   (wr_data),
      .in_strb_i   (wr_strb),
      .in_last_i   (wr_last),
      .stop_i      (stopping),
      .idle_o      (write_idle),
      .limit_i,
      .timeout_o   (write_timeout),
      .error_o     (write_error),
      .error_addr_o(write_error_addr),
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

  // ---------------------------------------------------------------- counters

  cycles_t cycles_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      cycles_q        <= '0;
      read_beats_o    <= '0;
      written_beats_o <= '0;
    end else begin
      if (engine_done) begin
        cycles_q <= '{
            busy:         cycles_q.busy + cycles.busy,
            wait_input:   cycles_q.wait_input + cycles.wait_input,
            wait_weights: cycles_q.wait_weights + cycles.wait_weights,
            wait_output:  cycles_q.wait_output + cycles.wait_output,
            idle:         cycles_q.idle + cycles.idle
        };
      end
      if (r_valid_i && r_ready_o) read_beats_o <= read_beats_o + 1'b1;
      if (w_valid_o && w_ready_i) written_beats_o <= written_beats_o + 1'b1;
    end
  end

  assign cycles_o = cycles_q;

  logic unused;
  assign unused = ^{unused_busy, unused_client, unused_errors, cmd_valid, cmd_addr, cmd_beats, data_ready, bases_i};

  `CASC_CHECK_PARAM(outstanding, Outstanding >= 2)
  `CASC_ASSERT(LayersLegal, !start || layers_i != '0)
  `CASC_ASSERT(ListWhileIdle, !list_write_i || state_q == Idle)

endmodule
