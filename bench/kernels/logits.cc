// SPDX-License-Identifier: MIT
// Logits: statistics of rows that are never held whole, seeds of gradients, and the choice of a
// token.

#include "bench/kernels/kernels_bench.h"

namespace vitrine::bench {
using namespace internal;
namespace {

void logit_stats(benchmark::State& state) {
  const auto backend = backend_of(state);
  const int64_t rows = state.range(1);
  constexpr int kTop = 10;
  const RandomWeight unembed(*backend, shape().width, shape().vocab, DType::kF32);
  const RandomMatrix x = random_rows(*backend, rows, shape().width);
  std::vector<int32_t> ids(static_cast<size_t>(kTop * rows)), watch(static_cast<size_t>(rows), 7),
      ranks(watch.size());
  std::vector<float> values(ids.size()), lse(watch.size()), entropy(watch.size()),
      watched(watch.size());
  LogitStatsArgs args;
  args.x = x.mat;
  args.unembed = &unembed.packed;
  args.top_k = kTop;
  args.top_ids = ids.data();
  args.top_logits = values.data();
  args.lse = lse.data();
  args.entropy = entropy.data();
  args.watch = watch;
  args.watch_logits = watched.data();
  args.watch_ranks = ranks.data();
  Laps laps(state);
  laps.run([&] { backend->logit_stats(args); });
  laps.report_operations(2.0 * static_cast<double>(rows * shape().width * shape().vocab));
}

/// One term a row.
void logit_targets(benchmark::State& state, LogitTermKind kind) {
  const auto backend = backend_of(state);
  const int64_t rows = state.range(1);
  const RandomMatrix logits = random_rows(*backend, rows, shape().vocab),
                     references = random_rows(*backend, 1, shape().vocab),
                     seed = random_rows(*backend, rows, shape().vocab);
  std::vector<LogitTerm> terms;
  for (int64_t row = 0; row < rows; ++row) terms.push_back({.kind = kind, .row = row, .token = 7});
  std::vector<double> values(terms.size());
  LogitTargetArgs args;
  args.logits = logits.mat;
  args.terms = terms;
  args.references = references.mat.f32();
  args.seed = seed.mat;
  args.values = values;
  Laps laps(state);
  laps.run([&] { backend->logit_targets(args); });
  laps.report_bytes(8.0 * static_cast<double>(rows * shape().vocab));
}

void sample(benchmark::State& state, float temperature, int top_k, float top_p) {
  const auto backend = backend_of(state);
  const int64_t rows = state.range(1);
  const RandomMatrix logits = random_rows(*backend, rows, shape().vocab);
  for (int64_t i = 0; i < rows * shape().vocab; ++i)
    logits.mat.f32()[i] *= 5.0f;  // a spread as a trained model's
  std::vector<int32_t> ids(static_cast<size_t>(rows));
  const std::vector<double> uniform(ids.size(), 0.7);
  SampleArgs args;
  args.logits = logits.mat;
  args.temperature = temperature;
  args.top_k = top_k;
  args.top_p = top_p;
  args.uniform = uniform;
  args.ids = ids;
  Laps laps(state);
  laps.run([&] { backend->sample(args); });
  laps.report_bytes(4.0 * static_cast<double>(rows * shape().vocab));
}

}  // namespace

void add_logits() {
  add("logit_stats", {{1, 64, 512}}, logit_stats);
  add("logit_targets/logit", {{8}}, logit_targets, LogitTermKind::kLogit);
  add("logit_targets/log_prob", {{8}}, logit_targets, LogitTermKind::kLogProb);
  add("logit_targets/entropy", {{8}}, logit_targets, LogitTermKind::kEntropy);
  add("logit_targets/kl", {{8}}, logit_targets, LogitTermKind::kKl);
  add("sample/greedy", {{1, 8}}, sample, 0.0f, 0, 1.0f);
  add("sample/plain", {{1, 8}}, sample, 1.0f, 0, 1.0f);
  add("sample/top_k", {{1, 8}}, sample, 0.8f, 40, 1.0f);
  add("sample/top_p", {{1, 8}}, sample, 0.8f, 0, 0.95f);
}

}  // namespace vitrine::bench
