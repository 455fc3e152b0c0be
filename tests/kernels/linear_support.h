#pragma once

#include <cstdint>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "tests/kernels/harness.h"

// What the tests of the matrix product and of its gradient share.

namespace vitrine::testing {

/// Of the forward operation.
struct Size {
  int64_t rows, in, out;
};

/// Played by the processor, a GPU takes its time.
inline bool slow_backend(const BackendCase& backend) {
  return backend.name == "cpu_SCALAR" || backend.name.starts_with("cuda_on_host");
}

/// How the rows of a problem's matrices lie: at multiples of 64 bytes, as the engine has them, or anywhere.
enum class Rows { kAligned, kAnywhere };

inline int64_t stride_of(int64_t cols, Rows rows, int64_t more) {
  return rows == Rows::kAligned ? (cols + 31) / 32 * 32 : cols + more;
}

/// Some of a matrix's inputs, as one head's projection has them. What lies beside them must not be touched: it is NaN here.
class PartOfInputs {
 public:
  static constexpr int64_t kIn = 300;
  /// First input and how many.
  static constexpr std::pair<int64_t, int64_t> kParts[] = {{32, 48}, {0, 260}, {64, 64}, {40, 5}, {5, 48}, {3, 1}, {17, 280}};

  PartOfInputs(Backend& backend, std::mt19937& random, int64_t begin, int64_t count, int64_t out, DType dtype)
      : alone_(make_weight(backend, random, count, out, dtype, Order::kOutIn)),
        buffer_(backend.allocate(backend.packed_bytes(kIn, out, dtype))) {
    std::vector<float> wide(static_cast<size_t>(kIn * out), std::numeric_limits<float>::quiet_NaN());
    for (int64_t i = 0; i < count * out; ++i)
      wide[static_cast<size_t>(begin * out + i)] = static_cast<float>(alone_.values[static_cast<size_t>(i)]);
    const std::vector<std::byte> host = encode(wide, dtype);
    part_ = backend.pack({host.data(), dtype, kIn, out, out, 1}, dtype, buffer_.data()).inputs(begin, count);
  }

  /// The same inputs as a matrix of their own.
  const PackedMatrix& alone() const { return alone_.packed; }
  const PackedMatrix& part() const { return part_; }

 private:
  Weight alone_;
  Buffer buffer_;
  PackedMatrix part_;
};

}  // namespace vitrine::testing
