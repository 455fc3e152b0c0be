// SPDX-License-Identifier: MIT
#include "tests/cuda_on_host/hopper_on_host.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/cuda/device/hopper.cuh"
#include "tests/cuda_on_host/block_runner.h"

namespace vitrine::internal::cuda_on_host {
namespace {

constexpr int kSwizzleBytes = 1024;  // what the address of a tile is a multiple of

/// What a barrier's 8 bytes hold here.
struct BarrierState {
  int32_t bytes;     // announced and not come
  int16_t missing;   // arrivals in this phase
  uint8_t arrivals;  // of a phase
  uint8_t phase;     // its number's parity
};

/// What a tensor map's bytes hold here.
struct Map {
  const std::byte* data;
  int64_t rows, columns, row_bytes;
  int tile_rows;
};

void change(uint64_t* barrier, int arrivals, int bytes) {
  auto state = std::bit_cast<BarrierState>(*barrier);
  if (state.missing < arrivals)
    stop("more threads arrive at a barrier in shared memory than it was made for");
  state.missing = static_cast<int16_t>(state.missing - arrivals);
  // Another block's copy may come before this block has announced it, not after the announcement.
  if (state.missing == 0 && state.bytes + bytes < 0)
    stop("bytes arrive at a barrier in shared memory that does not expect them");
  state.bytes += bytes;
  if (state.missing == 0 && state.bytes == 0) {
    state.missing = state.arrivals;
    state.phase ^= 1;
  }
  *barrier = std::bit_cast<uint64_t>(state);
}

/// Byte `at` of a tile in shared memory, where the 128-byte swizzle puts it.
uint32_t swizzled(uint32_t at) { return at ^ (at >> 7 & 7u) << 4; }

void land(std::byte* to, const Map& map, int row, int column, uint64_t* barrier) {
  constexpr int kRowBytes = cuda::kTileRowBytes;
  for (int r = 0; r < map.tile_rows; ++r) {
    for (int byte = 0; byte < kRowBytes; byte += 2) {
      const int64_t i = row + r, j = column + byte / 2;
      std::byte* element = to + swizzled(static_cast<uint32_t>(r * kRowBytes + byte));
      if (i < map.rows && j < map.columns)
        std::memcpy(element, map.data + i * map.row_bytes + j * 2, 2);
      else
        std::memset(element, 0, 2);
    }
  }
  change(barrier, 0, -map.tile_rows * kRowBytes);
}

/// Calls `set(k, element)` for the 16 elements along K of row `row` of an operand.
template <class Set>
void load(MmaKind kind, uint64_t operand, int row, const Set& set) {
  if (operand >> 62 != 1) stop("an operand that is not laid out with the 128-byte swizzle");
  const auto begin = static_cast<uint32_t>(operand & 0x3fffu) << 4,
             eight_rows = static_cast<uint32_t>(operand >> 32 & 0x3fffu) << 4;
  const uint32_t at =
      begin + static_cast<uint32_t>(row) / 8 * eight_rows + static_cast<uint32_t>(row) % 8 * 128;
  for (int chunk = 0; chunk < 2; ++chunk) {  // the swizzle moves 16 bytes as a whole
    uint16_t bits[8];
    std::memcpy(bits, shared_memory() + swizzled(at + 16 * static_cast<uint32_t>(chunk)), 16);
    for (int i = 0; i < 8; ++i) set(8 * chunk + i, element(kind, bits[i]));
  }
}

void compute(const Products::One& product) {
  const int thread = static_cast<int>(place().thread.x), lane = thread % 32,
            top = thread / 32 % 4 * 16 + lane / 4, own = product.columns / 4;
  Row left[2];
  for (int half = 0; half < 2; ++half) {
    const auto set = [&](int k, Element e) { left[half].set(k, e); };
    if (!product.in_registers) load(product.kind, product.left, top + 8 * half, set);
    for (int k = 0; product.in_registers && k < 16; ++k)
      set(k, element(product.kind, product.rows[half][k]));
  }
  for (int first = 0; first < own; first += 8) {
    const int count = std::min(8, own - first);
    Columns right;
    for (int j = 0; j < count; ++j) {
      const int i = first + j;
      load(product.kind, product.right, i / 2 * 8 + lane % 4 * 2 + i % 2,
           [&](int k, Element e) { right.set(k, j, e); });
    }
    for (int half = 0; half < 2; ++half) {
      const auto sum_of = [&](int j) -> float& {
        const int i = first + j;
        return product.c[i / 2 * 4 + 2 * half + i % 2];
      };
      float sums[8] = {};
      for (int j = 0; product.accumulate && j < count; ++j) sums[j] = sum_of(j);
      fused_sums(kHopper, product.kind, left[half], right, sums);
      for (int j = 0; j < count; ++j) sum_of(j) = sums[j];
    }
  }
}

void begin_product(const Products::One& product) {
  Products& own = products();
  if (!own.begun) stop("products without products_begin()");
  if (!products_see_all_copies()) stop("products of copies without products_see_copies()");
  own.pending.push_back(product);
}

}  // namespace

uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(static_cast<const std::byte*>(p) - shared_memory());
}

void barrier_init(uint64_t* barrier, int arrivals) {
  *barrier = std::bit_cast<uint64_t>(
      BarrierState{0, static_cast<int16_t>(arrivals), static_cast<uint8_t>(arrivals), 0});
}

void barrier_arrive(uint64_t* barrier, int bytes) {
  change(barrier, 0, bytes);
  change(barrier, 1, 0);
  stand_back();
}

void barrier_wait(uint64_t* barrier, uint32_t parity) {
  wait_until([=] { return std::bit_cast<BarrierState>(*barrier).phase != parity; });
}

void copy_tile(void* to, const std::byte* map, int row, int column, uint64_t* barrier) {
  copy_tile_to(1u << cluster_rank(), to, map, row, column, barrier);
}

void copy_tile_to(unsigned blocks, void* to, const std::byte* bytes, int row, int column,
                  uint64_t* barrier) {
  Map map{};
  std::memcpy(&map, bytes, sizeof map);
  if (shared_address(to) % kSwizzleBytes != 0) stop("a tile that is not aligned to 1024 bytes");
  for (int rank = 0; blocks >> rank != 0; ++rank) {
    if ((blocks >> rank & 1u) == 0) continue;
    std::byte* destination = in_block(rank, to);
    auto* counter = reinterpret_cast<uint64_t*>(in_block(rank, barrier));
    std::memset(destination, 0xff, static_cast<size_t>(map.tile_rows) * cuda::kTileRowBytes);
    when_idle([=] {
      check_block(rank);
      land(destination, map, row, column, counter);
    });
  }
}

int cluster_rank() { return place().cluster_rank; }

void barrier_arrive_at(int rank, uint64_t* barrier) {
  change(reinterpret_cast<uint64_t*>(in_block(rank, barrier)), 1, 0);
  stand_back();
}

void products_begin() {
  warp_barrier();
  products().begun = true;
}

void products_commit() { ++products().group; }

void multiply(MmaKind kind, float* c, int columns, uint64_t left, uint64_t right, bool accumulate) {
  begin_product({kind, c, columns, left, right, accumulate, products().group});
}

void multiply(MmaKind kind, float* c, Left left, uint64_t right, bool accumulate) {
  Products::One product{kind, c, 64, 0, right, accumulate, products().group, true};
  const Left* lanes = exchange(left) + place().thread.x % 32 / 4 * 4;
  // Words 0 and 1 are elements 0 to 7 of both rows, words 2 and 3 the others.
  for (unsigned i = 0; i < 16; ++i) {
    const uint32_t* words = lanes[i % 8 / 2].word + i / 8 * 2;
    for (int half = 0; half < 2; ++half)
      product.rows[half][i] = static_cast<uint16_t>(words[half] >> 16 * (i % 2));
  }
  begin_product(product);
}

void products_see_copies() { products().sees_copies = true; }

void products_wait(int pending) {
  Products& own = products();
  const auto later = std::stable_partition(
      own.pending.begin(), own.pending.end(),
      [&](const Products::One& one) { return one.group < own.group - pending; });
  std::for_each(own.pending.begin(), later, compute);
  own.pending.erase(own.pending.begin(), later);
  own.begun = false;
  warp_barrier();
}

}  // namespace vitrine::internal::cuda_on_host

namespace vitrine::internal::cuda {

TensorMap tensor_map(const void* data, int64_t rows, int64_t columns, int64_t row_bytes,
                     int tile_rows) {
  if (reinterpret_cast<uintptr_t>(data) % 16 != 0 || row_bytes % 16 != 0)
    cuda_on_host::stop("a tensor map of memory that is not aligned");
  const cuda_on_host::Map map{static_cast<const std::byte*>(data), rows, columns, row_bytes,
                              tile_rows};
  TensorMap result{};
  std::memcpy(result.opaque, &map, sizeof map);
  return result;
}

}  // namespace vitrine::internal::cuda
