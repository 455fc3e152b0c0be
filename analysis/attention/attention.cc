// SPDX-License-Identifier: MIT
#include "vitrine/analysis/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "analysis/attention/maps.h"
#include "analysis/common/model_output.h"
#include "analysis/common/options.h"
#include "base/random.h"

namespace vitrine {
using namespace internal;
namespace {

std::vector<int64_t> resolve_queries(const Indices<int64_t>& asked, std::span<const int32_t> ids) {
  if (ids.empty()) user_error("the text is empty: expected at least one token");
  return resolve_indices<int64_t>(asked, 0, static_cast<int64_t>(ids.size()), "position",
                                  "positions of the text");
}

/// Adds up what one head does on the queries of a chunk.
void add_statistics(HeadStatistics& found, size_t cell, const float* map, const MapChunk& chunk) {
  for (int64_t q = chunk.first_query == 0 ? 1 : 0; q < chunk.queries; ++q) {
    const float* row = map + q * chunk.keys;
    const int64_t i = chunk.first_query + q;
    for (int64_t j = 0; j <= i; ++j) {
      const double weight = row[j];
      if (weight != 0) found.entropy[cell] -= weight * std::log(weight);
      found.distance[cell] += weight * static_cast<double>(i - j);
    }
    found.current_token[cell] += row[i];
    found.previous_token[cell] += row[i - 1];
    found.first_token[cell] += row[0];
  }
}

/// Whole maps of a chunk, cell by cell.
template <typename Function>
void for_each_head(const MapChunk& chunk, size_t heads, Function&& function) {
  for (size_t l = 0; l < chunk.maps.size(); ++l) {
    for (size_t h = 0; h < heads; ++h)
      function(l * heads + h, chunk.maps[l].slice(static_cast<int64_t>(h)).f32().data());
  }
}

/// `count` different ids of the vocabulary without `bos`: the first of a shuffle.
std::vector<int32_t> different_ids(int64_t vocab, int64_t count, int32_t bos, uint64_t key) {
  std::vector<int32_t> ids(static_cast<size_t>(vocab));
  std::iota(ids.begin(), ids.end(), 0);
  if (bos >= 0) ids.erase(ids.begin() + bos);
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    const auto rest = static_cast<uint64_t>(ids.size() - i);
    std::swap(ids[i], ids[i + mix64(key + i) % rest]);
  }
  ids.resize(static_cast<size_t>(count));
  return ids;
}

/// Of the model's tokenizer, if there is one and the model knows it; else -1.
int32_t default_bos(const Model& model) {
  const auto tokenizer = model.shared_tokenizer();
  const int32_t id = tokenizer ? tokenizer->begin_of_text().value_or(-1) : -1;
  return id < model.config().vocab ? id : -1;
}

int64_t repeated_length(const Config& config, int64_t asked, int64_t before) {
  const int64_t most = std::min((config.context - before) / 2, config.vocab - before);
  const int64_t length = asked == 0 ? std::min<int64_t>(50, most) : asked;
  if (length < 1 || length > most) {
    user_error(
        "{} repeated tokens are out of range: expected 1..{}, since twice that and the first token "
        "must fit the context of {} and all must differ",
        asked, most, config.context);
  }
  return length;
}

}  // namespace

std::span<const float> AttentionMaps::map(size_t layer, size_t head) const {
  return captures->view(Site::kPattern, layers[layer]).slice(static_cast<int64_t>(head)).f32();
}

std::span<const float> AttentionMaps::row(size_t layer, size_t head, size_t query) const {
  return map(layer, head).subspan(query * ids.size(), ids.size());
}

AttentionMaps attention(const Model& model, std::span<const int32_t> ids,
                        const AttentionOptions& options) {
  AttentionMaps maps;
  maps.ids.assign(ids.begin(), ids.end());
  maps.queries = resolve_queries(options.queries, ids);
  maps.layers = resolve_layers(model, options.layers);
  maps.heads = resolve_heads(model, options.heads);
  Hooks hooks = options.edits.only_edits();
  check_edits_reach(hooks, model.config(), pattern_sites(maps.layers), "attention");
  hooks.capture(Site::kPattern,
                {.layers = maps.layers, .positions = maps.queries, .heads = maps.heads});
  maps.captures = model.forward(ids, hooks, {.logits = LogitRows::kNone}).shared_captures();
  return maps;
}

HeadStatistics head_statistics(const Model& model, const Batch& texts,
                               const HeadStatisticsOptions& options) {
  HeadStatistics found;
  found.layers = resolve_layers(model, options.layers);
  found.heads = resolve_heads(model, options.heads);
  uint64_t total = 0, done = 0;
  for (const auto& text : texts) {
    total += text.size();
    found.queries += std::max<int64_t>(static_cast<int64_t>(text.size()) - 1, 0);
  }
  if (found.queries == 0)
    user_error("{} texts of at most one token: expected a text of at least two tokens",
               texts.size());
  const std::array sums = {&found.entropy, &found.distance, &found.current_token,
                           &found.previous_token, &found.first_token};
  for (auto* sum : sums) sum->resize(found.layers.size() * found.heads.size());
  const Hooks edits = options.edits.only_edits();
  for (const auto& text : texts) {
    walk_attention_maps(model, text, found.layers, found.heads, edits, [&](const MapChunk& chunk) {
      for_each_head(chunk, found.heads.size(), [&](size_t cell, const float* map) {
        add_statistics(found, cell, map, chunk);
      });
      done += static_cast<uint64_t>(chunk.queries);
      if (options.progress) options.progress->update(done, total, "Heads");
    });
  }
  for (auto* sum : sums) {
    for (double& x : *sum) x /= static_cast<double>(found.queries);
  }
  return found;
}

RepetitionScores repetition_scores(const Model& model, const RepetitionOptions& options) {
  const Config& config = model.config();
  if (options.sequences < 1)
    user_error("invalid number of random sequences {}: expected at least 1", options.sequences);
  RepetitionScores found;
  found.layers = resolve_layers(model, options.layers);
  found.heads = resolve_heads(model, options.heads);
  found.sequences = options.sequences;
  const int32_t bos = options.bos.value_or(default_bos(model));
  if (bos >= 0) check_id(config, *(found.bos = bos), "first token");
  const int64_t before = bos >= 0 ? 1 : 0;
  const int64_t n = found.length = repeated_length(config, options.length, before);
  found.duplicate_token.resize(found.layers.size() * found.heads.size());
  found.induction.resize(found.duplicate_token.size());
  const Hooks edits = options.edits.only_edits();
  const double share = 1.0 / (static_cast<double>(n) * options.sequences);
  for (int s = 0; s < options.sequences; ++s) {
    const auto half =
        different_ids(config.vocab, n, bos, mix64(mix64(options.seed) + static_cast<uint64_t>(s)));
    std::vector<int32_t> ids(static_cast<size_t>(before), bos);
    for (int time = 0; time < 2; ++time) ids.insert(ids.end(), half.begin(), half.end());
    walk_attention_maps(model, ids, found.layers, found.heads, edits, [&](const MapChunk& chunk) {
      for_each_head(chunk, found.heads.size(), [&](size_t cell, const float* map) {
        for (int64_t i = std::max(before + n, chunk.first_query);
             i < chunk.first_query + chunk.queries; ++i) {
          const float* row = map + (i - chunk.first_query) * chunk.keys;
          found.duplicate_token[cell] += share * row[i - n];
          found.induction[cell] += share * row[i - n + 1];
        }
      });
    });
    if (options.progress)
      options.progress->update(static_cast<uint64_t>(s + 1),
                               static_cast<uint64_t>(options.sequences), "Repetitions");
  }
  return found;
}

}  // namespace vitrine
