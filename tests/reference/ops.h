// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "kernels/backend.h"

// The oracle: every operation of a forward pass as plain loops in double precision, written to be
// read beside the paper. Matrices are row-major. Nothing here is shared with a backend but the
// names of the activations.

namespace vitrine::reference {
using namespace internal;

using Vec = std::vector<double>;

/// A view of float32 values as double.
inline Vec widen(std::span<const float> x) { return Vec(x.begin(), x.end()); }

/// [rows, in] times [in, out], plus bias [out] if it is not empty.
inline Vec linear(const Vec& x, const Vec& w, const Vec& bias, int64_t rows, int64_t in,
                  int64_t out) {
  Vec y(static_cast<size_t>(rows * out), 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    double* row = y.data() + r * out;
    for (int64_t i = 0; i < in; ++i) {
      const double factor = x[static_cast<size_t>(r * in + i)];
      const double* weights = w.data() + i * out;
      for (int64_t o = 0; o < out; ++o) row[o] += factor * weights[o];
    }
    for (int64_t o = 0; o < out && !bias.empty(); ++o)
      y[static_cast<size_t>(r * out + o)] += bias[static_cast<size_t>(o)];
  }
  return y;
}

inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

inline double activation(double x, Activation kind) {
  switch (kind) {
    case Activation::kNone:
      return x;
    // 0.5 (1 + tanh(u)) = sigmoid(2 u), without the cancellation for negative x.
    case Activation::kGeluTanh:
      return x * sigmoid(2.0 * std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x));
    case Activation::kGeluErf:
      return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case Activation::kGeluQuick:
      return x * sigmoid(1.702 * x);
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kSilu:
      return x * sigmoid(x);
    case Activation::kTanh:
      return std::tanh(x);
  }
  return x;
}

inline Vec activate(Vec x, Activation kind) {
  for (double& value : x) value = activation(value, kind);
  return x;
}

inline Vec add(Vec a, const Vec& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

struct LayerNorm {
  Vec out;    ///< [rows, width]
  Vec scale;  ///< [rows]: sqrt(var + epsilon)
};

inline LayerNorm layernorm(const Vec& x, const Vec& weight, const Vec& bias, int64_t rows,
                           int64_t width, double epsilon) {
  LayerNorm result{Vec(x.size()), Vec(static_cast<size_t>(rows))};
  for (int64_t r = 0; r < rows; ++r) {
    const double* row = x.data() + r * width;
    const double mean = std::accumulate(row, row + width, 0.0) / static_cast<double>(width);
    double variance = 0.0;
    for (int64_t j = 0; j < width; ++j) variance += (row[j] - mean) * (row[j] - mean);
    const double scale = std::sqrt(variance / static_cast<double>(width) + epsilon);
    result.scale[static_cast<size_t>(r)] = scale;
    for (int64_t j = 0; j < width; ++j) {
      result.out[static_cast<size_t>(r * width + j)] =
          (row[j] - mean) / scale * weight[static_cast<size_t>(j)] + bias[static_cast<size_t>(j)];
    }
  }
  return result;
}

/// Scaled scores [H, rows, past + rows] of the last `rows` tokens of a sequence, -inf where a key
/// lies ahead of its query or, with a window, further back than its nearest `window` positions. q
/// is [rows, H K], k is [past + rows, H K].
inline Vec attention_scores(const Vec& q, const Vec& k, int64_t rows, int64_t past, int64_t heads,
                            int64_t width, double scale, int64_t window = 0) {
  const int64_t total = past + rows, stride = heads * width;
  Vec scores(static_cast<size_t>(heads * rows * total), -std::numeric_limits<double>::infinity());
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t first = window > 0 ? std::max<int64_t>(past + i + 1 - window, 0) : 0;
      for (int64_t j = first; j <= past + i; ++j) {
        double dot = 0.0;
        for (int64_t c = h * width; c < (h + 1) * width; ++c) {
          dot += q[static_cast<size_t>(i * stride + c)] * k[static_cast<size_t>(j * stride + c)];
        }
        scores[static_cast<size_t>((h * rows + i) * total + j)] = scale * dot;
      }
    }
  }
  return scores;
}

/// log sum exp of each row of `n`.
inline Vec log_sum_exp(const Vec& x, int64_t n) {
  Vec result;
  for (auto row = x.begin(); row != x.end(); row += n) {
    const double highest = *std::max_element(row, row + n);
    const double sum = std::accumulate(
        row, row + n, 0.0, [&](double s, double v) { return s + std::exp(v - highest); });
    result.push_back(highest + std::log(sum));
  }
  return result;
}

/// Softmax of each row of `n`.
inline Vec softmax(Vec x, int64_t n) {
  const Vec lse = log_sum_exp(x, n);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::exp(x[i] - lse[i / static_cast<size_t>(n)]);
  return x;
}

/// pattern [H, rows, total] times the values v [total, H K] of each head: z [rows, H K].
inline Vec attention_mix(const Vec& pattern, const Vec& v, int64_t rows, int64_t total,
                         int64_t heads, int64_t width) {
  Vec z(static_cast<size_t>(rows * heads * width), 0.0);
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < total; ++j) {
        for (int64_t c = h * width; c < (h + 1) * width; ++c) {
          z[static_cast<size_t>(i * heads * width + c)] +=
              pattern[static_cast<size_t>((h * rows + i) * total + j)] *
              v[static_cast<size_t>(j * heads * width + c)];
        }
      }
    }
  }
  return z;
}

/// -sum p log p of each row of `n` logits, in nats.
inline Vec entropy(const Vec& logits, int64_t n) {
  const Vec p = softmax(logits, n);
  Vec result(logits.size() / static_cast<size_t>(n), 0.0);
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] > 0.0) result[i / static_cast<size_t>(n)] -= p[i] * std::log(p[i]);
  }
  return result;
}

/// Ids of one row of logits, best first; equal logits: the smaller id first.
template <typename T>
std::vector<int32_t> ranking(std::span<const T> logits) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  return order;
}

/// 1 + the number of strictly greater logits.
template <typename T>
int32_t rank(std::span<const T> logits, int32_t id) {
  return 1 + static_cast<int32_t>(std::count_if(logits.begin(), logits.end(), [&](T x) {
           return x > logits[static_cast<size_t>(id)];
         }));
}

/// The probability of each token after Hugging Face's warpers in their order: temperature, top-k,
/// top-p. Scores are float32 there, so they are here.
inline Vec warped_probabilities(std::span<const float> logits, float temperature, int top_k,
                                float top_p) {
  std::vector<float> scores(logits.begin(), logits.end());
  constexpr float kOut = -std::numeric_limits<float>::infinity();
  for (float& s : scores) s /= temperature;
  if (top_k > 0 && static_cast<size_t>(top_k) < scores.size()) {
    std::vector<float> sorted = scores;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    for (float& s : scores) s = s < sorted[static_cast<size_t>(top_k - 1)] ? kOut : s;
  }
  const auto n = static_cast<int64_t>(scores.size());
  if (top_p < 1.0f) {
    const Vec p = softmax(widen(scores), n);
    double before = 0.0;
    for (int32_t id : ranking(std::span<const float>(scores))) {
      if (before >= static_cast<double>(top_p) && before > 0.0)
        scores[static_cast<size_t>(id)] = kOut;
      before += p[static_cast<size_t>(id)];
    }
  }
  return softmax(widen(scores), n);
}

/// The first token, by descending probability (equal: the smaller id), at which the sum of
/// probabilities exceeds `uniform`.
inline int32_t draw(const Vec& probabilities, double uniform) {
  double below = 0.0;
  int32_t last = 0;
  for (int32_t id : ranking(std::span<const double>(probabilities))) {
    const double p = probabilities[static_cast<size_t>(id)];
    if (p > 0.0) last = id;
    below += p;
    if (below > uniform) break;
  }
  return last;
}

}  // namespace vitrine::reference
