// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/logits_kernels.h"
#include "kernels/cpu/parallel.h"

// Seeds. With l the logits, p their softmax, w a term's weight and r a reference, the gradients are
//   logit          w [t]                       log p[t]     w ([t] - p)
//   p[t]           w p[t] ([t] - p)            entropy H    -w p (log p + H)
//   KL(r || p)     w (p - r)                   KL(p || r)   w p (log p - log r - KL)
// with [t] one at the token. What is p times a number, or p times log p, is added up over a row's
// terms and written in one go.

namespace vitrine::internal {
namespace {

struct Row {
  std::span<const float> logits;
  cpu::LogitSums sums;
  double log_total;

  explicit Row(std::span<const float> l)
      : logits(l), sums(cpu::logit_sums(l)), log_total(std::log(sums.total)) {}
  double log_prob(size_t token) const {
    return (static_cast<double>(logits[token]) - sums.highest) - log_total;
  }
  double entropy() const { return log_total - sums.weighted / sums.total; }
};

/// The share of p and of p log p in a row's seed.
struct Shares {
  double plain = 0, by_log = 0;
};

// What has no probability has no part in a divergence; a NaN has, and makes it a NaN.

double kl(const Row& row, const float* reference) {
  double sum = 0;
  for (size_t v = 0; v < row.logits.size(); ++v) {
    const double log_r = reference[v], r = std::exp(log_r);
    if (r != 0) sum += r * (log_r - row.log_prob(v));
  }
  return sum;
}

double reverse_kl(const Row& row, const float* reference) {
  double sum = 0;
  for (size_t v = 0; v < row.logits.size(); ++v) {
    const double log_p = row.log_prob(v), p = std::exp(log_p);
    if (p != 0) sum += p * (log_p - static_cast<double>(reference[v]));
  }
  return sum;
}

/// The value of a term; adds what it has of p and p log p to `shares`.
double evaluate(const LogitTerm& term, const Row& row, const float* reference, Shares& shares) {
  const double w = term.weight;
  switch (term.kind) {
    case LogitTermKind::kLogit:
      return row.logits[static_cast<size_t>(term.token)];
    case LogitTermKind::kLogProb:
      shares.plain -= w;
      return row.log_prob(static_cast<size_t>(term.token));
    case LogitTermKind::kProb: {
      const double p = std::exp(row.log_prob(static_cast<size_t>(term.token)));
      shares.plain -= w * p;
      return p;
    }
    case LogitTermKind::kEntropy: {
      const double entropy = row.entropy();
      shares.plain -= w * entropy;
      shares.by_log -= w;
      return entropy;
    }
    case LogitTermKind::kKl:
      shares.plain += w;
      return kl(row, reference);
    case LogitTermKind::kReverseKl: {
      const double value = reverse_kl(row, reference);
      shares.plain -= w * value;
      shares.by_log += w;
      return value;
    }
  }
  return std::numeric_limits<double>::quiet_NaN();
}

/// Adds what is not p times a number or times log p.
void add_rest(const LogitTerm& term, const Row& row, const float* reference, double value,
              float* seed) {
  const double w = term.weight;
  switch (term.kind) {
    case LogitTermKind::kLogit:
    case LogitTermKind::kLogProb:
      seed[term.token] += term.weight;
      break;
    case LogitTermKind::kProb:
      seed[term.token] += static_cast<float>(w * value);
      break;
    case LogitTermKind::kEntropy:
      break;
    case LogitTermKind::kKl:
      for (size_t v = 0; v < row.logits.size(); ++v)
        seed[v] -= static_cast<float>(w * std::exp(static_cast<double>(reference[v])));
      break;
    case LogitTermKind::kReverseKl:
      for (size_t v = 0; v < row.logits.size(); ++v) {
        const double p = std::exp(row.log_prob(v));
        if (p != 0) seed[v] -= static_cast<float>(w * p * static_cast<double>(reference[v]));
      }
      break;
  }
}

void seed_row(const LogitTargetArgs& args, int64_t r) {
  const auto vocab = static_cast<size_t>(args.logits.cols);
  const auto first = std::lower_bound(args.terms.begin(), args.terms.end(), r,
                                      [](const LogitTerm& t, int64_t at) { return t.row < at; });
  const auto last = std::upper_bound(first, args.terms.end(), r,
                                     [](int64_t at, const LogitTerm& t) { return at < t.row; });
  float* seed = args.seed.row(r);
  if (first == last) return std::fill(seed, seed + vocab, 0.0f);
  const Row row({args.logits.row(r), vocab});
  const auto reference = [&](const LogitTerm& term) {
    return args.references == nullptr ? nullptr
                                      : args.references + term.reference * args.logits.cols;
  };
  Shares shares;
  for (auto term = first; term != last; ++term) {
    args.values[static_cast<size_t>(term - args.terms.begin())] =
        evaluate(*term, row, reference(*term), shares);
  }
  cpu::seed_logits(row.logits, row.sums, static_cast<float>(shares.plain),
                   static_cast<float>(shares.by_log), seed);
  for (auto term = first; term != last; ++term) {
    add_rest(*term, row, reference(*term),
             args.values[static_cast<size_t>(term - args.terms.begin())], seed);
  }
}

}  // namespace

void CpuBackend::logit_targets(const LogitTargetArgs& args) {
  cpu::parallel_for(threads_, args.logits.rows, [&](int64_t r) { seed_row(args, r); });
}

}  // namespace vitrine::internal
