#include "base/float_bits.h"
#include "tests/kernels/harness.h"

namespace vitrine::testing {
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

  // The matrix after f(value, i, j) on every selected element, i-th selected row, j-th selected column.
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

  std::vector<float> apply(const std::vector<float>& x, EditKind kind, float factor, Mat operand) {
    const Matrix at(*backend, x, kRows, kCols, kCols + 3);
    EditArgs args;
    args.x = at;
    args.where = where_;
    args.kind = kind;
    args.factor = factor;
    args.operand = operand;
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
  const std::vector<float> x = normal(random, kRows * kCols);
  const size_t width = cols_.size();
  for (int64_t operand_rows : {int64_t{1}, static_cast<int64_t>(rows_.size())}) {
    const std::vector<float> operand = normal(random, operand_rows * static_cast<int64_t>(width));
    const Matrix at(*backend, operand, operand_rows, static_cast<int64_t>(width), static_cast<int64_t>(width) + 1);
    const auto o = [&](size_t i, size_t j) { return operand[(operand_rows > 1 ? i : 0) * width + j]; };
    EXPECT_TRUE(
        same_bits(apply(x, EditKind::kAdd, 0, at), edited(x, [&](float v, size_t i, size_t j) { return v + o(i, j); })));
    EXPECT_TRUE(same_bits(apply(x, EditKind::kReplace, 0, at), edited(x, [&](float, size_t i, size_t j) { return o(i, j); })));
  }
  EXPECT_TRUE(same_bits(apply(x, EditKind::kScale, -0.3f, {}), edited(x, [](float v, size_t, size_t) { return v * -0.3f; })));
}

TEST_P(HooksTest, ProjectionLeavesNothingAlongTheVector) {
  const std::vector<float> x = normal(random, kRows * kCols);
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
      tolerance[i] = tolerance::kEdit(1, std::abs(want[i]) + std::abs(dot * unit[j]));
    }
  }
  EXPECT_TRUE(near(apply(x, EditKind::kProject, 0, at), want, tolerance));
}

TEST_P(HooksTest, GatherRoundsAndScatterIsItsInverse) {
  const std::vector<float> x = normal(random, kRows * kCols, 100.0f);
  const Matrix at(*backend, x, kRows, kCols, kCols + 2);
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
    EXPECT_EQ(std::vector<std::byte>(got.begin(), got.begin() + static_cast<std::ptrdiff_t>(bytes)), encode(selected, dtype))
        << dtype_name(dtype);
    EXPECT_EQ(got[bytes], std::byte{0xa5});
  }
  const std::vector<float> fresh = normal(random, static_cast<int64_t>(selected.size()));
  const Matrix source(*backend, fresh, 1, static_cast<int64_t>(fresh.size()));
  backend->scatter(source.data(), where_, at);
  EXPECT_TRUE(same_bits(at.values(), edited(x, [&](float, size_t i, size_t j) { return fresh[i * cols_.size() + j]; })));
  EXPECT_TRUE(at.untouched_outside());
}

VITRINE_FOR_EACH_BACKEND(HooksTest);

}  // namespace
}  // namespace vitrine::testing
