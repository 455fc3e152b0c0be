// SPDX-License-Identifier: MIT
#include <limits>
#include <vector>

#include "kernels/cuda/elementwise/elementwise.cuh"
#include "kernels/cuda/logits/select.cuh"
#include "kernels/cuda/runtime/cuda_backend.h"

// Seeds of a backward pass: a block for each row of logits. It sums up the softmax, then goes over
// the row once for each divergence among its terms, and once more to write the terms' gradients,
// added up in their order. All of this is in double: probabilities span many orders of magnitude,
// and these kernels run once a pass. The number of threads follows from the vocabulary's size.

namespace vitrine::internal {
namespace {

using namespace cuda;

constexpr int kMostThreads = 512;
constexpr int kMostWarps = kMostThreads / kWarp;

struct Targets {
  Rows<const float> logits;
  int vocab;
  const LogitTerm* terms;
  const int32_t* begins;  ///< [rows + 1]: of each row's terms
  const float* references;
  double* values;  ///< [terms]
  double* masses;  ///< [terms]: of a reference, which is 1 but for its rounding
};

struct TargetMemory {
  float highest[kMostWarps];
  double totals[kMostWarps], weighted[kMostWarps], masses[kMostWarps];
};

/// A row of logits and its softmax.
struct TargetRow {
  const float* logits;
  int vocab;
  double highest = 0.0, log_total = 0.0, entropy = 0.0;

  VITRINE_DEVICE double log_prob(int id) const {
    return static_cast<double>(logits[id]) - highest - log_total;
  }

  VITRINE_DEVICE void sum_up(TargetMemory& m) {
    float most = -std::numeric_limits<float>::infinity();
    for_each_token(vocab, [&](int id) { most = fmaxf(most, logits[id]); });
    highest = static_cast<double>(block_max(most, m.highest));
    double total = 0.0, weighted = 0.0;
    for_each_token(vocab, [&](int id) {
      const double distance = static_cast<double>(logits[id]) - highest, e = exp(distance);
      total += e;
      if (e != 0.0) weighted += e * distance;
    });
    total = block_sum(total, m.totals);
    weighted = block_sum(weighted, m.weighted);
    log_total = log(total);
    entropy = log_total - weighted / total;
  }
};

/// A term's value, and for a divergence from a reference the reference's mass; the same in all
/// threads.
struct Measured {
  double value, mass;
};

VITRINE_DEVICE Measured divergence(const TargetRow& row, const float* reference, bool reverse,
                                   TargetMemory& m) {
  double sum = 0.0, mass = 0.0;
  for_each_token(row.vocab, [&](int id) {
    const double log_r = static_cast<double>(reference[id]), log_p = row.log_prob(id);
    const double share = exp(reverse ? log_p : log_r);
    mass += share;
    if (share != 0.0) sum += share * (reverse ? log_p - log_r : log_r - log_p);
  });
  __syncthreads();  // no thread reads the previous sums any more
  sum = block_sum(sum, m.totals);
  return {sum, block_sum(mass, m.masses)};
}

VITRINE_DEVICE Measured measure(const TargetRow& row, const LogitTerm& term, const float* reference,
                                TargetMemory& m) {
  switch (term.kind) {
    case LogitTermKind::kLogit:
      return {static_cast<double>(row.logits[term.token]), 0.0};
    case LogitTermKind::kLogProb:
      return {row.log_prob(term.token), 0.0};
    case LogitTermKind::kProb:
      return {exp(row.log_prob(term.token)), 0.0};
    case LogitTermKind::kEntropy:
      return {row.entropy, 0.0};
    case LogitTermKind::kKl:
      return divergence(row, reference, false, m);
    case LogitTermKind::kReverseKl:
      return divergence(row, reference, true, m);
  }
  return {};
}

/// d term / d logit of a token. What has no probability has no part in p log p; a NaN has.
VITRINE_DEVICE double slope(const LogitTerm& term, const Measured& is, const float* reference,
                            int id, double log_p, double p) {
  const double own = id == term.token ? 1.0 : 0.0;
  switch (term.kind) {
    case LogitTermKind::kLogit:
      return own;
    case LogitTermKind::kLogProb:
      return own - p;
    case LogitTermKind::kProb:
      return is.value * (own - p);
    case LogitTermKind::kEntropy:
      return p != 0.0 ? -p * (log_p + is.value) : 0.0;
    case LogitTermKind::kKl:
      return p * is.mass - exp(static_cast<double>(reference[id]));
    case LogitTermKind::kReverseKl:
      return p != 0.0 ? p * (log_p - static_cast<double>(reference[id]) - is.value) : 0.0;
  }
  return 0.0;
}

template <class T>
__global__ void __launch_bounds__(kMostThreads, 1) seed_row(Targets t, Rows<T> seed) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  TargetMemory& m = *shared_memory<TargetMemory>();
  const int64_t at = blockIdx.x;
  const int begin = t.begins[at], end = t.begins[at + 1];
  const auto reference_of = [&](const LogitTerm& term) {
    return t.references + term.reference * t.vocab;
  };
  TargetRow row{t.logits.at(at, 0), t.vocab};
  if (begin < end) row.sum_up(m);
  for (int i = begin; i < end; ++i) {
    const Measured is = measure(row, t.terms[i], reference_of(t.terms[i]), m);
    if (threadIdx.x == 0) t.values[i] = is.value, t.masses[i] = is.mass;
  }
  __syncthreads();
  for_each_token(t.vocab, [&](int id) {
    double sum = 0.0;
    const double log_p = begin < end ? row.log_prob(id) : 0.0, p = exp(log_p);
    for (int i = begin; i < end; ++i) {
      const LogitTerm& term = t.terms[i];
      sum += static_cast<double>(term.weight) *
             slope(term, {t.values[i], t.masses[i]}, reference_of(term), id, log_p, p);
    }
    *seed.at(at, id) = narrow<T>(static_cast<float>(sum));
  });
}

/// Where each row's terms begin.
std::vector<int32_t> begins_of(std::span<const LogitTerm> terms, int64_t rows) {
  std::vector<int32_t> begins(static_cast<size_t>(rows) + 1, 0);
  for (const LogitTerm& term : terms) ++begins[static_cast<size_t>(term.row) + 1];
  for (size_t r = 1; r < begins.size(); ++r) begins[r] += begins[r - 1];
  return begins;
}

}  // namespace

void CudaBackend::logit_targets(const LogitTargetArgs& args) {
  const std::vector<int32_t> begins = begins_of(args.terms, args.logits.rows);
  const size_t count = args.terms.size(), doubles = count * sizeof(double);
  std::byte* memory =
      scratch(args.terms.size_bytes() + 2 * doubles + begins.size() * sizeof(int32_t));
  auto* terms = reinterpret_cast<LogitTerm*>(memory);
  auto* values = reinterpret_cast<double*>(terms + count);
  auto* begins_at = reinterpret_cast<int32_t*>(values + 2 * count);
  upload(terms, args.terms.data(), args.terms.size_bytes());
  upload(begins_at, begins.data(), begins.size() * sizeof(int32_t));

  const auto vocab = static_cast<int>(args.logits.cols);
  const Rows<float> logits = float_rows(args.logits, "logits");
  const Targets targets{{logits.data, logits.stride},
                        vocab,
                        terms,
                        begins_at,
                        args.references,
                        values,
                        values + count};
  const LaunchShape shape{.grid = dim3(args.logits.rows),
                          .block = dim3(threads_for(ceil_div(vocab, kQuad), kMostThreads)),
                          .shared = sizeof(TargetMemory),
                          .may_start_early = true};
  with_element(args.seed.dtype, [&](auto element) {
    launch(*device_, shape, seed_row<decltype(element)>, targets,
           Rows<decltype(element)>(args.seed));
  });
  download(args.values.data(), values, doubles);
}

}  // namespace vitrine::internal
