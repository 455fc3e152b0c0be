// SPDX-License-Identifier: MIT
#include "vitrine/gradients.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace vitrine {
using namespace internal;

Target& Target::operator+=(const Target& other) {
  terms_.insert(terms_.end(), other.terms_.begin(), other.terms_.end());
  return *this;
}

Target& Target::operator*=(double factor) {
  for (Term& term : terms_) term.weight *= factor;
  return *this;
}

Target operator+(Target a, const Target& b) { return a += b; }
Target operator-(Target a, const Target& b) { return a += -1.0 * b; }
Target operator*(double factor, Target target) { return target *= factor; }

namespace target {
namespace {

Target of_token(Target::Kind kind, int32_t token, int64_t position) {
  return Target({.kind = kind, .position = position, .token = token});
}

Target mean_logit(const std::vector<int32_t>& tokens, int64_t position) {
  if (tokens.empty())
    user_error("empty token set in logit_difference: expected at least one token per set");
  Target sum;
  for (int32_t token : tokens) sum += logit(token, position);
  return sum *= 1.0 / static_cast<double>(tokens.size());
}

/// log softmax, in double precision.
Tensor log_probabilities(TensorView logits) {
  if (logits.shape().rank() != 1)
    user_error(
        "the reference of a KL divergence has shape {}: expected the logits of one position, [V]",
        logits.shape().to_string());
  const std::span<const float> given = logits.f32();
  if (given.empty())
    user_error(
        "the reference of a KL divergence is empty: expected the logits of one position, [V]");
  const double highest = *std::max_element(given.begin(), given.end());
  double sum = 0;
  for (float x : given) sum += std::exp(x - highest);
  Tensor result = Tensor::from(given);
  for (float& x : result.f32()) x = static_cast<float>(x - highest - std::log(sum));
  return result;
}

}  // namespace

Target logit(int32_t token, int64_t position) {
  return of_token(Target::Kind::kLogit, token, position);
}
Target log_prob(int32_t token, int64_t position) {
  return of_token(Target::Kind::kLogProb, token, position);
}
Target prob(int32_t token, int64_t position) {
  return of_token(Target::Kind::kProb, token, position);
}

Target logit_difference(const std::vector<int32_t>& tokens, const std::vector<int32_t>& against,
                        int64_t position) {
  return mean_logit(tokens, position) - mean_logit(against, position);
}

Target cross_entropy() { return Target({.kind = Target::Kind::kNextTokens}); }
Target entropy(int64_t position) {
  return Target({.kind = Target::Kind::kEntropy, .position = position});
}

Target kl(TensorView reference, int64_t position) {
  return Target(
      {.kind = Target::Kind::kKl, .position = position, .values = log_probabilities(reference)});
}

Target reverse_kl(TensorView reference, int64_t position) {
  return Target({.kind = Target::Kind::kReverseKl,
                 .position = position,
                 .values = log_probabilities(reference)});
}

Target norm(std::string site, int64_t position) {
  return Target({.kind = Target::Kind::kNorm, .position = position, .site = std::move(site)});
}

Target linear(std::string site, TensorView coefficients, int64_t position) {
  return Target({.kind = Target::Kind::kLinear,
                 .position = position,
                 .values = Tensor::from(coefficients.f32(), coefficients.shape()),
                 .site = std::move(site)});
}

}  // namespace target
}  // namespace vitrine
