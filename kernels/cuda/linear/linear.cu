// SPDX-License-Identifier: MIT
#include "kernels/cuda/device/element.cuh"
#include "kernels/cuda/linear/linear.cuh"
#include "kernels/cuda/runtime/cuda_backend.h"
#include "kernels/cuda/runtime/switches.h"

// y = act(x W + b) + residual: which kernel computes it. All give the same bits, so the choice is
// one of speed alone.

namespace vitrine::internal {
namespace cuda {
namespace {

// Up to 16 rows the weights stream by once. Up to 64 a tile takes all rows, and where tiles are
// fewer than processors each part of the inputs gets a block: few_rows would read all of x again
// for every 8 outputs.
constexpr int64_t kFewRows = 16, kMostPartRows = 64;

template <class... M>
bool rows_divide_by(int64_t elements, const M&... matrices) {
  const auto divides = [&](const Mat& m) {
    const int64_t bytes = elements * static_cast<int64_t>(dtype_size(m.dtype));
    return reinterpret_cast<uintptr_t>(m.data) % static_cast<uintptr_t>(bytes) == 0 &&
           m.stride % elements == 0;
  };
  return (divides(matrices) && ...);
}

LinearOperands operands_of(const LinearArgs& args) {
  const PackedMatrix& w = *args.weight;
  LinearOperands operands;
  operands.x = args.x.data;
  operands.weight = w.data;
  operands.x_stride = args.x.stride * static_cast<int64_t>(dtype_size(args.x.dtype));
  operands.weight_stride = w.panel_stride;
  operands.rows = static_cast<int>(args.x.rows);
  operands.in = static_cast<int>(w.in);
  operands.out = static_cast<int>(w.out);
  return operands;
}

}  // namespace

Epilogue epilogue_of(const LinearArgs& args) {
  if (args.out.dtype != args.weight->dtype && args.out.dtype != DType::kF32)
    fail("output of a linear operation: expected float32 or the weights' type");
  if (args.before.dtype != DType::kF32 || args.residual.dtype != DType::kF32)
    fail("tap or residual of a linear operation: expected float32");
  Epilogue epilogue;
  epilogue.bias = args.bias;
  epilogue.residual = args.residual.f32();
  epilogue.before = args.before.f32();
  epilogue.out = args.out.data;
  epilogue.residual_stride = args.residual.stride;
  epilogue.before_stride = args.before.stride;
  epilogue.out_stride = args.out.stride;
  epilogue.activation = args.activation;
  epilogue.out_is_float = args.out.dtype == DType::kF32;
  epilogue.fours_are_aligned = rows_divide_by(4, args.out, args.residual, args.before) &&
                               reinterpret_cast<uintptr_t>(args.bias) % 16 == 0;
  return epilogue;
}

}  // namespace cuda

Mat CudaBackend::as_type(const Mat& rows, DType dtype, const char* what) {
  if (rows.dtype == dtype) return rows;
  if (rows.dtype != DType::kF32)
    cuda::fail(std::string(what) + ": expected float32 or the weights' type");
  constexpr int64_t kWholeChunks = cuda::kChunk<cuda::F16>;
  const int64_t stride = ceil_div(rows.cols, kWholeChunks) * kWholeChunks;
  const size_t bytes = static_cast<size_t>(rows.rows * stride) * dtype_size(dtype);
  const Mat narrow(reserve(narrowed_, bytes), rows.rows, rows.cols, stride, dtype);
  convert(rows, narrow);
  return narrow;
}

void CudaBackend::linear(const LinearArgs& given) {
  using namespace cuda;
  LinearArgs args = given;
  args.x = as_type(given.x, given.weight->dtype, "x of a linear operation");
  if (linear_by_choice(args)) return;
  const LinearOperands operands = operands_of(args);
  const Epilogue epilogue = epilogue_of(args);
  const DType dtype = args.weight->dtype;
  const int parts = parts_of(dtype, operands.in);
  if (operands.rows <= kFewRows) {
    linear_few_rows(*device_, dtype, operands, epilogue);
  } else if (operands.rows <= kMostPartRows && parts > 1 && tiles_leave_gaps(*device_, operands)) {
    const int64_t stride = ceil_div(operands.out, kQuad) * kQuad, size = operands.rows * stride;
    auto* memory = scratch(static_cast<size_t>(parts * size) * sizeof(float));
    linear_by_parts(*device_, dtype, operands, epilogue,
                    {reinterpret_cast<float*>(memory), stride, parts, size});
  } else {
    linear_many_rows(*device_, dtype, operands, epilogue);
  }
}

bool CudaBackend::fuses(const LayerNormArgs& norm, const LinearArgs& args) const {
  return cuda::switches().fused && gemm_ != Gemm::kCublas && !norm.scale &&
         args.x.dtype == args.weight->dtype &&
         cuda::few_rows_normalize(*device_, args.x.dtype, cuda::operands_of(args), norm);
}

void CudaBackend::linear_of_layernorm(const LayerNormArgs& norm, const LinearArgs& args) {
  if (!fuses(norm, args)) return Backend::linear_of_layernorm(norm, args);
  linear_by_choice(args);
  cuda::linear_few_rows(*device_, args.x.dtype, cuda::operands_of(args), cuda::epilogue_of(args),
                        &norm);
}

}  // namespace vitrine::internal
