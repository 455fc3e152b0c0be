// SPDX-License-Identifier: MIT
#include "kernels/cpu/bf16_linear.h"

#include <algorithm>
#include <cstring>

#include "base/ceil_div.h"
#include "kernels/cpu/linear_finish.h"
#include "kernels/cpu/linear_tasks.h"

// A task is two panels of outputs and some tiles of 16 rows. It pairs the weights of a block of
// inputs in the first cache and multiplies all its rows with them; the sums rest in memory from one
// block to the next, which changes no bit.

namespace vitrine::internal::cpu {
namespace {

constexpr int64_t kPanel = PackedMatrix::kPanel, kOutputs = 2 * kPanel;
constexpr int64_t kBlockChunks = 16;  // 32 KB of two panels' weights
constexpr int64_t kTaskTiles = 16;    // at most: their sums are 32 KB
constexpr int64_t kGrain = 1 << 18;   // multiplications that are worth waking a thread

/// The numbers of 16 rows, chunk by chunk; zeros for rows and inputs that are not there.
void pack_tile(Mat x, int64_t tile, const std::array<uint8_t, kChunk>& order, uint16_t* to) {
  for (int64_t r = 0; r < kChunkRows; ++r) {
    const int64_t row = tile * kChunkRows + r;
    for (int64_t begin = 0; begin < x.cols; begin += kChunk) {
      const int64_t count = row < x.rows ? std::min(kChunk, x.cols - begin) : 0;
      uint16_t numbers[kChunk] = {};
      if (count > 0 && x.dtype == DType::kBF16)
        std::memcpy(numbers, x.at(row, begin), static_cast<size_t>(count) * sizeof(uint16_t));
      else if (count > 0)
        narrow_row(x.row(row) + begin, count, numbers);
      uint16_t* at = to + begin / kChunk * kChunkNumbers + r * kChunk;
      for (int64_t i = 0; i < kChunk; ++i) at[i] = numbers[order[static_cast<size_t>(i)]];
    }
  }
}

/// What follows the sums, of `rows` rows from `row` and two panels from `column` on. `sums` are
/// spoiled.
void finish(const LinearArgs& args, int64_t row, int64_t rows, int64_t column, float* sums) {
  const int64_t columns = std::min(kOutputs, args.weight->out - column);
  PackedMatrix weight = *args.weight;
  weight.out = columns;
  if (weight.scales != nullptr) weight.scales += column;
  const auto cut = [&](Mat mat) {
    return mat ? mat.row_range(row, rows).columns(column, columns) : mat;
  };
  LinearArgs part = args;
  part.weight = &weight;
  if (part.bias != nullptr) part.bias += column;
  part.residual = cut(args.residual);
  part.before = cut(args.before);
  const Mat out = cut(args.out);
  part.out = out.dtype == DType::kF32 ? out : Mat(sums, rows, columns, kOutputs);
  linear_finish(part, rows, 2, sums, kOutputs);
  if (out.dtype == DType::kF32) return;
  for (int64_t r = 0; r < rows; ++r)
    narrow_row(part.out.row(r), columns, reinterpret_cast<uint16_t*>(out.at(r, 0)));
}

/// A task's working memory.
struct Room {
  float* sums;
  uint16_t* weights;

  static constexpr int64_t kSums = kTaskTiles * kChunkRows * kOutputs,
                           kWeights = kBlockChunks * 2 * kChunkNumbers;
  static constexpr int64_t kFloats = kSums + kWeights / 2;
  explicit Room(float* at) : sums(at), weights(reinterpret_cast<uint16_t*>(at + kSums)) {}
};

void pair_block(const PackedMatrix& weight, int64_t panel, int64_t chunk, int64_t chunks,
                const std::array<uint8_t, kChunk>& order, uint16_t* to) {
  for (int64_t c = chunk; c < chunk + chunks; ++c) {
    for (int64_t p = panel; p < panel + 2; ++p, to += kChunkNumbers) {
      if (p * kPanel < weight.out)
        pair_weights(weight, p, c, order, to);
      else
        std::memset(to, 0, kChunkNumbers * sizeof(uint16_t));
    }
  }
}

/// Some of the rows of a product, packed at `x`.
struct Rows {
  int64_t begin = 0, count = 0;
  const uint16_t* x = nullptr;
};

void run_task(const LinearArgs& args, const Bf16Unit& unit, const Rows& of, int64_t tile,
              int64_t tiles, int64_t panel, const Room& room) {
  const int64_t chunks = ceil_div(args.weight->in, kChunk), tile_numbers = chunks * kChunkNumbers,
                row = tile * kChunkRows, rows = std::min(tiles * kChunkRows, of.count - row);
  std::memset(room.sums, 0, static_cast<size_t>(tiles * kChunkRows * kOutputs) * sizeof(float));
  for (int64_t chunk = 0; chunk < chunks; chunk += kBlockChunks) {
    const int64_t count = std::min(kBlockChunks, chunks - chunk);
    pair_block(*args.weight, panel, chunk, count, unit.order, room.weights);
    unit.multiply({.x = of.x + tile * tile_numbers + chunk * kChunkNumbers,
                   .tile_stride = tile_numbers,
                   .rows = rows,
                   .weights = room.weights,
                   .chunks = count,
                   .sums = room.sums});
  }
  finish(args, of.begin + row, rows, panel * kPanel, room.sums);
}

}  // namespace

void linear_bf16(const LinearArgs& args, const Bf16Unit& unit, int threads, ScratchPool& scratch) {
  const int64_t tile_numbers = ceil_div(args.weight->in, kChunk) * kChunkNumbers,
                pairs = ceil_div(args.weight->out, kOutputs);
  threads = worthwhile(threads, args.x.rows * args.weight->in * args.weight->out / kGrain);
  for_each_part(args.x.rows, [&](int64_t first, int64_t count) {
    const int64_t tiles = ceil_div(count, kChunkRows), groups = ceil_div(tiles, kTaskTiles);
    const auto lease =
        scratch.borrow(static_cast<size_t>(tiles * tile_numbers / 2 + threads * Room::kFloats));
    auto* x = reinterpret_cast<uint16_t*>(lease.f32());
    float* rooms = lease.f32() + tiles * tile_numbers / 2;
    const Mat rows = args.x.row_range(first, count);
    parallel_chunks(threads, tiles, 1, [&](int64_t begin, int64_t end) {
      for (int64_t tile = begin; tile < end; ++tile)
        pack_tile(rows, tile, unit.order, x + tile * tile_numbers);
    });
    parallel_for(threads, groups * pairs, [&](int64_t task, int worker) {
      const int64_t group = task / pairs, begin = tiles * group / groups,
                    end = tiles * (group + 1) / groups;
      run_task(args, unit, {first, count, x}, begin, end - begin, task % pairs * 2,
               Room(rooms + worker * Room::kFloats));
    });
  });
}

}  // namespace vitrine::internal::cpu
