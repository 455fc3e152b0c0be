// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <span>
#include <string>

#include "kernels/backend.h"
#include "kernels/cpu/memory.h"

namespace vitrine::internal {

/// The backend of machines without a GPU: SIMD kernels chosen at run time for the processor, and
/// the threads of the process's pool.
class CpuBackend : public Backend {
 public:
  explicit CpuBackend(const CpuOptions& options);

  std::string description() const override;

  Buffer allocate(size_t bytes) override;
  size_t available_bytes() const override { return cpu::available_memory(); }
  void upload(void* device, const void* host, size_t bytes) override;
  void download(void* host, const void* device, size_t bytes) override;
  void copy(void* to, const void* from, size_t bytes) override;
  void clear(void* device, size_t bytes) override;
  void synchronize() override {}
  bool host_memory() const override { return true; }
  Buffer allocate_host(size_t bytes) override { return allocate(bytes); }
  uint64_t allocations() const override { return allocated_ + scratch_.allocations(); }
  std::unique_lock<std::recursive_mutex> exclusive() override { return {}; }

  size_t packed_bytes(int64_t in, int64_t out, DType store) const override;
  PackedMatrix pack(const HostWeight& source, DType store, std::byte* destination) override;

  DType activation_dtype(DType) const override { return DType::kF32; }
  size_t batch_bytes(int64_t, int64_t) const override { return 0; }
  void place(const PassBatch&) override {}
  void embed(const PassBatch& batch, const PackedMatrix& token_table,
             const PackedMatrix& position_table, Mat out) override;
  void lookup(const PassBatch& batch, Lookup by, const PackedMatrix& table, Mat out) override;
  void layernorm(const LayerNormArgs& args) override;
  void layernorm_scale(Mat x, float epsilon, Mat scale) override;
  void layernorm_apply(const LayerNormArgs& args) override;
  void linear(const LinearArgs& args) override;
  void activate(Mat x, Activation activation, Mat out) override;
  void add(Mat a, Mat b, Mat out) override;

  size_t kv_bytes(int64_t capacity, int heads, int head_width, DType dtype) const override;
  void append_kv(Mat k, Mat v, int heads, int head_width, const PassBatch& batch,
                 std::byte* cache) override;
  void attention(const AttentionArgs& args) override;
  void attention_scores(const AttentionArgs& args) override;
  void attention_softmax(const AttentionArgs& args) override;
  void attention_mix(const AttentionArgs& args) override;

  void linear_backward(const LinearBackwardArgs& args) override;
  void activate_backward(Mat dy, Mat before, Activation activation, Mat dx) override;
  void layernorm_backward(const LayerNormBackwardArgs& args) override;
  void layernorm_backward_scale(const LayerNormBackwardArgs& args) override;
  void layernorm_backward_apply(const LayerNormBackwardArgs& args) override;
  bool reads_attention_output() const override { return false; }
  void attention_backward(const AttentionBackwardArgs& args) override;
  void attention_backward_pattern(const AttentionBackwardArgs& args) override;
  void attention_backward_scores(const AttentionBackwardArgs& args) override;
  void attention_backward_inputs(const AttentionBackwardArgs& args) override;
  void logit_targets(const LogitTargetArgs& args) override;
  void convert(Mat from, Mat to) override;

  void logit_stats(const LogitStatsArgs& args) override;
  void sample(const SampleArgs& args) override;

  void edit(const EditArgs& args) override;
  void gather(Mat x, const Selection& where, DType store, std::byte* destination) override;
  void scatter(const float* source, const Selection& where, Mat x) override;

  void widen(Mat x, const double* origin, double* out, int32_t* spoiled) override;
  void join_moments(const MomentsArgs& args) override;

 private:
  PackedMatrix quantise(const HostWeight& source, PackedMatrix packed, std::byte* destination);

  int threads_;
  std::atomic<uint64_t> allocated_ = 0;
  cpu::ScratchPool scratch_;
};

}  // namespace vitrine::internal
