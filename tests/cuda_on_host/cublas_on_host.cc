// SPDX-License-Identifier: MIT
#include "base/float_bits.h"
#include "kernels/cuda/linear/paths.h"
#include "tests/cuda_on_host/cuda_on_host.h"

// In the place of NVIDIA's library: plain sums. It refuses rows that are not aligned, as the real
// one may refuse a case.

namespace vitrine::internal::cuda {
namespace {

float element(const std::byte* row, int64_t i, DType dtype) {
  if (dtype == DType::kF32) return reinterpret_cast<const float*>(row)[i];
  const uint16_t bits = reinterpret_cast<const uint16_t*>(row)[i];
  return dtype == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

void sum_up(const Mat& x, const PackedMatrix& weight, const Mat& sums) {
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t o = 0; o < weight.out; ++o) {
      double sum = 0.0;
      for (int64_t i = 0; i < weight.in; ++i) {
        sum += static_cast<double>(element(x.at(r, 0), i, x.dtype)) *
               static_cast<double>(element(weight.data + o * weight.panel_stride, i, weight.dtype));
      }
      sums.row(r)[o] = static_cast<float>(sum);
    }
  }
}

class PlainSums : public Cublas {
 public:
  explicit PlainSums(Device& device) : device_(device) {}
  bool product(const Mat& x, const PackedMatrix& weight, const Mat& sums, std::byte*) override {
    if (x.stride * static_cast<int64_t>(dtype_size(x.dtype)) % 16 != 0) return false;
    cuda_on_host::launch(device_, {dim3(1), dim3(32), 0}, [=] {
      if (cuda_on_host::place().thread.x == 0) sum_up(x, weight, sums);
    });
    return true;
  }

 private:
  Device& device_;
};

}  // namespace

std::unique_ptr<Cublas> Cublas::open(Device& device) { return std::make_unique<PlainSums>(device); }

}  // namespace vitrine::internal::cuda
