// SPDX-License-Identifier: MIT
#include <algorithm>
#include <vector>

#include "kernels/cuda/attention/backward.cuh"
#include "kernels/cuda/attention/map_row.cuh"
#include "kernels/cuda/runtime/cuda_backend.h"

// Which kernels compute the gradient of attention.

namespace vitrine::internal {
namespace {

using namespace cuda;

/// delta = dz . z: a warp for each row and head.
template <class T>
__global__ void __launch_bounds__(kMapWarps* kWarp)
    sum_products(AttentionBackwardArgs args, int rows, float* delta) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kMapWarps + warp_id(),
                row = index / args.heads;
  if (row >= rows) return;
  const int64_t column = index % args.heads * args.head_width;
  const T *dz = reinterpret_cast<const T*>(args.dz.data) + row * args.dz.stride + column,
          *z = reinterpret_cast<const T*>(args.z.data) + row * args.z.stride + column;
  double sum = 0.0;
  for (int c = lane_id(); c < args.head_width; c += kWarp)
    sum += static_cast<double>(widen(dz[c])) * static_cast<double>(widen(z[c]));
  sum = warp_sum(sum);
  if (lane_id() == 0) delta[index] = static_cast<float>(sum);
}

bool chunks_are_aligned(const AttentionBackwardArgs& args) {
  const size_t element = dtype_size(args.q.dtype);
  const auto whole = [&](int64_t elements) {
    return static_cast<size_t>(elements) * element % sizeof(Chunk) == 0;
  };
  const auto aligned = [&](const Mat& m) {
    return reinterpret_cast<uintptr_t>(m.data) % sizeof(Chunk) == 0 && whole(m.stride);
  };
  return whole(args.head_width) && aligned(args.q) && aligned(args.k) && aligned(args.v) &&
         aligned(args.dz);
}

/// Of the larger of the two kernels' blocks.
size_t shared_bytes(const AttentionBackwardArgs& args) {
  size_t bytes = 0;
  with_element_and_width(args.q.dtype, args.head_width, [&](auto element, auto width) {
    using T = decltype(element);
    bytes = std::max(GradientMemory<QueriesShape<T, width.value>>::kBytes,
                     GradientMemory<KeysShape<T, width.value>>::kBytes);
  });
  return bytes;
}

void check_types(const AttentionBackwardArgs& args) {
  for (const Mat& m : {args.k, args.v, args.dz, args.dq, args.dk, args.dv}) {
    if (m && m.dtype != args.q.dtype)
      fail("operands of the attention gradient have different types: expected one type");
  }
}

/// Places the maps of all sequences consecutively; returns their number of elements.
int64_t place_maps(std::vector<SequenceSlice>& slices, int heads) {
  int64_t elements = 0;
  for (SequenceSlice& slice : slices) {
    slice.map = elements;
    elements += heads * slice.rows * slice.rows;
  }
  return elements;
}

}  // namespace

void CudaBackend::attention_backward(const AttentionBackwardArgs& args) {
  check_types(args);
  const bool fast =
      args.head_width <= kWidestHead && shared_bytes(args) <= device_->shared_per_block();
  std::vector<SequenceSlice> slices(args.batch->sequences.begin(), args.batch->sequences.end());
  const int64_t elements = fast ? 0 : place_maps(slices, args.heads),
                rows = batch_rows(*args.batch);
  const size_t slice_bytes = fast ? 0 : args.batch->sequences.size_bytes();
  std::byte* memory =
      scratch(slice_bytes + static_cast<size_t>(rows * args.heads + 2 * elements) * sizeof(float));
  auto* delta = reinterpret_cast<float*>(memory + slice_bytes);
  const GradientInputs inputs{delta, chunks_are_aligned(args)};
  with_element(args.q.dtype, [&](auto element) {
    launch(*device_, warp_for_each_query(*args.batch, args.heads), sum_products<decltype(element)>,
           args, static_cast<int>(rows), delta);
  });

  if (fast) {
    differentiate_queries(*device_, args, inputs);
    differentiate_keys(*device_, args, inputs);
  } else {
    upload(memory, slices.data(), slice_bytes);
    BatchView batch = view(*args.batch);
    batch.sequences = reinterpret_cast<const SequenceSlice*>(memory);
    AttentionBackwardArgs maps = args;
    maps.dpattern = nullptr;
    maps.pattern = delta + rows * args.heads;
    maps.dscores = maps.pattern + elements;
    write_gradient_maps(*device_, maps, inputs, maps.pattern, batch);
    differentiate_by_maps(*device_, maps, batch);
  }
  if (args.dpattern != nullptr || args.dscores != nullptr)
    write_gradient_maps(*device_, args, inputs, nullptr, view(*args.batch));
}

void CudaBackend::attention_backward_pattern(const AttentionBackwardArgs& args) {
  AttentionBackwardArgs gradients = args;
  gradients.dscores = nullptr;
  write_gradient_maps(*device_, gradients, {}, nullptr, view(*args.batch));
}

void CudaBackend::attention_backward_scores(const AttentionBackwardArgs& args) {
  differentiate_softmax_of_maps(*device_, args, view(*args.batch));
}

void CudaBackend::attention_backward_inputs(const AttentionBackwardArgs& args) {
  check_types(args);
  differentiate_by_maps(*device_, args, view(*args.batch));
}

}  // namespace vitrine::internal
