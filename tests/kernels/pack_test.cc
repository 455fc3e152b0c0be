// SPDX-License-Identifier: MIT
#include <algorithm>

#include "base/float_bits.h"
#include "tests/kernels/harness.h"

namespace vitrine::testing {
using namespace internal;
namespace {

class PackTest : public KernelTest {};

// What a packed matrix holds, read back through lookup: column o as it is stored.
std::vector<float> column(Backend& backend, const PackedMatrix& packed, int32_t o) {
  const Matrix out(backend, 1, packed.in);
  const PlacedBatch placed(backend, {{0, 1, 0, 0, 1, 0}}, {o}, {0});
  backend.lookup(placed.batch(), Lookup::kTokens, packed, out);
  EXPECT_TRUE(out.untouched_outside());
  return out.values();
}

float round_to(float value, DType dtype) {
  if (dtype == DType::kF16) return f16_to_f32(f32_to_f16(value));
  return dtype == DType::kBF16 ? bf16_to_f32(f32_to_bf16(value)) : value;
}

TEST_P(PackTest, KeepsEveryElementInAnyOrderAndType) {
  for (const auto& [in, out] : {std::pair<int64_t, int64_t>{1, 1},
                                {7, 15},
                                {16, 16},
                                {17, 33},
                                {65, 130},
                                {300, 49},
                                {130, 600}}) {
    for (DType from : kWeightTypes) {
      for (DType to : kWeightTypes) {
        for (Order order : {Order::kInOut, Order::kOutIn}) {
          SCOPED_TRACE(::testing::Message() << in << " x " << out << " " << dtype_name(from)
                                            << " to " << dtype_name(to));
          std::vector<float> values = normal(random, in * out, 0.02f);
          for (size_t i = 0; i < values.size(); i += 5) values[i] *= 1e-4f;  // subnormal in f16
          const std::vector<std::byte> host = encode(values, from);
          const std::vector<float> exact = decode(host, from);
          const int64_t in_stride = order == Order::kInOut ? out : 1,
                        out_stride = order == Order::kInOut ? 1 : in;
          const Buffer buffer = backend->allocate(backend->packed_bytes(in, out, to));
          const PackedMatrix packed =
              backend->pack({host.data(), from, in, out, in_stride, out_stride}, to, buffer.data());
          for (int64_t o = 0; o < out; o += 1 + out / 20) {
            std::vector<float> want;
            for (int64_t i = 0; i < in; ++i)
              want.push_back(
                  round_to(exact[static_cast<size_t>(i * in_stride + o * out_stride)], to));
            ASSERT_TRUE(same_bits(column(*backend, packed, static_cast<int32_t>(o)), want))
                << "output " << o;
          }
        }
      }
    }
  }
}

TEST_P(PackTest, TakesAnyStrides) {  // of one matrix's columns, for instance, read backwards
  const int64_t in = 21, out = 18;
  const std::vector<float> values = normal(random, 1500);
  for (const auto& [in_stride, out_stride] :
       {std::pair<int64_t, int64_t>{64, -3}, {-64, 3}, {-3, -64}, {2, 70}, {-70, -2}, {0, 5}}) {
    const int64_t first = (in_stride < 0 ? -in_stride * (in - 1) : 0) +
                          (out_stride < 0 ? -out_stride * (out - 1) : 0);
    const Buffer buffer = backend->allocate(backend->packed_bytes(in, out, DType::kF32));
    const HostWeight source{values.data() + first, DType::kF32, in, out, in_stride, out_stride};
    const PackedMatrix packed = backend->pack(source, DType::kF32, buffer.data());
    for (int32_t o = 0; o < out; ++o) {
      std::vector<float> want;
      for (int64_t i = 0; i < in; ++i)
        want.push_back(values[static_cast<size_t>(first + i * in_stride + out_stride * o)]);
      EXPECT_TRUE(same_bits(column(*backend, packed, o), want))
          << o << " of strides " << in_stride << ", " << out_stride;
    }
  }
}

TEST_P(PackTest, ReadsFromAnyAddress) {
  const int64_t in = 35, out = 34;
  for (const DType from : kWeightTypes) {
    const std::vector<std::byte> plain = encode(normal(random, in * out), from);
    const std::vector<float> exact = decode(plain, from);
    std::vector<std::byte> shifted(plain.size() + 1);
    std::copy(plain.begin(), plain.end(), shifted.begin() + 1);
    for (const bool by_input : {false, true}) {
      const HostWeight weight{shifted.data() + 1, from, in, out, by_input ? 1 : out,
                              by_input ? in : 1};
      const Buffer buffer = backend->allocate(backend->packed_bytes(in, out, DType::kF32));
      const PackedMatrix packed = backend->pack(weight, DType::kF32, buffer.data());
      for (const int32_t o : {0, 15, 16, 33}) {
        std::vector<float> want;
        for (int64_t i = 0; i < in; ++i)
          want.push_back(exact[static_cast<size_t>(i * weight.in_stride + o * weight.out_stride)]);
        EXPECT_TRUE(same_bits(column(*backend, packed, o), want)) << dtype_name(from) << ", " << o;
      }
    }
  }
}

TEST_P(PackTest, TakesMoreThanIsUploadedAtOnce) {
  const int64_t in = slow_build() ? 700 : 2100, out = 2500;  // 20 MB
  const std::vector<float> values = normal(random, in * out);
  for (const auto& [in_stride, out_stride] :
       {std::pair<int64_t, int64_t>{out, 1}, {1, in}, {-out, -1}}) {
    const float* first = in_stride < 0 ? &values.back() : values.data();
    const Buffer buffer = backend->allocate(backend->packed_bytes(in, out, DType::kBF16));
    const PackedMatrix packed = backend->pack({first, DType::kF32, in, out, in_stride, out_stride},
                                              DType::kBF16, buffer.data());
    for (int32_t o = 0; o < out; o += 357) {
      std::vector<float> want;
      for (int64_t i = 0; i < in; ++i)
        want.push_back(round_to(first[i * in_stride + o * out_stride], DType::kBF16));
      EXPECT_TRUE(same_bits(column(*backend, packed, o), want)) << o;
    }
  }
}

TEST_P(PackTest, RowsOfADeviceEndInZeros) {
  if (!GetParam().on_device) GTEST_SKIP() << "the CPU's panels have no rows";
  for (DType dtype : kWeightTypes) {
    const Weight weight = make_weight(*backend, random, 17, 5, dtype);
    std::vector<std::byte> host(weight.buffer.bytes());
    backend->download(host.data(), weight.buffer.data(), host.size());
    const auto stride = static_cast<size_t>(weight.packed.panel_stride);
    EXPECT_EQ(stride % 64, 0u);
    for (size_t i = 0; i < 5 * stride; ++i) {
      if (i % stride < 17 * dtype_size(dtype)) continue;
      EXPECT_EQ(host[i], std::byte{0}) << dtype_name(dtype) << ", byte " << i;
    }
  }
}

TEST_P(PackTest, EmbedAddsTokenAndPosition) {
  for (const auto& [dtype, width] : {std::pair<DType, int64_t>{DType::kF32, 77},
                                     {DType::kF16, 77},
                                     {DType::kBF16, 77},
                                     {DType::kF32, 80},
                                     {DType::kF16, 80},
                                     {DType::kBF16, 2080}}) {
    const Weight tokens = make_weight(*backend, random, width, 100, dtype, Order::kOutIn);
    const Weight positions = make_weight(*backend, random, width, 40, dtype, Order::kOutIn);
    const std::vector<int32_t> ids = {3, 99, 0, 3, 16}, places = {0, 1, 39, 3, 15};
    const Matrix out(*backend, 5, width, width + width % 8), token(*backend, 5, width),
        position(*backend, 5, width), sum(*backend, 5, width);
    const PlacedBatch placed(*backend, {{0, 5, 0, 0, 5, 0}}, ids, places);
    backend->embed(placed.batch(), tokens.packed, positions.packed, out);
    std::vector<float> want;
    for (size_t r = 0; r < ids.size(); ++r) {
      for (int64_t d = 0; d < width; ++d) {
        want.push_back(
            static_cast<float>(tokens.values[static_cast<size_t>(d * 100 + ids[r])]) +
            static_cast<float>(positions.values[static_cast<size_t>(d * 40 + places[r])]));
      }
    }
    EXPECT_TRUE(same_bits(out.values(), want)) << dtype_name(dtype);
    EXPECT_TRUE(out.untouched_outside());
    backend->lookup(placed.batch(), Lookup::kTokens, tokens.packed, token);
    backend->lookup(placed.batch(), Lookup::kPositions, positions.packed, position);
    backend->add(token, position, sum);
    EXPECT_TRUE(same_bits(sum.values(), want)) << dtype_name(dtype);
  }
}

VITRINE_FOR_EACH_BACKEND(PackTest);

}  // namespace
}  // namespace vitrine::testing
