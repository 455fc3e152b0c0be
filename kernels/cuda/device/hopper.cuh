// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/device/primitives.cuh"
#include "kernels/cuda/runtime/tensor_map.h"

#if !defined(__CUDACC__)
#include <hopper_on_host.h>
#endif

// Hopper's own instructions: barriers in shared memory that count bytes beside threads, copies of
// whole tiles (TMA), clusters of blocks that reach each other's shared memory, and matrix products
// that a group of four warps begins and that read shared memory by themselves (wgmma). They exist
// for sm_90a alone: a kernel's body stands under `if constexpr (kHopper)`, and such a kernel is
// launched where the capability is exactly 90.

namespace vitrine::internal::cuda {

/// Whether the compiler's pass in hand is one whose code may use these instructions.
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
inline constexpr bool kHopper = true;
#else
inline constexpr bool kHopper = false;
#endif

inline constexpr int kWarpgroup = 4 * kWarp;

// --- barriers
// A phase of a barrier ends when all its arrivals have happened and all bytes that were announced
// have come; the next begins at once. Waiting for parity p waits for the end of the phase in
// progress if its number's parity is p, else for nothing: before the first phase (number 0) has
// ended, waiting for parity 1 does not wait.

struct Barrier {
  uint64_t state;
};

#if defined(__CUDACC__)

VITRINE_DEVICE uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

VITRINE_DEVICE void barrier_init(Barrier* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(arrivals)
               : "memory");
}
/// After the last barrier_init, by the thread that did them and before __syncthreads(): the copy
/// engine sees the barriers, too.
VITRINE_DEVICE void barriers_are_made() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
VITRINE_DEVICE void barrier_arrive(Barrier* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
               : "memory");
}
/// Arrives, and announces bytes that tile copies will bring in this phase.
VITRINE_DEVICE void barrier_expect(Barrier* barrier, int bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
}
VITRINE_DEVICE void barrier_wait(Barrier* barrier, uint32_t parity) {
  uint32_t done = 0;
  do {
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, "
        "0, p;\n}"
        : "=r"(done)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  } while (done == 0);
}

// --- copies

VITRINE_DEVICE void prefetch_map(const TensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}
/// One thread begins the copy of the tile at (row, column) to `to`; all of its bytes, zeros too,
/// count for the barrier's phase.
VITRINE_DEVICE void copy_tile(void* to, const TensorMap* map, int row, int column,
                              Barrier* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, "
      "{%2, %3}], [%4];" ::"r"(shared_address(to)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier))
      : "memory");
}

/// The same with the tile at the same place in the shared memory of each of the cluster's blocks
/// whose bit is set in `blocks`, and counted there by the barrier at the same place: L2 is read
/// once.
VITRINE_DEVICE void copy_tile_to(uint16_t blocks, void* to, const TensorMap* map, int row,
                                 int column, Barrier* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::"
      "cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(to)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier)), "h"(blocks)
      : "memory");
}

// --- clusters: blocks that run at the same time and reach each other's shared memory

/// The number of this block in its cluster.
VITRINE_DEVICE int cluster_rank() {
  uint32_t rank = 0;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
}
/// Waits for all threads of the cluster. It comes before the first access to another block, which
/// may not have begun, and after the last one, because a block that has ended has no memory. Of
/// what was written, it shows the others only barriers that are made.
VITRINE_DEVICE void cluster_barrier() {
  asm volatile("barrier.cluster.arrive.relaxed;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
/// Arrives at the barrier at the same place in another block of the cluster, or in this one.
/// Products and copies that were waited for are done there, too; ordinary writes are not shown to
/// that block.
VITRINE_DEVICE void barrier_arrive_at(int rank, Barrier* barrier) {
  asm volatile(
      "{\n.reg .b32 at;\nmapa.shared::cluster.u32 at, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [at];\n}" ::"r"(shared_address(barrier)),
      "r"(rank)
      : "memory");
}

// --- registers of a warpgroup's threads; all of its warps call it

template <int kCount>
VITRINE_DEVICE void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
VITRINE_DEVICE void give_up_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

/// threadIdx.x, read again each time: what follows from it keeps no registers in between.
VITRINE_DEVICE int thread_anew() {
  int thread = 0;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return thread;
}

#else

inline int thread_anew() { return static_cast<int>(threadIdx.x); }
inline uint32_t shared_address(const void* p) { return cuda_on_host::shared_address(p); }
inline void barrier_init(Barrier* barrier, int arrivals) {
  cuda_on_host::barrier_init(&barrier->state, arrivals);
}
inline void barriers_are_made() {}
inline void barrier_arrive(Barrier* barrier) { cuda_on_host::barrier_arrive(&barrier->state, 0); }
inline void barrier_expect(Barrier* barrier, int bytes) {
  cuda_on_host::barrier_arrive(&barrier->state, bytes);
}
inline void barrier_wait(Barrier* barrier, uint32_t parity) {
  cuda_on_host::barrier_wait(&barrier->state, parity);
}
inline void prefetch_map(const TensorMap*) {}
inline void copy_tile(void* to, const TensorMap* map, int row, int column, Barrier* barrier) {
  cuda_on_host::copy_tile(to, map->opaque, row, column, &barrier->state);
}
inline void copy_tile_to(uint16_t blocks, void* to, const TensorMap* map, int row, int column,
                         Barrier* barrier) {
  cuda_on_host::copy_tile_to(blocks, to, map->opaque, row, column, &barrier->state);
}
inline int cluster_rank() { return cuda_on_host::cluster_rank(); }
inline void cluster_barrier() { cuda_on_host::cluster_barrier(); }
inline void barrier_arrive_at(int rank, Barrier* barrier) {
  cuda_on_host::barrier_arrive_at(rank, &barrier->state);
}
template <int kCount>
void take_registers() {}
template <int kCount>
void give_up_registers() {}

#endif

// --- products [64 rows] x [kColumns]: c += left x right over 16 elements of K. The group's warp w
// has rows 16 w to 16 w + 15, laid out in its lanes as device/mma.cuh's accumulator: c[4 j], c[4 j
// + 1] are row l / 4, columns 8 j + 2 (l % 4) and one more; c[4 j + 2], c[4 j + 3] the same of row
// l / 4 + 8.
//
// Order: products_begin(), multiply() any number of times, products_commit(), products_wait().
// Between multiply() and the wait that covers it, its accumulators must not be accessed and the
// tiles that it reads must not be written.

/// Where a product finds an operand: 64 (left) or kColumns (right) rows of a tile, the first 16
/// elements of each. Bits: the address in units of 16 bytes; from bit 32 the distance of 8 rows in
/// the same units; from bit 62 the kind of swizzle.
VITRINE_DEVICE uint64_t tile_operand(const void* tile) {
  constexpr uint64_t kEightRows = 8 * kTileRowBytes / 16, kSwizzle128 = 1;
  return shared_address(tile) >> 4 | uint64_t{1} << 16 | kEightRows << 32 | kSwizzle128 << 62;
}
/// The same `rows` (a multiple of 8) further down and `depth` elements further along K.
VITRINE_DEVICE uint64_t further(uint64_t operand, int rows, int depth) {
  // The address has no carry, so the other half needs no addition.
  const uint32_t low = static_cast<uint32_t>(operand) +
                       static_cast<uint32_t>((rows * kTileRowBytes + depth * 2) / 16);
  return operand >> 32 << 32 | low;
}

#if defined(__CUDACC__)

VITRINE_DEVICE void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
VITRINE_DEVICE void products_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// After copy_async_wait() and before the barrier that lets others multiply: products see shared
/// memory past this thread's own view of it.
VITRINE_DEVICE void products_see_copies() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
/// Waits until at most `kPending` of the committed groups, the newest, are under way.
template <int kPending>
VITRINE_DEVICE void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// The instruction names every register of its accumulator, 8 for 16 columns.
#define VITRINE_NAMES_64                                                                           \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25," \
  "%26,%27,%28,%29,%30,%31"
#define VITRINE_NAMES_128                                                                          \
  VITRINE_NAMES_64                                                                                 \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%" \
  "55,%56,%57,%58,%59,%60,%61,%62,%63"
#define VITRINE_NAMES_144 VITRINE_NAMES_128 ",%64,%65,%66,%67,%68,%69,%70,%71"
#define VITRINE_NAMES_160 VITRINE_NAMES_144 ",%72,%73,%74,%75,%76,%77,%78,%79"
#define VITRINE_NAMES_176 VITRINE_NAMES_160 ",%80,%81,%82,%83,%84,%85,%86,%87"
#define VITRINE_NAMES_192 VITRINE_NAMES_176 ",%88,%89,%90,%91,%92,%93,%94,%95"
#define VITRINE_4(i) "+f"(c[i]), "+f"(c[(i) + 1]), "+f"(c[(i) + 2]), "+f"(c[(i) + 3])
#define VITRINE_8(i) VITRINE_4(i), VITRINE_4((i) + 4)
#define VITRINE_REGISTERS_64 VITRINE_8(0), VITRINE_8(8), VITRINE_8(16), VITRINE_8(24)
#define VITRINE_REGISTERS_128 \
  VITRINE_REGISTERS_64, VITRINE_8(32), VITRINE_8(40), VITRINE_8(48), VITRINE_8(56)
#define VITRINE_REGISTERS_144 VITRINE_REGISTERS_128, VITRINE_8(64)
#define VITRINE_REGISTERS_160 VITRINE_REGISTERS_144, VITRINE_8(72)
#define VITRINE_REGISTERS_176 VITRINE_REGISTERS_160, VITRINE_8(80)
#define VITRINE_REGISTERS_192 VITRINE_REGISTERS_176, VITRINE_8(88)
#define VITRINE_MULTIPLY(columns, type, left_at, right_at, flag_at)                               \
  if constexpr (kColumns == columns)                                                              \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #flag_at                                      \
               ", 0;\nwgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type        \
               " {" VITRINE_NAMES_##columns "}, %" #left_at ", %" #right_at ", p, 1, 1, 0, 0;\n}" \
               : VITRINE_REGISTERS_##columns                                                      \
               : "l"(left), "l"(right), "r"(static_cast<int>(accumulate)))
#define VITRINE_MULTIPLY_ANY(type)         \
  VITRINE_MULTIPLY(64, type, 32, 33, 34);  \
  VITRINE_MULTIPLY(128, type, 64, 65, 66); \
  VITRINE_MULTIPLY(144, type, 72, 73, 74); \
  VITRINE_MULTIPLY(160, type, 80, 81, 82); \
  VITRINE_MULTIPLY(176, type, 88, 89, 90); \
  VITRINE_MULTIPLY(192, type, 96, 97, 98);

/// Without `accumulate`, c = left x right, whatever it held.
template <class T, int kColumns>
VITRINE_DEVICE void multiply(float (&c)[kColumns / 2], uint64_t left, uint64_t right,
                             bool accumulate) {
  static_assert(kColumns == 64 || (kColumns >= 128 && kColumns <= 192 && kColumns % 16 == 0));
  if constexpr (std::is_same_v<T, Bf16>) {
    VITRINE_MULTIPLY_ANY("bf16")
  } else {
    VITRINE_MULTIPLY_ANY("f16")
  }
}

#define VITRINE_MULTIPLY_WORDS(type)                                                    \
  asm volatile(                                                                         \
      "{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"                                      \
      "wgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type " {" VITRINE_NAMES_64 \
      "}, {%32,%33,%34,%35}, %36, p, 1, 1, 0;\n}"                                       \
      : VITRINE_REGISTERS_64                                                            \
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right),             \
        "r"(static_cast<int>(accumulate)))

/// The same of 64 columns, the left operand in registers: of each lane the words that
/// device/mma.cuh's instruction takes.
template <class T>
VITRINE_DEVICE void multiply(float (&c)[32], const uint32_t (&left)[4], uint64_t right,
                             bool accumulate) {
  if constexpr (std::is_same_v<T, Bf16>)
    VITRINE_MULTIPLY_WORDS("bf16");
  else
    VITRINE_MULTIPLY_WORDS("f16");
}

#undef VITRINE_MULTIPLY_WORDS
#undef VITRINE_MULTIPLY_ANY
#undef VITRINE_MULTIPLY
#undef VITRINE_REGISTERS_192
#undef VITRINE_REGISTERS_176
#undef VITRINE_REGISTERS_160
#undef VITRINE_REGISTERS_144
#undef VITRINE_REGISTERS_128
#undef VITRINE_REGISTERS_64
#undef VITRINE_8
#undef VITRINE_4
#undef VITRINE_NAMES_192
#undef VITRINE_NAMES_176
#undef VITRINE_NAMES_160
#undef VITRINE_NAMES_144
#undef VITRINE_NAMES_128
#undef VITRINE_NAMES_64

/// Keeps the compiler from reading accumulators earlier than this line, which must follow the wait
/// for them.
template <int kCount>
VITRINE_DEVICE void products_are_there(float (&c)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(c[i])::"memory");
}
/// Keeps the compiler from using a left operand's registers for others before this line, which must
/// follow the wait for the products.
VITRINE_DEVICE void products_have_read(uint32_t (&left)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) asm volatile("" : "+r"(left[i])::"memory");
}

#else

inline void products_begin() { cuda_on_host::products_begin(); }
inline void products_commit() { cuda_on_host::products_commit(); }
inline void products_see_copies() { cuda_on_host::products_see_copies(); }
template <int kPending>
void products_wait() {
  cuda_on_host::products_wait(kPending);
}
template <class T, int kColumns>
void multiply(float (&c)[kColumns / 2], uint64_t left, uint64_t right, bool accumulate) {
  constexpr auto kKind =
      std::is_same_v<T, Bf16> ? cuda_on_host::MmaKind::kBf16 : cuda_on_host::MmaKind::kF16;
  cuda_on_host::multiply(kKind, c, kColumns, left, right, accumulate);
}
template <class T>
void multiply(float (&c)[32], const uint32_t (&left)[4], uint64_t right, bool accumulate) {
  constexpr auto kKind =
      std::is_same_v<T, Bf16> ? cuda_on_host::MmaKind::kBf16 : cuda_on_host::MmaKind::kF16;
  cuda_on_host::multiply(kKind, c, {left[0], left[1], left[2], left[3]}, right, accumulate);
}
template <int kCount>
void products_are_there(float (&)[kCount]) {}
inline void products_have_read(uint32_t (&)[4]) {}

#endif

}  // namespace vitrine::internal::cuda
