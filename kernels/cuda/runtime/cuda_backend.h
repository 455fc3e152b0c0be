// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/linear/paths.h"
#include "kernels/cuda/runtime/device.h"

namespace vitrine::internal::cuda {
struct SelectionView;
}

namespace vitrine::internal {

/// The backend of one GPU. Weights and the activations between two operations are of the type that
/// weights are stored as; every sum is accumulated in float32, and the residual stream and whatever
/// hooks take on the way are float32.
///
/// Operations are put on one stream and return at once; download() waits. docs/ARCHITECTURE.md, "On
/// a GPU", says how the kernels are made.
class CudaBackend : public Backend {
 public:
  CudaBackend(std::shared_ptr<cuda::Device> device, const CudaOptions& options);

  std::string description() const override;
  std::vector<std::string> choices() const override;
  void begin_range(const char* name, double bytes, double flops) override {
    device_->push_range(name, bytes, flops);
  }
  void end_range() override { device_->pop_range(); }

  Buffer allocate(size_t bytes) override;
  size_t available_bytes() const override { return device_->available_bytes(); }
  void upload(void* device, const void* host, size_t bytes) override;
  void download(void* host, const void* device, size_t bytes) override;
  std::function<void()> download_later(void* host, const void* device, size_t bytes) override;
  void copy(void* to, const void* from, size_t bytes) override;
  void clear(void* device, size_t bytes) override;
  void synchronize() override;
  bool host_memory() const override { return false; }
  Buffer allocate_host(size_t bytes) override;
  uint64_t allocations() const override { return allocated_; }
  std::unique_lock<std::recursive_mutex> exclusive() override;

  size_t packed_bytes(int64_t in, int64_t out, DType store) const override;
  PackedMatrix pack(const HostWeight& source, DType store, std::byte* destination) override;

  DType activation_dtype(DType weights) const override { return weights; }
  size_t batch_bytes(int64_t rows, int64_t sequences) const override;
  void place(const PassBatch& batch) override;
  void embed(const PassBatch& batch, const PackedMatrix& token_table,
             const PackedMatrix& position_table, Mat out) override;
  void lookup(const PassBatch& batch, Lookup by, const PackedMatrix& table, Mat out) override;
  void layernorm(const LayerNormArgs& args) override;
  void layernorm_scale(Mat x, float epsilon, Mat scale) override;
  void layernorm_apply(const LayerNormArgs& args) override;
  void linear(const LinearArgs& args) override;
  bool fuses(const LayerNormArgs& norm, const LinearArgs& args) const override;
  void linear_of_layernorm(const LayerNormArgs& norm, const LinearArgs& args) override;
  void activate(Mat x, Activation activation, Mat out) override;
  void add(Mat a, Mat b, Mat out) override;

  size_t kv_bytes(int64_t capacity, int heads, int head_width, DType dtype) const override;
  void append_kv(Mat k, Mat v, int heads, int head_width, const PassBatch& batch,
                 std::byte* cache) override;
  void attention(const AttentionArgs& args) override { attend({}, {}, args); }
  bool fuses(const AttentionArgs& args) const override;
  void append_and_attend(Mat k, Mat v, const AttentionArgs& args) override { attend(k, v, args); }
  void attention_scores(const AttentionArgs& args) override;
  void attention_softmax(const AttentionArgs& args) override;
  void attention_mix(const AttentionArgs& args) override;

  void linear_backward(const LinearBackwardArgs& args) override;
  void activate_backward(Mat dy, Mat before, Activation activation, Mat dx) override;
  void layernorm_backward(const LayerNormBackwardArgs& args) override;
  void layernorm_backward_scale(const LayerNormBackwardArgs& args) override;
  void layernorm_backward_apply(const LayerNormBackwardArgs& args) override;
  bool reads_attention_output() const override { return true; }
  void attention_backward(const AttentionBackwardArgs& args) override;
  void attention_backward_pattern(const AttentionBackwardArgs& args) override;
  void attention_backward_scores(const AttentionBackwardArgs& args) override;
  void attention_backward_inputs(const AttentionBackwardArgs& args) override;
  void logit_targets(const LogitTargetArgs& args) override;
  void convert(Mat from, Mat to) override;

  void logit_stats(const LogitStatsArgs& args) override;
  void sample(const SampleArgs& args) override;

  bool records() const override;
  void begin_recording() override;
  size_t recorded_list() const override;
  std::unique_ptr<Recording> end_recording() override;
  void abandon_recording() noexcept override;
  void next_step(const NextStepArgs& args) override;

  void edit(const EditArgs& args) override;
  void gather(Mat x, const Selection& where, DType store, std::byte* destination) override;
  void scatter(const float* source, const Selection& where, Mat x) override;

  void widen(Mat x, const double* origin, double* out, int32_t* spoiled) override;
  void join_moments(const MomentsArgs& args) override;

 private:
  /// Scratch memory of the current operation; the next call to scratch() reuses it. A recording
  /// keeps its scratch memory alive.
  std::byte* scratch(size_t bytes) { return reserve(scratch_, bytes); }
  /// As download(), through stages_: while one part is copied to `host`, the next leaves the
  /// device.
  void download_staged(std::byte* host, const std::byte* device, size_t bytes);
  /// `buffer`, made larger if it is too small; a recording keeps what it outgrew.
  std::byte* reserve(Buffer& buffer, size_t bytes);
  /// Rows as they are if they are of `dtype`; float32 ones narrowed to it, until the next call.
  /// Throws Error (internal) naming `what` for any other type.
  Mat as_type(const Mat& rows, DType dtype, const char* what);
  /// Selection in the form of kernel parameters; lists that are too long are placed in scratch
  /// memory.
  cuda::SelectionView place_selection(const Selection& where, std::span<const int64_t> limits,
                                      std::span<const int64_t> starts);
  /// sample() between memory of the device: `uniform` and `ids` are [rows], `memory` has
  /// sample_bytes().
  void sample_on_device(Mat logits, float temperature, int top_k, float top_p,
                        const double* uniform, int32_t* ids, std::byte* memory);
  size_t sample_bytes(Mat logits) const;

  /// attention(); new tokens' keys and values, where given, are appended first.
  void attend(Mat k, Mat v, const AttentionArgs& args);

  /// Begins the operation by the kernels that gemm_ allows beside the portable ones; false if it is
  /// for these. Notes the choice.
  bool linear_by_choice(const LinearArgs& args);
  bool linear_by_cublas(const LinearArgs& args);

  std::shared_ptr<cuda::Device> device_;
  std::atomic<uint64_t> allocated_ = 0;
  Gemm gemm_;
  std::unique_ptr<cuda::Cublas> cublas_;  ///< for Gemm::kCublas
  struct LinearCase {
    int64_t rows, out, in;
    DType dtype;
    auto operator<=>(const LinearCase&) const = default;
  };
  std::map<LinearCase, std::string> choices_;
  std::recursive_mutex mutex_;
  Buffer scratch_;
  Buffer narrowed_;  ///< as_type()'s, beside the scratch memory of the operation that reads it
  static constexpr size_t kCounters = size_t{1} << 16;
  /// kCounters zeros, each uint32_t; kernels must reset the counters they use to zero
  Buffer counters_;
  Buffer stages_[2];  ///< pinned memory on the way of large downloads
  Buffer stats_;      ///< logit_stats()'s, beside the scratch memory that its linear() takes
  std::vector<Buffer> outgrown_;  ///< scratch memory that the current recording refers to
};

/// The backend over a device that is already open: what make_cuda_backend() does, for tests.
std::unique_ptr<Backend> make_cuda_backend(std::shared_ptr<cuda::Device> device,
                                           const CudaOptions& options);

}  // namespace vitrine::internal
