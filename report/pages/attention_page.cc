// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include "base/check.h"
#include "report/packed.h"
#include "report/page.h"
#include "vitrine/analysis/attention.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr size_t kMaxMapNumbers = 6'000'000;  // of one page's maps: 32 MB of text

/// The text that all views are of.
const std::vector<int32_t>& ids_of(const AttentionViews& views) {
  static const std::vector<int32_t> kNone;
  const std::vector<int32_t>* ids = views.maps      ? &views.maps->ids
                                    : views.rollout ? &views.rollout->ids
                                    : views.flow    ? &views.flow->ids
                                                    : nullptr;
  if (!ids && !views.statistics && !views.repetition)
    user_error(
        "missing views of an attention page: expected maps, rollout, flow or statistics of heads");
  if (!ids) return kNone;
  for (const AttentionRelevance* relevance : {views.rollout, views.flow}) {
    if (relevance && relevance->ids != *ids)
      user_error(
          "different texts of the maps, rollout and flow of an attention page: expected one text");
  }
  return *ids;
}

/// Keys that a query can see.
size_t seen(int64_t query) { return static_cast<size_t>(query) + 1; }

size_t numbers_of(const AttentionMaps& maps) {
  size_t row = 0;
  for (const int64_t query : maps.queries) row += seen(query);
  return row * maps.layers.size() * maps.heads.size();
}

void check_size(std::span<const AttentionViews> results) {
  size_t numbers = 0;
  for (const AttentionViews& views : results) numbers += views.maps ? numbers_of(*views.maps) : 0;
  if (numbers > kMaxMapNumbers)
    user_error(
        "an attention page is limited to maps of {} numbers, not {}: use fewer layers, heads or "
        "queries",
        kMaxMapNumbers, numbers);
}

/// Without the entries after each query, which are 0: a row of a query q has q + 1 numbers.
JsonValue maps_data(const AttentionMaps& maps) {
  std::vector<double> values;
  values.reserve(numbers_of(maps));
  for (size_t layer = 0; layer < maps.layers.size(); ++layer) {
    for (size_t head = 0; head < maps.heads.size(); ++head) {
      for (size_t query = 0; query < maps.queries.size(); ++query) {
        const std::span<const float> row =
            maps.row(layer, head, query).first(seen(maps.queries[query]));
        values.insert(values.end(), row.begin(), row.end());
      }
    }
  }
  return {{"layers", maps.layers},
          {"heads", maps.heads},
          {"queries", packed(maps.queries)},
          {"values", packed(values)}};
}

JsonValue relevance_data(const AttentionRelevance& relevance) {
  std::vector<double> values;
  for (size_t layer = 0; layer < relevance.layers.size(); ++layer) {
    for (size_t query = 0; query < relevance.queries.size(); ++query) {
      const std::span<const double> row =
          relevance.row(layer, query).first(seen(relevance.queries[query]));
      values.insert(values.end(), row.begin(), row.end());
    }
  }
  return {{"layers", relevance.layers},
          {"queries", packed(relevance.queries)},
          {"values", packed(values)}};
}

JsonValue habits_data(const std::vector<int>& layers, const std::vector<int>& heads,
                      const std::string& note) {
  return {{"layers", layers}, {"heads", heads}, {"note", note}, {"kinds", JsonValue::array()}};
}

void add_habit(JsonValue& habits, const std::string& name, const std::string& unit,
               const std::vector<double>& values) {
  habits["kinds"].push_back({{"name", name}, {"unit", unit}, {"values", packed(values)}});
}

JsonValue statistics_data(const HeadStatistics& found) {
  JsonValue habits =
      habits_data(found.layers, found.heads, fmt::format("Means over {} queries.", found.queries));
  add_habit(habits, "First token", "share", found.first_token);
  add_habit(habits, "Previous token", "share", found.previous_token);
  add_habit(habits, "Current token", "share", found.current_token);
  add_habit(habits, "Entropy", "nats", found.entropy);
  add_habit(habits, "Distance", "tokens", found.distance);
  return habits;
}

JsonValue repetition_data(const RepetitionScores& found) {
  JsonValue habits = habits_data(
      found.layers, found.heads,
      fmt::format("Means over {} sequences of {} random tokens that come a second time.",
                  found.sequences, found.length));
  add_habit(habits, "Induction", "share", found.induction);
  add_habit(habits, "Duplicate token", "share", found.duplicate_token);
  return habits;
}

JsonValue views_data(const AttentionViews& views, TokenTable& tokens, const PageSource& source) {
  const std::string label =
      ids_of(views).empty() ? "what heads do" : text_label(ids_of(views), source);
  JsonValue json = {
      {"label", label}, {"tokens", tokens.places(ids_of(views))}, {"habits", JsonValue::array()}};
  json["maps"] = views.maps ? maps_data(*views.maps) : JsonValue(nullptr);
  json["rollout"] = views.rollout ? relevance_data(*views.rollout) : JsonValue(nullptr);
  json["flow"] = views.flow ? relevance_data(*views.flow) : JsonValue(nullptr);
  if (views.statistics) json["habits"].push_back(statistics_data(*views.statistics));
  if (views.repetition) json["habits"].push_back(repetition_data(*views.repetition));
  return json;
}

}  // namespace

std::string attention_page(std::span<const AttentionViews> results, const PageSource& source) {
  check_results(results.size(), "attention");
  check_size(results);
  TokenTable tokens(source.tokenizer);
  Page page{.kind = "attention",
            .title = "Attention",
            .subtitle = {},
            .help =
                "Where each position looks. A small map is a head, rows what looks and columns "
                "what is looked at; click one, or press Enter "
                "on it, to see it large. In the text, point at a token to see what it looks at."};
  for (const AttentionViews& views : results)
    page.results.push_back(views_data(views, tokens, source));
  page.subtitle = page.results.front()["label"].text();
  return render(page, tokens, source);
}

}  // namespace vitrine
