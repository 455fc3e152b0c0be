// SPDX-License-Identifier: MIT
#include "base/float_bits.h"
#include "tests/kernels/harness.h"

namespace vitrine::testing {
using namespace internal;
namespace {

class HooksTest : public KernelTest {
 protected:
  static constexpr int64_t kRows = 9, kCols = 70;

  HooksTest() {
    where_.rows = rows_;
    where_.cols = ranges_;
    for (Selection::Range range : ranges_) {
      for (int64_t j = 0; j < range.count; ++j) cols_.push_back(range.begin + j);
    }
  }

  // The matrix after f(value, i, j) on every selected element, i-th selected row, j-th selected
  // column.
  template <typename F>
  std::vector<float> edited(std::vector<float> x, const F& f) const {
    for (size_t i = 0; i < rows_.size(); ++i) {
      for (size_t j = 0; j < cols_.size(); ++j) {
        float& value = x[static_cast<size_t>(rows_[i] * kCols + cols_[j])];
        value = f(value, i, j);
      }
    }
    return x;
  }

  std::vector<float> apply(const std::vector<float>& x, EditKind kind, float factor, Mat operand,
                           DType dtype = DType::kF32, int64_t padding = 3,
                           std::span<const int64_t> limits = {}) {
    const Matrix at(*backend, x, kRows, kCols, kCols + padding, dtype);
    EditArgs args;
    args.x = at;
    args.where = where_;
    args.kind = kind;
    args.factor = factor;
    args.operand = operand;
    args.limits = limits;
    backend->edit(args);
    EXPECT_TRUE(at.untouched_outside());
    return at.values();
  }

  std::vector<int64_t> rows_ = {0, 3, 4, 8};
  std::vector<Selection::Range> ranges_ = {{0, 1}, {5, 20}, {60, 10}};
  std::vector<int64_t> cols_;
  Selection where_;
};

TEST_P(HooksTest, EditsTouchTheSelectionOnly) {
  for (DType dtype : GetParam().activation_types()) {
    for (int64_t padding : {2, 3}) {  // rows that are aligned, rows that are not
      SCOPED_TRACE(::testing::Message() << dtype_name(dtype) << ", padding " << padding);
      const std::vector<float> x = rounded(normal(random, kRows * kCols), dtype);
      const size_t width = cols_.size();
      const auto expect = [&](EditKind kind, float factor, Mat operand, const auto& f) {
        EXPECT_TRUE(same_bits(apply(x, kind, factor, operand, dtype, padding),
                              rounded(edited(x, f), dtype)));
      };
      for (int64_t operand_rows : {int64_t{1}, static_cast<int64_t>(rows_.size())}) {
        const std::vector<float> operand =
            normal(random, operand_rows * static_cast<int64_t>(width));
        const Matrix at(*backend, operand, operand_rows, static_cast<int64_t>(width),
                        static_cast<int64_t>(width) + padding - 1);
        const auto o = [&](size_t i, size_t j) {
          return operand[(operand_rows > 1 ? i : 0) * width + j];
        };
        expect(EditKind::kAdd, 0, at, [&](float v, size_t i, size_t j) { return v + o(i, j); });
        expect(EditKind::kReplace, 0, at, [&](float, size_t i, size_t j) { return o(i, j); });
      }
      expect(EditKind::kScale, -0.3f, {}, [](float v, size_t, size_t) { return v * -0.3f; });
    }
  }
}

TEST_P(HooksTest, ColumnsAtAndBeyondARowsLimitStay) {
  const auto width = static_cast<int64_t>(cols_.size());
  const std::vector<float> x = normal(random, kRows * kCols),
                           operand = normal(random, width * static_cast<int64_t>(rows_.size()));
  const Matrix at(*backend, operand, static_cast<int64_t>(rows_.size()), width);
  // None, within the first range, at the ends of ranges, one less than all, all, more than there
  // are; evenly spaced and not.
  for (const std::vector<int64_t>& limits : {std::vector<int64_t>{0, 1, 6, 21},
                                             {21, 30, width, width + 5},
                                             {4, 5, 6, 7},
                                             {9, 9, 9, 9}}) {
    for (int64_t padding : {2, 3}) {
      const auto expect = [&](EditKind kind, const auto& f) {
        const std::vector<float> want = edited(x, [&](float v, size_t i, size_t j) {
          return static_cast<int64_t>(j) < limits[i]
                     ? f(v, operand[i * static_cast<size_t>(width) + j])
                     : v;
        });
        EXPECT_TRUE(same_bits(apply(x, kind, 2.0f, at, DType::kF32, padding, limits), want));
      };
      expect(EditKind::kAdd, [](float v, float o) { return v + o; });
      expect(EditKind::kReplace, [](float, float o) { return o; });
      expect(EditKind::kScale, [](float v, float) { return v * 2.0f; });
    }
  }
}

TEST_P(HooksTest, ProjectionLeavesNothingAlongTheVector) {
  for (DType dtype : GetParam().activation_types()) {
    SCOPED_TRACE(dtype_name(dtype));
    const std::vector<float> x = rounded(normal(random, kRows * kCols), dtype);
    std::vector<float> unit = normal(random, static_cast<int64_t>(cols_.size()));
    double norm = 0.0;
    for (float u : unit) norm += static_cast<double>(u) * u;
    for (float& u : unit) u = static_cast<float>(u / std::sqrt(norm));
    const Matrix at(*backend, unit, 1, static_cast<int64_t>(unit.size()));
    Vec want = reference::widen(x), tolerance(x.size(), 0.0);
    for (int64_t r : rows_) {
      double dot = 0.0;
      for (size_t j = 0; j < cols_.size(); ++j)
        dot += static_cast<double>(x[static_cast<size_t>(r * kCols + cols_[j])]) * unit[j];
      for (size_t j = 0; j < cols_.size(); ++j) {
        const auto i = static_cast<size_t>(r * kCols + cols_[j]);
        want[i] -= dot * unit[j];
        tolerance[i] = tolerance::kEdit(1, std::abs(want[i]) + std::abs(dot * unit[j])) +
                       rounding(dtype) * std::abs(want[i]);
      }
    }
    EXPECT_TRUE(near(apply(x, EditKind::kProject, 0, at, dtype), want, tolerance));
  }
}

// More than a block of threads holds, so that each thread has several parts of the sum; alone and
// among others.
TEST_P(HooksTest, ProjectionOfWideRows) {
  const int64_t rows = 3, width = 2503;
  const std::vector<float> x = normal(random, rows * width),
                           unit =
                               normal(random, width, 1.0f / std::sqrt(static_cast<float>(width)));
  const Matrix u(*backend, unit, 1, width), together(*backend, x, rows, width),
      alone(*backend, x, rows, width);
  const Selection::Range all{0, width};
  const std::vector<int64_t> every = {0, 1, 2};
  const auto project = [&](Mat at, std::span<const int64_t> which) {
    EditArgs args;
    args.x = at;
    args.where = {which, {&all, 1}};
    args.kind = EditKind::kProject;
    args.operand = u;
    backend->edit(args);
  };
  project(together, every);
  for (const int64_t& row : every) project(alone, {&row, 1});
  Vec want = reference::widen(x), tolerance(x.size());
  for (int64_t r = 0; r < rows; ++r) {
    double dot = 0.0;
    for (int64_t j = 0; j < width; ++j) {
      dot +=
          static_cast<double>(x[static_cast<size_t>(r * width + j)]) * unit[static_cast<size_t>(j)];
    }
    for (int64_t j = 0; j < width; ++j) {
      const auto i = static_cast<size_t>(r * width + j);
      const double part = dot * unit[static_cast<size_t>(j)];
      want[i] -= part;
      tolerance[i] = tolerance::kEdit(1, std::abs(want[i]) + std::abs(part));
    }
  }
  EXPECT_TRUE(near(together.values(), want, tolerance));
  EXPECT_TRUE(same_bits(alone.values(), together.values()));
}

TEST_P(HooksTest, GatherRoundsAndScatterIsItsInverse) {
  for (DType from : GetParam().activation_types()) {
    for (int64_t padding : {2, 3}) {
      const std::vector<float> x = rounded(normal(random, kRows * kCols, 100.0f), from);
      const Matrix at(*backend, x, kRows, kCols, kCols + padding, from);
      std::vector<float> selected;
      for (int64_t r : rows_) {
        for (int64_t c : cols_) selected.push_back(x[static_cast<size_t>(r * kCols + c)]);
      }
      for (DType dtype : kWeightTypes) {
        const size_t bytes = selected.size() * dtype_size(dtype);
        const Buffer packed = backend->allocate(bytes + 64);
        const std::vector<std::byte> marks(bytes + 64, std::byte{0xa5});
        backend->upload(packed.data(), marks.data(), marks.size());
        backend->gather(at, where_, dtype, packed.data());
        std::vector<std::byte> got(bytes + 64);
        backend->download(got.data(), packed.data(), got.size());
        EXPECT_EQ(
            std::vector<std::byte>(got.begin(), got.begin() + static_cast<std::ptrdiff_t>(bytes)),
            encode(selected, dtype))
            << dtype_name(from) << " to " << dtype_name(dtype);
        EXPECT_EQ(got[bytes], std::byte{0xa5});
      }
      const std::vector<float> fresh =
          rounded(normal(random, static_cast<int64_t>(selected.size())), from);
      const Matrix source(*backend, fresh, 1, static_cast<int64_t>(fresh.size()));
      backend->scatter(source.data(), where_, at);
      EXPECT_TRUE(same_bits(at.values(), edited(x, [&](float, size_t i, size_t j) {
                              return fresh[i * cols_.size() + j];
                            })));
      EXPECT_TRUE(at.untouched_outside());
    }
  }
}

TEST_P(HooksTest, GatherTakesF16sInfinityAndRoundsTiesToEven) {
  const std::vector<float> x = {65519.0f,        65520.0f, -1e9f,           1.0f + 0x1p-11f,
                                1.0f + 0x3p-11f, 0x1p-25f, 1.5f * 0x1p-24f, 0x1p-26f};
  const Matrix at(*backend, x, 1, 8);
  const int64_t row = 0;
  const Selection::Range all{0, 8};
  for (DType dtype : kWeightTypes) {
    const Buffer packed = backend->allocate(8 * dtype_size(dtype));
    backend->gather(at, {{&row, 1}, {&all, 1}}, dtype, packed.data());
    std::vector<std::byte> got(8 * dtype_size(dtype));
    backend->download(got.data(), packed.data(), got.size());
    EXPECT_EQ(got, encode(x, dtype)) << dtype_name(dtype);
  }
}

// More rows and column ranges than a kernel takes by value, at no even distance.
TEST_P(HooksTest, LongSelections) {
  const int64_t rows = 150, cols = 700;
  const std::vector<float> x = normal(random, rows * cols);
  std::vector<int64_t> chosen, limits;
  std::vector<Selection::Range> ranges;
  for (int64_t r = 0; r < rows; r += 1 + (r % 3 == 0)) chosen.push_back(r);
  for (int64_t c = 0; c + 3 < cols; c += 5 + c % 2) ranges.push_back({c, 1 + c % 4});
  const Selection where{chosen, ranges};
  for (size_t i = 0; i < chosen.size(); ++i) {
    limits.push_back(static_cast<int64_t>(random() % static_cast<uint32_t>(where.width() + 2)));
  }
  const Matrix at(*backend, x, rows, cols);
  std::vector<float> want = x, gathered;
  for (size_t i = 0; i < chosen.size(); ++i) {
    int64_t selected = 0;
    for (const Selection::Range& range : ranges) {
      for (int64_t c = range.begin; c < range.begin + range.count; ++c) {
        float& value = want[static_cast<size_t>(chosen[i] * cols + c)];
        if (selected++ < limits[i]) value *= 3.0f;
        gathered.push_back(value);
      }
    }
  }
  EditArgs args;
  args.x = at;
  args.where = where;
  args.kind = EditKind::kScale;
  args.factor = 3.0f;
  args.limits = limits;
  backend->edit(args);
  EXPECT_TRUE(same_bits(at.values(), want));
  const Matrix packed(*backend, static_cast<int64_t>(chosen.size()), where.width());
  backend->gather(at, where, DType::kF32, packed.mat().data);
  EXPECT_TRUE(same_bits(packed.values(), gathered));
  EXPECT_TRUE(packed.untouched_outside());
}

TEST_P(HooksTest, AShortSelectionCanBeRecorded) {
  if (!backend->records()) GTEST_SKIP() << "this backend records nothing";
  const std::vector<float> x = normal(random, kRows * kCols);
  const Matrix at(*backend, x, kRows, kCols);
  backend->begin_recording();
  {
    std::vector<int64_t> rows = rows_;  // gone before the work is done
    EditArgs args;
    args.x = at;
    args.where = {rows, ranges_};
    args.kind = EditKind::kScale;
    args.factor = 2.0f;
    backend->edit(args);
  }
  const auto recording = backend->end_recording();
  EXPECT_TRUE(same_bits(at.values(), x));
  recording->replay();
  recording->replay();
  EXPECT_TRUE(same_bits(at.values(), edited(x, [](float v, size_t, size_t) { return v * 4.0f; })));
}

VITRINE_FOR_EACH_BACKEND(HooksTest);

}  // namespace
}  // namespace vitrine::testing
