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

// Gradients of one number with respect to activations, in one backward pass. Weights are constants:
// no gradient of theirs is computed or stored.

/// The number that is differentiated: a weighted sum of terms of one sequence. Made by the
/// functions of vitrine::target, and added, subtracted and multiplied by numbers: `target::logit(a)
/// - 0.5 * target::log_prob(b)`.
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
    int64_t position = -1;  ///< from 0; negative from the end of the sequence
    int32_t token = 0;      ///< kLogit, kLogProb, kProb
    Tensor values = {};     ///< kKl, kReverseKl: [V] log-probabilities; kLinear: the coefficients
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

/// Positions count from 0, negative ones from the end of the sequence; the logits at a position say
/// what follows it. What is not there (a token, a position, a site) is refused when a pass is
/// prepared. Logarithms are natural.
namespace target {

Target logit(int32_t token, int64_t position = -1);
Target log_prob(int32_t token, int64_t position = -1);
Target prob(int32_t token, int64_t position = -1);
/// Mean logit of `tokens` minus mean logit of `against`: the contrastive target (Yin & Neubig 2022)
/// for one token each. Throws Error (user) if a set is empty.
Target logit_difference(const std::vector<int32_t>& tokens, const std::vector<int32_t>& against,
                        int64_t position = -1);
/// Mean over the sequence's tokens 1 .. T-1 of -log p(token | those before): the loss that language
/// models are trained with.
Target cross_entropy();
/// -sum p log p
Target entropy(int64_t position = -1);
/// KL(reference || model) = sum r (log r - log p). `reference` are logits [V], of another run at
/// any position; float32. Throws Error (user) for a tensor that is no float32 vector.
Target kl(TensorView reference, int64_t position = -1);
/// KL(model || reference) = sum p (log p - log r)
Target reverse_kl(TensorView reference, int64_t position = -1);
/// Euclidean length of a site's row at a position. Not for maps.
Target norm(std::string site, int64_t position = -1);
/// sum_i coefficients_i x_i over a site's row at a position. `coefficients`: as many as the row has
/// elements; for a map [H, T, T], [H, T] for that query, of which keys that it does not see take no
/// part. Throws Error (user) for a tensor that is not float32.
Target linear(std::string site, TensorView coefficients, int64_t position = -1);

}  // namespace target

/// What a backward pass may take for constants.
struct Linearised {
  bool patterns = false;  ///< attention patterns: no gradient reaches queries and keys
  bool scales = false;    ///< the scales of all layernorms
};

/// What is kept between the forward and the backward pass.
enum class KeepPolicy : uint8_t {
  kAuto,  ///< the first of the others that fits; the sequences of a batch one group after the other
          ///< if none fits for all
  kAll,   ///< everything that the backward pass reads: about 10 T D + T M numbers a layer, M = 4 D
          ///< being the MLP's width
  kResiduals,  ///< the residual stream before each block, T D numbers a layer; the rest is computed
               ///< again, layer by layer
};

struct BackwardOptions {
  Linearised linearised = {};
  KeepPolicy keep = KeepPolicy::kAuto;
  /// Which logits the run holds. The targets' own are computed apart, a few rows at a time.
  LogitRows logits = LogitRows::kNone;
};

/// What one forward and one backward pass gave.
struct Backward {
  Run run;                     ///< the forward pass: logits as asked, captures
  std::vector<double> values;  ///< [sequences] the targets
  /// The gradient of each sequence's target at the sites of Hooks::gradient(), shaped and narrowed
  /// as captures are. At an edited site it is the gradient with respect to the edited value, which
  /// is what a capture shows. In a map, keys that a query does not see have gradient 0.
  std::shared_ptr<const Captures> gradients;
  KeepPolicy kept = KeepPolicy::kAll;  ///< what was done
  int groups = 1;                      ///< in how many parts the batch ran
  size_t kept_bytes = 0;  ///< held from the forward to the backward pass, of the largest part

  /// Throws Error (user) for a site whose gradient was not asked for.
  TensorView gradient(std::string_view site, int sequence = 0) const {
    return gradients->view(site, sequence);
  }
};

/// Runs the batch and differentiates: one target for each sequence, or one for all. Sequences do
/// not mix: each has its own gradient, the same bits alone as in any batch. Edits take part with
/// their derivatives: what is added passes a gradient on, scaling scales it, replacing ends it,
/// projecting out projects it; a callback needs one of its own (see callback()). Throws Error
/// (user) as Model::forward does; for a target, token, position or site that is not there; for a
/// gradient at a site that the target does not depend on; for an edit without a derivative; and for
/// what does not fit in memory.
Backward backward(const Model& model, const Batch& batch, const std::vector<Target>& targets,
                  const Hooks& hooks, const BackwardOptions& options = {});

}  // namespace vitrine
