// SPDX-License-Identifier: MIT
#include "engine/prepared_pass.h"

#include <algorithm>

#include "base/check.h"

namespace vitrine::internal {
namespace {

void choose_logit_rows(const BatchRows& batch, LogitRows wanted, PassLogits& logits) {
  for (const SequenceSlice& slice : batch.slices) {
    logits.offsets.push_back(static_cast<int64_t>(logits.rows.size()));
    if (wanted == LogitRows::kNone || slice.rows == 0) continue;
    for (int64_t i = wanted == LogitRows::kLast ? slice.rows - 1 : 0; i < slice.rows; ++i)
      logits.rows.push_back(slice.row + i);
  }
  logits.offsets.push_back(static_cast<int64_t>(logits.rows.size()));
}

}  // namespace

BatchRows::BatchRows(const Config& config, const Batch& tokens, const KvCache& cache) {
  for (size_t s = 0; s < tokens.size(); ++s) {
    const int sequence = static_cast<int>(s);
    SequenceSlice slice{.row = static_cast<int64_t>(ids.size()),
                        .rows = static_cast<int64_t>(tokens[s].size()),
                        .past = cache.length(sequence),
                        .cache = cache.offset(sequence),
                        .capacity = cache.capacity(sequence),
                        .map = map_elements};
    map_elements += config.heads * slice.rows * (slice.past + slice.rows);
    ids.insert(ids.end(), tokens[s].begin(), tokens[s].end());
    for (int64_t i = 0; i < slice.rows; ++i)
      positions.push_back(static_cast<int32_t>(slice.past + i));
    slices.push_back(slice);
  }
}

PassPlan::PassPlan(const ModelState& model, const Plan& plan, const KvCache& cache,
                   const Batch& tokens, LogitRows wanted, Keep kept)
    : rows(model.config, tokens, cache), layout(plan, rows.slices, model.config), keep(kept) {
  choose_logit_rows(rows, plan.any_watched(Site::kLogits) ? LogitRows::kAll : wanted, logits);
  sizes = {static_cast<int64_t>(rows.ids.size()), static_cast<int64_t>(logits.rows.size()),
           rows.map_elements};
  Arena counting;
  Activations(counting, model.config, plan, *model.backend, model.activation_dtype(), sizes, keep);
  working_bytes = counting.used();
  logit_bytes = static_cast<size_t>(sizes.logit_rows * model.config.vocab) * sizeof(float);
}

std::string PassPlan::parts(const Plan& plan) const {
  std::string text = fmt::format("activations {}, logits {}, captures {}", megabytes(working_bytes),
                                 megabytes(logit_bytes), megabytes(layout.bytes));
  if (layout.bytes > 0) text += " (" + layout.largest_sites(plan, 4) + ")";
  return text;
}

PreparedPass::PreparedPass(const ModelState& model, const Plan& plan, const KvCache& cache,
                           PassPlan laid_out, std::optional<int> begin_at)
    : laid_out_(std::move(laid_out)),
      working_((model.require_memory(laid_out_.bytes(), laid_out_.parts(plan)),
                model.pool->take(laid_out_.working_bytes))),
      captured_(model.pool->take(whole_lines(laid_out_.layout.bytes))),
      placed_(model.pool->take(model.backend->batch_bytes(
          laid_out_.sizes.rows, static_cast<int64_t>(rows().slices.size())))),
      batch_{rows().ids, rows().positions, rows().slices, placed_.data()},
      hooks_(plan, laid_out_.layout, captured_,
             {*model.backend, *model.pool, *model.host_pool, rows().slices}),
      forward_{.backend = *model.backend,
               .config = model.config,
               .activation = model.activation,
               .weights = model.weights,
               .cache = cache,
               .hooks = hooks_,
               .act = activations_,
               .batch = batch_,
               .logit_rows = laid_out_.logits.rows,
               .logits = {},
               .begin_at = begin_at,
               .between_layers = model.between_layers} {
  laid_out_.logits.memory = model.pool->take(laid_out_.logit_bytes);
  forward_.logits = {laid_out_.logits.memory.f32(), laid_out_.sizes.logit_rows, model.config.vocab};
  Arena arena(working_);
  activations_ = Activations(arena, model.config, plan, *model.backend, model.activation_dtype(),
                             laid_out_.sizes, laid_out_.keep);
  if (laid_out_.keep == Keep::kNothing) activations_.write_stream_to_captures(hooks_);
  model.backend->place(batch_);
}

void PreparedPass::place(const KvCache& cache, const Batch& tokens) {
  const BatchRows other(forward_.config, tokens, cache);
  BatchRows& own = laid_out_.rows;  // batch_ refers to its elements
  std::copy(other.ids.begin(), other.ids.end(), own.ids.begin());
  std::copy(other.positions.begin(), other.positions.end(), own.positions.begin());
  std::copy(other.slices.begin(), other.slices.end(), own.slices.begin());
  forward_.backend.place(batch_);
}

void PreparedPass::run() { forward(forward_); }

}  // namespace vitrine::internal
