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

// Saliency: the importance of each input token for a predicted token.
//
// A step is one predicted token. Its input is the text before it: n tokens with embeddings e_i,
// rows of wte (position embeddings are added inside the model and are not part of e_i). f is one
// number of the output after the input, g_i its gradient with respect to e_i. D is the model's
// width.

/// Saliency method. Every method gives each token a share >= 0, where the shares of a step sum to
/// 1, and a score in units of f.
enum class SaliencyMethod : uint8_t {
  /// Share: Euclidean length |g_i * e_i| over D, as in the library Ecco (Alammar 2021; its f is the
  /// logit up to version 0.0.15 and the probability from 0.1.0). Score: sum_d g_i e_i (Denil 2014,
  /// Shrikumar 2016).
  kGradXInput,
  /// Share: |g_i| (Simonyan 2013). Score: the same length, unsigned.
  kGradientNorm,
  /// kGradXInput or kGradientNorm with g_i replaced by the mean gradient over inputs with Gaussian
  /// noise (Smilkov 2017).
  kSmoothGrad,
  /// Score: sum_d of (e_i - b_i) * integral of g_i along the straight line from a baseline b to e
  /// (Sundararajan 2017). Share: Euclidean length over D of the same product. The scores sum to
  /// f(e) - f(b) up to the quadrature error, which is reported.
  kIntegratedGradients,
  /// Score: f(e) - f(e with token i replaced or deleted). Share: its magnitude.
  kOcclusion,
  /// Replaces contiguous spans of whole words, drawn as in SpanBERT (Joshi 2020), and for
  /// comparison the same number of scattered tokens. Score: mean of f(e) - f(masked) over the draws
  /// whose spans cover the token. Share: its magnitude.
  kSpanOcclusion,
};

/// "grad-x-input", "gradient-norm", "smooth-grad", "integrated-gradients", "occlusion",
/// "span-occlusion".
std::string_view saliency_method_name(SaliencyMethod method);
/// Inverse of saliency_method_name(). Throws Error (user) that lists the names.
SaliencyMethod saliency_method_from_name(std::string_view name);

/// The number f: the target token's logit, log-probability (in nats) or probability.
enum class SaliencyValue : uint8_t { kLogit, kLogProb, kProb };
/// "logit", "log-prob", "prob".
std::string_view saliency_value_name(SaliencyValue value);
SaliencyValue saliency_value_from_name(std::string_view name);

/// Uninformative replacement for a token's embedding. GPT-2 has no mask token.
struct Replacement {
  enum class Kind : uint8_t {
    kZero,    ///< zero vector
    kMean,    ///< mean row of wte
    kToken,   ///< row of `token`
    kTensor,  ///< `tensor`: float32, [D], or [T, D] with one row per input token of the last step
    kDelete,  ///< token removed, later tokens move forward; invalid for integrated gradients
  };
  Kind kind = Kind::kZero;
  int32_t token = 0;
  Tensor tensor = {};
};

/// Quadrature rule for the integral over [0, 1], from n gradients.
enum class Quadrature : uint8_t {
  kGaussLegendre,  ///< exact for polynomials of degree 2 n - 1
  kTrapezoid,      ///< n points from 0 to 1, both included; n >= 2
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
  int samples = 25;  ///< 1..1000000
  /// Standard deviation of the noise / (max - min over all elements of the input's embeddings).
  double noise = 0.1;
  /// The noise depends only on the seed, the sample, the position and the element.
  uint64_t seed = 0;
  bool times_input = true;  ///< false: length of the mean gradient, as kGradientNorm
};

struct SaliencyOptions {
  SaliencyMethod method = SaliencyMethod::kGradXInput;
  SaliencyValue value = SaliencyValue::kLogit;
  /// Contrast token: f is the target's value minus this token's value (Yin & Neubig 2022).
  std::optional<int32_t> contrast = {};
  /// Or a contrast text: a token of its own for each step, after the same input as the target.
  std::vector<int32_t> contrast_text = {};

  // Selection of steps, at most one of the following. None: one step, the model's top-ranked next
  // token.
  std::optional<int32_t> target = {};      ///< one step: this token after the prompt
  std::vector<int32_t> continuation = {};  ///< one step per token: these tokens after the prompt
  /// One step per token that the model generates after the prompt.
  std::optional<GenerateOptions> generate = {};

  IntegratedGradientsOptions integrated = {};
  SmoothGradOptions smooth = {};
  SpanOptions spans = {};
  /// Replacement used by both occlusion methods.
  Replacement mask = {.kind = Replacement::Kind::kMean};

  /// Edits applied during all runs; captures are ignored. Edits of hook_embed (the input of the
  /// analysis), of `logits`, and of selected sequences are invalid. Negative positions count from
  /// the end of each step's input.
  Hooks edits = {};
  /// Maximum tokens per pass, which runs whole inputs and at least one. Results do not depend on
  /// it.
  int64_t batch_tokens = 512;
  /// Optional progress callback (counts inputs); null disables reporting.
  Progress* progress = nullptr;
};

/// Completeness check of integrated gradients.
struct Completeness {
  double baseline_value = 0;  ///< f(b)
  double gap = 0;             ///< |sum of the scores - (f(e) - f(b))|
  double relative_gap = 0;    ///< gap / |f(e) - f(b)|; infinite if only the divisor is 0
};

/// Effect of masking, as means over the draws.
struct MaskingEffect {
  double value = 0;           ///< f(e) - f(masked)
  double standard_error = 0;  ///< standard error of `value`; 0 for a single draw
  double log_prob = 0;  ///< change of the target's log-probability, masked minus unmasked, in nats
  double rank = 0;      ///< rank of the target, masked
  /// |h_masked - h| / |h| with h the final layernorm's output at the last position
  double hidden = 0;
};

/// Spans versus the same number of scattered tokens, per draw.
struct SpanComparison {
  double masked_tokens = 0;  ///< mean number over the draws
  MaskingEffect spans, scattered;
  std::vector<double> scattered_scores = {};  ///< [n] scores computed from the scattered tokens
  /// [n] number of draws that masked the token; the score is 0 if there are none.
  std::vector<int32_t> span_draws = {}, scattered_draws = {};
};

struct SaliencyStep {
  int64_t inputs = 0;  ///< n; the input is ids[0 .. n)
  int32_t target = 0;
  int32_t rank = 0;  ///< 1 + the number of tokens with a strictly greater logit
  double logit = 0, log_prob = 0;
  double value = 0;                               ///< f
  std::optional<Completeness> completeness = {};  ///< kIntegratedGradients only
  std::optional<SpanComparison> comparison = {};  ///< kSpanOcclusion only
};

struct Saliency {
  SaliencyMethod method = SaliencyMethod::kGradXInput;
  SaliencyValue value = SaliencyValue::kLogit;
  std::optional<int32_t> contrast = {};
  std::vector<int32_t> contrasts = {};   ///< [S], or empty
  int64_t prompt = 0;                    ///< number of prompt tokens
  std::vector<int32_t> ids = {};         ///< [T] input of the last step
  std::vector<SaliencyStep> steps = {};  ///< [S]
  /// [S, T]; 0 after a step's input; all 0 if no token has any effect
  std::vector<double> shares = {};
  std::vector<double> scores = {};  ///< [S, T] likewise

  size_t cell(size_t step, size_t position) const { return step * ids.size() + position; }
  /// The contrast token of a step.
  std::optional<int32_t> contrast_of(size_t step) const {
    return contrasts.empty() ? contrast : contrasts[step];
  }
};

/// Holds the activations of a few inputs at a time, and the gradients of one step. Throws Error
/// (user) as Model::forward does; for more than one selection of steps; for a contrast text of
/// another length than the steps; for a text that exceeds the
/// context; for a token outside the vocabulary; for options out of range; for a replacement of the
/// wrong shape or one that the method does not support; and for the deletion of all tokens.
Saliency saliency(const Model& model, std::span<const int32_t> prompt,
                  const SaliencyOptions& options = {});

}  // namespace vitrine
