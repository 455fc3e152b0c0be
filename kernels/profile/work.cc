// SPDX-License-Identifier: MIT
#include "kernels/profile/work.h"

#include <algorithm>

namespace vitrine::internal::profile {
namespace {

double number(int64_t value) { return static_cast<double>(value); }
double size_of(DType dtype) { return static_cast<double>(dtype_size(dtype)); }

/// 0 for an optional matrix that is not given.
double bytes(Mat m) { return m ? number(m.rows) * number(m.cols) * size_of(m.dtype) : 0; }

/// The weights of `outputs` outputs, with their scales.
double bytes(const PackedMatrix& m, int64_t outputs) {
  const double scales = m.scales != nullptr ? sizeof(float) : 0;
  return number(outputs) * (number(m.in) * size_of(m.dtype) + scales);
}
double bytes(const PackedMatrix& m) { return bytes(m, m.out); }

double vector_bytes(const void* given, int64_t count) {
  return given != nullptr ? number(count) * sizeof(float) : 0;
}

double product(int64_t rows, const PackedMatrix& weight) {
  return 2 * number(rows) * number(weight.in) * number(weight.out);
}

/// What attention's work depends on beside the width.
struct Extent {
  double positions = 0;  ///< of all sequences, past ones included
  double pairs = 0;      ///< of a query and a key that it may see
  double map = 0;        ///< elements of a head's maps
};

Extent extent(const PassBatch& batch) {
  Extent all;
  for (const SequenceSlice& s : batch.sequences) {
    const double rows = number(s.rows), end = number(s.past + s.rows);
    all.positions += end;
    all.pairs += rows * number(s.past) + rows * (rows + 1) / 2;
    all.map += rows * end;
  }
  return all;
}

template <typename Args>
double width(const Args& args) {
  return static_cast<double>(args.heads) * args.head_width;
}

template <typename Args>
double map_bytes(const Args& args) {
  return args.heads * extent(*args.batch).map * sizeof(float);
}

/// So many products of queries and keys, or of as much work, over the causal pairs.
template <typename Args>
double pair_flops(const Args& args, int products) {
  return 2.0 * products * extent(*args.batch).pairs * width(args);
}

/// Keys, or values, of every position, kept as the queries are.
double cached(const AttentionArgs& args) {
  return extent(*args.batch).positions * width(args) * size_of(args.q.dtype);
}

double selected(const Selection& where) {
  return static_cast<double>(where.rows.size()) * number(where.width());
}

}  // namespace

Work embed(const PassBatch& batch, const PackedMatrix& token_table,
           const PackedMatrix& position_table, Mat out) {
  const auto rows = static_cast<int64_t>(batch.ids.size());
  return {bytes(token_table, rows) + bytes(position_table, rows) + bytes(out)};
}

Work lookup(const PassBatch& batch, const PackedMatrix& table, Mat out) {
  return {bytes(table, static_cast<int64_t>(batch.ids.size())) + bytes(out)};
}

Work layernorm(const LayerNormArgs& args) {
  return {bytes(args.x) + vector_bytes(args.weight, args.x.cols) +
          vector_bytes(args.bias, args.x.cols) + bytes(args.out) + bytes(args.scale)};
}

Work linear(const LinearArgs& args) {
  const double read = bytes(args.x) + bytes(*args.weight) +
                      vector_bytes(args.bias, args.weight->out) + bytes(args.residual);
  return {read + bytes(args.out) + bytes(args.before), product(args.x.rows, *args.weight)};
}

Work matrices(std::initializer_list<Mat> list) {
  Work work;
  for (const Mat& m : list) work.bytes += bytes(m);
  return work;
}

Work append_kv(Mat k, Mat v) { return {2 * (bytes(k) + bytes(v))}; }

Work attention(const AttentionArgs& args) {
  const int maps = (args.scores != nullptr) + (args.pattern != nullptr);
  return {
      bytes(args.q) + 2 * cached(args) + bytes(args.z) + bytes(args.lse) + maps * map_bytes(args),
      pair_flops(args, 2)};
}

Work attention_scores(const AttentionArgs& args) {
  return {bytes(args.q) + cached(args) + map_bytes(args), pair_flops(args, 1)};
}

Work attention_softmax(const AttentionArgs& args) { return {2 * map_bytes(args)}; }

Work attention_mix(const AttentionArgs& args) {
  return {map_bytes(args) + cached(args) + bytes(args.z), pair_flops(args, 1)};
}

Work linear_backward(const LinearBackwardArgs& args) {
  const double read =
      bytes(args.dy) + bytes(*args.weight) + bytes(args.before) + bytes(args.residual);
  return {read + bytes(args.dx) + bytes(args.product), product(args.dy.rows, *args.weight)};
}

Work layernorm_backward(const LayerNormBackwardArgs& args) {
  Work work = matrices({args.x, args.scale, args.dy, args.dscale, args.residual, args.dx});
  work.bytes += vector_bytes(args.weight, args.x.cols);
  return work;
}

Work attention_backward(const AttentionBackwardArgs& args) {
  Work work =
      matrices({args.q, args.k, args.v, args.z, args.lse, args.dz, args.dq, args.dk, args.dv});
  const int maps = (args.dpattern != nullptr) + (args.dscores != nullptr);
  work.bytes += maps * map_bytes(args);
  work.flops = pair_flops(args, args.frozen ? 3 : 5);
  return work;
}

Work attention_backward_pattern(const AttentionBackwardArgs& args) {
  return {bytes(args.dz) + bytes(args.v) + map_bytes(args), pair_flops(args, 1)};
}

Work attention_backward_scores(const AttentionBackwardArgs& args) { return {3 * map_bytes(args)}; }

Work attention_backward_inputs(const AttentionBackwardArgs& args) {
  Work work = matrices({args.q, args.k, args.dz, args.dq, args.dk, args.dv});
  work.bytes += 2 * map_bytes(args);
  work.flops = pair_flops(args, 3);
  return work;
}

Work logit_targets(const LogitTargetArgs& args) {
  int64_t references = 0;
  for (const LogitTerm& term : args.terms)
    references += term.kind == LogitTermKind::kKl || term.kind == LogitTermKind::kReverseKl;
  return {bytes(args.logits) + vector_bytes(args.references, references * args.logits.cols) +
          bytes(args.seed)};
}

Work logit_stats(const LogitStatsArgs& args) {
  const int64_t rows = args.logits ? args.logits.rows : args.x.rows;
  const double kept = 2 * vector_bytes(args.top_ids, rows * args.top_k) +
                      vector_bytes(args.lse, rows) + vector_bytes(args.entropy, rows) +
                      3 * number(static_cast<int64_t>(args.watch.size())) * sizeof(float);
  if (args.logits) return {bytes(args.logits) + kept};
  return {bytes(args.x) + bytes(*args.unembed) + kept, product(rows, *args.unembed)};
}

Work sample(const SampleArgs& args) {
  return {bytes(args.logits) + static_cast<double>(args.uniform.size_bytes()) +
          static_cast<double>(args.ids.size_bytes())};
}

Work next_step(const NextStepArgs& args) {
  return {bytes(args.logits) + 2 * static_cast<double>(args.captured_bytes)};
}

Work edit(const EditArgs& args) {
  double elements = selected(args.where);
  if (!args.limits.empty()) {
    elements = 0;
    for (const int64_t limit : args.limits) elements += number(std::min(limit, args.where.width()));
  }
  return {2 * elements * size_of(args.x.dtype) + bytes(args.operand)};
}

Work gather(Mat x, const Selection& where, DType store) {
  return {selected(where) * (size_of(x.dtype) + size_of(store))};
}

Work scatter(const Selection& where, Mat x) {
  return {selected(where) * (sizeof(float) + size_of(x.dtype))};
}

Work widen(Mat x, const double* origin) {
  const double origins = origin != nullptr ? number(x.cols) : 0;
  return {bytes(x) + sizeof(double) * (number(x.rows) * number(x.cols) + origins)};
}

Work join_moments(const MomentsArgs& args) {
  const double d = number(args.width), triangle = d * (d + 1) / 2;
  return {sizeof(double) * (number(args.rows) * d + 2 * d + 2 * triangle),
          2 * number(args.rows) * triangle};
}

Work pack(const HostWeight& source, DType store) {
  return {number(source.in) * number(source.out) * (size_of(source.dtype) + size_of(store))};
}

}  // namespace vitrine::internal::profile
