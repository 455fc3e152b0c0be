// SPDX-License-Identifier: MIT
#include "base/check.h"
#include "kernels/cuda/runtime/cuda_backend.h"

// Which kernels compute a linear operation, and a note of it.

namespace vitrine::internal {
namespace {

bool is_sums_alone(const LinearArgs& args) {
  return args.bias == nullptr && args.activation == Activation::kNone && !args.residual &&
         !args.before && args.out.dtype == DType::kF32;
}

}  // namespace

bool CudaBackend::linear_by_cublas(const LinearArgs& args) {
  if (args.x.dtype != args.weight->dtype || args.x.rows == 0) return false;
  const int64_t rows = args.x.rows, out = args.weight->out;
  const bool alone = is_sums_alone(args);
  std::byte* memory = scratch(cuda::Cublas::kWorkspace +
                              (alone ? 0 : static_cast<size_t>(rows * out) * sizeof(float)));
  const Mat sums =
      alone ? args.out
            : Mat(reinterpret_cast<float*>(memory + cuda::Cublas::kWorkspace), rows, out);
  if (!cublas_->product(args.x, *args.weight, sums, memory)) return false;
  if (!alone) cuda::apply_epilogue(*device_, args, sums);
  return true;
}

bool CudaBackend::linear_by_choice(const LinearArgs& args) {
  std::string name;
  if (gemm_ == Gemm::kCublas && linear_by_cublas(args)) name = "cublas";
  if (gemm_ == Gemm::kExact) name = cuda::hopper_linear(*device_, args);
  choices_[{args.x.rows, args.weight->out, args.weight->in, args.weight->dtype}] =
      name.empty() ? "portable" : name;
  return !name.empty();
}

std::vector<std::string> CudaBackend::choices() const {
  std::vector<std::string> lines;
  for (const auto& [at, name] : choices_) {
    lines.push_back(fmt::format("linear {} x {} x {} {}: {}", at.rows, at.out, at.in,
                                dtype_name(at.dtype), name));
  }
  return lines;
}

}  // namespace vitrine::internal
