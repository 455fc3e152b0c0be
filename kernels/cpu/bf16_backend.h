// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cpu/bf16_product.h"
#include "kernels/cpu/cpu_backend.h"

namespace vitrine::internal {

/// The CPU with the arithmetic of a GPU that stores weights in 16 bits: of weights stored as bf16
/// or i8, what one operation writes and only others read is kept in bfloat16, products take
/// bfloat16 numbers, and sums, the residual stream, maps and logits are float32. Other weights are
/// computed with as CpuBackend does.
class Bf16CpuBackend : public CpuBackend {
 public:
  explicit Bf16CpuBackend(const CpuOptions& options, const cpu::Bf16Unit& unit = cpu::bf16_unit());

  std::string description() const override;
  DType activation_dtype(DType weights) const override;

  void layernorm(const LayerNormArgs& args) override;
  void layernorm_apply(const LayerNormArgs& args) override;
  void linear(const LinearArgs& args) override;
  void activate(Mat x, Activation activation, Mat out) override;
  void add(Mat a, Mat b, Mat out) override;
  void append_kv(Mat k, Mat v, int heads, int head_width, const PassBatch& batch,
                 std::byte* cache) override;
  void attention(const AttentionArgs& args) override;
  void attention_scores(const AttentionArgs& args) override;
  void attention_mix(const AttentionArgs& args) override;

  void linear_backward(const LinearBackwardArgs& args) override;
  void activate_backward(Mat dy, Mat before, Activation activation, Mat dx) override;
  void layernorm_backward(const LayerNormBackwardArgs& args) override;
  void layernorm_backward_scale(const LayerNormBackwardArgs& args) override;
  void layernorm_backward_apply(const LayerNormBackwardArgs& args) override;
  void attention_backward(const AttentionBackwardArgs& args) override;
  void attention_backward_pattern(const AttentionBackwardArgs& args) override;
  void attention_backward_inputs(const AttentionBackwardArgs& args) override;
  void logit_targets(const LogitTargetArgs& args) override;
  void convert(Mat from, Mat to) override;

  void edit(const EditArgs& args) override;
  void gather(Mat x, const Selection& where, DType store, std::byte* destination) override;
  void scatter(const float* source, const Selection& where, Mat x) override;

 private:
  class Wide;

  const cpu::Bf16Unit& unit_;
  int threads_;
  cpu::ScratchPool scratch_;
};

}  // namespace vitrine::internal
