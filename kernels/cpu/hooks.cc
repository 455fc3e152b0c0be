// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>
#include <limits>

#include "base/float_bits.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"

// Captures and edits: the operations that touch a selection of a site.

namespace vitrine::internal {
namespace {

constexpr int64_t kGrain = 1 << 15;  // elements that are worth a thread

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

// f(x, at, count) for each run of the selected columns `start` to `limit` of one row; `at` counts
// the selected columns before it.
template <typename F>
void for_each_range(float* row, std::span<const Selection::Range> ranges, const F& f,
                    int64_t limit = kNoLimit, int64_t start = 0) {
  int64_t at = 0;
  for (const Selection::Range& range : ranges) {
    if (at >= limit) return;
    const int64_t skipped = std::clamp(start - at, int64_t{0}, range.count);
    const int64_t count = std::min(range.count, limit - at) - skipped;
    if (count > 0) f(row + range.begin + skipped, at + skipped, count);
    at += range.count;
  }
}

// f(i, row) for the i-th selected row.
template <typename F>
void for_each_row(int threads, Mat x, const Selection& where, const F& f) {
  const int64_t rows = static_cast<int64_t>(where.rows.size());
  cpu::parallel_chunks(threads, rows, kGrain / (where.width() + 1) + 1,
                       [&](int64_t begin, int64_t end) {
                         for (int64_t i = begin; i < end; ++i)
                           f(i, x.row(where.rows[static_cast<size_t>(i)]));
                       });
}

void project_out(float* row, std::span<const Selection::Range> ranges, const float* unit) {
  double dot = 0.0;
  for_each_range(row, ranges, [&](const float* x, int64_t at, int64_t count) {
    for (int64_t j = 0; j < count; ++j)
      dot += static_cast<double>(x[j]) * static_cast<double>(unit[at + j]);
  });
  const float along = static_cast<float>(dot);
  for_each_range(row, ranges, [&](float* x, int64_t at, int64_t count) {
    for (int64_t j = 0; j < count; ++j) x[j] -= along * unit[at + j];
  });
}

void edit_row(const EditArgs& args, float* row, const float* operand, int64_t limit,
              int64_t start) {
  const auto each = [&](const auto& f) { for_each_range(row, args.where.cols, f, limit, start); };
  switch (args.kind) {
    case EditKind::kAdd:
      return each([&](float* x, int64_t at, int64_t count) {
        for (int64_t j = 0; j < count; ++j) x[j] += operand[at + j];
      });
    case EditKind::kScale:
      return each([&](float* x, int64_t, int64_t count) {
        for (int64_t j = 0; j < count; ++j) x[j] *= args.factor;
      });
    case EditKind::kReplace:
      return each([&](float* x, int64_t at, int64_t count) {
        std::memcpy(x, operand + at, static_cast<size_t>(count) * sizeof(float));
      });
    case EditKind::kProject:
      return project_out(row, args.where.cols, operand);
  }
}

void store_as(DType store, const float* x, int64_t count, std::byte* to) {
  auto* half = reinterpret_cast<uint16_t*>(to);
  switch (store) {
    case DType::kF16:
      for (int64_t j = 0; j < count; ++j) half[j] = f32_to_f16(x[j]);
      return;
    case DType::kBF16:
      for (int64_t j = 0; j < count; ++j) half[j] = f32_to_bf16(x[j]);
      return;
    default:
      std::memcpy(to, x, static_cast<size_t>(count) * sizeof(float));
  }
}

}  // namespace

void CpuBackend::edit(const EditArgs& args) {
  for_each_row(threads_, args.x, args.where, [&](int64_t i, float* row) {
    const int64_t limit = args.limits.empty() ? kNoLimit : args.limits[static_cast<size_t>(i)];
    const int64_t start = args.starts.empty() ? 0 : args.starts[static_cast<size_t>(i)];
    edit_row(args, row, args.operand.rows > 1 ? args.operand.row(i) : args.operand.f32(), limit,
             start);
  });
}

void CpuBackend::gather(Mat x, const Selection& where, DType store, std::byte* destination) {
  const size_t size = dtype_size(store);
  const int64_t width = where.width();
  for_each_row(threads_, x, where, [&](int64_t i, float* row) {
    for_each_range(row, where.cols, [&](const float* from, int64_t at, int64_t count) {
      store_as(store, from, count, destination + static_cast<size_t>(i * width + at) * size);
    });
  });
}

void CpuBackend::scatter(const float* source, const Selection& where, Mat x) {
  const int64_t width = where.width();
  for_each_row(threads_, x, where, [&](int64_t i, float* row) {
    for_each_range(row, where.cols, [&](float* to, int64_t at, int64_t count) {
      std::memcpy(to, source + i * width + at, static_cast<size_t>(count) * sizeof(float));
    });
  });
}

}  // namespace vitrine::internal
