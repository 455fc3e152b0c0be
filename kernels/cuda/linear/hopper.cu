// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/linear/finish.cuh"
#include "kernels/cuda/linear/linear.cuh"
#include "kernels/cuda/linear/paths.h"
#include "kernels/cuda/runtime/launch.h"
#include "kernels/cuda/runtime/switches.h"

// Many rows times 16-bit weights on Hopper, in the order of summation of the portable kernels: an
// instruction sums 16 inputs as theirs do, and what a part of the inputs gave is added to the
// totals in registers. Both operands lie row by row along K, as x and packed weights do.
//
// A block stays on its SM and processes tiles of 128 rows x kColumns outputs until none are left.
// One thread, the producer, copies both operands of each tile, 64 elements of K at a time, into a
// ring of slots. Two groups of four warps, the consumers, multiply 64 rows each: while one adds a
// part to its totals, the other's products keep the tensor cores busy. They leave their totals in
// shared memory and go on with the next tile. The remaining seven warps, the finishers, take them
// from there (bias, activation, residual), which for GPT-2's short sums takes about as long as the
// products.
//
// Shared memory: the slots (128 rows of x, kColumns of weights, 128 bytes each); the totals of a
// tile; the barriers: `full` and `empty` for each slot, `there` and `taken` for each consumer's
// totals.

namespace vitrine::internal::cuda {
namespace {

// Some of what follows nothing refers to where the kernels are empty, on other GPUs.
constexpr int kTileRows = 128;
constexpr int kConsumers = 2;
[[maybe_unused]] constexpr int kConsumerRows = kTileRows / kConsumers;
// Groups of four warps: producer and finishers, the consumers, finishers.
constexpr int kThreads = (2 + kConsumers) * kWarpgroup;
[[maybe_unused]] constexpr int kFinishers = 7;  // warps
[[maybe_unused]] constexpr int kConsumerRegisters = 208, kOtherRegisters = 48;
static_assert(kConsumers * (kConsumerRegisters + kOtherRegisters) * kWarpgroup <= 65536);
constexpr int kMostShared = 226 * 1024;
// Rows of tiles that are walked together, column by column, so that weights are read from L2 again.
[[maybe_unused]] constexpr int kBand = 16;

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
  // Floats; so the rows that a warp writes at once lie in different banks.
  static constexpr int kTotalsStride = kColumns + 8;
  static constexpr int kTotalsBytes = kTileRows * kTotalsStride * static_cast<int>(sizeof(float));
  static constexpr int kSlots = (kMostShared - kTotalsBytes) / kSlotBytes;
  static constexpr int kTotalsAt = kSlots * kSlotBytes, kBarriersAt = kTotalsAt + kTotalsBytes;
  static constexpr int kBytes =
      kBarriersAt + (2 * kSlots + 2 * kConsumers) * static_cast<int>(sizeof(Barrier));
  static_assert(kSlots >= 3 && kBytes <= 227 * 1024);

  std::byte* memory;

  // Of the step numbered n, counted over all of a block's tiles.
  VITRINE_DEVICE std::byte* left(int n) const { return memory + n % kSlots * kSlotBytes; }
  VITRINE_DEVICE std::byte* right(int n) const { return left(n) + kLeftBytes; }
  VITRINE_DEVICE Barrier* barrier(int n) const {
    return reinterpret_cast<Barrier*>(memory + kBarriersAt) + n;
  }
  VITRINE_DEVICE Barrier* full(int n) const { return barrier(n % kSlots); }
  VITRINE_DEVICE Barrier* empty(int n) const { return barrier(kSlots + n % kSlots); }
  VITRINE_DEVICE static uint32_t parity(int n) { return static_cast<uint32_t>(n / kSlots) & 1u; }
  // Of a consumer.
  VITRINE_DEVICE Barrier* there(int consumer) const { return barrier(2 * kSlots + consumer); }
  VITRINE_DEVICE Barrier* taken(int consumer) const { return there(kConsumers + consumer); }
  VITRINE_DEVICE float* totals(int consumer) const {
    return reinterpret_cast<float*>(memory + kTotalsAt) + consumer * kConsumerRows * kTotalsStride;
  }

  VITRINE_DEVICE void make_barriers() const {
    constexpr int kConsumerWarps = kWarpgroup / kWarp;
    for (int n = 0; n < kSlots; ++n) {
      barrier_init(full(n), 1);
      barrier_init(empty(n), kConsumers * kConsumerWarps);
    }
    for (int consumer = 0; consumer < kConsumers; ++consumer) {
      barrier_init(there(consumer), kConsumerWarps);
      barrier_init(taken(consumer), kFinishers);
    }
    barriers_are_made();
  }
};

/// f(tile, its number among those of this block)
template <class F>
VITRINE_DEVICE void for_own_tiles(const Tiles& tiles, const F& f) {
  uint32_t round = 0;
  for (int tile = static_cast<int>(blockIdx.x); tile < tiles.count();
       tile += static_cast<int>(gridDim.x), ++round)
    f(tile, round);
}

/// Begins to copy the weights of the block's first steps, which do not depend on the previous
/// kernel. Returns how many.
template <int kColumns>
VITRINE_DEVICE int begin_weights(const Ring<kColumns>& ring, const TensorMap* weight,
                                 const Tiles& tiles) {
  const int column = tiles.place<kColumns>(static_cast<int>(blockIdx.x)).column;
  int n = 0;
  for (; n < Ring<kColumns>::kSlots && n < tiles.steps; ++n) {
    barrier_expect(ring.full(n), Ring<kColumns>::kSlotBytes);
    copy_tile(ring.right(n), weight, column, n * kTileDepth, ring.full(n));
  }
  return n;
}

/// Copies all operands, but the weights of the first `begun` steps.
template <int kColumns>
VITRINE_DEVICE void produce(const Ring<kColumns>& ring, const TensorMap* x, const TensorMap* weight,
                            const Tiles& tiles, int begun) {
  int n = 0;
  for_own_tiles(tiles, [&](int tile, uint32_t) {
    const Place at = tiles.place<kColumns>(tile);
    for (int step = 0; step < tiles.steps; ++step, ++n) {
      if (n >= begun) {
        barrier_wait(ring.empty(n), ring.parity(n) ^ 1u);
        barrier_expect(ring.full(n), Ring<kColumns>::kSlotBytes);
        copy_tile(ring.right(n), weight, at.column, step * kTileDepth, ring.full(n));
      }
      copy_tile(ring.left(n), x, at.row, step * kTileDepth, ring.full(n));
    }
  });
}

/// total += a part of the sums: steps [n, end). A slot is given back one step later than its
/// products begin, so that the next step's are already waiting when they end.
template <class T, int kColumns>
VITRINE_DEVICE void add_part(const Ring<kColumns>& ring, int consumer, int n, int end,
                             float (&total)[kColumns / 2]) {
  float part[kColumns / 2];
  const auto give_back = [&](int step) {
    if (lane_id() == 0) barrier_arrive(ring.empty(step));
  };
  for (int step = n; step < end; ++step) {
    barrier_wait(ring.full(step), ring.parity(step));
    const uint64_t left = further(tile_operand(ring.left(step)), consumer * kConsumerRows, 0),
                   right = tile_operand(ring.right(step));
    products_begin();
#pragma unroll
    for (int depth = 0; depth < kTileDepth; depth += kStepDepth) {
      const bool is_first = depth == 0 && step == n;
      multiply<T, kColumns>(part, further(left, 0, depth), further(right, 0, depth), !is_first);
    }
    products_commit();
    products_wait<1>();
    if (step > n) give_back(step - 1);
  }
  products_wait<0>();
  products_are_there(part);
  give_back(end - 1);
#pragma unroll
  for (int i = 0; i < kColumns / 2; ++i) total[i] += part[i];
}

/// Lays a warp's totals out along their rows.
template <int kColumns>
VITRINE_DEVICE void put_down(const Ring<kColumns>& ring, int consumer,
                             const float (&total)[kColumns / 2]) {
  struct alignas(8) Two {
    float x[2];
  };
  constexpr int kStride = Ring<kColumns>::kTotalsStride;
  const int lane = lane_id(), row = warp_id() % 4 * 16 + lane / 4;
  float* to = ring.totals(consumer) + row * kStride + lane % 4 * 2;
#pragma unroll
  for (int j = 0; j < kColumns / 8; ++j) {
    *reinterpret_cast<Two*>(to + 8 * j) = {total[4 * j], total[4 * j + 1]};
    *reinterpret_cast<Two*>(to + 8 * j + 8 * kStride) = {total[4 * j + 2], total[4 * j + 3]};
  }
}

template <class T, int kColumns>
VITRINE_DEVICE void consume(const Ring<kColumns>& ring, int consumer, const Tiles& tiles) {
  constexpr int kStepsOfPart = kPart<T> / kTileDepth;
  int n = 0;
  for_own_tiles(tiles, [&](int, uint32_t round) {
    float total[kColumns / 2];
#pragma unroll
    for (float& t : total) t = 0.0f;
    for (const int end = n + tiles.steps; n < end; n += kStepsOfPart)
      add_part<T, kColumns>(ring, consumer, n, n + kStepsOfPart < end ? n + kStepsOfPart : end,
                            total);
    n = static_cast<int>(round + 1) * tiles.steps;
    barrier_wait(ring.taken(consumer), (round & 1u) ^ 1u);
    put_down<kColumns>(ring, consumer, total);
    __syncwarp();
    if (lane_id() == 0) barrier_arrive(ring.there(consumer));
  });
}

template <class T, int kColumns>
VITRINE_DEVICE void finish(const Ring<kColumns>& ring, int finisher, const Tiles& tiles,
                           const Epilogue& epilogue) {
  // One counter for tiles and consumers: registers are few here.
#pragma unroll 1
  for (int n = 0;; ++n) {
    const int consumer = n % kConsumers, round = n / kConsumers,
              tile = static_cast<int>(blockIdx.x + round * gridDim.x);
    if (tile >= tiles.count()) break;
    const Place at = tiles.place<kColumns>(tile);
    const int row = at.row + consumer * kConsumerRows, left = tiles.rows - row;
    const Region region{row, at.column, left < kConsumerRows ? left : kConsumerRows,
                        tiles.columns - at.column};
    barrier_wait(ring.there(consumer), static_cast<uint32_t>(round) & 1u);
    finish_region<T, kColumns, Ring<kColumns>::kTotalsStride>(
        epilogue, region, ring.totals(consumer), finisher * kWarp + lane_id(), kFinishers * kWarp);
    __syncwarp();
    if (lane_id() == 0) barrier_arrive(ring.taken(consumer));
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
  int begun = 0;
  if (threadIdx.x == 0) begun = begin_weights(ring, &weight, tiles);
  wait_for_previous_kernel();
  let_next_kernel_start();
  const int group = warp_id() / 4;
  if (group >= 1 && group <= kConsumers) {
    take_registers<kConsumerRegisters>();
    consume<T>(ring, group - 1, tiles);
    return;
  }
  give_up_registers<kOtherRegisters>();
  if (threadIdx.x == 0) produce(ring, &x, &weight, tiles, begun);
  if (warp_id() > 0)
    finish<T>(ring, group == 0 ? warp_id() - 1 : warp_id() - 1 - 4 * kConsumers, tiles, epilogue);
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
