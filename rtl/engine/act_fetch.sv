// SPDX-License-Identifier: Apache-2.0
//
// Activation reader's commands to memory: walks a job's runs of successive words and makes read
// commands of them, up to BURST_BEATS beats each, with a tag that says which words of the answer
// are meant.
//
// Throughput: a command every two cycles, if its port and the tag's never wait: as axi_read takes them.
// Latency:    the first command is offered 4 cycles after start_i.
// start_i is taken while idle_o is high; job_i must be stable from then on until idle_o is high
// again, and busy with it until then.

`include "casc_assert.svh"

module act_fetch
  import act_job_pkg::*;
  import engine_pkg::*;
#(
    parameter int unsigned DataBits = 64  // 64 or 128
) (
    input logic clk_i,
    input logic rst_ni,

    input  logic     start_i,
    input  act_job_t job_i,
    output logic     idle_o,

    output logic                  cmd_valid_o,
    input  logic                  cmd_ready_i,
    output addr_t                 cmd_addr_o,
    output logic [BEATS_BITS-1:0] cmd_beats_o,

    output logic       tag_valid_o,
    input  logic       tag_ready_i,
    output fetch_tag_t tag_o
);

  // Addresses count in units of two bits, the shortest word.
  localparam int unsigned UnitBits = ADDR_BITS + 2;
  localparam int unsigned BeatUnits = DataBits / 2;
  localparam int unsigned BeatUnitBits = $clog2(BeatUnits);

  `CASC_CHECK_PARAM(data_bits, DataBits == 64 || DataBits == 128)

  typedef logic [UnitBits-1:0] unit_t;

  function automatic unit_t units_of(input addr_t bytes);
    return {bytes, 2'b00};
  endfunction

  logic unused_job;
  assign unused_job = ^job_i;

  // ---------------------------------------------------------------- runs

  // Constants of the job, a cycle behind it.
  logic [15:0] last_run_q, last_run_of_last_q, last_line_q, last_tile_q, last_block_q;
  logic [31:0] last_load_q;
  unit_t       block_step_q;

  always_ff @(posedge clk_i) begin
    last_run_q         <= job_i.runs - 1'b1;
    last_run_of_last_q <= job_i.last_runs - 1'b1;
    last_line_q        <= job_i.lines - 1'b1;
    last_tile_q        <= job_i.tiles - 1'b1;
    last_load_q        <= job_i.loads - 1'b1;
    last_block_q       <= job_i.blocks - 1'b1;
    block_step_q       <= UnitBits'(job_i.block_words) << (job_i.container - 3'd1);
  end

  logic        running_q;
  logic [31:0] load_q;
  logic [15:0] block_q, tile_q, line_q, run_q;
  logic        second_q;
  unit_t       block_addr_q, tile_addr_q, line_addr_q, second_line_addr_q, run_addr_q;

  // What ends with this run, a cycle behind the counters: a command takes two.
  typedef struct packed {
    logic run;        // the line's last, of the tensor
    logic last_line;  // of its tile
    logic line;       // and of all tensors
    logic tile;
    logic load;
    logic block;
    logic job;
    logic last_tile;  // of its load
    logic last_load;  // of its block
  } ends_t;

  ends_t ends, ends_q;
  logic  known_q;  // ends_q is this run's
  logic  next;

  assign ends.run       = run_q == (ends.last_tile ? last_run_of_last_q : last_run_q);
  assign ends.last_line = line_q == last_line_q;
  assign ends.last_tile = tile_q == last_tile_q;
  assign ends.last_load = load_q == last_load_q;
  assign ends.line      = ends.run && (second_q || !job_i.two);
  assign ends.tile      = ends.line && ends.last_line;
  assign ends.load      = ends.tile && ends.last_tile;
  assign ends.block     = ends.load && ends.last_load;
  assign ends.job       = ends.block && block_q == last_block_q;

  always_ff @(posedge clk_i) ends_q <= ends;

  unit_t next_block, next_tile, next_line, next_second, next_run;

  assign next_block  = ends_q.block ? block_addr_q + block_step_q : block_addr_q;
  assign next_tile   = ends_q.load ? next_block : tile_addr_q + units_of(job_i.tile_step);
  assign next_line   = ends_q.tile ? next_tile : line_addr_q + units_of(job_i.line_step);
  assign next_second = second_line_addr_q + units_of(job_i.second_line_step);

  always_comb begin
    if (ends_q.line) next_run = next_line;
    else if (ends_q.run) next_run = second_line_addr_q;
    else next_run = run_addr_q + units_of(second_q ? job_i.second_run_step : job_i.run_step);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      running_q <= 1'b0;
      known_q   <= 1'b0;
    end else begin
      known_q <= running_q && !next;
      if (start_i) running_q <= 1'b1;
      else if (next && ends_q.job) running_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      {load_q, block_q, tile_q, line_q, run_q, second_q} <= '0;
      block_addr_q       <= units_of(job_i.base);
      tile_addr_q        <= units_of(job_i.base);
      line_addr_q        <= units_of(job_i.base);
      run_addr_q         <= units_of(job_i.base);
      second_line_addr_q <= units_of(job_i.second_base);
    end else if (next) begin
      run_q      <= ends_q.run ? '0 : run_q + 1'b1;
      second_q   <= ends_q.run ? job_i.two && !second_q : second_q;
      run_addr_q <= next_run;
      if (ends_q.line) begin
        line_q             <= ends_q.last_line ? '0 : line_q + 1'b1;
        line_addr_q        <= next_line;
        second_line_addr_q <= next_second;
      end
      if (ends_q.tile) begin
        tile_q      <= ends_q.last_tile ? '0 : tile_q + 1'b1;
        tile_addr_q <= next_tile;
      end
      if (ends_q.load) load_q <= ends_q.last_load ? '0 : load_q + 1'b1;
      if (ends_q.block) begin
        block_q      <= block_q + 1'b1;
        block_addr_q <= next_block;
      end
    end
  end

  // ---------------------------------------------------------------- commands

  // What is left of a run; how much of it a command can have is known a cycle later.
  logic        part_valid_q, part_cut_q;
  unit_t       part_addr_q;
  logic [31:0] part_words_q;
  logic        part_second_q;
  logic [2:0]  part_container_q;
  logic        part_ends_q;

  logic [5:0]            first, first_q;         // word of the beat that the part begins with
  logic [14:0]           limit, limit_q, words;  // that a command can have; that this one has
  logic [BEATS_BITS-1:0] beats;
  logic                  whole_q, take;
  unit_t                 last_unit;     // the command's last

  assign first          = 6'(part_addr_q[BeatUnitBits-1:0] >> (part_container_q - 3'd1));
  assign limit          = (15'(BURST_BEATS * BeatUnits) >> (part_container_q - 3'd1)) - 15'(first);
  assign words          = whole_q ? part_words_q[14:0] : limit_q;
  assign last_unit      = UnitBits'(part_addr_q[BeatUnitBits-1:0])
                        + (UnitBits'(words) << (part_container_q - 3'd1)) - 1'b1;
  assign beats          = BEATS_BITS'(last_unit >> BeatUnitBits) + 1'b1;

  // A register behind each port; a part moves on when both are free.
  logic cmd_valid_q, tag_valid_q;

  assign take = part_valid_q && part_cut_q && (!cmd_valid_q || cmd_ready_i) && (!tag_valid_q || tag_ready_i);
  assign next = running_q && known_q && (!part_valid_q || (take && whole_q));

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      part_valid_q <= 1'b0;
      part_cut_q   <= 1'b0;
      cmd_valid_q  <= 1'b0;
      tag_valid_q  <= 1'b0;
    end else begin
      part_cut_q <= part_valid_q && !take;
      if (next) part_valid_q <= 1'b1;
      else if (take && whole_q) part_valid_q <= 1'b0;
      if (take) cmd_valid_q <= 1'b1;
      else if (cmd_ready_i) cmd_valid_q <= 1'b0;
      if (take) tag_valid_q <= 1'b1;
      else if (tag_ready_i) tag_valid_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (next) begin
      part_addr_q   <= run_addr_q;
      part_words_q  <= ends_q.last_line ? job_i.last_run_words : job_i.run_words;
      part_second_q <= second_q;
      part_container_q <= second_q ? job_i.second_container : job_i.container;
      part_ends_q   <= ends_q.load;
    end else if (take) begin
      part_addr_q  <= part_addr_q + (UnitBits'(words) << (part_container_q - 3'd1));
      part_words_q <= part_words_q - 32'(words);
    end
    if (!part_cut_q) begin
      first_q <= first;
      limit_q <= limit;
      whole_q <= part_words_q <= 32'(limit);
    end
    if (take) begin
      cmd_addr_o  <= {part_addr_q[UnitBits-1:BeatUnitBits], (BeatUnitBits - 2)'(0)};
      cmd_beats_o <= beats;
      tag_o       <= '{
          first: first_q, words: words, second: part_second_q, load_ends: part_ends_q && whole_q
      };
    end
  end

  assign cmd_valid_o = cmd_valid_q;
  assign tag_valid_o = tag_valid_q;
  assign idle_o      = !running_q && !part_valid_q && !cmd_valid_q && !tag_valid_q;

  `CASC_ASSERT_STREAM(Command, cmd_valid_o, cmd_ready_i, {cmd_addr_o, cmd_beats_o})
  `CASC_ASSERT_STREAM(Tag, tag_valid_o, tag_ready_i, tag_o)
  `CASC_ASSERT(StartIdle, !start_i || idle_o)
  `CASC_ASSERT(WordsPresent, !part_valid_q || part_words_q != '0)

endmodule
