// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/kernels/harness.h"

namespace vitrine::testing {
using namespace internal;
namespace {

/// Float64 numbers in a backend's memory, followed by a guard zone that must not be written.
class Doubles {
 public:
  Doubles(Backend& backend, std::vector<double> values) : backend_(backend), count_(values.size()) {
    values.resize(count_ + kZone, kMark);
    buffer_ = backend.allocate(values.size() * sizeof(double));
    backend.upload(buffer_.data(), values.data(), values.size() * sizeof(double));
  }
  double* data() const { return reinterpret_cast<double*>(buffer_.data()); }
  std::vector<double> values() const {
    std::vector<double> all(count_ + kZone);
    backend_.download(all.data(), buffer_.data(), all.size() * sizeof(double));
    EXPECT_TRUE(std::all_of(all.begin() + static_cast<std::ptrdiff_t>(count_), all.end(),
                            [](double x) { return x == kMark; }));
    all.resize(count_);
    return all;
  }

 private:
  static constexpr size_t kZone = 16;
  static constexpr double kMark = -7.25;
  Backend& backend_;
  Buffer buffer_;
  size_t count_;
};

struct Moments {
  std::vector<double> mean, products;
};

/// Two passes over all rows: the definition, in extended precision.
Moments two_passes(const std::vector<double>& x, int64_t width) {
  const auto w = static_cast<size_t>(width), rows = x.size() / w;
  Moments result{std::vector<double>(w), std::vector<double>(w * w)};
  std::vector<long double> mean(w);
  for (size_t j = 0; j < w; ++j) {
    for (size_t r = 0; r < rows; ++r) mean[j] += static_cast<long double>(x[r * w + j]);
    mean[j] /= static_cast<long double>(rows);
    result.mean[j] = static_cast<double>(mean[j]);
  }
  for (size_t i = 0; i < w; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      long double sum = 0;
      for (size_t r = 0; r < rows; ++r)
        sum += (static_cast<long double>(x[r * w + i]) - mean[i]) *
               (static_cast<long double>(x[r * w + j]) - mean[j]);
      result.products[i * w + j] = static_cast<double>(sum);
    }
  }
  return result;
}

class MomentsTest : public KernelTest {
 protected:
  /// Rows of columns with means up to 100 and deviations of 0.5 to 2, a column's deviation sharing
  /// half of its neighbour's.
  std::vector<double> rows_of(int64_t rows, int64_t width) {
    std::vector<double> x;
    for (int64_t r = 0; r < rows; ++r) {
      double before = 0;
      for (int64_t j = 0; j < width; ++j) {
        before = 0.5 * before + normal_(random) * (0.5 + static_cast<double>(j % 4) / 2);
        x.push_back(before + static_cast<double>(j % 7) * 100.0 / 6);
      }
    }
    return x;
  }

  Moments joined(Backend& on, const std::vector<double>& x, int64_t width,
                 const std::vector<int64_t>& blocks) {
    const auto w = static_cast<size_t>(width);
    const Doubles rows(on, x), mean(on, std::vector<double>(w)),
        products(on, std::vector<double>(w * w));
    double weight = 0;
    for (const int64_t block : blocks) {
      on.join_moments({.x = rows.data() + static_cast<int64_t>(weight) * width,
                       .rows = block,
                       .width = width,
                       .weight = weight,
                       .mean = mean.data(),
                       .products = products.data()});
      weight += static_cast<double>(block);
    }
    on.synchronize();
    return {mean.values(), products.values()};
  }

  std::normal_distribution<double> normal_;
};

// Rounding of float64 sums of at most 300 terms, relative to the product of two columns'
// deviations: 300 * 2^-53 is 3e-14.
constexpr double kTolerance = 1e-12;

TEST_P(MomentsTest, AreThoseOfTwoPasses) {
  for (const int64_t width : {1, 3, 8, 67, 130}) {
    SCOPED_TRACE(::testing::Message() << "width " << width);
    const auto w = static_cast<size_t>(width);
    const std::vector<double> x = rows_of(101, width);
    const Moments want = two_passes(x, width), got = joined(*backend, x, width, {1, 64, 0, 17, 19});
    for (size_t i = 0; i < w; ++i) {
      EXPECT_NEAR(got.mean[i], want.mean[i], kTolerance * 100);
      for (size_t j = 0; j < w; ++j) {
        if (j > i) {
          EXPECT_EQ(got.products[i * w + j], 0) << "above the diagonal";
          continue;
        }
        const double size = std::sqrt(want.products[i * w + i] * want.products[j * w + j]);
        ASSERT_NEAR(got.products[i * w + j], want.products[i * w + j], kTolerance * size)
            << i << ", " << j;
      }
    }
  }
}

// The sum over rows has one order, regardless of which thread computes which square.
TEST_P(MomentsTest, ThreadsDoNotShow) {
  const std::vector<double> x = rows_of(40, 130);
  const Moments want = joined(*backend, x, 130, {33, 7});
  for (const int threads : {1, 3}) {
    const Moments got = joined(*with_threads(threads), x, 130, {33, 7});
    EXPECT_EQ(got.mean, want.mean);
    EXPECT_EQ(got.products, want.products);
  }
}

TEST_P(MomentsTest, WidenedRowsAreExact) {
  constexpr int64_t kRows = 3, kCols = 13;
  const std::vector<float> values = normal(random, kRows * kCols);
  std::vector<double> origin(kCols);
  for (size_t j = 0; j < origin.size(); ++j) origin[j] = 1e3 / static_cast<double>(j + 1);
  for (const DType dtype : kWeightTypes) {
    const std::vector<float> held = rounded(values, dtype);
    for (const int64_t padding : {0, 3}) {
      const Matrix x(*backend, held, kRows, kCols, kCols + padding, dtype);
      const Doubles from(*backend, origin), plain(*backend, std::vector<double>(kRows * kCols)),
          relative(*backend, std::vector<double>(kRows * kCols)), spoiled(*backend, {0.0});
      backend->widen(x, nullptr, plain.data(), reinterpret_cast<int32_t*>(spoiled.data()));
      backend->widen(x, from.data(), relative.data(), reinterpret_cast<int32_t*>(spoiled.data()));
      backend->synchronize();
      for (size_t i = 0; i < held.size(); ++i) {
        EXPECT_EQ(plain.values()[i], static_cast<double>(held[i]));
        EXPECT_EQ(relative.values()[i], static_cast<double>(held[i]) - origin[i % kCols]);
      }
      EXPECT_EQ(spoiled.values()[0], 0.0);
    }
  }
}

TEST_P(MomentsTest, SpoiledRowsAreTold) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    for (const size_t at : {size_t{0}, size_t{9}}) {
      std::vector<float> values(10, 1.0f);
      values[at] = bad;
      const Matrix x(*backend, values, 2, 5), fine(*backend, std::vector<float>(10, 2.0f), 2, 5);
      const Doubles out(*backend, std::vector<double>(10)), flag(*backend, {0.0});
      auto* spoiled = reinterpret_cast<int32_t*>(flag.data());
      int32_t told = 0;
      backend->widen(x, nullptr, out.data(), spoiled);
      backend->widen(fine, nullptr, out.data(), spoiled);  // which does not take it back
      backend->download(&told, spoiled, sizeof(told));
      EXPECT_EQ(told, 1) << bad << " at " << at;
    }
  }
}

VITRINE_FOR_EACH_BACKEND(MomentsTest);

}  // namespace
}  // namespace vitrine::testing
