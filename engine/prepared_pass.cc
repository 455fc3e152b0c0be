#include "engine/prepared_pass.h"

#include "base/check.h"
#include "engine/forward.h"

namespace vitrine {
namespace {

void choose_logit_rows(const BatchRows& batch, LogitRows wanted, PassLogits& logits) {
  for (const SequenceSlice& slice : batch.slices) {
    logits.offsets.push_back(static_cast<int64_t>(logits.rows.size()));
    if (wanted == LogitRows::kNone || slice.rows == 0) continue;
    for (int64_t i = wanted == LogitRows::kLast ? slice.rows - 1 : 0; i < slice.rows; ++i) logits.rows.push_back(slice.row + i);
  }
  logits.offsets.push_back(static_cast<int64_t>(logits.rows.size()));
}

std::string megabytes(size_t bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

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
    for (int64_t i = 0; i < slice.rows; ++i) positions.push_back(static_cast<int32_t>(slice.past + i));
    slices.push_back(slice);
  }
}

PreparedPass::PreparedPass(const ModelState& model, const Plan& plan, const KvCache& cache, const Batch& tokens, LogitRows wanted)
    : model_(model), plan_(plan), cache_(cache), rows_(model.config, tokens, cache), layout_(plan, rows_.slices, model.config) {
  choose_logit_rows(rows_, plan.any_watched(Site::kLogits) ? LogitRows::kAll : wanted, logits_);
  Arena counting;
  const int64_t rows = static_cast<int64_t>(rows_.ids.size()), logit_rows = static_cast<int64_t>(logits_.rows.size());
  Activations(counting, model.config, plan, model.activation_dtype(), rows, logit_rows, rows_.map_elements);
  const size_t logit_bytes = static_cast<size_t>(logit_rows * model.config.vocab) * sizeof(float);
  std::string parts = fmt::format("activations {}, logits {}, captures {}", megabytes(counting.used()), megabytes(logit_bytes), megabytes(layout_.bytes));
  if (layout_.bytes > 0) parts += " (" + layout_.largest_sites(plan, 4) + ")";
  model.require_memory(counting.used() + logit_bytes + layout_.bytes, parts);

  working_ = model.pool->take(counting.used());
  logits_.memory = model.pool->take(logit_bytes);
  captured_ = model.pool->take((layout_.bytes + 63) & ~size_t{63});  // copied in whole chunks
  placed_ = model.pool->take(model.backend->batch_bytes(rows, static_cast<int64_t>(rows_.slices.size())));
  batch_ = {rows_.ids, rows_.positions, rows_.slices, placed_.data()};
  model.backend->place(batch_);
}

Mat PreparedPass::logit_matrix() const { return {logits_.memory.f32(), static_cast<int64_t>(logits_.rows.size()), model_.config.vocab}; }

void PreparedPass::run() {
  Arena arena(working_);
  const int64_t rows = static_cast<int64_t>(rows_.ids.size()), logit_rows = static_cast<int64_t>(logits_.rows.size());
  Activations activations(arena, model_.config, plan_, model_.activation_dtype(), rows, logit_rows, rows_.map_elements);
  HookRun hooks(plan_, layout_, captured_, *model_.backend, rows_.slices);
  ForwardPass pass{.backend = *model_.backend,
                   .config = model_.config,
                   .activation = model_.activation,
                   .weights = model_.weights,
                   .cache = cache_,
                   .hooks = hooks,
                   .act = activations,
                   .batch = batch_,
                   .logit_rows = logits_.rows,
                   .logits = logit_matrix()};
  forward(pass);
}

}  // namespace vitrine
