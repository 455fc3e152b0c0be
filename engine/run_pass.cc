#include "engine/run_pass.h"

#include "base/check.h"
#include "engine/forward.h"

namespace vitrine {
namespace {

/// The packed batch of a pass: no padding, each sequence's rows behind those of the one before.
struct BatchRows {
  std::vector<int32_t> ids, positions;
  std::vector<SequenceSlice> slices;
  int64_t map_elements = 0;

  BatchRows(const Config& config, const Batch& tokens, const KvCache& cache) {
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
};

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

KvCache make_cache(const ModelState& model, std::vector<int64_t> capacities) {
  const size_t bytes = KvCache::bytes(model.config, *model.backend, model.activation_dtype(), capacities, false);
  model.require_memory(bytes, fmt::format("key/value cache {}", megabytes(bytes)));
  return {model.config, *model.backend, model.activation_dtype(), std::move(capacities), false, model.pool->take(bytes)};
}

void check_batch(const Config& config, const Batch& batch, const KvCache& cache, bool allow_empty) {
  if (batch.empty()) user_error("the batch has no sequences; give at least one");
  if (static_cast<int>(batch.size()) != cache.sequences()) user_error("the batch has {} sequences, the session {}", batch.size(), cache.sequences());
  bool any = false;
  for (size_t s = 0; s < batch.size(); ++s) {
    const int64_t tokens = static_cast<int64_t>(batch[s].size()), past = cache.length(static_cast<int>(s));
    if (tokens == 0 && !allow_empty) user_error("sequence {} is empty; give at least one token", s);
    any = any || tokens > 0;
    for (size_t i = 0; i < batch[s].size(); ++i) {
      const int32_t id = batch[s][i];
      if (id < 0 || id >= config.vocab) user_error("token id {} at position {} of sequence {} is outside the vocabulary 0..{}", id, i, s, config.vocab - 1);
    }
    if (past + tokens > config.context) {
      user_error("sequence {} has {} tokens; the model's context holds {}: shorten it, or use a sliding window", s, past + tokens, config.context);
    }
    if (past + tokens > cache.capacity(static_cast<int>(s))) {
      user_error("sequence {} would have {} tokens; its session was made for {}", s, past + tokens, cache.capacity(static_cast<int>(s)));
    }
  }
  if (!any) user_error("the pass has no new token in any sequence");
}

PassLogits run_pass(const ModelState& model, const Plan& plan, KvCache& cache, const Batch& tokens, LogitRows logit_rows,
                    CaptureCollector& collector) {
  BatchRows batch(model.config, tokens, cache);
  const int64_t rows = static_cast<int64_t>(batch.ids.size());
  PassLogits logits;
  choose_logit_rows(batch, plan.any_watched(Site::kLogits) ? LogitRows::kAll : logit_rows, logits);
  const int64_t wanted = static_cast<int64_t>(logits.rows.size());

  const CaptureLayout layout(plan, batch.slices, model.config);
  Arena counting;
  const DType dtype = model.activation_dtype();
  Activations(counting, model.config, plan, dtype, rows, wanted, batch.map_elements);
  const size_t batch_bytes = model.backend->batch_bytes(rows, static_cast<int64_t>(batch.slices.size()));
  counting.take_bytes(batch_bytes);
  const size_t logit_bytes = static_cast<size_t>(wanted * model.config.vocab) * sizeof(float);
  std::string parts = fmt::format("activations {}, logits {}, captures {}", megabytes(counting.used()), megabytes(logit_bytes), megabytes(layout.bytes));
  if (layout.bytes > 0) parts += " (" + layout.largest_sites(plan, 4) + ")";
  model.require_memory(counting.used() + logit_bytes + layout.bytes, parts);

  Arena arena(model.pool->take(counting.used()));
  Activations activations(arena, model.config, plan, dtype, rows, wanted, batch.map_elements);
  const PassBatch pass_batch{batch.ids, batch.positions, batch.slices, batch_bytes > 0 ? arena.take_bytes(batch_bytes) : nullptr};
  model.backend->place(pass_batch);
  logits.memory = model.pool->take(logit_bytes);
  HookRun hooks(plan, layout, model.pool->take(layout.bytes), *model.backend, batch.slices);
  ForwardPass pass{.backend = *model.backend,
                   .config = model.config,
                   .activation = model.activation,
                   .weights = model.weights,
                   .cache = cache,
                   .hooks = hooks,
                   .act = activations,
                   .batch = pass_batch,
                   .logit_rows = logits.rows,
                   .logits = Mat(logits.memory.f32(), wanted, model.config.vocab)};
  forward(pass);
  for (size_t s = 0; s < batch.slices.size(); ++s) {
    cache.set_length(static_cast<int>(s), batch.slices[s].past + batch.slices[s].rows);
  }
  collector.add(plan, hooks);
  return logits;
}

Run make_run(const Config& config, const KvCache& cache, const Batch& tokens, const PassLogits& logits, CaptureCollector& collector) {
  std::vector<Run::Sequence> sequences;
  for (size_t s = 0; s < tokens.size(); ++s) {
    const int64_t count = static_cast<int64_t>(tokens[s].size());
    const int64_t first = logits.offsets[s], rows = logits.offsets[s + 1] - first;
    const float* data = logits.memory ? logits.memory.f32() + first * config.vocab : nullptr;
    sequences.push_back({.past = cache.length(static_cast<int>(s)) - count,
                         .tokens = count,
                         .logits = TensorView(data, DType::kF32, Shape{rows, config.vocab})});
  }
  return {std::move(sequences), collector.finish(), std::make_shared<const Buffer>(logits.memory)};
}

}  // namespace vitrine
