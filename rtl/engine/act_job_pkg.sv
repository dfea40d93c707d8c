// SPDX-License-Identifier: Apache-2.0
//
// A job of the activation reader: one image of a convolution, one batch of a dense layer, or one
// image of vector work. Written by hand; toolflow/hardware/act_jobs.py makes jobs and says what
// their fields are for each kind of layer.
//
// "Slots" are words on chip: what a word of the engine's wordlength takes there. Vector work keeps
// words in containers of 2**store_container bits, which may be several slots.

package act_job_pkg;

  import engine_pkg::*;

  typedef logic [31:0] slots_t;

  typedef struct packed {
    // The tensors in memory; an addition has two.
    addr_t      base;              // byte address of the first word
    addr_t      second_base;
    logic       two;               // a second tensor
    logic [2:0] container;         // log2 of the bits of a word in memory: 1..4
    logic [2:0] second_container;
    logic [2:0] store_container;   // on chip; products: the narrowest that holds ActBits
    logic       is_signed;         // words are two's complement
    logic       second_signed;

    // What is fetched, outermost loop first: for block, for load, for tile, for line, for tensor,
    // for run: successive words. They lie on chip one run after the other; a load starts on a beat.
    logic [15:0] blocks;           // groups of channels that are on chip together
    logic [31:0] loads;            // how often a block is fetched
    logic [15:0] tiles;
    logic [15:0] lines;
    logic [15:0] runs;
    logic [15:0] last_runs;        // in the last tile
    logic [31:0] run_words;
    logic [31:0] last_run_words;   // in the last line
    logic [31:0] block_words;      // words from a block to the next
    addr_t       tile_step;        // bytes from a tile to the next
    addr_t       line_step;
    addr_t       second_line_step;
    addr_t       run_step;
    addr_t       second_run_step;

    // What is read.
    logic        vector;           // beats for the vector unit, else for the MM unit
    logic        dense;            // pixels are rows of a batch: see act_walk
    logic [15:0] zero_in;          // word of the padding
    logic [15:0] groups;           // of a block
    logic [15:0] column_tiles;     // of a group
    logic        resident;         // a block is loaded once, else once a group and column tile
    logic [31:0] rows;             // output pixels, of all images of the job
    logic [15:0] tile_rows;        // of a row tile; vector work: 1
    logic [15:0] out_width;
    logic [15:0] out_height;       // lines of an image's output
    logic [7:0]  pad_top;          // lines
    logic [7:0]  stride_lines;
    logic [15:0] height;           // lines of an image's map
    slots_t      line_slots;       // a line
    slots_t      top_slots;        // pad_top lines
    slots_t      row_slots;        // stride_lines lines
    slots_t      image_slots;      // from an image's last window line to the next image's first
    slots_t      left_slots;       // padding before a line
    slots_t      pixel_slots;      // from a window to the next
    logic [7:0]  kernel_rows;
    logic [7:0]  kernel_runs;      // successive words of a kernel row: 1, or one run a pixel
    slots_t      kernel_step;      // from a run to the next
    slots_t      run_slots;        // length of a run; dense: of a segment of depth
    slots_t      last_run_slots;   // dense: of the last segment
    logic [15:0] segments;         // dense; else 1
    slots_t      group_slots;      // from a group of the block to the next
    slots_t      load_slots;       // everything of a load
    slots_t      window_slots;     // what must be on chip at once
  } act_job_t;

  // What a piece of a beat belongs to.
  typedef struct packed {
    logic        begins;     // first piece of its beat
    logic        ends;       // last piece
    logic        first;      // product: first chunk of the depth; vector: first position
    logic        last;
    logic        tile_last;  // product: last row of the tile
    logic        second;     // vector: of the second tensor
    logic        end_chunk;  // vector: of the last channels
    logic [15:0] chunk;      // vector: which channels
  } piece_tag_t;

  // Words of a read command: their place in the first beat, and how many.
  typedef struct packed {
    logic [5:0]  first;
    logic [14:0] words;
    logic        second;     // of the second tensor
    logic        load_ends;  // the load's last
  } fetch_tag_t;

  // Beats of a read command, at most.
  localparam int unsigned BURST_BEATS = 256;

endpackage
