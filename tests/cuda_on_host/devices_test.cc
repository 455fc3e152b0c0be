// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "kernels/cuda/runtime/cuda_backend.h"
#include "tests/cuda_on_host/cuda_on_host.h"

// What depends on which GPU a machine has, and on how many: here emulated ones.

namespace vitrine::internal {
namespace {

using cuda_on_host::Gpu;

std::unique_ptr<Backend> backend_of(Gpu gpu) {
  return make_cuda_backend(cuda_on_host::make_device(cuda_on_host::LaneOrder::kAscending, gpu),
                           CudaOptions{});
}

std::vector<float> numbers(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

/// y = x W and dx = dy W^T of one size on one backend, its memory included.
class Product {
 public:
  Product(Backend& backend, int64_t rows, int64_t in, int64_t out)
      : backend_(backend),
        rows_(rows),
        in_(in),
        out_(out),
        x_(uploaded(numbers(rows * in, 1))),
        y_(backend.allocate(static_cast<size_t>(rows * out) * sizeof(float))),
        packed_memory_(backend.allocate(backend.packed_bytes(in, out, DType::kF32))) {
    const std::vector<float> weights = numbers(in * out, 2);
    HostWeight source;
    source.data = weights.data();
    source.dtype = DType::kF32;
    source.in = in;
    source.out = out;
    source.in_stride = out;
    source.out_stride = 1;
    packed_ = backend.pack(source, DType::kF32, packed_memory_.data());
  }

  std::vector<float> forward() {
    LinearArgs args;
    args.x = matrix(x_, rows_, in_);
    args.weight = &packed_;
    args.out = matrix(y_, rows_, out_);
    backend_.linear(args);
    return downloaded(y_, rows_ * out_);
  }
  std::vector<float> backward() {
    const Buffer dx = backend_.allocate(static_cast<size_t>(rows_ * in_) * sizeof(float));
    LinearBackwardArgs args;
    args.dy = matrix(y_, rows_, out_);
    args.weight = &packed_;
    args.dx = matrix(dx, rows_, in_);
    backend_.linear_backward(args);
    return downloaded(dx, rows_ * in_);
  }

 private:
  static Mat matrix(const Buffer& buffer, int64_t rows, int64_t cols) {
    return {reinterpret_cast<float*>(buffer.data()), rows, cols};
  }
  Buffer uploaded(const std::vector<float>& values) {
    Buffer buffer = backend_.allocate(values.size() * sizeof(float));
    backend_.upload(buffer.data(), values.data(), values.size() * sizeof(float));
    return buffer;
  }
  std::vector<float> downloaded(const Buffer& buffer, int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    backend_.download(values.data(), buffer.data(), values.size() * sizeof(float));
    return values;
  }

  Backend& backend_;
  int64_t rows_, in_, out_;
  Buffer x_, y_, packed_memory_;
  PackedMatrix packed_;
};

// 2 x 2 of the largest tiles, as many as the emulated device has processors.
constexpr int64_t kRows = 256, kIn = 256, kOut = 256;

TEST(Devices, LittleSharedMemoryChangesNoBit) {
  // Of one generation of tensor cores each: with much shared memory, and with little.
  for (const auto& [much, little] : {std::pair(80, 86), std::pair(80, 89), std::pair(90, 120)}) {
    SCOPED_TRACE(little);
    const auto large = backend_of({.capability = much}), small = backend_of({.capability = little});
    Product expected(*large, kRows, kIn, kOut), product(*small, kRows, kIn, kOut);
    EXPECT_EQ(product.forward(), expected.forward());
    EXPECT_EQ(product.backward(), expected.backward());
  }
}

TEST(Devices, WorkGoesToItsOwnGpuWhateverTheThreadUsedBetween) {
  const auto one = backend_of({.index = 0}), other = backend_of({.index = 1});
  Product on_one(*one, 3, 64, 8), on_other(*other, 3, 64, 8);
  const std::vector<float> y = on_one.forward();
  EXPECT_EQ(on_other.forward(), y);
  const auto pass = one->exclusive();
  // As a callback between two kernels of a pass may do.
  EXPECT_EQ(on_other.forward(), y);
  EXPECT_EQ(on_one.forward(), y);
  { const Buffer freed_on_the_other = other->allocate(64); }
  EXPECT_EQ(on_one.forward(), y);
}

TEST(Devices, LargeResultsArriveWholeThroughTheStages) {
  constexpr size_t kMostPinned = 1600;  // then stages have 100 bytes
  const auto backend = backend_of({.most_pinned = kMostPinned});
  for (const size_t bytes :
       {kMostPinned, kMostPinned + 1, kMostPinned + 100, 5 * kMostPinned + 7}) {
    std::vector<uint8_t> sent(bytes);
    for (size_t i = 0; i < bytes; ++i) sent[i] = static_cast<uint8_t>(i * 7 + i / 251);
    const Buffer on_device = backend->allocate(bytes), result = backend->allocate_host(bytes);
    backend->upload(on_device.data(), sent.data(), bytes);
    backend->download(result.data(), on_device.data(), bytes);
    const auto* got = reinterpret_cast<const uint8_t*>(result.data());
    EXPECT_TRUE(std::equal(sent.begin(), sent.end(), got)) << bytes;
  }
}

TEST(Devices, AnAbandonedRecordingLeavesTheBackendUsable) {
  const auto backend = backend_of({});
  Product product(*backend, 3, 64, 8);
  const std::vector<float> y = product.forward();
  backend->begin_recording();
  // A download cannot be recorded.
  EXPECT_ANY_THROW(product.forward());
  backend->abandon_recording();
  EXPECT_EQ(product.forward(), y);
}

}  // namespace
}  // namespace vitrine::internal
