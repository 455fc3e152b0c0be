// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/linear/epilogue.cuh"
#include "kernels/cuda/linear/paths.h"
#include "kernels/cuda/runtime/launch.h"
#include "kernels/cuda/runtime/switches.h"

// Many rows times 16-bit weights on Hopper. Both operands lie row by row along K, as x and packed
// weights do.
//
// A block stays on its SM and processes tiles of 128 rows x kColumns outputs until none are left.
// One thread, the producer, copies both operands of each tile, 64 elements of K at a time, into a
// ring of slots. Two groups of four warps, the consumers, take the block's tiles in turn: while one
// finishes its tile (bias, activation, residual), which for GPT-2's short sums takes about as long
// as the products, the other's products keep the tensor cores busy. They accumulate strictly in
// turn: a consumer that starts a tile knows that the slots of all earlier steps have been seen
// full, so no wait mistakes an earlier phase's parity for its own.
//
// An output is one chain over all of K, 16 elements a link, in ascending order: the same for each
// width of tile and each place in it. Shared memory: the slots (128 rows of x, kColumns of weights,
// 128 bytes each); for each consumer warp 16 rows of 64 columns of sums, through which they are
// turned from the tensor cores' layout into rows; the barriers: `full` and `empty` for each slot,
// `turn` for each consumer.

namespace vitrine::internal::cuda {
namespace {

// Some of what follows nothing refers to where the kernels are empty, on other GPUs.
constexpr int kTileRows = 128;
[[maybe_unused]] constexpr int kHalf =
    64;  // rows of one product; a consumer has two of them for each tile
constexpr int kConsumers = 2;
constexpr int kThreads = (1 + kConsumers) * kWarpgroup;
[[maybe_unused]] constexpr int kProducerRegisters = 24, kConsumerRegisters = 240;
constexpr int kWarpRows = 16;
constexpr int kTurned = 64;                 // columns that a warp turns at once
constexpr int kTurnedStride = kTurned + 8;  // floats; the rows of one access lie in different banks
constexpr int kTurnedFloats = kWarpRows * kTurnedStride;
// Rows of tiles that are walked together, column by column, so that weights are read from L2 again.
[[maybe_unused]] constexpr int kBand = 16;
[[maybe_unused]] constexpr int kFinished =
    8;  // rows that a lane finishes at once, to have that many loads under way

struct Place {
  int row, column;
};

/// How a product is cut into tiles.
struct Tiles {
  int rows, columns;  ///< of the product
  int steps;          ///< tiles of 64 elements along K
  int down, across;   ///< tiles

  constexpr int count() const { return down * across; }
  template <int kColumns>
  VITRINE_DEVICE Place place(int tile) const {
    const int band = tile / (kBand * across), inside = tile % (kBand * across);
    const int left = down - band * kBand, height = left < kBand ? left : kBand;
    return {(band * kBand + inside % height) * kTileRows, inside / height * kColumns};
  }
};

template <int kColumns>
struct Ring {
  static constexpr int kLeftBytes = kTileRows * kTileRowBytes,
                       kSlotBytes = kLeftBytes + kColumns * kTileRowBytes;
  static constexpr int kSlots = 184 * 1024 / kSlotBytes;
  static constexpr int kTurnedAt = kSlots * kSlotBytes;
  static constexpr int kBarriersAt =
      kTurnedAt + kConsumers * 4 * kTurnedFloats * static_cast<int>(sizeof(float));
  static constexpr int kBytes =
      kBarriersAt + (2 * kSlots + kConsumers) * static_cast<int>(sizeof(Barrier));

  std::byte* memory;

  // Of the step numbered n, counted over all of a block's tiles.
  VITRINE_DEVICE std::byte* left(int n) const { return memory + n % kSlots * kSlotBytes; }
  VITRINE_DEVICE std::byte* right(int n) const { return left(n) + kLeftBytes; }
  VITRINE_DEVICE Barrier* full(int n) const {
    return reinterpret_cast<Barrier*>(memory + kBarriersAt) + n % kSlots;
  }
  VITRINE_DEVICE Barrier* empty(int n) const { return full(n) + kSlots; }
  VITRINE_DEVICE Barrier* turn(int consumer) const { return full(0) + 2 * kSlots + consumer; }
  VITRINE_DEVICE static uint32_t parity(int n) { return static_cast<uint32_t>(n / kSlots) & 1u; }
  VITRINE_DEVICE float* turned(int warp) const {
    return reinterpret_cast<float*>(memory + kTurnedAt) + warp * kTurnedFloats;
  }

  VITRINE_DEVICE void make_barriers() const {
    for (int n = 0; n < kSlots; ++n) {
      barrier_init(full(n), 1);
      barrier_init(empty(n), kWarpgroup / kWarp);
    }
    for (int consumer = 0; consumer < kConsumers; ++consumer)
      barrier_init(turn(consumer), kWarpgroup / kWarp);
    barriers_are_made();
  }
};

template <int kColumns>
VITRINE_DEVICE void produce(const Ring<kColumns>& ring, const TensorMap* x, const TensorMap* weight,
                            const Tiles& tiles) {
  int n = 0;
  for (int tile = static_cast<int>(blockIdx.x); tile < tiles.count();
       tile += static_cast<int>(gridDim.x)) {
    const Place at = tiles.place<kColumns>(tile);
    for (int step = 0; step < tiles.steps; ++step, ++n) {
      barrier_wait(ring.empty(n), ring.parity(n) ^ 1u);
      barrier_expect(ring.full(n), Ring<kColumns>::kSlotBytes);
      copy_tile(ring.left(n), x, at.row, step * kTileDepth, ring.full(n));
      copy_tile(ring.right(n), weight, at.column, step * kTileDepth, ring.full(n));
    }
  }
}

/// The sums of a tile whose first step is number n; arrives at `next` when all its products have
/// begun. A slot is given back one step later than its products begin, so that the next step's are
/// already waiting when they end.
template <class T, int kColumns>
VITRINE_DEVICE void sum_up(const Ring<kColumns>& ring, int n, int steps, Barrier* next,
                           float (&top)[kColumns / 2], float (&bottom)[kColumns / 2]) {
#pragma unroll
  for (int i = 0; i < kColumns / 2; ++i) top[i] = bottom[i] = 0.0f;
  for (int step = 0; step < steps; ++step, ++n) {
    barrier_wait(ring.full(n), ring.parity(n));
    const uint64_t left = tile_operand(ring.left(n)), right = tile_operand(ring.right(n));
    products_begin();
#pragma unroll
    for (int depth = 0; depth < kTileDepth; depth += kStepDepth) {
      multiply<T, kColumns>(top, further(left, 0, depth), further(right, 0, depth));
      multiply<T, kColumns>(bottom, further(left, kHalf, depth), further(right, 0, depth));
    }
    products_commit();
    products_wait<1>();
    if (step > 0 && lane_id() == 0) barrier_arrive(ring.empty(n - 1));
  }
  if (lane_id() == 0) barrier_arrive(next);
  products_wait<0>();
  products_are_there(top);
  products_are_there(bottom);
  if (lane_id() == 0) barrier_arrive(ring.empty(n - 1));
}

/// What Epilogue::apply does, for as many of kFinished rows of a column as there are (`count`),
/// with the loads of all before the first store.
template <class T>
VITRINE_DEVICE void finish_rows(const Epilogue& e, int64_t row, int count, int64_t column,
                                const float* sums) {
  float y[kFinished], residual[kFinished] = {};
  const float bias = e.bias != nullptr ? e.bias[column] : 0.0f;
#pragma unroll
  for (int i = 0; i < kFinished; ++i) {
    y[i] = sums[i * kTurnedStride];
    if (e.bias != nullptr) y[i] += bias;
    if (e.residual != nullptr && i < count)
      residual[i] = e.residual[(row + i) * e.residual_stride + column];
    if (e.before != nullptr && i < count) e.before[(row + i) * e.before_stride + column] = y[i];
  }
  with_activation(e.activation, [&](auto kind) {
#pragma unroll
    for (float& value : y) value = activated<kind.value>(value);
  });
#pragma unroll
  for (int i = 0; i < kFinished; ++i) {
    if (e.residual != nullptr) y[i] += residual[i];
    const int64_t at = (row + i) * e.out_stride + column;
    if (i >= count) continue;
    if (e.out_is_float)
      static_cast<float*>(e.out)[at] = y[i];
    else
      static_cast<T*>(e.out)[at] = narrow<T>(y[i]);
  }
}

/// Finishes a warp's 16 rows from `row` on. `turned` is the warp's own.
template <class T, int kColumns>
VITRINE_DEVICE void finish(const Tiles& tiles, const Epilogue& e, int row, int column,
                           float* turned, const float (&c)[kColumns / 2]) {
  const int lane = lane_id();
  float* mine = turned + lane / 4 * kTurnedStride + lane % 4 * 2;
#pragma unroll
  for (int begin = 0; begin < kColumns; begin += kTurned) {
    __syncwarp();
#pragma unroll
    for (int j = 0; j < kTurned / 8; ++j) {
      const float* from = c + (begin / 8 + j) * 4;
      mine[8 * j] = from[0], mine[8 * j + 1] = from[1];
      mine[8 * j + 8 * kTurnedStride] = from[2], mine[8 * j + 8 * kTurnedStride + 1] = from[3];
    }
    __syncwarp();
#pragma unroll 1
    for (int part = 0; part < kTurned / kWarp * (kWarpRows / kFinished); ++part) {
      const int down = part % 2 * kFinished, across = part / 2 * kWarp + lane;
      const int count = tiles.rows - row - down;
      if (count <= 0 || column + begin + across >= tiles.columns) continue;
      finish_rows<T>(e, row + down, count, column + begin + across,
                     turned + down * kTurnedStride + across);
    }
  }
}

template <class T, int kColumns>
VITRINE_DEVICE void consume(const Ring<kColumns>& ring, int consumer, const Tiles& tiles,
                            const Epilogue& epilogue) {
  const int warp = warp_id() % 4;
  const int stride = kConsumers * static_cast<int>(gridDim.x);
  int n = consumer * tiles.steps;
  uint32_t round = consumer == 0 ? 1 : 0;  // the first consumer's first turn has no predecessor
  for (int tile = static_cast<int>(blockIdx.x + consumer * gridDim.x); tile < tiles.count();
       tile += stride, ++round) {
    float top[kColumns / 2], bottom[kColumns / 2];
    barrier_wait(ring.turn(consumer), round % 2);
    sum_up<T, kColumns>(ring, n, tiles.steps, ring.turn(kConsumers - 1 - consumer), top, bottom);
    const Place at = tiles.place<kColumns>(tile);
    float* turned = ring.turned(4 * consumer + warp);
    finish<T, kColumns>(tiles, epilogue, at.row + kWarpRows * warp, at.column, turned, top);
    finish<T, kColumns>(tiles, epilogue, at.row + kHalf + kWarpRows * warp, at.column, turned,
                        bottom);
    n += kConsumers * tiles.steps;
  }
}

template <class T, int kColumns>
VITRINE_DEVICE void do_tiles(const TensorMap& x, const TensorMap& weight, const Tiles& tiles,
                             const Epilogue& epilogue) {
  const Ring<kColumns> ring{shared_memory()};
  if (threadIdx.x == 0) {
    prefetch_map(&x);
    prefetch_map(&weight);
    ring.make_barriers();
  }
  __syncthreads();
  wait_for_previous_kernel();
  let_next_kernel_start();
  const int group = warp_id() / 4;
  if (group == 0) {
    give_up_registers<kProducerRegisters>();
    if (threadIdx.x == 0) produce(ring, &x, &weight, tiles);
  } else {
    take_registers<kConsumerRegisters>();
    consume<T>(ring, group - 1, tiles, epilogue);
  }
}

template <class T, int kColumns>
__global__ void __launch_bounds__(kThreads, 1)
    hopper_linear(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap weight,
                  Tiles tiles, Epilogue epilogue) {
  if constexpr (kHopper) do_tiles<T, kColumns>(x, weight, tiles, epilogue);
}

template <int kColumns>
Tiles cut(const LinearArgs& args) {
  const auto down = static_cast<int>(ceil_div(args.x.rows, kTileRows)),
             across = static_cast<int>(ceil_div(args.weight->out, kColumns));
  return {static_cast<int>(args.x.rows), static_cast<int>(args.weight->out),
          static_cast<int>(ceil_div(args.weight->in, kTileDepth)), down, across};
}

template <int kColumns>
void run(Device& device, const LinearArgs& args) {
  const PackedMatrix& w = *args.weight;
  const Tiles tiles = cut<kColumns>(args);
  const TensorMap x = tensor_map(args.x.data, args.x.rows, w.in, args.x.stride * 2, kTileRows);
  const TensorMap weight = tensor_map(w.data, w.out, w.in, w.panel_stride, kColumns);
  const LaunchShape shape{dim3(std::min(device.processors(), tiles.count())), dim3(kThreads),
                          Ring<kColumns>::kBytes, true};
  const Epilogue epilogue = epilogue_of(args);
  if (w.dtype == DType::kBF16)
    launch(device, shape, hopper_linear<Bf16, kColumns>, x, weight, tiles, epilogue);
  else
    launch(device, shape, hopper_linear<F16, kColumns>, x, weight, tiles, epilogue);
}

/// The time that tiles of this width take, in columns of products: the busiest processor's tiles,
/// each as long as its products or, if that is longer, the way of its operands from L2 (64 bytes a
/// cycle).
template <int kColumns>
int64_t cost(const LinearArgs& args, int processors) {
  return ceil_div(cut<kColumns>(args).count(), processors) *
         std::max(kColumns, (kTileRows + kColumns) / 2);
}

bool is_aligned(const void* data, int64_t row_bytes) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && row_bytes % 16 == 0;
}

}  // namespace

const char* hopper_linear(Device& device, const LinearArgs& args) {
  const PackedMatrix& w = *args.weight;
  constexpr int64_t kFewRows = 127, kLargest = int64_t{1} << 21;
  if (!switches().hopper || device.capability() != 90 || dtype_size(w.dtype) != 2 ||
      args.x.dtype != w.dtype)
    return nullptr;
  if (args.x.rows <= kFewRows || w.in < kTileDepth ||
      std::max({args.x.rows, w.in, w.out}) > kLargest)
    return nullptr;
  if (!is_aligned(args.x.data, args.x.stride * 2) || !is_aligned(w.data, w.panel_stride))
    return nullptr;
  const int processors = device.processors();
  const int64_t wide = cost<192>(args, processors), middle = cost<128>(args, processors),
                small = cost<64>(args, processors);
  if (wide <= std::min(middle, small)) return run<192>(device, args), "hopper 128x192";
  if (middle <= small) return run<128>(device, args), "hopper 128x128";
  return run<64>(device, args), "hopper 128x64";
}

}  // namespace vitrine::internal::cuda
