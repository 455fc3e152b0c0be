// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/captures.h"
#include "vitrine/model.h"
#include "vitrine/run.h"
#include "vitrine/tensor.h"

namespace vitrine {

// Gradients of a scalar target with respect to activations, in one backward pass. Weights are
// constants; their gradients are neither computed nor stored.

/// Scalar to differentiate: a weighted sum of terms of one sequence. The functions of
/// vitrine::target create targets; targets can be added, subtracted and scaled: `target::logit(a) -
/// 0.5 * target::log_prob(b)`.
class Target {
 public:
  enum class Kind : uint8_t {
    kLogit,
    kLogProb,
    kProb,
    kEntropy,
    kKl,
    kReverseKl,
    kNextTokens,
    kNorm,
    kLinear
  };

  struct Term {
    Kind kind = Kind::kLogit;
    double weight = 1.0;
    int64_t position = -1;  ///< counts from 0; negative counts from the end of the sequence
    int32_t token = 0;      ///< kLogit, kLogProb, kProb
    Tensor values = {};     ///< kKl, kReverseKl: [V] log-probabilities; kLinear: coefficients
    std::string site = {};  ///< kNorm, kLinear
  };

  Target() = default;
  explicit Target(Term term) { terms_.push_back(std::move(term)); }

  const std::vector<Term>& terms() const { return terms_; }
  Target& operator+=(const Target& other);
  Target& operator*=(double factor);

 private:
  std::vector<Term> terms_;
};

Target operator+(Target a, const Target& b);
Target operator-(Target a, const Target& b);
Target operator*(double factor, Target target);

/// Positions count from 0, negative positions from the end of the sequence. The logits at a
/// position predict the next token. Tokens, positions and sites out of range are rejected when a
/// pass is prepared. Logarithms are natural.
namespace target {

Target logit(int32_t token, int64_t position = -1);
Target log_prob(int32_t token, int64_t position = -1);
Target prob(int32_t token, int64_t position = -1);
/// Mean logit of `tokens` minus mean logit of `against`. With one token each it is the contrastive
/// target of Yin & Neubig 2022. Throws Error (user) if a set is empty.
Target logit_difference(const std::vector<int32_t>& tokens, const std::vector<int32_t>& against,
                        int64_t position = -1);
/// Mean over tokens 1 .. T-1 of -log p(token | previous tokens): the training loss of language
/// models. Invalid for a sequence of one token.
Target cross_entropy();
/// -sum p log p
Target entropy(int64_t position = -1);
/// KL(reference || model) = sum r (log r - log p). `reference`: float32 logits [V], from any run
/// and position. Throws Error (user) for a tensor that is not a float32 vector.
Target kl(TensorView reference, int64_t position = -1);
/// KL(model || reference) = sum p (log p - log r)
Target reverse_kl(TensorView reference, int64_t position = -1);
/// Euclidean length of a site's row at a position. Invalid for maps.
Target norm(std::string site, int64_t position = -1);
/// sum_i coefficients_i x_i over a site's row at a position. `coefficients`: float32, one per
/// element of the row; for a map [H, T, T], [H, T] for that query, where masked keys are ignored.
/// Throws Error (user) for a tensor that is not float32.
Target linear(std::string site, TensorView coefficients, int64_t position = -1);

}  // namespace target

/// Quantities that the backward pass treats as constants.
struct Linearised {
  bool patterns = false;  ///< attention patterns; no gradient reaches queries and keys
  bool scales = false;    ///< scales of all layernorms
};

/// Activations that are kept between the forward and the backward pass.
enum class KeepPolicy : uint8_t {
  /// The first of kAll and kResiduals that fits in memory; if neither fits, the batch is split into
  /// groups of sequences.
  kAuto,
  kAll,  ///< everything that the backward pass reads: about 10 T D + T M numbers per layer
  /// The residual stream before each block: T D numbers per layer; the rest is recomputed per
  /// layer.
  kResiduals,
};

struct BackwardOptions {
  Linearised linearised = {};
  KeepPolicy keep = KeepPolicy::kAuto;
  /// Logits that the run holds. Logits needed by targets are computed separately, a few rows at a
  /// time.
  LogitRows logits = LogitRows::kNone;
};

/// Result of one forward and one backward pass.
struct Backward {
  Run run;                     ///< forward pass: requested logits and captures
  std::vector<double> values;  ///< [sequences] values of the targets
  /// Gradients of each sequence's target at the sites of Hooks::gradient(), in the shapes of
  /// captures. At an edited site the gradient is with respect to the edited value, which is also
  /// what a capture holds. In a map, masked keys have gradient 0.
  std::shared_ptr<const Captures> gradients;
  KeepPolicy kept = KeepPolicy::kAll;  ///< the policy that was used
  int groups = 1;                      ///< number of groups that the batch was split into
  size_t kept_bytes = 0;               ///< bytes kept between the passes, maximum over the groups

  /// Throws Error (user) for a site whose gradient was not requested.
  TensorView gradient(std::string_view site, int sequence = 0) const& {
    return gradients->view(site, sequence);
  }
  TensorView gradient(Site site, int layer = 0, int sequence = 0) const& {
    return gradients->view(site, layer, sequence);
  }
  // A temporary's views would outlive their memory: keep the result in a variable.
  TensorView gradient(std::string_view site, int sequence = 0) const&& = delete;
  TensorView gradient(Site site, int layer = 0, int sequence = 0) const&& = delete;
};

/// Runs the batch and differentiates one target per sequence, or one target for all. Sequences are
/// independent: each gradient has the same bits alone and in any batch. Edits are differentiated:
/// adding passes the gradient on, scaling scales it, replacing stops it, projecting out projects
/// it; a callback needs an adjoint (see callback()). Throws Error (user) as Model::forward does;
/// for a target, token, position or site out of range; for a gradient at a site that the target
/// does not depend on; for an edit without a derivative; and if it does not fit in memory.
Backward backward(const Model& model, const Batch& batch, const std::vector<Target>& targets,
                  const Hooks& hooks, const BackwardOptions& options = {});
/// The same with hooks that were compiled for this model.
Backward backward(const Model& model, const Batch& batch, const std::vector<Target>& targets,
                  const HookPlan& plan, const BackwardOptions& options = {});

}  // namespace vitrine
