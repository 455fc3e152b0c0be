// SPDX-License-Identifier: MIT
// What is done number by number, embeddings, and copies.

#include "bench/kernels/kernels_bench.h"

namespace vitrine::bench {
using namespace internal;
namespace {

constexpr int64_t kRows = 512;

void activate(benchmark::State& state, Activation activation, bool backward) {
  const auto backend = backend_of(state);
  const RandomMatrix x = random_rows(*backend, kRows, shape().inner),
                     dy = random_rows(*backend, kRows, shape().inner),
                     out = random_rows(*backend, kRows, shape().inner);
  Laps laps(state);
  laps.run([&] {
    if (backward)
      backend->activate_backward(dy.mat, x.mat, activation, out.mat);
    else
      backend->activate(x.mat, activation, out.mat);
  });
  laps.report_bytes((backward ? 12.0 : 8.0) * static_cast<double>(kRows * shape().inner));
}

void add_rows(benchmark::State& state) {
  const auto backend = backend_of(state);
  const RandomMatrix a = random_rows(*backend, kRows, shape().width),
                     b = random_rows(*backend, kRows, shape().width),
                     out = random_rows(*backend, kRows, shape().width);
  Laps laps(state);
  laps.run([&] { backend->add(a.mat, b.mat, out.mat); });
  laps.report_bytes(12.0 * static_cast<double>(kRows * shape().width));
}

/// To what the backend keeps activations as: on a CPU that is float32 whatever the weights are, and
/// a copy.
void convert(benchmark::State& state) {
  const auto backend = backend_of(state);
  const DType to = backend->activation_dtype(DType::kF16);
  const RandomMatrix x = random_rows(*backend, kRows, shape().width);
  const RandomMatrix out(*backend, kRows, shape().width, to, 3);
  Laps laps(state);
  laps.run([&] { backend->convert(x.mat, out.mat); });
  laps.report_bytes(
      static_cast<double>((4 + dtype_size(to)) * static_cast<size_t>(kRows * shape().width)));
}

/// Token ids all over the vocabulary.
struct Tokens {
  explicit Tokens(int64_t rows) : ids(static_cast<size_t>(rows)), positions(ids.size()) {
    for (size_t i = 0; i < ids.size(); ++i) {
      ids[i] = static_cast<int32_t>(static_cast<int64_t>(i) * 7919 % shape().vocab);
      positions[i] = static_cast<int32_t>(i);
    }
  }
  std::vector<int32_t> ids, positions;
};

void embed(benchmark::State& state, bool halves) {
  const auto backend = backend_of(state);
  const int64_t rows = state.range(1), width = shape().width;
  const RandomWeight tokens(*backend, width, shape().vocab, DType::kF32),
      positions(*backend, width, shape().context, DType::kF32);
  const Tokens text(rows);
  const PassBatch batch{.ids = text.ids, .positions = text.positions};
  const RandomMatrix out = random_rows(*backend, rows, width);
  Laps laps(state);
  laps.run([&] {
    if (halves)
      backend->lookup(batch, Lookup::kTokens, tokens.packed, out.mat);
    else
      backend->embed(batch, tokens.packed, positions.packed, out.mat);
  });
  laps.report_bytes((halves ? 8.0 : 12.0) * static_cast<double>(rows * width));
}

}  // namespace

void add_elementwise() {
  add("activate/gelu_tanh", {}, activate, Activation::kGeluTanh, false);
  add("activate/gelu_erf", {}, activate, Activation::kGeluErf, false);
  add("activate_backward/gelu_tanh", {}, activate, Activation::kGeluTanh, true);
  add("activate_backward/gelu_erf", {}, activate, Activation::kGeluErf, true);
  add("add", {}, add_rows);
  add("convert", {}, convert);
  add("embed", {{1, 512}}, embed, false);
  add("lookup", {{1, 512}}, embed, true);
}

}  // namespace vitrine::bench
