// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>

// CUDA's words on a CPU: the kernels of kernels/cuda are compiled against this header and run on
// the machine at hand. Clusters of blocks run one after the other; the threads of a cluster are
// fibers that give way at barriers and wherever a warp acts together.
//
// What it is strict about: dynamic shared memory is filled with NaNs before each block; a
// copy_async lands only when it is waited for; tensor cores add as those of their generation do
// (fused_sum.h); reciprocals are up to a unit in the last place off; lanes may be run in ascending
// or in descending order, so that a missing barrier shows in one of the two. A barrier that some
// threads never reach ends the program with a message.

namespace vitrine::internal::cuda {
class Device;
}

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3() = default;
  template <class X, class Y = unsigned, class Z = unsigned>
  dim3(X a, Y b = 1, Z c = 1)
      : x(static_cast<unsigned>(a)), y(static_cast<unsigned>(b)), z(static_cast<unsigned>(c)) {}
};

namespace vitrine::internal::cuda_on_host {

struct Place {
  uint3 thread, block;
  dim3 block_dim, grid_dim;
  int cluster_rank = 0;
};
/// Of the fiber that is running: blocks run one after the other, so there is one for the program.
inline Place* running_place = nullptr;
inline Place& place() { return *running_place; }

struct Shape {
  dim3 grid, block;
  size_t shared = 0;
  bool starts_early = false;
  unsigned cluster = 1;          ///< neighbouring blocks along x that run together
  const void* kernel = nullptr;  ///< its address in this program
};
/// Runs `thread` once for each thread of each block, now, or when the device's recording is
/// replayed.
void launch(cuda::Device& device, const Shape& shape, std::function<void()> thread);

/// How many kernels have run in this process, and how many recordings were made.
int64_t kernels_run();
int64_t recordings_made();

void block_barrier();
std::byte* shared_memory();

// Lanes of a warp put a value down, wait for the other 31, and see all 32 until the one after the
// next exchange.
inline constexpr size_t kLargestExchange = 48;
std::byte* exchange_slots();  ///< [32][kLargestExchange bytes]
void warp_barrier();

template <class T>
T* exchange(const T& value) {
  static_assert(sizeof(T) <= kLargestExchange && std::is_trivially_copyable_v<T>);
  T* slots = reinterpret_cast<T*>(exchange_slots());
  slots[place().thread.x % 32] = value;
  warp_barrier();
  return slots;
}

void copy_async(void* to, const void* from, int bytes, int size = 16);
void copy_async_commit();
void copy_async_wait(int pending);

float widen_f16(uint16_t bits);
float widen_bf16(uint16_t bits);
uint16_t narrow_f16(float x);
uint16_t narrow_bf16(float x);
uint32_t to_tf32(float x);  ///< to 11 significant bits, nearest, ties away from zero
float bits_to_float(uint32_t bits);
float cut_off(double x);    ///< to float32 towards zero
float reciprocal(float d);  ///< rcp.approx: the nearest float, or the one after or before it

enum class MmaKind { kF16, kBf16, kTf32 };
struct Left {
  uint32_t word[4];
};
struct Right {
  uint32_t word[2];
};
struct Loaded {
  uint32_t word[4];
};
/// ldmatrix.x4.trans
Loaded load_transposed(const void* row);
/// mma.sync m16n8k16 (16 bits) or m16n8k8 (TF32).
void mma(MmaKind kind, float (&c)[4], Left a, Right b);

enum class LaneOrder { kAscending, kDescending };
/// What an emulated GPU says of itself. A block's shared memory is that of its capability.
struct Gpu {
  int index = 0;
  int capability = 80;
  int processors = 4;
  size_t most_pinned = size_t{256} << 20;
  /// If given, the GPU runs nothing and copies nothing: it says what it is told to do, a line each
  /// (see launch_list.h). Its memory is all zeros and takes none of this machine's.
  std::function<void(const std::string&)> list = {};
};
/// What cuda::Device::open() emulates: of capability 80, or VITRINE_EMULATED_CAPABILITY.
Gpu& usual_gpu();
/// A device of ordinary memory; recording is exact: nothing runs until the replay. As on a real
/// GPU, a kernel must be launched while its device is the calling thread's current one.
std::shared_ptr<cuda::Device> make_device(LaneOrder order, Gpu gpu = {});

}  // namespace vitrine::internal::cuda_on_host

#define threadIdx (::vitrine::internal::cuda_on_host::place().thread)
#define blockIdx (::vitrine::internal::cuda_on_host::place().block)
#define blockDim (::vitrine::internal::cuda_on_host::place().block_dim)
#define gridDim (::vitrine::internal::cuda_on_host::place().grid_dim)

inline void __syncthreads() { ::vitrine::internal::cuda_on_host::block_barrier(); }
inline void __syncwarp() { ::vitrine::internal::cuda_on_host::warp_barrier(); }
inline void __threadfence() {}

template <class T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  const T old = *at;
  *at = old + value;
  return old;
}
template <class T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  const T old = *at;
  if (value > old) *at = value;
  return old;
}
template <class T>
T atomicMin(T* at, std::type_identity_t<T> value) {
  const T old = *at;
  if (value < old) *at = value;
  return old;
}
