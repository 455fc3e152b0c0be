// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "kernels/backend/forward.h"

namespace vitrine::internal {

/// The gradient of linear() with respect to its input: dx = (dy W^T) * act'(before) + residual,
/// each optional part in that order. The activation is the one that made the input, so that a
/// gradient passes an MLP in two operations.
struct LinearBackwardArgs {
  Mat dy{};  ///< [rows, out]
  const PackedMatrix* weight = nullptr;
  Activation activation = Activation::kNone;
  Mat before{};    ///< [rows, in] float32: what the activation was applied to; only with an
                   ///< activation
  Mat residual{};  ///< optional [rows, in]; may be the same memory as `dx`
  Mat dx{};        ///< [rows, in]
  Mat product{};   ///< optional [rows, in]: dy W^T, before derivative and residual
};

/// The gradient of layernorm() with respect to its input. With c = x - mean(x), s = sqrt(mean(c^2)
/// + epsilon), e the scale that the forward pass divided by (s, or what an edit made of it) and n =
/// dy * weight:
///   dscale = -sum(n c) / e^2,   dc = n / e + dscale c / (D s),   dx = dc - mean(dc) + residual.
struct LayerNormBackwardArgs {
  Mat x{};                        ///< [rows, D] float32
  const float* weight = nullptr;  ///< [D]
  float epsilon = 1e-5f;
  Mat scale{};          ///< optional [rows, 1]: e; if it is not given, s
  bool frozen = false;  ///< the scale is taken for a constant: the term with dscale is left out
  Mat dy{};             ///< [rows, D]
  Mat dscale{};         ///< optional [rows, 1]
  Mat residual{};       ///< optional [rows, D] float32; may be the same memory as `dx`
  Mat dx{};             ///< [rows, D] float32
};

/// The gradient of attention() with respect to queries, keys and values, of sequences without a
/// past. With P the pattern:
///   dP = dz v^T,   dS = P * (dP - sum_j P dP),   dq = scale dS k,   dk = scale dS^T q,   dv = P^T
///   dz.
/// The sum over j equals dz . z, which a backend may use (see BackwardOps::reads_attention_output).
struct AttentionBackwardArgs {
  Mat q{}, k{}, v{};   ///< [rows, H K] as the forward pass used them
  int heads = 0;       ///< H
  int head_width = 0;  ///< K
  float scale = 1.0f;  ///< scores are scale * q.k
  const PassBatch* batch = nullptr;
  int64_t window = 0;    ///< as AttentionArgs has it
  Mat z{};               ///< [rows, H K] and
  Mat lse{};             ///< [rows, H] as attention() gave them; only for a backend that reads them
  Mat dz{};              ///< [rows, H K]
  bool frozen = false;   ///< the pattern is taken for a constant: dq and dk are zeros
  Mat dq{}, dk{}, dv{};  ///< [rows, H K]
  float* pattern = nullptr;   ///< map: of the composed steps
  float* dpattern = nullptr;  ///< map: optional for attention_backward; 0 where masked
  float* dscores = nullptr;   ///< the same
};

/// One term of a scalar that is differentiated, on one row of logits; p is the row's softmax, log
/// natural.
enum class LogitTermKind : uint8_t {
  kLogit,      ///< l[token]
  kLogProb,    ///< log p[token]
  kProb,       ///< p[token]
  kEntropy,    ///< -sum p log p
  kKl,         ///< sum r (log r - log p): from the reference distribution r to p
  kReverseKl,  ///< sum p (log p - log r)
};

struct LogitTerm {
  LogitTermKind kind = LogitTermKind::kLogit;
  int64_t row = 0;        ///< of the logits
  int32_t token = 0;      ///< for the first three kinds
  float weight = 1.0f;    ///< the term's factor in the sum
  int64_t reference = 0;  ///< for the last two: row of the references
};

/// Seeds of a backward pass: the gradient of a weighted sum of terms with respect to the logits.
struct LogitTargetArgs {
  Mat logits{};  ///< [rows, V] float32
  std::span<const LogitTerm>
      terms{};  ///< rows ascending; a row may have any number of terms, or none
  const float* references =
      nullptr;  ///< [references, V] log-probabilities, in the backend's memory
  Mat seed{};   ///< [rows, V]: sum of weight * d term / d logits; zeros for a row without terms
  std::span<double> values{};  ///< [terms], on the host: each term's value, without its weight
};

/// Gradients with respect to activations; weights are constants. Between operations gradients are
/// kept as activations are, those of the residual stream as float32.
class BackwardOps {
 public:
  virtual void linear_backward(const LinearBackwardArgs& args) = 0;
  /// dx = dy * act'(before): applied by linear_backward after its product.
  virtual void activate_backward(Mat dy, Mat before, Activation activation, Mat dx) = 0;
  virtual void layernorm_backward(const LayerNormBackwardArgs& args) = 0;
  /// The two halves of layernorm_backward, for an edit of the scale between them; together the same
  /// bits.
  virtual void layernorm_backward_scale(
      const LayerNormBackwardArgs& args) = 0;  ///< writes args.dscale only
  virtual void layernorm_backward_apply(
      const LayerNormBackwardArgs& args) = 0;  ///< reads args.dscale instead of computing it
  /// Whether attention_backward() reads z and lse of the forward pass, which must then be kept.
  virtual bool reads_attention_output() const = 0;
  virtual void attention_backward(const AttentionBackwardArgs& args) = 0;
  /// The three steps of attention_backward over whole maps, for edited layers; see the second rule.
  virtual void attention_backward_pattern(
      const AttentionBackwardArgs& args) = 0;  ///< writes args.dpattern
  virtual void attention_backward_scores(
      const AttentionBackwardArgs& args) = 0;  ///< args.pattern, args.dpattern to args.dscores
  virtual void attention_backward_inputs(
      const AttentionBackwardArgs& args) = 0;  ///< args.pattern, args.dscores to dq, dk, dv
  virtual void logit_targets(const LogitTargetArgs& args) = 0;
  /// The same elements in another dtype.
  virtual void convert(Mat from, Mat to) = 0;

 protected:
  ~BackwardOps() = default;
};

}  // namespace vitrine::internal
