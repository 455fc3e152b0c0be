// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>

#include "base/float_bits.h"
#include "tests/kernels/harness.h"
#include "tests/support.h"

// How weights become whole numbers with a scale for each output. What is computed with them is in
// the tests of the operations.

namespace vitrine::testing {
using namespace internal;
namespace {

class Int8Test : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (GetParam().on_device) GTEST_SKIP() << "a device stores no whole numbers";
  }

  /// Packed from float32 weights [in, out].
  PackedMatrix pack(const std::vector<float>& values, int64_t in, int64_t out) {
    buffer_ = backend->allocate(backend->packed_bytes(in, out, DType::kI8));
    return backend->pack({values.data(), DType::kF32, in, out, out, 1}, DType::kI8, buffer_.data());
  }

  /// The weights of output `o`, as an embedding's row is read.
  std::vector<float> column(const PackedMatrix& packed, int32_t o) const {
    const Matrix out(*backend, 1, packed.in);
    const PlacedBatch placed(*backend, {{0, 1, 0, 0, 1, 0}}, {o}, {0});
    backend->lookup(placed.batch(), Lookup::kTokens, packed, out);
    EXPECT_TRUE(out.untouched_outside());
    return out.values();
  }

 private:
  Buffer buffer_;
};

// Worked by hand: the largest size of each output is 127 times a power of two, so every quotient is
// exact.
TEST_P(Int8Test, RoundsToTheNearestAndToEvenAtTies) {
  const std::vector<float> weights = {127.0f,      0.5f,     1.5f,   2.5f,   -0.5f,
                                      -1.5f,       -2.5f,    126.5f, 125.5f, 0.49999997f,
                                      0.50000006f, -126.75f, 0.0f};
  const std::vector<float> rounded = {127, 0, 2, 2, 0, -2, -2, 126, 126, 0, 1, -127, 0};
  const auto in = static_cast<int64_t>(weights.size());
  const float units[] = {1.0f, -1.0f, 0x1p-20f, 0x1p-119f, 0x1p118f};  // of the outputs
  constexpr int64_t kOut = 37;
  std::vector<float> values(static_cast<size_t>(in * kOut));
  for (size_t i = 0; i < values.size(); ++i) values[i] = weights[i / kOut] * units[i % kOut % 5];
  const PackedMatrix packed = pack(values, in, kOut);
  for (int32_t o = 0; o < kOut; ++o) {
    std::vector<float> want;
    for (float number : rounded) want.push_back(number * units[o % 5]);
    const std::vector<float> got = column(packed, o);
    for (size_t i = 0; i < want.size(); ++i)
      EXPECT_EQ(got[i], want[i]) << "weight " << i << " of output " << o;  // 0 is -0 here
    EXPECT_EQ(packed.scales[o], std::abs(units[o % 5]));
  }
  for (int64_t o = kOut; o < 48; ++o) EXPECT_EQ(packed.scales[o], 0.0f) << "after the last output";
}

TEST_P(Int8Test, HoldsWhatAPlainLoopHoldsFromAnyTypeAndOrder) {
  for (const auto& [in, out] : {std::pair<int64_t, int64_t>{1, 1},
                                {7, 15},
                                {16, 16},
                                {17, 33},
                                {65, 130},
                                {300, 49},
                                {130, 200}}) {
    for (DType from : kWeightTypes) {
      for (const bool by_outputs : {false, true}) {
        SCOPED_TRACE(::testing::Message() << in << " x " << out << " of " << dtype_name(from)
                                          << (by_outputs ? ", by outputs" : ""));
        const std::vector<std::byte> host = encode(normal(random, in * out, 0.02f), from);
        const std::vector<float> exact = decode(host, from);
        const int64_t in_stride = by_outputs ? 1 : out, out_stride = by_outputs ? in : 1;
        const Buffer buffer = backend->allocate(backend->packed_bytes(in, out, DType::kI8));
        const PackedMatrix packed = backend->pack(
            {host.data(), from, in, out, in_stride, out_stride}, DType::kI8, buffer.data());
        for (int64_t o = 0; o < out; o += 1 + out / 20) {
          std::vector<float> weights, want;
          for (int64_t i = 0; i < in; ++i)
            weights.push_back(exact[static_cast<size_t>(i * in_stride + o * out_stride)]);
          const Quantised plain = quantised(weights);
          for (int number : plain.numbers) want.push_back(static_cast<float>(number) * plain.scale);
          ASSERT_EQ(packed.scales[o], plain.scale) << "output " << o;
          ASSERT_EQ(column(packed, static_cast<int32_t>(o)), want) << "output " << o;
        }
      }
    }
  }
}

TEST_P(Int8Test, TakesAnyStrides) {
  const int64_t in = 21, out = 18;
  const std::vector<float> values = normal(random, 1500);
  for (const auto& [in_stride, out_stride] :
       {std::pair<int64_t, int64_t>{64, -3}, {-64, 3}, {-3, -64}, {2, 70}, {-1, -21}, {1, -30}}) {
    const int64_t first = (in_stride < 0 ? -in_stride * (in - 1) : 0) +
                          (out_stride < 0 ? -out_stride * (out - 1) : 0);
    const Buffer buffer = backend->allocate(backend->packed_bytes(in, out, DType::kI8));
    const PackedMatrix packed =
        backend->pack({values.data() + first, DType::kF32, in, out, in_stride, out_stride},
                      DType::kI8, buffer.data());
    for (int32_t o = 0; o < out; ++o) {
      std::vector<float> weights, want;
      for (int64_t i = 0; i < in; ++i)
        weights.push_back(values[static_cast<size_t>(first + i * in_stride + out_stride * o)]);
      const Quantised plain = quantised(weights);
      for (int number : plain.numbers) want.push_back(static_cast<float>(number) * plain.scale);
      EXPECT_EQ(column(packed, o), want) << o << " of strides " << in_stride << ", " << out_stride;
    }
  }
}

// Zeros, sizes without a normal scale, the largest there are, a NaN, an infinity: each its own
// output's affair.
TEST_P(Int8Test, SaysWhatItCannotHold) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity(),
                  kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr int64_t kIn = 20, kOut = 24;
  std::vector<float> values = normal(random, kIn * kOut);
  const auto at = [&](int64_t i, int64_t o) -> float& {
    return values[static_cast<size_t>(i * kOut + o)];
  };
  for (int64_t i = 0; i < kIn; ++i) {
    at(i, 1) = i % 2 == 0 ? 0.0f : -0.0f;
    at(i, 3) = static_cast<float>(i) * 1e-39f;
    at(i, 17) = (i % 2 == 0 ? 3e38f : -1e38f);
  }
  at(4, 5) = kNan, at(19, 7) = -kInfinity, at(0, 20) = kInfinity;
  const PackedMatrix packed = pack(values, kIn, kOut);
  const Matrix ones(*backend, std::vector<float>(kIn, 1e-3f), 1, kIn), product(*backend, 1, kOut);
  LinearArgs args;
  args.x = ones;
  args.weight = &packed;
  args.out = product;
  backend->linear(args);
  const std::vector<float> y = product.values();
  for (int32_t o = 0; o < kOut; ++o) {
    const std::vector<float> got = column(packed, o);
    for (int64_t i = 0; i < kIn; ++i) {
      const float value = got[static_cast<size_t>(i)], want = at(i, o);
      if (o == 5 || o == 7 || o == 20) {
        EXPECT_TRUE(std::isnan(value)) << i << ", " << o;
      } else if (o == 1 || o == 3) {
        EXPECT_EQ(value, 0.0f) << i << ", " << o;
      } else {  // half a step, and a little for the rounding of quotient and product
        EXPECT_LE(std::abs(static_cast<double>(value) - want), 0.5001 * packed.scales[o])
            << i << ", " << o;
      }
    }
    EXPECT_EQ(std::isnan(y[static_cast<size_t>(o)]), o == 5 || o == 7 || o == 20) << o;
  }
}

TEST_P(Int8Test, EmbedAddsTokensAndFloat32Positions) {
  for (const int64_t width : {77, 80}) {
    const Weight tokens = make_weight(*backend, random, width, 100, DType::kI8, Order::kOutIn);
    const Weight positions = make_weight(*backend, random, width, 40, DType::kF32, Order::kOutIn);
    const std::vector<int32_t> ids = {3, 99, 0, 3, 16}, places = {0, 1, 39, 3, 15};
    const Matrix out(*backend, 5, width, width + 3);
    const PlacedBatch placed(*backend, {{0, 5, 0, 0, 5, 0}}, ids, places);
    backend->embed(placed.batch(), tokens.packed, positions.packed, out);
    std::vector<float> want;
    for (size_t r = 0; r < ids.size(); ++r) {
      for (int64_t d = 0; d < width;
           ++d) {  // the product of number and scale is rounded, then the sum
        want.push_back(
            static_cast<float>(tokens.values[static_cast<size_t>(d * 100 + ids[r])]) +
            static_cast<float>(positions.values[static_cast<size_t>(d * 40 + places[r])]));
      }
    }
    EXPECT_EQ(out.values(), want);
    EXPECT_TRUE(out.untouched_outside());
  }
}

VITRINE_FOR_EACH_BACKEND(Int8Test);

class Int8OnADeviceTest : public KernelTest {};

TEST_P(Int8OnADeviceTest, IsRefused) {
  if (!GetParam().on_device) GTEST_SKIP() << "the CPU stores it";
  EXPECT_USER_ERROR(backend->packed_bytes(4, 4, DType::kI8), "int8", "CPU", "bf16");
}

VITRINE_FOR_EACH_BACKEND(Int8OnADeviceTest);

}  // namespace
}  // namespace vitrine::testing
