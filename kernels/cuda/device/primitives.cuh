// SPDX-License-Identifier: MIT
#pragma once

#include <bit>

#include "kernels/cuda/device/platform.cuh"

// What a single thread or warp can do: the one place where PTX stands (Hopper's own instructions:
// device/hopper.cuh). Functions that a whole warp computes together are called by all of its 32
// lanes.

namespace vitrine::internal::cuda {

// --- elements

VITRINE_DEVICE float widen(float x) { return x; }
#if defined(__CUDACC__)
VITRINE_DEVICE float widen(F16 x) { return __half2float(__ushort_as_half(x.bits)); }
VITRINE_DEVICE float widen(Bf16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }
#else
inline float widen(F16 x) { return cuda_on_host::widen_f16(x.bits); }
inline float widen(Bf16 x) { return cuda_on_host::widen_bf16(x.bits); }
#endif

/// Rounds to the nearest, ties to even.
template <class T>
VITRINE_DEVICE T narrow(float x) {
  if constexpr (sizeof(T) == 4) {
    return x;
  } else {
#if defined(__CUDACC__)
    if constexpr (std::is_same_v<T, F16>)
      return {__half_as_ushort(__float2half_rn(x))};
    else
      return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};
#else
    if constexpr (std::is_same_v<T, F16>)
      return {cuda_on_host::narrow_f16(x)};
    else
      return {cuda_on_host::narrow_bf16(x)};
#endif
  }
}

// --- memory

/// 16 bytes of consecutive elements: 8 of 16 bits or 4 floats.
struct alignas(16) Chunk {
  uint32_t word[4];
};
template <class T>
inline constexpr int kChunk = 16 / static_cast<int>(sizeof(T));  ///< elements in a Chunk
/// A chunk by its elements; std::bit_cast goes between the two.
template <class T>
struct alignas(16) Elements {
  T at[kChunk<T>];
};

VITRINE_DEVICE Chunk load_chunk(const void* from) { return *static_cast<const Chunk*>(from); }

/// Half a chunk.
struct alignas(8) HalfChunk {
  uint32_t word[2];
};
VITRINE_DEVICE HalfChunk load_half(const void* from) {
  return *static_cast<const HalfChunk*>(from);
}
VITRINE_DEVICE Chunk joined(const HalfChunk& first, const HalfChunk& second) {
  return {{first.word[0], first.word[1], second.word[0], second.word[1]}};
}

/// A chunk of global memory if `there`, otherwise zeros. The load is issued here, in this order:
/// the compiler does not move it to its use after a later branch, where each load would wait for
/// the one before. It is read once and does not displace what others read again. Never `.nc`: such
/// loads lie outside the memory model, so the assembler moves them to the other side of
/// wait_for_previous_kernel().
VITRINE_DEVICE Chunk load_chunk_if(bool there, const void* from) {
  Chunk c{};
#if defined(__CUDACC__)
  asm volatile(
      "{.reg .pred p; setp.ne.b32 p, %5, 0;\n"
      "@p ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];}"
      : "+r"(c.word[0]), "+r"(c.word[1]), "+r"(c.word[2]), "+r"(c.word[3])
      : "l"(from), "r"(static_cast<int>(there)));
#else
  if (there) c = load_chunk(from);
#endif
  return c;
}
/// The same of half a chunk, which others read again.
VITRINE_DEVICE HalfChunk load_half_if(bool there, const void* from) {
  HalfChunk c{};
#if defined(__CUDACC__)
  asm volatile(
      "{.reg .pred p; setp.ne.b32 p, %3, 0;\n"
      "@p ld.global.v2.u32 {%0, %1}, [%2];}"
      : "+r"(c.word[0]), "+r"(c.word[1])
      : "l"(from), "r"(static_cast<int>(there)));
#else
  if (there) c = load_half(from);
#endif
  return c;
}

/// All of a value of global memory, issued here.
template <class V>
VITRINE_DEVICE V load_at_once(const V* from) {
  constexpr int kHalves = sizeof(V) / sizeof(HalfChunk);
  struct Halves {
    HalfChunk at[kHalves];
  } halves;
#pragma unroll
  for (int i = 0; i < kHalves; ++i)
    halves.at[i] = load_half_if(true, reinterpret_cast<const HalfChunk*>(from) + i);
  return std::bit_cast<V>(halves);
}

/// The first `count` of a chunk's elements, one by one, the others 0: for rows that are not aligned
/// to 16 bytes, and for ends.
template <class T>
VITRINE_DEVICE Chunk load_part(const T* from, int count) {
  Elements<T> part{};
#pragma unroll
  for (int i = 0; i < kChunk<T>; ++i) {
    if (i < count) part.at[i] = from[i];
  }
  return std::bit_cast<Chunk>(part);
}

/// Of 64 bytes of shared memory, 8 bytes at `from` and those 32 further; issued here, in this
/// order, as load_chunk_if()'s.
VITRINE_DEVICE Chunk load_shared_share(const void* from) {
#if defined(__CUDACC__)
  Chunk c;
  asm volatile("ld.shared.v2.u32 {%0, %1}, [%4];\n\tld.shared.v2.u32 {%2, %3}, [%4 + 32];"
               : "=&r"(c.word[0]), "=&r"(c.word[1]), "=r"(c.word[2]), "=r"(c.word[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(from)))
               : "memory");
  return c;
#else
  return joined(load_half(from), load_half(static_cast<const std::byte*>(from) + 32));
#endif
}

/// The dynamic shared memory of the block. Nothing else lies there.
template <class T = std::byte>
VITRINE_DEVICE T* shared_memory() {
#if defined(__CUDACC__)
  extern __shared__ __align__(1024) unsigned char vitrine_shared_memory[];
  return reinterpret_cast<T*>(vitrine_shared_memory);
#else
  return reinterpret_cast<T*>(cuda_on_host::shared_memory());
#endif
}

/// Begins a copy of 16 bytes from global to shared memory, both aligned; of these only `bytes` are
/// read, the others become zeros.
VITRINE_DEVICE void copy_async(void* to, const void* from, int bytes) {
#if defined(__CUDACC__)
  const auto shared = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(from), "r"(bytes)
               : "memory");
#else
  cuda_on_host::copy_async(to, from, bytes);
#endif
}

/// The same of 4 bytes.
VITRINE_DEVICE void copy_async_word(uint32_t* to, const void* from, int bytes) {
#if defined(__CUDACC__)
  const auto shared = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared), "l"(from), "r"(bytes)
               : "memory");
#else
  cuda_on_host::copy_async(to, from, bytes, 4);
#endif
}

/// Of a chunk of which `count` elements are there, one at least.
template <class T>
VITRINE_DEVICE int bytes_of(int count) {
  return (count < kChunk<T> ? count : kChunk<T>)*static_cast<int>(sizeof(T));
}

/// Ends a group of this thread's copies.
VITRINE_DEVICE void copy_async_commit() {
#if defined(__CUDACC__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  cuda_on_host::copy_async_commit();
#endif
}

/// Waits until at most `kPending` of this thread's groups, the newest, are under way. A barrier
/// makes them seen by the others.
template <int kPending>
VITRINE_DEVICE void copy_async_wait() {
#if defined(__CUDACC__)
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#else
  cuda_on_host::copy_async_wait(kPending);
#endif
}

/// Of four 8 x 8 matrices of 16 bits in shared memory: word m of lane l are rows 2 (l % 4) and one
/// more of column l / 4 of matrix m. `row` is where row l % 8 of matrix l / 8 begins, aligned to 16
/// bytes.
VITRINE_DEVICE Chunk load_transposed(const void* row) {
#if defined(__CUDACC__)
  Chunk c;
  const auto shared = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(c.word[0]), "=r"(c.word[1]), "=r"(c.word[2]), "=r"(c.word[3])
               : "r"(shared)
               : "memory");
  return c;
#else
  return std::bit_cast<Chunk>(cuda_on_host::load_transposed(row));
#endif
}

// --- warps

VITRINE_DEVICE int lane_id() { return static_cast<int>(threadIdx.x) % kWarp; }
VITRINE_DEVICE int warp_id() { return static_cast<int>(threadIdx.x) / kWarp; }

/// The value of lane (own ^ mask). T has 4 or 8 bytes.
template <class T>
VITRINE_DEVICE T shuffle_xor(T value, int mask) {
#if defined(__CUDACC__)
  return __shfl_xor_sync(0xffffffffu, value, mask);
#else
  return cuda_on_host::exchange(value)[lane_id() ^ mask];
#endif
}

template <class T>
VITRINE_DEVICE T shuffle(T value, int lane) {
#if defined(__CUDACC__)
  return __shfl_sync(0xffffffffu, value, lane);
#else
  return cuda_on_host::exchange(value)[lane];
#endif
}

/// One bit for each lane: whether its `vote` is true.
VITRINE_DEVICE uint32_t ballot(bool vote) {
#if defined(__CUDACC__)
  return __ballot_sync(0xffffffffu, vote);
#else
  const bool* votes = cuda_on_host::exchange(vote);
  uint32_t bits = 0;
  for (int i = 0; i < kWarp; ++i) bits |= static_cast<uint32_t>(votes[i]) << i;
  return bits;
#endif
}

/// The same value in all lanes, from the same tree of sums whatever lane asks.
template <class T>
VITRINE_DEVICE T warp_sum(T value) {
#pragma unroll
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
  return value;
}
VITRINE_DEVICE float warp_max(float value) {
#pragma unroll
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value = fmaxf(value, shuffle_xor(value, mask));
  return value;
}
VITRINE_DEVICE uint32_t warp_max(uint32_t value) {
#if defined(__CUDACC__)
  return __reduce_max_sync(0xffffffffu, value);
#else
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const uint32_t other = shuffle_xor(value, mask);
    if (other > value) value = other;
  }
  return value;
#endif
}
VITRINE_DEVICE uint64_t warp_max(uint64_t value) {
  const auto high = static_cast<uint32_t>(value >> 32);
  const uint32_t highest = warp_max(high);
  return static_cast<uint64_t>(highest) << 32 |
         warp_max(high == highest ? static_cast<uint32_t>(value) : 0u);
}

// --- blocks

/// Called by one thread of each of `blocks` blocks: whether it is the last. If so, its block sees
/// what all of them had written, after a barrier of its own. The counter is zero before the first
/// and after the last.
VITRINE_DEVICE bool last_to_arrive(uint32_t* counter, int blocks) {
  __threadfence();
  if (atomicAdd(counter, 1u) + 1 != static_cast<uint32_t>(blocks)) return false;
  *counter = 0;
  __threadfence();
  return true;
}

// --- launches

/// Waits for the kernels that were launched before, where this one may have begun early. Before it,
/// a kernel may touch only what no earlier kernel of the pass writes: weights, the placed batch,
/// the cache's older tokens. A pass itself begins after all that was issued before it has ended:
/// with a copy of its batch, or as a graph.
VITRINE_DEVICE void wait_for_previous_kernel() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
/// Lets the next kernel's blocks start as soon as there is room for them. Kernels of decoding call
/// it before they wait: the next one then loads its weights while this one waits. That is safe
/// because each kernel waits in turn before it touches what others write, so that one which has
/// waited comes after all before it.
VITRINE_DEVICE void let_next_kernel_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace vitrine::internal::cuda
