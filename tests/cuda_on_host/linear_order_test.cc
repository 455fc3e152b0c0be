// SPDX-License-Identifier: MIT
#include <bit>
#include <cstring>

#include "kernels/cuda/runtime/cuda_backend.h"
#include "tests/cuda_on_host/fused_sum.h"
#include "tests/kernels/linear_support.h"

// The order of summation of the linear operations, written down a second time: parts of 512 bytes
// of inputs, in each the instructions of 32 bytes one after the other, the parts' sums added from
// zero. Whichever kernel computes a row, on a GPU whose instructions sum 32 bytes at once, these
// are its bits.

namespace vitrine::testing {
namespace {

using cuda_on_host::Element;
using cuda_on_host::MmaKind;

constexpr size_t kInstruction = 32, kPart = 512;  // bytes of inputs

/// A row of an operand, as the instructions take it.
struct Row {
  std::vector<Element> high, low;  ///< `low` of float32 alone: what TF32 leaves out
};

Row row_of(const std::vector<float>& values, DType type) {
  const std::vector<std::byte> bytes = encode(values, type);
  const size_t size = dtype_size(type);
  Row row;
  for (size_t i = 0; i < values.size(); ++i) {
    uint32_t bits = 0;
    std::memcpy(&bits, bytes.data() + i * size, size);
    if (type == DType::kF32) {
      const uint32_t high = cuda_on_host::to_tf32(values[i]);
      row.high.push_back(element(MmaKind::kTf32, high));
      row.low.push_back(
          element(MmaKind::kTf32, cuda_on_host::to_tf32(values[i] - std::bit_cast<float>(high))));
    } else {
      row.high.push_back(element(type == DType::kF16 ? MmaKind::kF16 : MmaKind::kBf16, bits));
    }
  }
  return row;
}

float sum_in_order(const Row& left, const Row& right, DType type) {
  const MmaKind kind = type == DType::kF32   ? MmaKind::kTf32
                       : type == DType::kF16 ? MmaKind::kF16
                                             : MmaKind::kBf16;
  const size_t once = kInstruction / dtype_size(type), part = kPart / dtype_size(type);
  float total = 0.0f, sum = 0.0f;
  for (size_t k = 0; k < left.high.size(); k += once) {
    const size_t count = std::min(once, left.high.size() - k);
    const auto add = [&](const std::vector<Element>& a, const std::vector<Element>& b) {
      sum = fused_sum(cuda_on_host::kHopper, kind, std::span(a).subspan(k, count),
                      std::span(b).subspan(k, count), sum);
    };
    if (type == DType::kF32) {
      add(left.low, right.high);
      add(left.high, right.low);
    }
    add(left.high, right.high);
    if ((k + once) % part == 0 || k + once >= left.high.size()) {
      total += sum;
      sum = 0.0f;
    }
  }
  return total;
}

std::vector<float> row_at(const std::vector<float>& values, int64_t row, int64_t columns) {
  const auto begin = values.begin() + row * columns;
  return {begin, begin + columns};
}

/// x W by definition. Both operands lie along the inputs: x [rows, in], w [out, in].
std::vector<float> products(const std::vector<float>& x, const std::vector<float>& w, Size s,
                            DType type) {
  std::vector<Row> outputs;
  for (int64_t o = 0; o < s.out; ++o) outputs.push_back(row_of(row_at(w, o, s.in), type));
  std::vector<float> y;
  for (int64_t r = 0; r < s.rows; ++r) {
    const Row row = row_of(row_at(x, r, s.in), type);
    for (const Row& output : outputs) y.push_back(sum_in_order(row, output, type));
  }
  return y;
}

std::vector<float> transposed(const std::vector<float>& a, int64_t rows, int64_t columns) {
  std::vector<float> result(a.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c)
      result[static_cast<size_t>(c * rows + r)] = a[static_cast<size_t>(r * columns + c)];
  }
  return result;
}

class LinearOrderTest : public ::testing::TestWithParam<DType> {
 protected:
  /// Few rows, tiles by parts, small and large tiles; more parts of 16-bit inputs than one.
  static constexpr int64_t kRowCounts[] = {1, 8, 16, 17, 64, 65, 130};

  std::unique_ptr<Backend> backend = make_cuda_backend(
      cuda_on_host::make_device(cuda_on_host::LaneOrder::kAscending, {.capability = 90}),
      CudaOptions{});
  std::mt19937 random{20240229};
};

TEST_P(LinearOrderTest, ForwardKernelsFollowIt) {
  const DType type = GetParam();
  for (const auto& [in, out, alignment] :
       {std::tuple{int64_t{600}, int64_t{20}, Rows::kAligned}, {77, 9, Rows::kAnywhere}}) {
    for (int64_t rows : kRowCounts) {
      const Size s{rows, in, out};
      const std::vector<float> x = rounded(normal(random, rows * in), type),
                               w = rounded(normal(random, in * out), type);
      const Weight weight = pack_weight(*backend, w, in, out, type, Order::kOutIn);
      const Matrix at(*backend, x, rows, in, stride_of(in, alignment, 3), type),
          y(*backend, rows, out);
      backend->linear({.x = at, .weight = &weight.packed, .out = y});
      EXPECT_TRUE(same_bits(y.values(), products(x, w, s, type))) << rows << " x " << in;
    }
  }
}

TEST_P(LinearOrderTest, BackwardKernelsFollowIt) {
  const DType type = GetParam();
  constexpr int64_t kIn = 24, kOut = 600;
  const std::vector<float> w = rounded(normal(random, kIn * kOut), type);
  const Weight weight = pack_weight(*backend, w, kIn, kOut, type, Order::kOutIn);
  for (int64_t rows : kRowCounts) {
    const std::vector<float> dy = rounded(normal(random, rows * kOut), type);
    const Matrix at(*backend, dy, rows, kOut, stride_of(kOut, Rows::kAligned, 0), type),
        dx(*backend, rows, kIn);
    backend->linear_backward({.dy = at, .weight = &weight.packed, .dx = dx});
    EXPECT_TRUE(
        same_bits(dx.values(), products(dy, transposed(w, kOut, kIn), {rows, kOut, kIn}, type)))
        << rows;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, LinearOrderTest, ::testing::ValuesIn(kWeightTypes),
                         [](const ::testing::TestParamInfo<DType>& type) {
                           return std::string(dtype_name(type.param));
                         });

}  // namespace
}  // namespace vitrine::testing
