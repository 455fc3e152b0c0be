#include "base/float_bits.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/parallel.h"

namespace vitrine {
namespace {

float weight_at(const std::byte* panel, DType dtype, int64_t at) {
  const auto* half = reinterpret_cast<const uint16_t*>(panel);
  if (dtype == DType::kF16) return f16_to_f32(half[at]);
  if (dtype == DType::kBF16) return bf16_to_f32(half[at]);
  return reinterpret_cast<const float*>(panel)[at];
}

}  // namespace

void CpuBackend::linear(const LinearArgs& args) {
  const PackedMatrix& w = *args.weight;
  cpu::parallel_for(threads_, (w.out + 15) / 16, [&](int64_t p) {
    const std::byte* panel = w.data + p * w.panel_stride;
    for (int64_t r = 0; r < args.x.rows; ++r) {
      float sums[16] = {};
      for (int64_t k = 0; k < w.in; ++k) {
        for (int64_t c = 0; c < 16; ++c) sums[c] += args.x.row(r)[k] * weight_at(panel, w.dtype, k * 16 + c);
      }
      for (int64_t c = 0; c < 16 && p * 16 + c < w.out; ++c) {
        const int64_t o = p * 16 + c;
        float y = args.bias ? sums[c] + args.bias[o] : sums[c];
        if (args.before) args.before.row(r)[o] = y;
        y = cpu::activate_one(y, args.activation);
        args.out.row(r)[o] = args.residual ? y + args.residual.row(r)[o] : y;
      }
    }
  });
}

}  // namespace vitrine
