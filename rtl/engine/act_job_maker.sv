// SPDX-License-Identifier: Apache-2.0
//
// Makes the activation reader's job of a descriptor, an image's addresses, and the run's images.
//
// A dense layer's rows are the images of the run, whose number the descriptor does not know: the
// number of its tiles, the rows of the last one, and what is loaded follow from it here.
// fits_o: the buffer holds what must be there at once, and containers are the reader's.
//
// Latency: none of the addresses; a layer and the number of images must stand for a cycle before.

`include "casc_assert.svh"

module act_job_maker
  import act_job_pkg::*;
  import cascade_pkg::*;
  import descriptor_pkg::*;
  import engine_pkg::*;
#(
    parameter  int unsigned TR          = 8,     // 1..4096: rows of a row tile
    parameter  int unsigned ActBits     = 8,     // 2..16
    parameter  int unsigned BufferSlots = 4096,  // of the reader
    parameter  int unsigned DataBits    = 64,    // 64 or 128
    parameter  int unsigned MaxImages   = 64,    // 1..4096: of a run
    localparam int unsigned CountBits   = $clog2(MaxImages + 1)
) (
    input  logic                 clk_i,
    input  descriptor_t          layer_i,
    input  addresses_t           addresses_i,
    input  logic [CountBits-1:0] images_i,
    output act_job_t             job_o,
    output logic                 fits_o
);

  `CASC_CHECK_PARAM(tr, TR >= 1 && TR <= 4096)
  `CASC_CHECK_PARAM(max_images, MaxImages >= 1 && MaxImages <= 4096)
  `CASC_CHECK_PARAM(act_bits, ActBits >= MIN_BITS && ActBits <= MAX_BITS)

  localparam int unsigned SlotLog = $clog2(ActBits);
  localparam int unsigned StreamSlots = BufferSlots - 2 * (DataBits >> SlotLog);

  logic        is_dense, is_product, two;
  logic [15:0] images, tiles, tiles_q, last_rows_q;
  logic [31:0] dense_slots_q;

  assign is_dense   = layer_i.op == OP_DENSE;
  assign is_product = is_dense || layer_i.op == OP_CONV;
  assign two        = layer_i.op == OP_ADD;

  // Tiles have TR rows, or all that the workspace has images for, which are no more.
  assign images = 16'(images_i);
  assign tiles  = (images <= layer_i.read_tile_rows) ? 16'd1 : (images + 16'(TR - 1)) / 16'(TR);

  always_ff @(posedge clk_i) begin
    tiles_q       <= tiles;
    last_rows_q   <= images - (tiles - 1'b1) * 16'(TR);
    dense_slots_q <= 32'(images) * 32'(layer_i.depth);
  end

  logic unused_fields;
  assign unused_fields = ^{layer_i, addresses_i};

  always_comb begin
    job_o = '{
        base:             addresses_i.first,
        second_base:      addresses_i.second,
        two:              two,
        container:        layer_i.in_container,
        second_container: layer_i.second_container,
        store_container:  layer_i.read_store_container,
        is_signed:        layer_i.in_signed,
        second_signed:    layer_i.second_signed,
        blocks:           layer_i.read_blocks,
        loads:            layer_i.read_loads,
        tiles:            is_dense ? tiles_q : 16'd1,
        lines:            layer_i.read_lines,
        runs:             layer_i.read_runs,
        last_runs:        is_dense ? last_rows_q : layer_i.read_runs,
        run_words:        layer_i.read_run_words,
        last_run_words:   layer_i.read_last_run_words,
        block_words:      layer_i.read_block_words,
        tile_step:        layer_i.read_tile_step,
        line_step:        layer_i.read_line_step,
        second_line_step: layer_i.read_second_line_step,
        run_step:         layer_i.read_run_step,
        second_run_step:  layer_i.read_second_run_step,
        vector:           !is_product,
        dense:            is_dense,
        zero_in:          layer_i.zero_in,
        groups:           layer_i.read_groups,
        column_tiles:     layer_i.read_column_tiles,
        resident:         layer_i.read_resident,
        rows:             is_dense ? 32'(images) : layer_i.rows,
        tile_rows:        layer_i.read_tile_rows,
        out_width:        layer_i.read_out_width,
        out_height:       layer_i.read_out_height,
        pad_top:          layer_i.read_pad_top,
        stride_lines:     layer_i.read_stride_lines,
        height:           layer_i.read_height,
        line_slots:       layer_i.read_line_slots,
        top_slots:        layer_i.read_top_slots,
        row_slots:        layer_i.read_row_slots,
        image_slots:      layer_i.read_image_slots,
        left_slots:       layer_i.read_left_slots,
        pixel_slots:      layer_i.read_pixel_slots,
        kernel_rows:      layer_i.read_kernel_rows,
        kernel_runs:      layer_i.read_kernel_runs,
        kernel_step:      layer_i.read_kernel_step,
        run_slots:        layer_i.read_run_slots,
        last_run_slots:   layer_i.read_last_run_slots,
        segments:         layer_i.read_segments,
        group_slots:      layer_i.read_group_slots,
        load_slots:       is_dense ? dense_slots_q : layer_i.read_load_slots,
        window_slots:     layer_i.read_window_slots
    };
  end

  function automatic logic container_legal(input logic [2:0] log2_bits);
    return log2_bits >= 3'(SlotLog) && log2_bits <= 3'd4;
  endfunction

  assign fits_o = layer_i.read_window_slots
                  <= (layer_i.read_resident ? 32'(BufferSlots) : 32'(StreamSlots))
      && container_legal(layer_i.in_container) && container_legal(layer_i.read_store_container)
      && (!two || container_legal(layer_i.second_container))
      && (!is_product || layer_i.read_store_container == 3'(SlotLog));

endmodule
