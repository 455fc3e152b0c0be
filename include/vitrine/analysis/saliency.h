// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "vitrine/analysis/word_spans.h"
#include "vitrine/generate.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"
#include "vitrine/tensor.h"

namespace vitrine {

// Saliency: how much each token of the input matters for what comes next.
//
// A step is one next token. Its input is the text before it: n tokens with embeddings e_i, row i's
// token of wte (position embeddings are added inside the model and belong to no token). f is one
// number of the output behind the input, g_i its gradient with respect to e_i. D is the model's
// width.

/// Every method gives each token a share, not negative, the shares of a step adding up to 1, and a
/// score in units of f.
enum class SaliencyMethod : uint8_t {
  /// Share: |g_i * e_i|, the Euclidean length over D, as the library Ecco has it (Alammar 2021; its
  /// f was the logit up to 0.0.15 and
  /// is the probability from 0.1.0). Score: sum_d g_i e_i (Denil 2014, Shrikumar 2016).
  kGradXInput,
  /// Share: |g_i| (Simonyan 2013). Score: the same length; it has no sign.
  kGradientNorm,
  /// As kGradXInput or kGradientNorm with, in place of g_i, the mean gradient over inputs with
  /// Gaussian noise (Smilkov 2017).
  kSmoothGrad,
  /// Score: sum_d of (e_i - b_i) * integral of g_i along the straight line from a baseline b to e
  /// (Sundararajan 2017). Share: the
  /// length over D of the same product. The scores add up to f(e) - f(b) but for the quadrature's
  /// error, which is reported.
  kIntegratedGradients,
  /// Score: f(e) - f(e with token i replaced, or without it). Share: its size.
  kOcclusion,
  /// Contiguous spans of whole words are replaced, drawn as SpanBERT draws them (Joshi 2020),
  /// beside as many scattered tokens.
  /// Score: the mean of f(e) - f(masked) over the draws whose spans cover the token. Share: its
  /// size.
  kSpanOcclusion,
};

/// "grad-x-input", "gradient-norm", "smooth-grad", "integrated-gradients", "occlusion",
/// "span-occlusion".
std::string_view saliency_method_name(SaliencyMethod method);
/// The inverse. Throws Error (user) listing the names.
SaliencyMethod saliency_method_from_name(std::string_view name);

/// f: the target token's logit, log-probability (in nats) or probability.
enum class SaliencyValue : uint8_t { kLogit, kLogProb, kProb };
/// "logit", "log-prob", "prob".
std::string_view saliency_value_name(SaliencyValue value);
SaliencyValue saliency_value_from_name(std::string_view name);

/// What stands in for a token's embedding where the method wants "nothing in particular". GPT-2 has
/// no mask token.
struct Replacement {
  enum class Kind : uint8_t {
    kZero,    ///< the zero vector
    kMean,    ///< the mean row of wte
    kToken,   ///< the row of `token`
    kTensor,  ///< `tensor`: float32, [D] or a row for each input token of the last step, [T, D]
    kDelete,  ///< the token is left out, and those behind it move up; not for integrated gradients
  };
  Kind kind = Kind::kZero;
  int32_t token = 0;
  Tensor tensor = {};
};

/// How the integral over [0, 1] is computed, from n values of the gradient.
enum class Quadrature : uint8_t {
  kGaussLegendre,  ///< exact for polynomials of degree 2 n - 1
  kTrapezoid,      ///< n points from 0 to 1, both included; 2 at least
  kLeft,           ///< 0, 1/n, ..., (n-1)/n
  kRight,          ///< 1/n, ..., 1
};
/// "gauss-legendre", "trapezoid", "left", "right".
std::string_view quadrature_name(Quadrature rule);
Quadrature quadrature_from_name(std::string_view name);

struct IntegratedGradientsOptions {
  Quadrature rule = Quadrature::kGaussLegendre;
  int steps = 50;             ///< n, 1..10000
  Replacement baseline = {};  ///< b
};

struct SmoothGradOptions {
  int samples = 25;    ///< 1..1000000
  double noise = 0.1;  ///< the noise's standard deviation over (largest - smallest element of the
                       ///< input's embeddings)
  uint64_t seed = 0;   ///< noise depends on it, the sample, the position and the element alone
  bool times_input = true;  ///< false: the mean gradient's length, as kGradientNorm
};

struct SaliencyOptions {
  SaliencyMethod method = SaliencyMethod::kGradXInput;
  SaliencyValue value = SaliencyValue::kLogit;
  /// f is the target's value minus this token's: why the one rather than the other (Yin & Neubig
  /// 2022).
  std::optional<int32_t> contrast = {};

  // Which steps. Nothing: one, the token that the model ranks first behind the prompt.
  std::optional<int32_t> target = {};      ///< one step: this token behind the prompt
  std::vector<int32_t> continuation = {};  ///< one step for each of these tokens behind the prompt
  std::optional<GenerateOptions> generate =
      {};  ///< one step for each token with which the model continues the prompt

  IntegratedGradientsOptions integrated = {};
  SmoothGradOptions smooth = {};
  SpanOptions spans = {};
  Replacement mask = {.kind = Replacement::Kind::kMean};  ///< of both occlusions

  /// Changes to the model while it is looked at; only the edits are used, and none may be of
  /// hook_embed, which is what is looked at, of `logits`, or narrowed to sequences. Positions from
  /// the end count from the end of each step's input.
  Hooks edits = {};
  /// Tokens that go through the model at once: whole inputs, as many as fit, one at least. Results
  /// do not depend on it.
  int64_t batch_tokens = 512;
  Progress* progress = nullptr;  ///< counts inputs; null: nobody wants to know
};

/// Whether integrated gradients add up as they should.
struct Completeness {
  double baseline_value = 0;  ///< f(b)
  double gap = 0;             ///< |sum of the scores - (f(e) - f(b))|
  double relative_gap = 0;    ///< gap / |f(e) - f(b)|; infinite where only the divisor is 0
};

/// What masking did, as means over the draws.
struct MaskingEffect {
  double value = 0;           ///< f(e) - f(masked)
  double standard_error = 0;  ///< of that mean; 0 for a single draw
  double log_prob = 0;        ///< the target's log-probability, masked minus unmasked, in nats
  double rank = 0;            ///< of the target, masked
  double hidden =
      0;  ///< |h_masked - h| / |h|, h being the final layernorm's output at the last position
};

/// Spans against as many scattered tokens, draw by draw.
struct SpanComparison {
  double masked_tokens = 0;  ///< mean over the draws
  MaskingEffect spans, scattered;
  std::vector<double> scattered_scores = {};  ///< [n] as the scores, of the scattered tokens
  std::vector<int32_t>
      span_draws = {},
      scattered_draws = {};  ///< [n] how many draws masked the token; where none did its score is 0
};

struct SaliencyStep {
  int64_t inputs = 0;  ///< n: the input is ids[0 .. n)
  int32_t target = 0;
  int32_t rank = 0;  ///< 1 + the number of tokens whose logit is strictly greater
  double logit = 0, log_prob = 0;
  double value = 0;                               ///< f
  std::optional<Completeness> completeness = {};  ///< kIntegratedGradients
  std::optional<SpanComparison> comparison = {};  ///< kSpanOcclusion
};

struct Saliency {
  SaliencyMethod method = SaliencyMethod::kGradXInput;
  SaliencyValue value = SaliencyValue::kLogit;
  std::optional<int32_t> contrast = {};
  int64_t prompt = 0;                    ///< tokens of the prompt
  std::vector<int32_t> ids = {};         ///< [T] the input of the last step
  std::vector<SaliencyStep> steps = {};  ///< [S]
  std::vector<double> shares =
      {};  ///< [S, T], 0 behind a step's input; all 0 where nothing has any effect
  std::vector<double> scores = {};  ///< [S, T] likewise

  size_t cell(size_t step, size_t position) const { return step * ids.size() + position; }
};

/// Holds a few inputs' activations at a time, and the gradients of one step.
/// Throws Error (user) as Model::forward does; for more than one choice of steps; for a text that
/// outgrows the context; for a token outside the vocabulary; for options outside their ranges; for
/// a replacement of the wrong shape or that the method cannot use; and for the deletion of all
/// tokens.
Saliency saliency(const Model& model, std::span<const int32_t> prompt,
                  const SaliencyOptions& options = {});

}  // namespace vitrine
