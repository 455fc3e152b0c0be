// SPDX-License-Identifier: MIT
// What captures and edits cost: whole rows of a site, and one head of it.

#include <algorithm>
#include <numeric>

#include "bench/kernels/kernels_bench.h"

namespace vitrine::bench {
using namespace internal;
namespace {

constexpr int64_t kRows = 512;

/// All rows of a [kRows, D] site; of its columns all, or those of one head.
struct Selected {
  explicit Selected(bool one_head) : rows(static_cast<size_t>(kRows)) {
    std::iota(rows.begin(), rows.end(), 0);
    range = one_head ? Selection::Range{shape().head_width(), shape().head_width()}
                     : Selection::Range{0, shape().width};
    where.rows = rows;
    where.cols = {&range, 1};
  }
  std::vector<int64_t> rows;
  Selection::Range range;
  Selection where;
};

double bytes_of(const Selected& selected) {
  return static_cast<double>(kRows * selected.range.count);
}

void gather(benchmark::State& state, bool one_head, DType store) {
  const auto backend = backend_of(state);
  const RandomMatrix x = random_rows(*backend, kRows, shape().width);
  const Selected selected(one_head);
  const Buffer to = backend->allocate(static_cast<size_t>(kRows * shape().width) * sizeof(float));
  Laps laps(state);
  laps.run([&] { backend->gather(x.mat, selected.where, store, to.data()); });
  laps.report_bytes(static_cast<double>(4 + dtype_size(store)) * bytes_of(selected));
}

void scatter(benchmark::State& state, bool one_head) {
  const auto backend = backend_of(state);
  const RandomMatrix x = random_rows(*backend, kRows, shape().width),
                     from = random_rows(*backend, kRows, shape().width);
  const Selected selected(one_head);
  Laps laps(state);
  laps.run([&] { backend->scatter(from.mat.f32(), selected.where, x.mat); });
  laps.report_bytes(8.0 * bytes_of(selected));
}

void edit(benchmark::State& state, bool one_head, EditKind kind) {
  const auto backend = backend_of(state);
  const RandomMatrix x = random_rows(*backend, kRows, shape().width),
                     operand = random_rows(*backend, 1, shape().width);
  const Selected selected(one_head);
  EditArgs args;
  args.x = x.mat;
  args.where = selected.where;
  args.kind = kind;
  args.factor = -1.0f;  // keeps numbers as large as they are, however often
  args.operand = operand.mat.columns(0, selected.range.count);
  std::fill_n(operand.mat.f32(), selected.range.count, 0.0f);
  operand.mat.f32()[0] = 1.0f;  // a unit vector, to project out
  Laps laps(state);
  laps.run([&] { backend->edit(args); });
  laps.report_bytes(8.0 * bytes_of(selected));
}

}  // namespace

void add_hooks() {
  for (const bool one_head : {false, true}) {
    const std::string part = one_head ? "/head" : "";
    add("gather/f32" + part, {}, gather, one_head, DType::kF32);
    add("gather/bf16" + part, {}, gather, one_head, DType::kBF16);
    add("scatter" + part, {}, scatter, one_head);
    add("edit/add" + part, {}, edit, one_head, EditKind::kAdd);
    add("edit/scale" + part, {}, edit, one_head, EditKind::kScale);
    add("edit/replace" + part, {}, edit, one_head, EditKind::kReplace);
    add("edit/project_out" + part, {}, edit, one_head, EditKind::kProject);
  }
}

}  // namespace vitrine::bench
