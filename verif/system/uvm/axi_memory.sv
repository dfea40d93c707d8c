// SPDX-License-Identifier: Apache-2.0
//
// A memory behind several AXI4 slave ports, for simulation: one array of bytes, all ports on it.
//
// Every port answers in the order of its requests, keeps up to Depth bursts a direction, and pauses:
// each of its five channels with the chance stall_i / 256 in every cycle, the first beat of a read and
// the answer to a write after latency_i cycles and up to latency_spread_i more, drawn at random.
//
// Files: at the rising edge of load_i the array is read from memory.bin, at that of dump_i it is
// written to dump.bin, both in the folder that the simulation runs in and without simulated time; at
// load_i, the counters begin anew.
// Errors: the fail_read_i-th beat that a port reads, and the burst of the fail_write_i-th beat that it
// writes, are answered with fail_resp_i; 0: none. The beat that fails is not written.
// Counters, a port in 32 bits: beats moved; turns, times that a beat or an answer could be given; pauses,
// those turns that were let pass.
// Rules checked: INCR, whole beats, no 4 KiB page crossed, at most burst_limit_i beats, wlast at the last
// beat and there only, addresses in the array, requests and data held until they are taken.

`include "casc_assert.svh"

module axi_memory #(
    parameter int unsigned Ports    = 3,
    parameter int unsigned DataBits = 64,
    parameter int unsigned AddrBits = 32,
    parameter int unsigned Bytes    = 1 << 20,
    parameter int unsigned Depth    = 16        // bursts; beats: four times as many
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic                          load_i,
    input  logic                          dump_i,
    input  logic [7:0]                    stall_i,
    input  logic [15:0]                   latency_i,
    input  logic [15:0]                   latency_spread_i,
    input  logic [8:0]                    burst_limit_i,
    input  logic [Ports-1:0][31:0]        fail_read_i,
    input  logic [Ports-1:0][31:0]        fail_write_i,
    input  logic [1:0]                    fail_resp_i,
    output logic [Ports-1:0]              read_failed_o,
    output logic [Ports-1:0]              write_failed_o,
    output logic [Ports-1:0][31:0]        read_beats_o,
    output logic [Ports-1:0][31:0]        written_beats_o,
    output logic [Ports-1:0][31:0]        turns_o,
    output logic [Ports-1:0][31:0]        pauses_o,

    input  logic [Ports-1:0]                 ar_valid_i,
    output logic [Ports-1:0]                 ar_ready_o,
    input  logic [Ports-1:0][AddrBits-1:0]   ar_addr_i,
    input  logic [Ports-1:0][7:0]            ar_len_i,
    input  logic [Ports-1:0][2:0]            ar_size_i,
    input  logic [Ports-1:0][1:0]            ar_burst_i,
    output logic [Ports-1:0]                 r_valid_o,
    input  logic [Ports-1:0]                 r_ready_i,
    output logic [Ports-1:0][DataBits-1:0]   r_data_o,
    output logic [Ports-1:0][1:0]            r_resp_o,
    output logic [Ports-1:0]                 r_last_o,
    input  logic [Ports-1:0]                 aw_valid_i,
    output logic [Ports-1:0]                 aw_ready_o,
    input  logic [Ports-1:0][AddrBits-1:0]   aw_addr_i,
    input  logic [Ports-1:0][7:0]            aw_len_i,
    input  logic [Ports-1:0][2:0]            aw_size_i,
    input  logic [Ports-1:0][1:0]            aw_burst_i,
    input  logic [Ports-1:0]                 w_valid_i,
    output logic [Ports-1:0]                 w_ready_o,
    input  logic [Ports-1:0][DataBits-1:0]   w_data_i,
    input  logic [Ports-1:0][DataBits/8-1:0] w_strb_i,
    input  logic [Ports-1:0]                 w_last_i,
    output logic [Ports-1:0]                 b_valid_o,
    input  logic [Ports-1:0]                 b_ready_i,
    output logic [Ports-1:0][1:0]            b_resp_o
);

  localparam int unsigned BEAT_BYTES = DataBits / 8;
  localparam int unsigned BEATS      = 4 * Depth;
  localparam int unsigned PAGE       = 4096;
  localparam logic [1:0]  INCR       = 2'b01;

  typedef logic [$clog2(Ports)-1:0] port_t;
  typedef logic [AddrBits-1:0] addr_t;
  typedef logic [BEAT_BYTES-1:0][7:0] beat_t;

  typedef struct {
    addr_t       addr;
    int unsigned beats;
    int unsigned due;
  } burst_t;

  typedef struct {
    beat_t                 data;
    logic [BEAT_BYTES-1:0] strb;
    logic                  last;
  } write_beat_t;

  typedef struct {
    logic [1:0]  resp;
    int unsigned due;
  } answer_t;

  // The model is sequential code that runs once a cycle: its state is assigned in place, only the
  // outputs are registers.
  /* verilator lint_off BLKSEQ */
  logic [7:0]  bytes[Bytes];
  int unsigned now;
  logic        load_q, dump_q;

  burst_t      reads  [Ports][Depth];
  burst_t      writes [Ports][Depth];
  write_beat_t beats  [Ports][BEATS];
  answer_t     answers[Ports][Depth];
  int unsigned reads_head[Ports], reads_count[Ports];
  int unsigned writes_head[Ports], writes_count[Ports];
  int unsigned beats_head[Ports], beats_count[Ports];
  int unsigned answers_head[Ports], answers_count[Ports];
  logic [1:0]  write_resp[Ports];

  int unsigned offered[Ports], read_beats[Ports], written_beats[Ports];
  int unsigned turns[Ports], pauses[Ports];

  for (genvar p = 0; p < int'(Ports); p++) begin : gen_port
    assign read_beats_o[p]    = read_beats[p];
    assign written_beats_o[p] = written_beats[p];
    assign turns_o[p]         = turns[p];
    assign pauses_o[p]        = pauses[p];

    `CASC_ASSERT_STREAM(Ar, ar_valid_i[p], ar_ready_o[p],
                        {ar_addr_i[p], ar_len_i[p], ar_size_i[p], ar_burst_i[p]})
    `CASC_ASSERT_STREAM(Aw, aw_valid_i[p], aw_ready_o[p],
                        {aw_addr_i[p], aw_len_i[p], aw_size_i[p], aw_burst_i[p]})
    `CASC_ASSERT_STREAM(W, w_valid_i[p], w_ready_o[p], {w_data_i[p], w_strb_i[p], w_last_i[p]})
    `CASC_ASSERT(ArLegal, !ar_valid_i[p] || legal(ar_addr_i[p], ar_len_i[p], ar_size_i[p], ar_burst_i[p]))
    `CASC_ASSERT(AwLegal, !aw_valid_i[p] || legal(aw_addr_i[p], aw_len_i[p], aw_size_i[p], aw_burst_i[p]))
  end

  function automatic logic legal(input addr_t addr, input logic [7:0] len, input logic [2:0] size,
                                 input logic [1:0] burst);
    longint unsigned first, length;
    first  = 64'(addr);
    length = (64'(len) + 1) * 64'(BEAT_BYTES);
    return burst == INCR && 32'd1 << size == BEAT_BYTES && first % 64'(BEAT_BYTES) == 0
        && first % 64'(PAGE) + length <= 64'(PAGE) && first + length <= 64'(Bytes)
        && 9'(len) < burst_limit_i;
  endfunction

  // Whether a channel pauses in this cycle.
  function automatic logic pausing();
    return 8'($urandom) < stall_i;
  endfunction

  // Whether a port may give a beat or an answer that it has now; counted.
  function automatic logic given(input port_t p);
    logic pause;
    pause = pausing();
    turns[p]++;
    if (pause) pauses[p]++;
    return !pause;
  endfunction

  function automatic int unsigned delay();
    return 32'(latency_i) + $urandom % (32'(latency_spread_i) + 1);
  endfunction

  task automatic load();
    int file, length;
    file   = $fopen("memory.bin", "rb");
    length = $fread(bytes, file);
    assert (length == int'(Bytes)) else $error("memory.bin has %0d bytes", length);
    $fclose(file);
  endtask

  task automatic dump();
    int file;
    file = $fopen("dump.bin", "wb");
    for (int unsigned k = 0; k < Bytes; k += 4)
      $fwrite(file, "%u", {bytes[k+3], bytes[k+2], bytes[k+1], bytes[k]});
    $fclose(file);
  endtask

  task automatic clear(input port_t p);
    offered[p]       = 0;
    read_beats[p]    = 0;
    written_beats[p] = 0;
    turns[p]         = 0;
    pauses[p]        = 0;
    read_failed_o[p] <= 1'b0;
    write_failed_o[p] <= 1'b0;
  endtask

  task automatic reset(input port_t p);
    reads_head[p]    = 0;
    reads_count[p]   = 0;
    writes_head[p]   = 0;
    writes_count[p]  = 0;
    beats_head[p]    = 0;
    beats_count[p]   = 0;
    answers_head[p]  = 0;
    answers_count[p] = 0;
    write_resp[p]    = '0;
    ar_ready_o[p] <= 1'b0;
    r_valid_o[p]  <= 1'b0;
    aw_ready_o[p] <= 1'b0;
    w_ready_o[p]  <= 1'b0;
    b_valid_o[p]  <= 1'b0;
  endtask

  task automatic read(input port_t p);
    int unsigned head;
    beat_t       data;
    if (ar_valid_i[p] && ar_ready_o[p]) begin
      reads[p][(reads_head[p] + reads_count[p]) % Depth] = '{
          ar_addr_i[p], 32'(ar_len_i[p]) + 1, now + delay()
      };
      reads_count[p]++;
    end
    if (r_valid_o[p] && r_ready_i[p]) read_beats[p]++;
    if (!r_valid_o[p] || r_ready_i[p]) begin
      head = reads_head[p];
      r_valid_o[p] <= 1'b0;
      if (reads_count[p] != 0 && reads[p][head].due <= now && given(p)) begin
        for (int unsigned k = 0; k < BEAT_BYTES; k++) data[k] = bytes[32'(reads[p][head].addr)+k];
        offered[p]++;
        r_valid_o[p] <= 1'b1;
        r_data_o[p]  <= data;
        r_last_o[p]  <= reads[p][head].beats == 1;
        r_resp_o[p]  <= '0;
        if (offered[p] == fail_read_i[p]) begin
          r_resp_o[p]      <= fail_resp_i;
          read_failed_o[p] <= 1'b1;
        end
        reads[p][head].addr += AddrBits'(BEAT_BYTES);
        reads[p][head].beats--;
        if (reads[p][head].beats == 0) begin
          reads_head[p] = (head + 1) % Depth;
          reads_count[p]--;
        end
      end
    end
    ar_ready_o[p] <= reads_count[p] < Depth && !pausing();
  endtask

  task automatic take_writes(input port_t p);
    if (aw_valid_i[p] && aw_ready_o[p]) begin
      writes[p][(writes_head[p] + writes_count[p]) % Depth] = '{
          aw_addr_i[p], 32'(aw_len_i[p]) + 1, 0
      };
      writes_count[p]++;
    end
    if (w_valid_i[p] && w_ready_o[p]) begin
      beats[p][(beats_head[p] + beats_count[p]) % BEATS] = '{
          w_data_i[p], w_strb_i[p], w_last_i[p]
      };
      beats_count[p]++;
      written_beats[p]++;
    end
  endtask

  // One beat a cycle, as many as the channel brings.
  task automatic write(input port_t p);
    int unsigned head;
    write_beat_t beat;
    logic        failing;
    if (writes_count[p] != 0 && beats_count[p] != 0 && answers_count[p] < Depth) begin
      head    = writes_head[p];
      beat    = beats[p][beats_head[p]];
      failing = written_beats[p] - beats_count[p] + 1 == fail_write_i[p];
      if (failing) begin
        write_resp[p] = fail_resp_i;
        write_failed_o[p] <= 1'b1;
      end
      for (int unsigned k = 0; k < BEAT_BYTES; k++)
        if (beat.strb[k] && !failing) bytes[32'(writes[p][head].addr)+k] = beat.data[k];
      assert (beat.last == (writes[p][head].beats == 1)) else $error("port %0d: wlast is wrong", p);
      beats_head[p] = (beats_head[p] + 1) % BEATS;
      beats_count[p]--;
      writes[p][head].addr += AddrBits'(BEAT_BYTES);
      writes[p][head].beats--;
      if (writes[p][head].beats == 0) begin
        answers[p][(answers_head[p] + answers_count[p]) % Depth] = '{write_resp[p], now + delay()};
        answers_count[p]++;
        write_resp[p]  = '0;
        writes_head[p] = (head + 1) % Depth;
        writes_count[p]--;
      end
    end
    aw_ready_o[p] <= writes_count[p] < Depth && !pausing();
    w_ready_o[p]  <= beats_count[p] < BEATS && !pausing();
  endtask

  task automatic answer(input port_t p);
    if (!b_valid_o[p] || b_ready_i[p]) begin
      b_valid_o[p] <= 1'b0;
      if (answers_count[p] != 0 && answers[p][answers_head[p]].due <= now && given(p)) begin
        b_valid_o[p] <= 1'b1;
        b_resp_o[p]  <= answers[p][answers_head[p]].resp;
        answers_head[p] = (answers_head[p] + 1) % Depth;
        answers_count[p]--;
      end
    end
  endtask

  always @(posedge clk_i) begin
    now = rst_ni ? now + 1 : 0;
    load_q <= load_i;
    dump_q <= dump_i;
    for (int unsigned k = 0; k < Ports; k++) begin
      if (!rst_ni) begin
        reset(port_t'(k));
      end else begin
        read(port_t'(k));
        take_writes(port_t'(k));
        write(port_t'(k));
        answer(port_t'(k));
      end
      if (load_i && !load_q) clear(port_t'(k));
    end
    if (load_i && !load_q) load();
    if (dump_i && !dump_q) dump();
  end
  /* verilator lint_on BLKSEQ */

endmodule
