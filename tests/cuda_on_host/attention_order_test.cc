// SPDX-License-Identifier: MIT
#include <limits>

#include "kernels/cuda/attention/paths.h"
#include "kernels/cuda/runtime/cuda_backend.h"
#include "tests/cuda_on_host/cuda_on_host.h"
#include "tests/kernels/harness.h"
#include "tests/kernels/largest_finite.h"

// On a GPU whose instructions sum 32 bytes at once, Hopper's kernel of attention and the portable
// one give the same bits, whatever the values are.

namespace vitrine::testing {
namespace {

constexpr int kHeads = 2, kWidth = 64;
constexpr int64_t kChannels = int64_t{kHeads} * kWidth;

/// A sequence whose values `bad` are at `at` of its positions, unless that is negative.
struct Sequence {
  int64_t rows, past;
  int64_t at = -1;
  float bad = 0.0f;

  int64_t total() const { return past + rows; }
};

class Problem {
 public:
  Problem(Backend& backend, std::mt19937& random, DType type, const std::vector<Sequence>& given)
      : type_(type) {
    int64_t rows = 0;
    size_t bytes = 0;
    for (const Sequence& s : given) {
      const int64_t capacity = s.total() + static_cast<int64_t>(slices_.size()) * 70;
      slices_.push_back({rows, s.rows, s.past, static_cast<int64_t>(bytes), capacity, 0});
      bytes += (backend.kv_bytes(capacity, kHeads, kWidth, type) + 63) & ~size_t{63};
      rows += s.rows;
    }
    const std::vector<float> poison(bytes / sizeof(float), std::numeric_limits<float>::quiet_NaN());
    cache_ = backend.allocate(bytes);
    backend.upload(cache_.data(), poison.data(), bytes);
    for (size_t i = 0; i < given.size(); ++i) append(backend, random, given[i], slices_[i]);
    q_.emplace_back(backend, normal(random, rows * kChannels), rows, kChannels, kChannels + 8,
                    type);
    placed_ = PlacedBatch(backend, slices_);
    batch_ = placed_.batch();
  }

  int64_t rows() const { return q_[0].mat().rows; }
  AttentionArgs args(Mat z, Mat lse, float scale) const {
    AttentionArgs result;
    result.q = q_[0];
    result.heads = kHeads;
    result.head_width = kWidth;
    result.scale = scale;
    result.batch = &batch_;
    result.cache = cache_.data();
    result.z = z;
    result.lse = lse;
    return result;
  }

 private:
  void append(Backend& backend, std::mt19937& random, const Sequence& s,
              const SequenceSlice& slice) {
    std::vector<float> k = normal(random, s.total() * kChannels),
                       v = normal(random, s.total() * kChannels);
    if (s.at >= 0) {
      k[static_cast<size_t>(s.at * kChannels + 3)] = s.bad;
      v[static_cast<size_t>(s.at * kChannels + 5)] = s.bad;
    }
    const PlacedBatch all(backend, {{0, s.total(), 0, slice.cache, slice.capacity, 0}});
    backend.append_kv(Matrix(backend, k, s.total(), kChannels, 0, type_),
                      Matrix(backend, v, s.total(), kChannels, 0, type_), kHeads, kWidth,
                      all.batch(), cache_.data());
  }

  DType type_;
  std::vector<SequenceSlice> slices_;
  std::vector<Matrix> q_;
  Buffer cache_;
  PlacedBatch placed_;
  PassBatch batch_;
};

class AttentionOrderTest : public ::testing::TestWithParam<cuda_on_host::LaneOrder> {
 protected:
  void compare(DType type, float scale, const std::vector<Sequence>& sequences) {
    SCOPED_TRACE(::testing::Message() << dtype_name(type) << ", " << sequences[0].bad);
    const Problem p(*backend, random, type, sequences);
    const Matrix z(*backend, p.rows(), kChannels, kChannels + 7, type),
        portable_z(*backend, p.rows(), kChannels, 0, type), lse(*backend, p.rows(), kHeads),
        portable_lse(*backend, p.rows(), kHeads);
    cuda::attend_many(*device, p.args(portable_z, portable_lse, scale), 0);
    ASSERT_TRUE(cuda::attend_many_on_hopper(*device, p.args(z, lse, scale), 0));
    EXPECT_TRUE(same_bits(z.values(), portable_z.values()));
    EXPECT_TRUE(same_bits(lse.values(), portable_lse.values()));
    EXPECT_TRUE(z.untouched_outside() && lse.untouched_outside());
  }

  std::shared_ptr<cuda::Device> device = cuda_on_host::make_device(GetParam(), {.capability = 90});
  std::unique_ptr<Backend> backend = make_cuda_backend(device, CudaOptions{});
  std::mt19937 random{20240229};
};

TEST_P(AttentionOrderTest, HoppersKernelGivesThePortableBits) {
  for (const DType type : {DType::kBF16, DType::kF16}) {
    compare(type, 0.125f, {{200, 0}, {9, 70}, {1, 3}});
    compare(type, 0.3f, {{64, 64}, {70, 37}});
  }
}

// What is at a position must not reach the queries before it, nor change how those are summed.
TEST_P(AttentionOrderTest, SoItDoesOfValuesThatAreNotFinite) {
  for (const DType type : {DType::kBF16, DType::kF16}) {
    for (const float bad : {std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN(), largest_finite(type)})
      compare(type, 0.125f, {{75, 0, 70, bad}, {10, 60, 66, bad}});
  }
}

INSTANTIATE_TEST_SUITE_P(Lanes, AttentionOrderTest,
                         ::testing::Values(cuda_on_host::LaneOrder::kAscending,
                                           cuda_on_host::LaneOrder::kDescending),
                         [](const auto& order) {
                           return order.param == cuda_on_host::LaneOrder::kAscending ? "ascending"
                                                                                     : "descending";
                         });

}  // namespace
}  // namespace vitrine::testing
