// SPDX-License-Identifier: MIT
#include "engine/run_pass.h"

#include <algorithm>

#include "base/check.h"
#include "engine/prepared_pass.h"

namespace vitrine::internal {
namespace {

Residence residence(const ModelState& model, const ForwardOptions& options) {
  return model.backend->host_memory() ? Residence::kHost : options.residence;
}

}  // namespace

namespace {

/// Copies what kernels could not write to the caller's memory themselves.
void fill_given_memory(Backend& backend, const Plan& plan, const CaptureLayout& layout,
                       const Buffer& captured) {
  for (size_t i = 0; i < layout.items.size(); ++i) {
    const PlannedCapture& capture = plan.captures()[i];
    const CaptureLayout::Item& item = layout.items[i];
    if (!capture.into || capture.direct || item.bytes == 0) continue;
    const std::byte* from = item.at(captured.data());
    if (capture.into->residence == Residence::kHost)
      backend.download(capture.into->data, from, item.bytes);
    else
      backend.copy(capture.into->data, from, item.bytes);
  }
}

}  // namespace

Buffer on_host(const ModelState& model, const Buffer& memory, size_t bytes) {
  if (model.backend->host_memory() || bytes == 0) return memory;
  Buffer host = model.host_pool->take(bytes);
  model.backend->download(host.data(), memory.data(), bytes);
  return host;
}

KvCache make_cache(const ModelState& model, std::vector<int64_t> capacities) {
  const size_t bytes =
      KvCache::bytes(model.config, *model.backend, model.activation_dtype(), capacities, false);
  model.require_memory(bytes, fmt::format("key/value cache {}", megabytes(bytes)));
  return {model.config,          *model.backend, model.activation_dtype(),
          std::move(capacities), false,          model.pool->take(bytes)};
}

KvCache transient_cache(const ModelState& model, const Batch& batch) {
  check_batch(model, batch);  // so that absurd lengths size nothing
  std::vector<int64_t> lengths;
  for (const auto& ids : batch) lengths.push_back(std::ssize(ids));
  const DType dtype = model.activation_dtype();
  const size_t bytes = KvCache::bytes(model.config, *model.backend, dtype, lengths, true);
  return {model.config, *model.backend, dtype, std::move(lengths), true, model.pool->take(bytes)};
}

namespace {

/// Of embeddings that the checkpoint has as NaN or infinite.
void check_embeddings(const ModelState& model, const std::vector<int32_t>& ids, size_t s,
                      int64_t past) {
  const auto holds = [](const std::vector<int32_t>& sorted, int64_t value) {
    return std::binary_search(sorted.begin(), sorted.end(), value);
  };
  for (size_t i = 0; i < ids.size(); ++i) {
    const int64_t position = past + static_cast<int64_t>(i);
    if (holds(model.bad_tokens, ids[i]))
      user_error(
          "token id {} at position {} of sequence {}: its embedding, row {} of wte.weight, is NaN "
          "or infinite in the checkpoint; use other tokens",
          ids[i], position, s, ids[i]);
    if (holds(model.bad_positions, position))
      user_error(
          "position {} of sequence {}: its embedding, row {} of wpe.weight, is NaN or infinite in "
          "the checkpoint; use fewer tokens",
          position, s, position);
  }
}

void check_sequence(const ModelState& model, const std::vector<int32_t>& ids, size_t s,
                    int64_t past) {
  const Config& config = model.config;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= config.vocab)
      user_error("token id {} at position {} of sequence {} is out of range: expected 0..{}",
                 ids[i], i, s, config.vocab - 1);
  }
  const int64_t tokens = past + std::ssize(ids);
  if (tokens > config.context) {
    user_error("sequence {} has {} tokens: expected at most {}, the model's context; shorten it", s,
               tokens, config.context);
  }
  if (!model.bad_tokens.empty() || !model.bad_positions.empty())
    check_embeddings(model, ids, s, past);
}

}  // namespace

void check_batch(const ModelState& model, const Batch& batch) {
  if (batch.empty()) user_error("the batch is empty: expected at least one sequence");
  for (size_t s = 0; s < batch.size(); ++s) {
    if (batch[s].empty()) user_error("sequence {} is empty: expected at least one token", s);
    check_sequence(model, batch[s], s, 0);
  }
}

void check_batch(const ModelState& model, const Batch& batch, const KvCache& cache) {
  if (batch.empty()) user_error("the batch is empty: expected at least one sequence");
  if (static_cast<int>(batch.size()) != cache.sequences())
    user_error("the batch has {} sequences: expected {}, as the session", batch.size(),
               cache.sequences());
  bool any = false;
  for (size_t s = 0; s < batch.size(); ++s) {
    const int64_t tokens = static_cast<int64_t>(batch[s].size()),
                  past = cache.length(static_cast<int>(s));
    any = any || tokens > 0;
    check_sequence(model, batch[s], s, past);
    if (past + tokens > cache.capacity(static_cast<int>(s))) {
      user_error("sequence {} would have {} tokens: expected at most {}, the session's capacity", s,
                 past + tokens, cache.capacity(static_cast<int>(s)));
    }
  }
  if (!any) user_error("missing new tokens in all sequences: expected at least one");
}

std::optional<PassPoint> last_used(const Plan& plan, const Config& config) {
  std::optional<PassPoint> last;
  const auto use = [&](Site site, int layer) {
    last = std::max(last.value_or(PassPoint{}), pass_point(site, layer, config));
  };
  for (const PlannedCapture& capture : plan.captures()) use(capture.site, capture.layer);
  for (const PlannedEdit& edit : plan.edits()) use(edit.site, edit.layer);
  return last;
}

PassLogits run_pass(const ModelState& model, const Plan& plan, KvCache& cache, const Batch& tokens,
                    const ForwardOptions& options, CaptureCollector& collector,
                    const PassStart& start) {
  const auto lock = model.backend->exclusive();
  PreparedPass pass(model, plan, cache, PassPlan(model, plan, cache, tokens, options.logits),
                    start.layer);
  if (cache.transient() && pass.logits().rows.empty())
    pass.forward_pass().end_at = last_used(plan, model.config);
  if (start.layer) start.place(pass);
  pass.run();
  for (size_t s = 0; s < tokens.size(); ++s) {
    const SequenceSlice& slice = pass.rows().slices[s];
    cache.set_length(static_cast<int>(s), slice.past + slice.rows);
  }
  const Buffer& captured = pass.captured();
  fill_given_memory(*model.backend, plan, pass.layout(), captured);
  if (residence(model, options) == Residence::kDevice)
    collector.add(plan, pass.layout(), captured, model.backend.get());
  else
    collector.add(plan, pass.layout(), on_host(model, captured, pass.layout().bytes), nullptr);
  return pass.logits();
}

Run make_run(const ModelState& model, const KvCache& cache, const Batch& tokens,
             const PassLogits& logits, const ForwardOptions& options, CaptureCollector& collector) {
  const auto lock = model.backend->exclusive();
  const int64_t vocab = model.config.vocab;
  const Residence where = residence(model, options);
  const size_t bytes = logits.rows.size() * static_cast<size_t>(vocab) * sizeof(float);
  const Buffer memory =
      where == Residence::kDevice ? logits.memory : on_host(model, logits.memory, bytes);
  std::vector<Run::Sequence> sequences;
  for (size_t s = 0; s < tokens.size(); ++s) {
    const int64_t count = static_cast<int64_t>(tokens[s].size());
    const int64_t first = logits.offsets[s], rows = logits.offsets[s + 1] - first;
    const float* data = memory ? memory.f32() + first * vocab : nullptr;
    sequences.push_back({.past = cache.length(static_cast<int>(s)) - count,
                         .tokens = count,
                         .logits = TensorView(data, DType::kF32, Shape{rows, vocab}, where)});
  }
  return {std::move(sequences), collector.finish(), std::make_shared<const Buffer>(memory)};
}

}  // namespace vitrine::internal
