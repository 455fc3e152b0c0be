// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/device/hopper.cuh"
#include "kernels/cuda/linear/finish.cuh"
#include "kernels/cuda/linear/hopper_form.h"
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
// Two blocks may form a cluster, with tiles below each other, whose weights are the same, or beside
// each other, whose rows of x are. Each then copies one half of these to both blocks, so that L2 is
// read for a tile of twice the height or width. A slot is free once both blocks' consumers have
// read it.
//
// Shared memory: the slots (128 rows of x, kColumns of weights, 128 bytes each); the totals of a
// tile; the barriers: `full` and `empty` for each slot, `there` and `taken` for each consumer's
// totals.

namespace vitrine::internal::cuda {
namespace {

// Some of what follows nothing refers to where the kernels are empty, on other GPUs.
constexpr int kTileRows = kHopperRows;
constexpr int kConsumers = 2;
[[maybe_unused]] constexpr int kConsumerRows = kTileRows / kConsumers;
// Groups of four warps: producer and finishers, the consumers, finishers.
constexpr int kThreads = (2 + kConsumers) * kWarpgroup;
[[maybe_unused]] constexpr int kFinishers = 7;  // warps
// Of a thread: two sets of sums and 16 more in consumers. 512 threads have 65536.
template <int kColumns>
constexpr int kConsumerRegisters = kColumns > 176 ? 208 : 192;
template <int kColumns>
constexpr int kOtherRegisters = 65536 / kWarpgroup / kConsumers - kConsumerRegisters<kColumns>;
constexpr int kMostShared = 226 * 1024;
// Rows of tiles that are walked together, column by column, so that weights are read from L2 again.
[[maybe_unused]] constexpr int kBand = 16;

struct Place {
  int row, column;
};

/// How a product is cut into tiles; see HopperForm. The clusters walk over groups of tiles.
struct Tiles {
  int rows, columns;  ///< of the product
  int steps;          ///< tiles of 64 elements along K
  int high, wide;     ///< tiles of a group, one for each block of a cluster
  int down, across;   ///< groups

  constexpr int groups() const { return down * across; }
  constexpr int blocks() const { return high * wide; }

  /// This block's tile of a group.
  template <int kColumns>
  VITRINE_DEVICE Place place(int group) const {
    const int most = kBand / high, rank = cluster_rank();
    const int band = group / (most * across), inside = group % (most * across);
    const int left = down - band * most, height = left < most ? left : most;
    const int row = (band * most + inside % height) * high + (high > 1 ? rank : 0),
              column = inside / height * wide + (wide > 1 ? rank : 0);
    return {row * kTileRows, column * kColumns};
  }
};

// Of the groups, a cluster processes its first one and those at each `clusters` further. It has 1
// or 2 blocks.
[[maybe_unused]] VITRINE_DEVICE int first_group(const Tiles& tiles) {
  return static_cast<int>(blockIdx.x >> tiles.blocks() / 2);
}
[[maybe_unused]] VITRINE_DEVICE int clusters(const Tiles& tiles) {
  return static_cast<int>(gridDim.x >> tiles.blocks() / 2);
}
[[maybe_unused]] VITRINE_DEVICE int own_groups(const Tiles& tiles) {
  return (tiles.groups() - first_group(tiles) + clusters(tiles) - 1) / clusters(tiles);
}

/// The slot of a step, and the parity of the turn in which it is filled.
template <int kSlots>
struct Turn {
  int slot = 0;
  uint32_t parity = 0;

  VITRINE_DEVICE int before() const { return slot == 0 ? kSlots - 1 : slot - 1; }
  VITRINE_DEVICE void go_on() {
    if (++slot < kSlots) return;
    slot = 0;
    parity ^= 1u;
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

  VITRINE_DEVICE std::byte* left(int slot) const { return memory + slot * kSlotBytes; }
  VITRINE_DEVICE std::byte* right(int slot) const { return left(slot) + kLeftBytes; }
  VITRINE_DEVICE Barrier* full(int slot) const {
    return reinterpret_cast<Barrier*>(memory + kBarriersAt) + slot;
  }
  VITRINE_DEVICE Barrier* empty(int slot) const { return full(kSlots + slot); }
  // Of a consumer.
  VITRINE_DEVICE Barrier* there(int consumer) const { return full(2 * kSlots + consumer); }
  VITRINE_DEVICE Barrier* taken(int consumer) const { return there(kConsumers + consumer); }
  VITRINE_DEVICE float* totals(int consumer) const {
    return reinterpret_cast<float*>(memory + kTotalsAt) + consumer * kConsumerRows * kTotalsStride;
  }

  VITRINE_DEVICE void make_barriers(int blocks) const {
    constexpr int kConsumerWarps = kWarpgroup / kWarp;
    for (int n = 0; n < kSlots; ++n) {
      barrier_init(full(n), 1);
      barrier_init(empty(n), blocks * kConsumers * kConsumerWarps);
    }
    for (int consumer = 0; consumer < kConsumers; ++consumer) {
      barrier_init(there(consumer), kConsumerWarps);
      barrier_init(taken(consumer), kFinishers);
    }
    barriers_are_made();
  }
};

/// Copies rows [row, row + rows) of an operand. Blocks of a cluster that share them copy a half
/// each, to both.
[[maybe_unused]] VITRINE_DEVICE void copy_operand(std::byte* to, const TensorMap* map, bool shared,
                                                  int rows, int row, int depth, Barrier* barrier) {
  if (!shared) return copy_tile(to, map, row, depth, barrier);
  constexpr uint16_t kBoth = 3;
  const int half = cluster_rank() * (rows / 2);
  copy_tile_to(kBoth, to + half * kTileRowBytes, map, row + half, depth, barrier);
}

/// What the producer copies.
template <int kColumns>
struct Source {
  const Ring<kColumns>& ring;
  const TensorMap *x, *weight;
  const Tiles& tiles;

  VITRINE_DEVICE void copy_rows(const Place& at, int step, int slot) const {
    copy_operand(ring.left(slot), x, tiles.wide > 1, kTileRows, at.row, step * kTileDepth,
                 ring.full(slot));
  }
  VITRINE_DEVICE void copy_weights(const Place& at, int step, int slot) const {
    barrier_expect(ring.full(slot), Ring<kColumns>::kSlotBytes);
    copy_operand(ring.right(slot), weight, tiles.high > 1, kColumns, at.column, step * kTileDepth,
                 ring.full(slot));
  }

  /// Begins to copy the weights of the block's first steps, which do not depend on the previous
  /// kernel. Returns how many.
  VITRINE_DEVICE int begin_weights() const {
    const Place at = tiles.place<kColumns>(first_group(tiles));
    int n = 0;
    for (; n < Ring<kColumns>::kSlots && n < tiles.steps; ++n) copy_weights(at, n, n);
    return n;
  }

  /// Copies all operands, but the weights of the first `begun` steps.
  VITRINE_DEVICE void copy_all(int begun) const {
    Turn<Ring<kColumns>::kSlots> turn;
    for (int group = first_group(tiles); group < tiles.groups(); group += clusters(tiles)) {
      const Place at = tiles.place<kColumns>(group);
#pragma unroll 1
      for (int step = 0; step < tiles.steps; ++step, turn.go_on()) {
        if (--begun < 0) {
          barrier_wait(ring.empty(turn.slot), turn.parity ^ 1u);
          copy_weights(at, step, turn.slot);
        }
        copy_rows(at, step, turn.slot);
      }
    }
  }
};

/// total += a part of the sums, of that many steps. A slot is given back one step later than its
/// products begin, so that the next step's are already waiting when they end. `block`: of the
/// cluster, to which this lane says so, or -1.
template <class T, int kColumns, class Turn>
VITRINE_DEVICE void add_part(const Ring<kColumns>& ring, int consumer, int block, int steps,
                             Turn& turn, float (&total)[kColumns / 2]) {
  float part[kColumns / 2];
  const auto give_back_last = [&] {
    if (block >= 0) barrier_arrive_at(block, ring.empty(turn.before()));
  };
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    barrier_wait(ring.full(turn.slot), turn.parity);
    const uint64_t left = further(tile_operand(ring.left(turn.slot)), consumer * kConsumerRows, 0),
                   right = tile_operand(ring.right(turn.slot));
    products_begin();
#pragma unroll
    for (int depth = 0; depth < kTileDepth; depth += kStepDepth) {
      multiply<T, kColumns>(part, further(left, 0, depth), further(right, 0, depth),
                            depth > 0 || step > 0);
    }
    products_commit();
    products_wait<1>();
    if (step > 0) give_back_last();
    turn.go_on();
  }
  products_wait<0>();
  products_are_there(part);
  give_back_last();
#pragma unroll
  for (int i = 0; i < kColumns / 2; ++i) total[i] += part[i];
}

/// Lays a warp's totals out along their rows, once the last ones have been taken from there.
template <int kColumns>
VITRINE_DEVICE void put_down(const Ring<kColumns>& ring, uint32_t parity,
                             const float (&total)[kColumns / 2]) {
  struct alignas(8) Two {
    float x[2];
  };
  constexpr int kStride = Ring<kColumns>::kTotalsStride;
  const int thread = thread_anew(), lane = thread % kWarp, consumer = thread / kWarpgroup - 1,
            row = thread / kWarp % 4 * 16 + lane / 4;
  barrier_wait(ring.taken(consumer), parity);
  float* to = ring.totals(consumer) + row * kStride + lane % 4 * 2;
#pragma unroll
  for (int j = 0; j < kColumns / 8; ++j) {
    *reinterpret_cast<Two*>(to + 8 * j) = {total[4 * j], total[4 * j + 1]};
    *reinterpret_cast<Two*>(to + 8 * j + 8 * kStride) = {total[4 * j + 2], total[4 * j + 3]};
  }
  __syncwarp();
  if (lane == 0) barrier_arrive(ring.there(consumer));
}

template <class T, int kColumns>
VITRINE_DEVICE void consume(const Ring<kColumns>& ring, int consumer, const Tiles& tiles) {
  constexpr int kStepsOfPart = kPart<T> / kTileDepth;
  const int block = lane_id() < tiles.blocks() ? lane_id() : -1;
  Turn<Ring<kColumns>::kSlots> turn;
  // In one register, of which few are left: twice the tiles to come, and the parity of this one.
#pragma unroll 1
  for (int left = 2 * own_groups(tiles) + 1; left > 1; left = (left - 2) ^ 1) {
    float total[kColumns / 2];
#pragma unroll
    for (float& t : total) t = 0.0f;
#pragma unroll 1
    for (int steps = tiles.steps; steps > 0; steps -= kStepsOfPart)
      add_part<T, kColumns>(ring, consumer, block, steps < kStepsOfPart ? steps : kStepsOfPart,
                            turn, total);
    put_down<kColumns>(ring, static_cast<uint32_t>(left) & 1u, total);
  }
}

template <class T, int kColumns>
VITRINE_DEVICE void finish(const Ring<kColumns>& ring, const Tiles& tiles,
                           const Epilogue& epilogue) {
  // One counter for tiles and consumers: registers are few here.
#pragma unroll 1
  for (int n = 0;; ++n) {
    const int thread = thread_anew(), consumer = n % kConsumers, round = n / kConsumers,
              group = first_group(tiles) + round * clusters(tiles);
    if (group >= tiles.groups()) break;
    const Place at = tiles.place<kColumns>(group);
    const int row = at.row + consumer * kConsumerRows, left = tiles.rows - row;
    const Region region{row, at.column, left < kConsumerRows ? left : kConsumerRows,
                        tiles.columns - at.column};
    barrier_wait(ring.there(consumer), static_cast<uint32_t>(round) & 1u);
    // The finishers are the warps after the producer but for the consumers.
    finish_region<T, kColumns, Ring<kColumns>::kTotalsStride, kFinishers * kWarp>(
        epilogue, region, ring.totals(consumer),
        thread - kWarp - (thread < kWarpgroup ? 0 : kConsumers * kWarpgroup));
    __syncwarp();
    if (lane_id() == 0) barrier_arrive(ring.taken(consumer));
  }
}

template <class T, int kColumns>
VITRINE_DEVICE void do_tiles(const TensorMap& x, const TensorMap& weight, const Tiles& tiles,
                             const Epilogue& epilogue) {
  const Ring<kColumns> ring{shared_memory()};
  const Source<kColumns> source{ring, &x, &weight, tiles};
  if (threadIdx.x == 0) {
    prefetch_map(&x);
    prefetch_map(&weight);
    ring.make_barriers(tiles.blocks());
  }
  cluster_barrier();
  int begun = 0;
  if (threadIdx.x == 0) begun = source.begin_weights();
  wait_for_previous_kernel();
  let_next_kernel_start();
  const int group = warp_id() / 4;
  if (group >= 1 && group <= kConsumers) {
    take_registers<kConsumerRegisters<kColumns>>();
    consume<T>(ring, group - 1, tiles);
  } else {
    give_up_registers<kOtherRegisters<kColumns>>();
    if (threadIdx.x == 0) source.copy_all(begun);
    if (warp_id() > 0) finish<T>(ring, tiles, epilogue);
  }
  cluster_barrier();  // the other block may still give slots back here
}

template <class T, int kColumns>
__global__ void __launch_bounds__(kThreads, 1)
    hopper_linear(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap weight,
                  Tiles tiles, Epilogue epilogue) {
  if constexpr (kHopper) do_tiles<T, kColumns>(x, weight, tiles, epilogue);
}

Tiles cut(const LinearArgs& args, const HopperForm& form) {
  return {static_cast<int>(args.x.rows),
          static_cast<int>(args.weight->out),
          static_cast<int>(ceil_div(args.weight->in, kTileDepth)),
          form.high,
          form.wide,
          static_cast<int>(form.down(args.x.rows)),
          static_cast<int>(form.across(args.weight->out))};
}

template <int kColumns>
void run(Device& device, const LinearArgs& args, const HopperForm& form) {
  const PackedMatrix& w = *args.weight;
  const Tiles tiles = cut(args, form);
  const TensorMap x =
      tensor_map(args.x.data, args.x.rows, w.in, args.x.stride * 2, kTileRows / form.wide);
  const TensorMap weight = tensor_map(w.data, w.out, w.in, w.panel_stride, kColumns / form.high);
  const int count = std::min(device.processors() / tiles.blocks(), tiles.groups());
  const LaunchShape shape{dim3(count * tiles.blocks()), dim3(kThreads), Ring<kColumns>::kBytes,
                          true, static_cast<unsigned>(tiles.blocks())};
  const Epilogue epilogue = epilogue_of(args);
  if (w.dtype == DType::kBF16)
    launch(device, shape, hopper_linear<Bf16, kColumns>, x, weight, tiles, epilogue);
  else
    launch(device, shape, hopper_linear<F16, kColumns>, x, weight, tiles, epilogue);
}

template <int... kColumns>
void run(std::integer_sequence<int, kColumns...>, Device& device, const LinearArgs& args,
         const HopperForm& form) {
  ((form.columns == kColumns ? run<kColumns>(device, args, form) : void()), ...);
}

bool is_aligned(const void* data, int64_t row_bytes) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && row_bytes % 16 == 0;
}

}  // namespace

std::string hopper_linear(Device& device, const LinearArgs& args) {
  const PackedMatrix& w = *args.weight;
  constexpr int64_t kFewRows = 127, kLargest = int64_t{1} << 21;
  if (!switches().hopper || device.capability() != 90 || dtype_size(w.dtype) != 2 ||
      args.x.dtype != w.dtype)
    return {};
  if (args.x.rows <= kFewRows || w.in < kTileDepth ||
      std::max({args.x.rows, w.in, w.out}) > kLargest)
    return {};
  if (!is_aligned(args.x.data, args.x.stride * 2) || !is_aligned(w.data, w.panel_stride)) return {};
  const HopperForm form = hopper_form(args.x.rows, w.out, device.processors());
  run(HopperWidths{}, device, args, form);
  return form.name();
}

}  // namespace vitrine::internal::cuda
