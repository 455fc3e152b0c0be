// SPDX-License-Identifier: MIT
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/moments.cc"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cmath>

#include "base/float_bits.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/moments_block.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"

// Moments of captured rows: a block of rows is centred on its own mean and laid out in panels of
// columns, so that the products of two panels walk both in one direction.

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::cpu {
namespace HWY_NAMESPACE {

using Panel64 = hn::CappedTag<double, kMomentPanel>;
constexpr int kPanelLanes = static_cast<int>(hn::MaxLanes(Panel64()));
constexpr int kPanelVectors = static_cast<int>(kMomentPanel) / kPanelLanes;

// Products of columns [column, column + kMomentGroup) of one panel with all columns of another:
// sums over rows, first to last.
void group_products(const double* group, const double* panel, int64_t rows, double* sums) {
  const Panel64 d;
  hn::Vec<Panel64> sum[kMomentGroup][kPanelVectors];
  for (auto& line : sum) {
    for (auto& s : line) s = hn::Zero(d);
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int v = 0; v < kPanelVectors; ++v) {
      const auto x = hn::LoadU(d, panel + r * kMomentPanel + v * kPanelLanes);
      for (int64_t i = 0; i < kMomentGroup; ++i)
        sum[i][v] = hn::MulAdd(hn::Set(d, group[r * kMomentPanel + i]), x, sum[i][v]);
    }
  }
  for (int64_t i = 0; i < kMomentGroup; ++i) {
    for (int v = 0; v < kPanelVectors; ++v)
      hn::StoreU(sum[i][v], d, sums + i * kMomentPanel + v * kPanelLanes);
  }
}

// The lines of products that begin in one panel, up to the diagonal.
void join_panel(const CentredBlock& block, int64_t p) {
  const MomentsArgs& args = block.args;
  const double between = block.between();
  HWY_ALIGN double sums[kMomentGroup * kMomentPanel];
  for (int64_t q = 0; q <= p; ++q) {
    for (int64_t g = 0; g < kMomentPanel; g += kMomentGroup) {
      group_products(block.panel(p) + g, block.panel(q), args.rows, sums);
      for (int64_t i = 0; i < kMomentGroup; ++i) {
        const int64_t line = p * kMomentPanel + g + i;
        if (line >= args.width) break;
        double* products = args.products + line * args.width;
        const int64_t end = std::min((q + 1) * kMomentPanel, line + 1);
        for (int64_t j = q * kMomentPanel; j < end; ++j) {
          products[j] += sums[i * kMomentPanel + j % kMomentPanel] +
                         between * block.delta[line] * block.delta[j];
        }
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::internal::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine::internal {
namespace cpu {

HWY_EXPORT(join_panel);

namespace {

constexpr int64_t kGrain = 1 << 15;  // elements that are worth a thread

// Centres a panel's columns, and joins their mean.
void centre_panel(const CentredBlock& block, int64_t p) {
  const MomentsArgs& args = block.args;
  double* panel = block.panel(p);
  const auto rows = static_cast<double>(args.rows);
  for (int64_t c = 0; c < kMomentPanel; ++c) {
    const int64_t column = p * kMomentPanel + c;
    const bool there = column < args.width;
    double sum = 0;
    for (int64_t r = 0; there && r < args.rows; ++r) sum += args.x[r * args.width + column];
    const double mean = sum / rows;
    for (int64_t r = 0; r < args.rows; ++r)
      panel[r * kMomentPanel + c] = there ? args.x[r * args.width + column] - mean : 0.0;
    if (!there) continue;
    block.delta[column] = mean - args.mean[column];
    args.mean[column] += rows / (args.weight + rows) * block.delta[column];
  }
}

float as_float(const Mat& x, int64_t row, int64_t column) {
  const std::byte* at = x.at(row, column);
  switch (x.dtype) {
    case DType::kF16:
      return f16_to_f32(*reinterpret_cast<const uint16_t*>(at));
    case DType::kBF16:
      return bf16_to_f32(*reinterpret_cast<const uint16_t*>(at));
    default:
      return *reinterpret_cast<const float*>(at);
  }
}

}  // namespace
}  // namespace cpu

void CpuBackend::widen(Mat x, const double* origin, double* out, int32_t* spoiled) {
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t j = 0; j < x.cols; ++j) {
      const auto value = static_cast<double>(cpu::as_float(x, r, j));
      if (!std::isfinite(value)) *spoiled = 1;
      out[r * x.cols + j] = origin != nullptr ? value - origin[j] : value;
    }
  }
}

void CpuBackend::join_moments(const MomentsArgs& args) {
  if (args.rows == 0) return;
  const int64_t panels = (args.width + cpu::kMomentPanel - 1) / cpu::kMomentPanel,
                padded = panels * cpu::kMomentPanel;
  const auto lease = scratch_.borrow(static_cast<size_t>((args.rows + 1) * padded) *
                                     (sizeof(double) / sizeof(float)));
  auto* memory = reinterpret_cast<double*>(lease.f32());
  const cpu::CentredBlock block{args, memory, memory + args.rows * padded};
  cpu::parallel_chunks(threads_, panels, cpu::kGrain / (args.rows * cpu::kMomentPanel) + 1,
                       [&](int64_t begin, int64_t end) {
                         for (int64_t p = begin; p < end; ++p) cpu::centre_panel(block, p);
                       });
  // The last panels have the most to do, and come first.
  cpu::parallel_for(threads_, panels, [&](int64_t i) {
    HWY_DYNAMIC_DISPATCH(cpu::join_panel)(block, panels - 1 - i);
  });
}

}  // namespace vitrine::internal
#endif
