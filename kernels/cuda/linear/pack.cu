// SPDX-License-Identifier: MIT
#include <algorithm>

#include "kernels/cuda/device/element.cuh"
#include "kernels/cuda/device/primitives.cuh"
#include "kernels/cuda/runtime/batch.h"
#include "kernels/cuda/runtime/cuda_backend.h"
#include "kernels/cuda/runtime/launch.h"
#include "vitrine/error.h"

// Weights into their layout and single outputs' rows back out of it. A packed matrix lies
// [out][in], each output's inputs padded with zeros to whole chunks of 64 bytes. A host's tensor is
// uploaded as it is, slab by slab; the device converts and turns it, in squares that go through
// shared memory so that both sides are read and written along their rows.

namespace vitrine::internal {
namespace cuda {
namespace {

constexpr int64_t kRowBytes =
    64;  // that an output's row is a multiple of: a span of the tensor cores' products
constexpr int64_t kSlabBytes = int64_t{16} << 20;
constexpr int kSide = 32;  // of a square
constexpr int kPackThreads = 256, kLookupThreads = 256;

int64_t row_bytes(int64_t in, DType store) {
  return ceil_div(in * static_cast<int64_t>(dtype_size(store)), kRowBytes) * kRowBytes;
}

/// The part [in_begin, in_end) x [out_begin, out_end) of a matrix. Inputs from `in` on are padding.
struct Slab {
  int64_t in_begin = 0, in_end = 0, in = 0;
  int64_t out_begin = 0, out_end = 0;
  /// Offset of input 0 of output 0 from the slab's first element; may be negative.
  int64_t origin = 0;
  int64_t in_stride = 0, out_stride = 0;
  bool inputs_adjoin = false;  ///< neighbours along the inputs lie closer than along the outputs
};

template <class From, class To>
__global__ void __launch_bounds__(kPackThreads)
    pack_kernel(const From* source, Slab slab, To* packed, int64_t packed_stride) {
  To* square = shared_memory<To>();  // [outputs][inputs], a column more than there are so that both
                                     // ways meet all banks
  const int64_t in_begin = slab.in_begin + blockIdx.y * int64_t{kSide},
                out_begin = slab.out_begin + blockIdx.x * int64_t{kSide};
  for (int line = warp_id(); line < kSide; line += kPackThreads / kWarp) {
    const int i = slab.inputs_adjoin ? lane_id() : line, o = slab.inputs_adjoin ? line : lane_id();
    if (in_begin + i >= slab.in_end || out_begin + o >= slab.out_end) continue;
    float value = 0.0f;
    if (in_begin + i < slab.in)
      value = widen(source[slab.origin + (in_begin + i) * slab.in_stride +
                           (out_begin + o) * slab.out_stride]);
    square[o * (kSide + 1) + i] = narrow<To>(value);
  }
  __syncthreads();
  const int i = lane_id();
  for (int o = warp_id(); o < kSide; o += kPackThreads / kWarp) {
    if (in_begin + i < slab.in_end && out_begin + o < slab.out_end) {
      packed[(out_begin + o) * packed_stride + in_begin + i] = square[o * (kSide + 1) + i];
    }
  }
}

/// Packed rows that are looked up by numbers, one for each row of a batch.
struct Table {
  const std::byte* data = nullptr;
  int64_t row_bytes = 0;
  const int32_t* numbers = nullptr;

  template <class T>
  VITRINE_DEVICE Elements<T> load(int64_t row, int64_t column, int count) const {
    const T* from = reinterpret_cast<const T*>(data + numbers[row] * row_bytes) + column;
    const bool whole = count == kChunk<T> && reinterpret_cast<uintptr_t>(from) % sizeof(Chunk) == 0;
    return std::bit_cast<Elements<T>>(whole ? load_chunk(from) : load_part(from, count));
  }
};

/// out[r] = first's row for r + second's, if there is a second. A block a row, a chunk of elements
/// a thread.
template <class T>
__global__ void __launch_bounds__(kLookupThreads)
    lookup_kernel(Table first, Table second, float* out, int64_t out_stride, int64_t width) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  const int64_t row = blockIdx.x;
  for (int64_t j = static_cast<int64_t>(threadIdx.x) * kChunk<T>; j < width;
       j += int64_t{kLookupThreads} * kChunk<T>) {
    const int count = width - j < kChunk<T> ? static_cast<int>(width - j) : kChunk<T>;
    const Elements<T> a = first.load<T>(row, j, count),
                      b = second.data == nullptr ? Elements<T>{} : second.load<T>(row, j, count);
    float* to = out + row * out_stride + j;
    const bool whole = count == kChunk<T> && reinterpret_cast<uintptr_t>(to) % sizeof(Chunk) == 0;
#pragma unroll
    for (int begin = 0; begin < kChunk<T>; begin += 4) {
      Elements<float> y;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        y.at[i] = widen(a.at[begin + i]);
        if (second.data != nullptr) y.at[i] += widen(b.at[begin + i]);
        if (!whole && begin + i < count) to[begin + i] = y.at[i];
      }
      if (whole) *reinterpret_cast<Elements<float>*>(to + begin) = y;
    }
  }
}

Table table_of(const PackedMatrix& packed, const int32_t* numbers) {
  return {packed.data, packed.panel_stride, numbers};
}

void look_up(Device& device, DType dtype, const Table& first, const Table& second, const Mat& out) {
  with_element(dtype, [&](auto element) {
    const LaunchShape shape{
        .grid = dim3(out.rows), .block = dim3(kLookupThreads), .may_start_early = true};
    launch(device, shape, lookup_kernel<decltype(element)>, first, second, out.f32(), out.stride,
           out.cols);
  });
}

/// Where the elements of a box of a strided tensor lie: from `lowest`, `count` elements on.
struct Extent {
  int64_t lowest = 0, count = 0;
};
Extent extent(int64_t in_begin, int64_t in_end, int64_t in_stride, int64_t out_begin,
              int64_t out_end, int64_t out_stride) {
  const auto [in_low, in_high] = std::minmax({in_begin * in_stride, (in_end - 1) * in_stride});
  const auto [out_low, out_high] =
      std::minmax({out_begin * out_stride, (out_end - 1) * out_stride});
  return {in_low + out_low, in_high + out_high - in_low - out_low + 1};
}

/// Lines along the wider stride whose elements lie within kSlabBytes; at least one.
int64_t lines_a_slab(int64_t stride, int64_t line_count, size_t element) {
  const int64_t elements = kSlabBytes / static_cast<int64_t>(element);
  return std::max<int64_t>(1, (elements - line_count) / std::max<int64_t>(1, stride));
}

}  // namespace
}  // namespace cuda

using namespace cuda;

size_t CudaBackend::packed_bytes(int64_t in, int64_t out, DType store) const {
  if (store == DType::kI8) {
    throw Error(Error::Kind::kUser,
                "int8 weights are supported on the CPU only: expected f32, f16 or bf16; or use "
                "--device cpu");
  }
  return static_cast<size_t>(row_bytes(in, store) * out);
}

PackedMatrix CudaBackend::pack(const HostWeight& source, DType store, std::byte* destination) {
  const auto store_size = static_cast<int64_t>(dtype_size(store));
  const PackedMatrix packed{destination, store, source.in, source.out, row_bytes(source.in, store),
                            store_size};
  const size_t size = dtype_size(source.dtype);
  const int64_t in_step = std::abs(source.in_stride), out_step = std::abs(source.out_stride);
  const bool by_outputs = in_step <= out_step;
  const int64_t all = by_outputs ? source.out : source.in;
  const int64_t lines = by_outputs ? lines_a_slab(out_step, in_step * source.in, size)
                                   : lines_a_slab(in_step, out_step * source.out, size);
  for (int64_t begin = 0; begin < all; begin += lines) {
    const int64_t end = std::min(begin + lines, all);
    Slab slab{0, source.in,        source.in,         0,         source.out,
              0, source.in_stride, source.out_stride, by_outputs};
    (by_outputs ? slab.out_begin : slab.in_begin) = begin;
    (by_outputs ? slab.out_end : slab.in_end) = end;
    const Extent used = extent(slab.in_begin, slab.in_end, slab.in_stride, slab.out_begin,
                               slab.out_end, slab.out_stride);
    slab.origin = -used.lowest;
    if (slab.in_end == source.in) slab.in_end = packed.panel_stride / store_size;
    std::byte* uploaded = scratch(static_cast<size_t>(used.count) * size);
    upload(uploaded,
           static_cast<const std::byte*>(source.data) + used.lowest * static_cast<int64_t>(size),
           static_cast<size_t>(used.count) * size);
    with_element(source.dtype, [&](auto from) {
      with_element(store, [&](auto to) {
        using From = decltype(from);
        using To = decltype(to);
        const dim3 grid(ceil_div(slab.out_end - slab.out_begin, kSide),
                        ceil_div(slab.in_end - slab.in_begin, kSide));
        launch(
            *device_,
            {.grid = grid, .block = dim3(kPackThreads), .shared = kSide * (kSide + 1) * sizeof(To)},
            pack_kernel<From, To>, reinterpret_cast<const From*>(uploaded), slab,
            reinterpret_cast<To*>(destination), packed.panel_stride / store_size);
      });
    });
  }
  // Kernels that start early read weights before they wait for the previous kernel, which may be
  // this one.
  device_->synchronize();
  return packed;
}

void CudaBackend::lookup(const PassBatch& batch, Lookup by, const PackedMatrix& table, Mat out) {
  const BatchView placed = view(batch);
  look_up(*device_, table.dtype,
          table_of(table, by == Lookup::kTokens ? placed.ids : placed.positions), {}, out);
}

void CudaBackend::embed(const PassBatch& batch, const PackedMatrix& token_table,
                        const PackedMatrix& position_table, Mat out) {
  if (token_table.dtype != position_table.dtype)
    fail("token and position embeddings have different types: expected one type");
  const BatchView placed = view(batch);
  look_up(*device_, token_table.dtype, table_of(token_table, placed.ids),
          table_of(position_table, placed.positions), out);
}

}  // namespace vitrine::internal
