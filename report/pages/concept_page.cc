// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "report/packed.h"
#include "report/page.h"
#include "report/pages/concept_layout.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr size_t kTopElements = 50;
constexpr size_t kMaxPromptTokens = 2'000'000;

void check(std::span<const ConceptDirection> results, const ConceptSubject& subject) {
  check_results(results.size(), "concept");
  for (const ConceptDirection& d : results) {
    if (d.positive_scores.size() != subject.positive.size() ||
        d.negative_scores.size() != subject.negative.size()) {
      user_error(
          "the direction at {} has scores of {} positive and {} negative prompts, its page has {} "
          "and {}: expected the prompts of the direction",
          d.site, d.positive_scores.size(), d.negative_scores.size(), subject.positive.size(),
          subject.negative.size());
    }
    if (d.direction.empty()) user_error("the direction at {} is empty", d.site);
  }
  if (!subject.steering.empty() && subject.steering.size() != results.size()) {
    user_error("{} command lines for {} directions: expected one per direction, or none",
               subject.steering.size(), results.size());
  }
  size_t tokens = 0;
  for (const Batch* set : {&subject.positive, &subject.negative}) {
    for (const auto& prompt : *set) tokens += prompt.size();
  }
  if (tokens > kMaxPromptTokens)
    user_error(
        "a concept page is limited to {} tokens of prompts, not {}: use fewer or shorter prompts",
        kMaxPromptTokens, tokens);
}

JsonValue prompts_data(std::string_view name, const Batch& prompts, TokenTable& tokens,
                       const PageSource& source) {
  JsonValue texts = JsonValue::array();
  std::vector<int64_t> lengths;
  std::vector<int32_t> ids;
  for (const auto& prompt : prompts) {
    texts.push_back(text_label(prompt, source));
    lengths.push_back(std::ssize(prompt));
    ids.insert(ids.end(), prompt.begin(), prompt.end());
  }
  return {{"name", name},
          {"texts", std::move(texts)},
          {"lengths", packed(lengths)},
          {"tokens", tokens.places(ids)}};
}

/// The largest elements by size, largest first.
JsonValue elements_data(const std::vector<double>& direction) {
  std::vector<int64_t> places(direction.size());
  std::iota(places.begin(), places.end(), int64_t{0});
  const auto size = [&](int64_t place) { return std::abs(direction[static_cast<size_t>(place)]); };
  const auto end =
      places.begin() + static_cast<std::ptrdiff_t>(std::min(places.size(), kTopElements));
  // Not-a-number comes last, and equal ones in their own order.
  const auto before = [&](int64_t a, int64_t b) {
    const double x = std::isnan(size(a)) ? -1 : size(a), y = std::isnan(size(b)) ? -1 : size(b);
    return x != y ? x > y : a < b;
  };
  std::partial_sort(places.begin(), end, places.end(), before);
  places.erase(end, places.end());
  std::vector<double> values;
  for (const int64_t place : places) values.push_back(direction[static_cast<size_t>(place)]);
  return {{"places", packed(places)}, {"values", packed(values)}};
}

/// Elements of one head, where the direction is of all heads of a site that has them; else 0.
int64_t head_width(const ConceptDirection& d, const Config& config) {
  for (const SiteInfo& info : kSites) {
    if (!info.per_layer || !d.site.ends_with(info.name)) continue;
    return site_width(info.shape, config) == std::ssize(d.direction)
               ? site_head_width(info.shape, config)
               : 0;
  }
  return 0;
}

JsonValue site_data(const ConceptDirection& d, const Config& config) {
  return {{"site", d.site},
          {"width", d.direction.size()},
          {"headWidth", head_width(d, config)},
          // Packed, since JSON has neither NaN nor infinity.
          {"values",
           packed(std::vector<double>{d.auc, d.cohens_d, d.accuracy, d.norm, d.activation_norm})},
          {"scores", {packed(d.positive_scores), packed(d.negative_scores)}},
          {"elements", elements_data(d.direction)}};
}

double cosine(const ConceptDirection& a, const ConceptDirection& b) {
  const bool one_basis = a.site == b.site || (is_in_stream(a.site) && is_in_stream(b.site));
  if (!one_basis || a.direction.size() != b.direction.size())
    return std::numeric_limits<double>::quiet_NaN();
  const double product =
      std::inner_product(a.direction.begin(), a.direction.end(), b.direction.begin(), 0.0);
  return product / (a.norm * b.norm);
}

/// Between all that have one with another, as [sites, sites]; null where there are none.
JsonValue cosines_data(std::span<const ConceptDirection> results) {
  std::vector<int64_t> sites;
  for (size_t i = 0; i < results.size(); ++i) {
    const auto meets = [&](const ConceptDirection& other) {
      return &other != &results[i] && !std::isnan(cosine(results[i], other));
    };
    if (std::ranges::any_of(results, meets)) sites.push_back(static_cast<int64_t>(i));
  }
  if (sites.empty()) return nullptr;
  std::vector<double> values;
  for (const int64_t i : sites) {
    for (const int64_t j : sites)
      values.push_back(cosine(results[static_cast<size_t>(i)], results[static_cast<size_t>(j)]));
  }
  return {{"sites", packed(sites)}, {"values", packed(values)}};
}

}  // namespace

std::string concept_page(std::span<const ConceptDirection> results, const ConceptSubject& subject,
                         const PageSource& source) {
  check(results, subject);
  TokenTable tokens(source.tokenizer);
  const ConceptLayout layout = concept_layout(results);
  Page page{.kind = "concept",
            .title = "Concept direction",
            .subtitle = fmt::format(
                "{} positive and {} negative prompts, {}", subject.positive.size(),
                subject.negative.size(),
                results.size() == 1 ? results[0].site : fmt::format("{} sites", results.size())),
            .help =
                "The mean of the positive prompts less the mean of the negative ones, as a "
                "direction. Each prompt was held out once: its score is its "
                "place along the direction that all others but its pair make, counted from the "
                "middle between their means."};
  if (!subject.note.empty()) page.subtitle += ", " + printable(subject.note);
  JsonValue sites = JsonValue::array();
  for (const ConceptDirection& d : results) sites.push_back(site_data(d, source.config));
  page.results.push_back({{"label", page.subtitle},
                          {"pooling", concept_pooling_name(subject.pooling)},
                          {"sets",
                           {prompts_data("positive", subject.positive, tokens, source),
                            prompts_data("negative", subject.negative, tokens, source)}},
                          {"sites", std::move(sites)},
                          {"x", layout.x},
                          {"lines", layout.lines},
                          {"at", packed(layout.sites)},
                          {"best", layout.best},
                          {"cosines", cosines_data(results)},
                          {"steering", subject.steering}});
  return render(page, tokens, source);
}

}  // namespace vitrine
