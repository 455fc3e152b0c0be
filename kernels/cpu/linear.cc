#include <algorithm>
#include <cstring>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/linear_kernels.h"
#include "kernels/cpu/parallel.h"

// y = act(x W + b) + residual: how the work is cut and shared out. The sums of an output never are: its panel's thread walks
// all inputs in order.

namespace vitrine {
namespace {

using cpu::LinearBlock;
using cpu::LinearBlocking;

constexpr int64_t kPanel = PackedMatrix::kPanel;
constexpr int64_t kBlockPanels = 4;      // of a task: the rows of x in the second cache are used for 64 outputs
constexpr int64_t kBlockRows = 240;      // of a task: with a depth block, what the second cache holds beside the weights
constexpr int64_t kRepackedRows = 1024;  // at once, to bound the copy of x
constexpr int64_t kGrain = 1 << 17;      // multiplications that are worth waking a thread

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

void few_rows(const LinearArgs& args, int threads) {
  const int64_t panels = ceil_div(args.weight->out, kPanel);
  const int64_t grain = std::max<int64_t>(4, kGrain / (args.weight->in * kPanel * args.x.rows + 1));
  cpu::parallel_chunks(threads, panels, grain, [&](int64_t begin, int64_t end) { cpu::linear_few_rows(args, begin, end); });
}

// Copies the rows of one tile, block by block of depth; rows behind the last are zeros.
void repack_tile(Mat x, const LinearBlocking& blocking, int64_t tile, float* packed) {
  for (int64_t b = 0; b < blocking.blocks(x.cols); ++b) {
    const int64_t begin = b * blocking.depth, depth = std::min(blocking.depth, x.cols - begin);
    for (int64_t i = 0; i < blocking.tile_rows; ++i) {
      const int64_t row = tile * blocking.tile_rows + i;
      float* to = packed + ((b * blocking.tiles + tile) * blocking.tile_rows + i) * blocking.depth;
      if (row < x.rows) {
        std::memcpy(to, x.row(row) + begin, static_cast<size_t>(depth) * sizeof(float));
      } else {
        std::memset(to, 0, static_cast<size_t>(depth) * sizeof(float));
      }
    }
  }
}

// Tiles of a task: few enough for every thread to have several tasks, all of about one size.
int64_t tiles_a_task(const LinearBlocking& blocking, int64_t panel_groups, int threads) {
  const int64_t most = std::max<int64_t>(1, kBlockRows / blocking.tile_rows);
  const int64_t groups = std::max(ceil_div(blocking.tiles, most), ceil_div(4 * threads, panel_groups));
  return ceil_div(blocking.tiles, std::min(groups, blocking.tiles));
}

void many_rows(const LinearArgs& args, int threads, cpu::ScratchPool& scratch) {
  const int64_t panels = ceil_div(args.weight->out, kPanel), panel_groups = ceil_div(panels, kBlockPanels);
  const LinearBlocking blocking = cpu::linear_blocking(args.x.rows, args.weight->in);
  const int64_t tiles = tiles_a_task(blocking, panel_groups, threads);
  const int64_t each = cpu::linear_block_scratch(blocking, {0, tiles, 0, kBlockPanels});
  const auto lease = scratch.borrow(static_cast<size_t>(blocking.packed_floats(args.weight->in) + threads * each));
  float* packed = lease.f32();
  float* rest = packed + blocking.packed_floats(args.weight->in);
  cpu::parallel_chunks(threads, blocking.tiles, 8, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) repack_tile(args.x, blocking, tile, packed);
  });
  cpu::parallel_for(threads, panel_groups * ceil_div(blocking.tiles, tiles), [&](int64_t task, int worker) {
    const int64_t tile = task / panel_groups * tiles, panel = task % panel_groups * kBlockPanels;
    const LinearBlock block{tile, std::min(tile + tiles, blocking.tiles), panel, std::min(panel + kBlockPanels, panels)};
    cpu::linear_block(args, blocking, packed, block, rest + worker * each);
  });
}

LinearArgs rows_of(const LinearArgs& args, int64_t begin, int64_t count) {
  LinearArgs part = args;
  part.x = args.x.row_range(begin, count);
  part.out = args.out.row_range(begin, count);
  if (args.residual) part.residual = args.residual.row_range(begin, count);
  if (args.before) part.before = args.before.row_range(begin, count);
  return part;
}

}  // namespace

void CpuBackend::linear(const LinearArgs& args) {
  if (args.x.rows <= cpu::kFewRows) return few_rows(args, threads_);
  const int64_t parts = ceil_div(args.x.rows, kRepackedRows);
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t begin = args.x.rows * part / parts, end = args.x.rows * (part + 1) / parts;
    many_rows(rows_of(args, begin, end - begin), threads_, scratch_);
  }
}

}  // namespace vitrine
