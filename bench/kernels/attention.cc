// SPDX-License-Identifier: MIT
// Attention, fused and step by step, its cache and its gradients.

#include "bench/kernels/kernels_bench.h"

namespace vitrine::bench {
using namespace internal;
namespace {

/// One layer's attention: queries of `rows` new tokens, keys and values of all in the cache, and
/// room for whole maps.
struct Layer {
  Layer(Backend& backend, int64_t rows, int64_t past, bool maps)
      : sequence(rows, past),
        qkv(random_rows(backend, rows + past, 3 * shape().width)),
        z(random_rows(backend, rows, shape().width)),
        lse(random_rows(backend, rows, shape().heads)),
        map(random_rows(backend, 4, maps ? shape().heads * rows * (rows + past) : 1)),
        cache(backend.allocate(
            backend.kv_bytes(rows + past, shape().heads, head_width(), DType::kF32))) {
    const OneSequence all(rows + past, 0);
    backend.append_kv(k(), v(), shape().heads, head_width(), all.batch, cache.data());
  }

  static int head_width() { return static_cast<int>(shape().head_width()); }
  static float scale() { return 0.125f; }
  Mat k() const { return qkv.mat.columns(shape().width, shape().width); }
  Mat v() const { return qkv.mat.columns(2 * shape().width, shape().width); }
  Mat q() const {
    return qkv.mat.row_range(sequence.slice.past, sequence.slice.rows).columns(0, shape().width);
  }

  AttentionArgs args() {
    AttentionArgs args;
    args.q = q();
    args.heads = shape().heads;
    args.head_width = head_width();
    args.scale = scale();
    args.batch = &sequence.batch;
    args.cache = cache.data();
    args.z = z.mat;
    return args;
  }

  /// Pairs of a query and a key that it sees.
  double pairs() const {
    const auto rows = static_cast<double>(sequence.slice.rows),
               past = static_cast<double>(sequence.slice.past);
    return rows * past + 0.5 * rows * (rows + 1);
  }
  double map_bytes() const { return 4.0 * static_cast<double>(map.mat.cols); }

  OneSequence sequence;
  RandomMatrix qkv, z, lse, map;
  Buffer cache;
};

void attention(benchmark::State& state, bool maps) {
  const auto backend = backend_of(state);
  Layer layer(*backend, state.range(1), state.range(2), maps);
  AttentionArgs args = layer.args();
  if (maps) args.scores = layer.map.mat.row(0), args.pattern = layer.map.mat.row(1);
  Laps laps(state);
  laps.run([&] { backend->attention(args); });
  laps.report_operations(4.0 * layer.pairs() * static_cast<double>(shape().width));
  if (state.range(1) == 1)
    laps.report_bytes(8.0 * static_cast<double>(layer.qkv.mat.rows * shape().width));
}

using Step = void (Backend::*)(const AttentionArgs&);

/// The three steps over whole maps, which layers with edited scores or patterns take.
void composed(benchmark::State& state, Step step, double operations_a_pair) {
  const auto backend = backend_of(state);
  Layer layer(*backend, state.range(1), 0, true);
  AttentionArgs args = layer.args();
  args.scores = layer.map.mat.row(0);
  args.pattern = layer.map.mat.row(1);
  backend->attention_scores(args);
  backend->attention_softmax(args);
  Laps laps(state);
  laps.run([&] { ((*backend).*step)(args); });
  if (operations_a_pair > 0)
    laps.report_operations(operations_a_pair * layer.pairs() * static_cast<double>(shape().width));
  else
    laps.report_bytes(2 * layer.map_bytes());
}

void append_kv(benchmark::State& state) {
  const auto backend = backend_of(state);
  Layer layer(*backend, state.range(1), 0, false);
  Laps laps(state);
  laps.run([&] {
    backend->append_kv(layer.k(), layer.v(), shape().heads, Layer::head_width(),
                       layer.sequence.batch, layer.cache.data());
  });
  laps.report_bytes(16.0 * static_cast<double>(state.range(1) * shape().width));
}

using BackwardStep = void (Backend::*)(const AttentionBackwardArgs&);

/// `operations_a_pair`: multiplications and additions for each pair and each of D; 0: bytes of maps
/// are what counts.
void backward(benchmark::State& state, BackwardStep step, bool maps, double operations_a_pair) {
  const auto backend = backend_of(state);
  const int64_t rows = state.range(1), width = shape().width;
  Layer layer(*backend, rows, 0, maps);
  AttentionArgs forward = layer.args();
  forward.lse = layer.lse.mat;
  if (maps) forward.pattern = layer.map.mat.row(1);
  backend->attention(forward);
  const RandomMatrix dz = random_rows(*backend, rows, width),
                     dqkv = random_rows(*backend, rows, 3 * width);
  AttentionBackwardArgs args;
  args.q = layer.q();
  args.k = layer.k();
  args.v = layer.v();
  args.heads = shape().heads;
  args.head_width = Layer::head_width();
  args.scale = Layer::scale();
  args.batch = &layer.sequence.batch;
  args.z = layer.z.mat;
  args.lse = layer.lse.mat;
  args.dz = dz.mat;
  args.dq = dqkv.mat.columns(0, width);
  args.dk = dqkv.mat.columns(width, width);
  args.dv = dqkv.mat.columns(2 * width, width);
  if (maps)
    args.pattern = layer.map.mat.row(1), args.dpattern = layer.map.mat.row(2),
    args.dscores = layer.map.mat.row(3);
  Laps laps(state);
  laps.run([&] { ((*backend).*step)(args); });
  if (operations_a_pair > 0)
    laps.report_operations(operations_a_pair * layer.pairs() * static_cast<double>(width));
  else
    laps.report_bytes(3 * layer.map_bytes());
}

}  // namespace

void add_attention() {
  add("attention", {{128, 512, 1024}, {0}}, attention, false);
  add("attention/maps", {{512}, {0}}, attention, true);
  add("attention/decode", {{1}, {63, 511, 1023}}, attention, false);
  add("attention_scores", {{512}}, composed, &Backend::attention_scores, 2.0);
  add("attention_softmax", {{512}}, composed, &Backend::attention_softmax, 0.0);
  add("attention_mix", {{512}}, composed, &Backend::attention_mix, 2.0);
  add("append_kv", {{1, 512}}, append_kv);
  // Scores and dP again, then dq, dk and dv: five products.
  add("attention_backward", {{128, 512, 1024}}, backward, &Backend::attention_backward, false,
      10.0);
  add("attention_backward_pattern", {{512}}, backward, &Backend::attention_backward_pattern, true,
      2.0);
  add("attention_backward_scores", {{512}}, backward, &Backend::attention_backward_scores, true,
      0.0);
  add("attention_backward_inputs", {{512}}, backward, &Backend::attention_backward_inputs, true,
      6.0);
}

}  // namespace vitrine::bench
