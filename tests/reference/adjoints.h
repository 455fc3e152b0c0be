// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "tests/reference/ops.h"

// The oracle of the backward pass: the adjoint of every operation of ops.h as plain loops in double
// precision. Each is held against central differences of the operation itself (adjoints_test.cc),
// so that a mistake here does not become the measure.

namespace vitrine::reference {
using namespace internal;

/// The derivative of activation() as a sum of two terms: where they cancel, what a kernel rounds is
/// measured by their sizes.
inline std::pair<double, double> activation_slope_terms(double x, Activation kind) {
  // x sigmoid(u(x)): sigmoid(u) + x sigmoid(u) sigmoid(-u) u'.
  const auto gated = [x](double u, double slope) {
    const double gate = sigmoid(u);
    return std::pair{gate, gate == 0.0 || gate == 1.0 ? 0.0 : x * gate * sigmoid(-u) * slope};
  };
  switch (kind) {
    case Activation::kNone:
      return {1.0, 0.0};
    case Activation::kGeluTanh: {
      const double c = 2.0 * std::sqrt(2.0 / M_PI);
      return gated(c * (x + 0.044715 * x * x * x), c * (1.0 + 3.0 * 0.044715 * x * x));
    }
    case Activation::kGeluErf:
      return {0.5 * std::erfc(-x / std::sqrt(2.0)),
              x * std::exp(-0.5 * x * x) / std::sqrt(2.0 * M_PI)};
    case Activation::kGeluQuick:
      return gated(1.702 * x, 1.702);
    case Activation::kRelu:
      return {x > 0.0 ? 1.0 : 0.0, 0.0};
    case Activation::kSilu:
      return gated(x, 1.0);
    case Activation::kTanh:
      return {1.0 / (std::cosh(x) * std::cosh(x)), 0.0};
  }
  return {1.0, 0.0};
}

inline double activation_slope(double x, Activation kind) {
  const auto [first, second] = activation_slope_terms(x, kind);
  return first + second;
}

inline Vec activate_backward(Vec dy, const Vec& before, Activation kind) {
  for (size_t i = 0; i < dy.size(); ++i) dy[i] *= activation_slope(before[i], kind);
  return dy;
}

/// dy [rows, out] times the transpose of w [in, out]: [rows, in].
inline Vec linear_backward(const Vec& dy, const Vec& w, int64_t rows, int64_t in, int64_t out) {
  Vec dx(static_cast<size_t>(rows * in), 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < in; ++i) {
      const double *row = dy.data() + r * out, *weights = w.data() + i * out;
      double sum = 0.0;
      for (int64_t o = 0; o < out; ++o) sum += row[o] * weights[o];
      dx[static_cast<size_t>(r * in + i)] = sum;
    }
  }
  return dx;
}

struct LayerNormGradient {
  Vec dx;      ///< [rows, width]
  Vec dscale;  ///< [rows]: with respect to the scale that was divided by
};

/// The gradient with respect to that scale, e: y = c / e * weight + bias, so d y / d e = -c weight
/// / e^2.
inline Vec layernorm_backward_scale(const Vec& x, const Vec& weight, const Vec& scale,
                                    const Vec& dy, int64_t width) {
  Vec dscale;
  for (size_t r = 0; r < scale.size(); ++r) {
    const double* row = x.data() + r * static_cast<size_t>(width);
    const double mean = std::accumulate(row, row + width, 0.0) / static_cast<double>(width);
    double sum = 0.0;
    for (int64_t j = 0; j < width; ++j)
      sum += dy[r * static_cast<size_t>(width) + static_cast<size_t>(j)] *
             weight[static_cast<size_t>(j)] * (row[j] - mean);
    dscale.push_back(-sum / (scale[r] * scale[r]));
  }
  return dscale;
}

/// The gradient with respect to x, given the one that reaches the row's own scale s =
/// sqrt(mean(c^2) + epsilon): dscale, or what an edit of the scale made of it; zeros where the
/// scale is a constant. d s / d c = c / (width s).
inline Vec layernorm_backward_apply(const Vec& x, const Vec& weight, const Vec& scale,
                                    const Vec& dy, const Vec& dscale, int64_t width,
                                    double epsilon) {
  Vec dx;
  const auto n = static_cast<double>(width);
  for (size_t r = 0; r < scale.size(); ++r) {
    const size_t begin = r * static_cast<size_t>(width);
    const double* row = x.data() + begin;
    const double mean = std::accumulate(row, row + width, 0.0) / n;
    double variance = 0.0;
    for (int64_t j = 0; j < width; ++j) variance += (row[j] - mean) * (row[j] - mean) / n;
    Vec dc;
    for (size_t j = 0; j < static_cast<size_t>(width); ++j)
      dc.push_back(dy[begin + j] * weight[j] / scale[r] +
                   dscale[r] * (row[j] - mean) / (n * std::sqrt(variance + epsilon)));
    const double mean_dc = std::accumulate(dc.begin(), dc.end(), 0.0) / n;  // c = x - mean(x)
    for (double value : dc) dx.push_back(value - mean_dc);
  }
  return dx;
}

/// `scale` [rows] is what the forward pass divided by; empty: the rows' own. Frozen: the scale is a
/// constant.
inline LayerNormGradient layernorm_backward(const Vec& x, const Vec& weight, Vec scale,
                                            const Vec& dy, int64_t rows, int64_t width,
                                            double epsilon, bool frozen) {
  if (scale.empty())
    scale = layernorm(x, weight, Vec(static_cast<size_t>(width)), rows, width, epsilon).scale;
  LayerNormGradient result;
  result.dscale = layernorm_backward_scale(x, weight, scale, dy, width);
  const Vec reaching = frozen ? Vec(static_cast<size_t>(rows), 0.0) : result.dscale;
  result.dx = layernorm_backward_apply(x, weight, scale, dy, reaching, width, epsilon);
  return result;
}

/// The transpose of attention_mix: map [H, rows, rows] of one sequence without a past, x [rows, H
/// K] by query: sums by key.
inline Vec attention_mix_transposed(const Vec& map, const Vec& x, int64_t rows, int64_t heads,
                                    int64_t width) {
  Vec result(x.size(), 0.0);
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < rows; ++j) {
        for (int64_t c = h * width; c < (h + 1) * width; ++c) {
          result[static_cast<size_t>(j * heads * width + c)] +=
              map[static_cast<size_t>((h * rows + i) * rows + j)] *
              x[static_cast<size_t>(i * heads * width + c)];
        }
      }
    }
  }
  return result;
}

/// dP = dz v^T [H, rows, rows] of one sequence without a past; 0 where a query does not see a key.
inline Vec attention_dpattern(const Vec& dz, const Vec& v, int64_t rows, int64_t heads,
                              int64_t width, int64_t window = 0) {
  Vec result = attention_scores(dz, v, rows, 0, heads, width, 1.0, window);
  for (double& value : result) value = std::isinf(value) ? 0.0 : value;
  return result;
}

/// dS = P * (dP - sum_j P dP) for each row of `n`.
inline Vec softmax_backward(const Vec& pattern, const Vec& dpattern, int64_t n) {
  Vec result(pattern.size());
  for (size_t begin = 0; begin < pattern.size(); begin += static_cast<size_t>(n)) {
    double sum = 0.0;
    for (size_t j = begin; j < begin + static_cast<size_t>(n); ++j) sum += pattern[j] * dpattern[j];
    for (size_t j = begin; j < begin + static_cast<size_t>(n); ++j)
      result[j] = pattern[j] * (dpattern[j] - sum);
  }
  return result;
}

struct AttentionGradient {
  Vec dq, dk, dv;         ///< [rows, H K]
  Vec dpattern, dscores;  ///< [H, rows, rows], 0 where a query does not see a key
};

/// Of one sequence without a past: q, k, v, dz [rows, H K]. Frozen: the pattern is a constant.
inline AttentionGradient attention_backward(const Vec& q, const Vec& k, const Vec& v, const Vec& dz,
                                            int64_t rows, int64_t heads, int64_t width,
                                            double scale, bool frozen, int64_t window = 0) {
  const Vec pattern = softmax(attention_scores(q, k, rows, 0, heads, width, scale, window), rows);
  AttentionGradient result;
  result.dpattern = attention_dpattern(dz, v, rows, heads, width, window);
  result.dscores = softmax_backward(pattern, result.dpattern, rows);
  result.dv = attention_mix_transposed(pattern, dz, rows, heads, width);
  result.dq = attention_mix(result.dscores, k, rows, rows, heads, width);
  result.dk = attention_mix_transposed(result.dscores, q, rows, heads, width);
  for (double& value : result.dq) value *= frozen ? 0.0 : scale;
  for (double& value : result.dk) value *= frozen ? 0.0 : scale;
  return result;
}

/// The value of one term on a row of logits; `reference` are log-probabilities. p log p is 0 where
/// p is.
inline double logit_target(const Vec& logits, LogitTermKind kind, int32_t token,
                           const Vec& reference) {
  const auto n = static_cast<int64_t>(logits.size());
  const double lse = log_sum_exp(logits, n)[0];
  const auto at = static_cast<size_t>(token);
  double sum = 0.0;
  switch (kind) {
    case LogitTermKind::kLogit:
      return logits[at];
    case LogitTermKind::kLogProb:
      return logits[at] - lse;
    case LogitTermKind::kProb:
      return std::exp(logits[at] - lse);
    case LogitTermKind::kEntropy:
      return entropy(logits, n)[0];
    case LogitTermKind::kKl:
      for (size_t i = 0; i < logits.size(); ++i) {
        const double r = std::exp(reference[i]);
        if (r > 0.0) sum += r * (reference[i] - (logits[i] - lse));
      }
      return sum;
    case LogitTermKind::kReverseKl:
      for (size_t i = 0; i < logits.size(); ++i) {
        const double p = std::exp(logits[i] - lse);
        if (p > 0.0) sum += p * ((logits[i] - lse) - reference[i]);
      }
      return sum;
  }
  return sum;
}

/// Its gradient with respect to the logits. With p the softmax and g_i = d f / d log p_i: d f / d
/// l_i = g_i - p_i sum_j g_j.
inline Vec logit_target_gradient(const Vec& logits, LogitTermKind kind, int32_t token,
                                 const Vec& reference) {
  const auto n = static_cast<int64_t>(logits.size());
  const double lse = log_sum_exp(logits, n)[0];
  Vec g(logits.size(), 0.0);
  const auto at = static_cast<size_t>(token);
  for (size_t i = 0; i < g.size(); ++i) {
    const double log_p = logits[i] - lse, p = std::exp(log_p);
    if (kind == LogitTermKind::kEntropy && p > 0.0) g[i] = -p * (log_p + 1.0);
    if (kind == LogitTermKind::kKl) g[i] = -std::exp(reference[i]);
    if (kind == LogitTermKind::kReverseKl && p > 0.0) g[i] = p * (log_p - reference[i] + 1.0);
  }
  if (kind == LogitTermKind::kLogit || kind == LogitTermKind::kLogProb) g[at] = 1.0;
  if (kind == LogitTermKind::kProb) g[at] = std::exp(logits[at] - lse);
  if (kind == LogitTermKind::kLogit)
    return g;  // the logit itself, not what the softmax makes of it
  const double sum = std::accumulate(g.begin(), g.end(), 0.0);
  for (size_t i = 0; i < g.size(); ++i) g[i] -= std::exp(logits[i] - lse) * sum;
  return g;
}

}  // namespace vitrine::reference
