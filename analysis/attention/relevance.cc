// SPDX-License-Identifier: MIT
#include <algorithm>
#include <numeric>

#include "analysis/attention/flow_network.h"
#include "analysis/attention/maps.h"
#include "analysis/common/options.h"
#include "vitrine/analysis/attention.h"

namespace vitrine {
using namespace internal;
namespace {

AttentionRelevance prepare(const Model& model, std::span<const int32_t> ids,
                           const Indices<int>& layers, const Indices<int64_t>& queries) {
  if (ids.empty()) user_error("the text is empty: expected at least one token");
  AttentionRelevance found;
  found.ids.assign(ids.begin(), ids.end());
  found.layers = resolve_layers(model, layers);
  found.queries = resolve_indices<int64_t>(queries, 0, static_cast<int64_t>(ids.size()), "position",
                                           "positions of the text");
  return found;
}

/// A'_0 .. A'_last, each [T, T]: the mean over the heads, the residual connection beside it.
std::vector<std::vector<double>> mixing(const Model& model, std::span<const int32_t> ids, int last,
                                        const Hooks& edits, std::string_view what,
                                        Progress* progress) {
  const size_t tokens = ids.size();
  std::vector<int> layers(static_cast<size_t>(last) + 1);
  std::iota(layers.begin(), layers.end(), 0);
  std::vector<std::vector<double>> maps(layers.size(), std::vector<double>(tokens * tokens));
  const std::vector<int> heads = resolve_heads(model, {});
  const auto see = [&](const MapChunk& chunk) {
    const auto first = static_cast<size_t>(chunk.first_query),
               queries = static_cast<size_t>(chunk.queries), keys = static_cast<size_t>(chunk.keys);
    for (size_t l = 0; l < layers.size(); ++l) {
      const std::span<const float> values = chunk.maps[l].f32();
      for (size_t at = 0; at < values.size(); ++at) {
        maps[l][(first + at / keys % queries) * tokens + at % keys] +=
            static_cast<double>(values[at]);
      }
    }
    if (progress) progress->update(first + queries, tokens, "Attention");
  };
  walk_attention_maps(model, ids, layers, heads, edits.only_edits(), see, kMapNumbersAtOnce, what);
  for (auto& map : maps) {
    for (size_t i = 0; i < tokens; ++i) {
      const std::span row(map.data() + i * tokens, tokens);
      for (double& x : row) x /= static_cast<double>(heads.size());
      row[i] += 1;
      // By its sum and not by 2: an edited or rounded map's rows need not sum to 1.
      const double sum = std::accumulate(row.begin(), row.end(), 0.0);
      for (double& x : row) x /= sum;
    }
  }
  return maps;
}

/// R = A R, both lower triangular. From the last row up, so that the rows that a row needs are
/// still the old ones.
void multiply_onto(std::span<const double> a, std::vector<double>& r, size_t tokens) {
  std::vector<double> sum(tokens);
  for (size_t i = tokens; i-- > 0;) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (size_t j = 0; j <= i; ++j) {
      const double weight = a[i * tokens + j];
      for (size_t k = 0; k <= j; ++k) sum[k] += weight * r[j * tokens + k];
    }
    std::copy(sum.begin(), sum.end(), r.begin() + static_cast<std::ptrdiff_t>(i * tokens));
  }
}

/// Divides each row by its sum.
void normalise_rows(AttentionRelevance& found) {
  const size_t tokens = found.ids.size();
  for (size_t at = 0; at < found.values.size(); at += tokens) {
    const std::span row(found.values.data() + at, tokens);
    const double sum = std::accumulate(row.begin(), row.end(), 0.0);
    for (double& x : row) x /= sum;
  }
}

double checked_work(const AttentionRelevance& found, double max_work) {
  double work = 0, last = 0;
  for (const int layer : found.layers) {
    work += attention_flow_work(layer, found.queries);
    last = attention_flow_work(layer, std::span(found.queries).last(1));
  }
  if (work > max_work) {
    user_error(
        "the flows of {} queries at {} layers need {:.3g} edges of work: expected at most {:.3g}; "
        "use fewer queries (the last one alone is {:.3g}), fewer layers, a shorter text, or raise "
        "`max_work`",
        found.queries.size(), found.layers.size(), work, max_work, last);
  }
  return work;
}

}  // namespace

std::span<const double> AttentionRelevance::row(size_t layer, size_t query) const {
  return std::span(values).subspan((layer * queries.size() + query) * ids.size(), ids.size());
}

AttentionRelevance attention_rollout(const Model& model, std::span<const int32_t> ids,
                                     const AttentionRolloutOptions& options) {
  AttentionRelevance found = prepare(model, ids, options.layers, options.queries);
  const size_t tokens = ids.size();
  const auto maps =
      mixing(model, ids, found.layers.back(), options.edits, "attention rollout", options.progress);
  std::vector<double> rollout = maps[0];
  for (int layer = 0; layer <= found.layers.back(); ++layer) {
    if (layer > 0) multiply_onto(maps[static_cast<size_t>(layer)], rollout, tokens);
    if (options.progress)
      options.progress->update(static_cast<uint64_t>(layer) + 1, maps.size(), "Rollout");
    if (!std::binary_search(found.layers.begin(), found.layers.end(), layer)) continue;
    for (const int64_t query : found.queries) {
      const auto row = rollout.begin() + query * static_cast<int64_t>(tokens);
      found.values.insert(found.values.end(), row, row + static_cast<int64_t>(tokens));
    }
  }
  return found;
}

double attention_flow_work(int layer, std::span<const int64_t> queries) {
  double edges = 0;
  for (const int64_t query : queries) {
    const auto n = static_cast<double>(query + 1);
    edges += n * (n + 1) * (n + 2) / 6;  // sum of m (m + 1) / 2 for m = 1..n
  }
  return (layer + 1) * edges;
}

AttentionRelevance attention_flow(const Model& model, std::span<const int32_t> ids,
                                  const AttentionFlowOptions& options) {
  AttentionRelevance found = prepare(model, ids, options.layers, options.queries);
  const double work = checked_work(found, options.max_work);
  const size_t tokens = ids.size();
  const auto maps =
      mixing(model, ids, found.layers.back(), options.edits, "attention flow", options.progress);
  found.values.resize(found.layers.size() * found.queries.size() * tokens);
  double done = 0;
  for (size_t l = 0; l < found.layers.size(); ++l) {
    const auto blocks = static_cast<size_t>(found.layers[l]) + 1;
    // By the length of the way, because networks of the same length differ in their capacities
    // alone.
    for (size_t length = 1; length <= static_cast<size_t>(found.queries.back()) + 1; ++length) {
      FlowNetwork network(blocks, length);
      for (size_t q = 0; q < found.queries.size(); ++q) {
        const auto query = static_cast<size_t>(found.queries[q]);
        if (query + 1 < length) continue;
        const size_t input = query + 1 - length;
        found.values[(l * found.queries.size() + q) * tokens + input] =
            network.max_flow([&](size_t block, size_t from, size_t to) {
              return maps[block][(input + from) * tokens + input + to];
            });
        done += static_cast<double>(network.edges());
        if (options.progress)
          options.progress->update(static_cast<uint64_t>(done), static_cast<uint64_t>(work),
                                   "Flow");
      }
    }
  }
  normalise_rows(found);
  for (const auto& map : maps)
    found.capacities.insert(found.capacities.end(), map.begin(), map.end());
  return found;
}

}  // namespace vitrine
