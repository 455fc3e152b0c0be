// SPDX-License-Identifier: MIT
// What a model holds at the last token of each stimulus.

#include <algorithm>
#include <cstring>
#include <map>

#include "analysis/common/model_output.h"
#include "analysis/common/options.h"
#include "analysis/predictivity/stages.h"
#include "base/quote.h"

namespace vitrine {
using namespace internal;
namespace {

/// One sequence that goes through the model, and whose last tokens are in it.
struct Reading {
  std::vector<int32_t> ids = {};
  std::vector<std::pair<size_t, int64_t>> ends = {};  ///< (stimulus, position of its last token)
};

/// Stimuli of a group share a reading as long as all of it fits into the context; after that, where
/// the beginning is cut off, positions are others for each stimulus, so each has its own.
class Readings {
 public:
  Readings(const Stimuli& stimuli, StimulusContext context, int64_t longest)
      : longest_(static_cast<size_t>(longest)) {
    std::map<std::string_view, size_t> text_of;
    std::vector<std::vector<int32_t>> texts;
    std::vector<size_t> reading_of;
    for (size_t i = 0; i < stimuli.ids.size(); ++i) {
      const bool alone = context == StimulusContext::kNone;
      const size_t at =
          alone ? texts.size() : text_of.try_emplace(stimuli.groups[i], texts.size()).first->second;
      if (at == texts.size()) {
        texts.push_back(stimuli.before);
        reading_of.push_back(all.size());
        all.emplace_back();
      }
      std::vector<int32_t>& text = texts[at];
      text.insert(text.end(), stimuli.ids[i].begin(), stimuli.ids[i].end());
      add(text, i, reading_of[at]);
    }
  }

  std::vector<Reading> all;
  int64_t cut = 0;

 private:
  void add(const std::vector<int32_t>& text, size_t stimulus, size_t shared) {
    if (text.size() <= longest_) {
      all[shared].ids = text;
      all[shared].ends.emplace_back(stimulus, static_cast<int64_t>(text.size()) - 1);
      return;
    }
    ++cut;
    Reading last{.ids = {text.end() - static_cast<std::ptrdiff_t>(longest_), text.end()}};
    last.ends.emplace_back(stimulus, static_cast<int64_t>(longest_) - 1);
    all.push_back(std::move(last));
  }

  size_t longest_;
};

std::vector<SiteRef> sites_of(const std::vector<std::string>& patterns, const Config& config) {
  std::vector<SiteRef> sites;
  for (const std::string& pattern : patterns) {
    for (SiteRef& site : find_sites(pattern, config)) {
      if (site_info(site.site).shape == SiteShape::kMap)
        user_error("invalid site {}, which is a map: expected a site with one row per token",
                   site.name);
      const auto same = [&](const SiteRef& other) { return other.name == site.name; };
      if (std::none_of(sites.begin(), sites.end(), same)) sites.push_back(std::move(site));
    }
  }
  if (sites.empty())
    user_error("missing site to read: expected a name such as blocks.*.hook_resid_post");
  // In the order of the pass: sites without a layer come before or after the blocks.
  const auto place = [&](const SiteRef& site) { return pass_place(site.site, site.layer, config); };
  std::stable_sort(sites.begin(), sites.end(),
                   [&](const SiteRef& a, const SiteRef& b) { return place(a) < place(b); });
  return sites;
}

Hooks hooks_for(const std::vector<SiteRef>& sites, const Reading& reading, const Hooks& edits) {
  Hooks hooks = edits;
  Where rows;
  for (const auto& end : reading.ends) rows.positions.add(end.second);
  for (const SiteRef& site : sites) hooks.capture(site.name, rows);
  return hooks;
}

void keep(const Run& run, const Reading& reading, std::vector<StimulusFeatures>& features) {
  for (StimulusFeatures& site : features) {
    const std::span<const float> rows = run[site.site].f32();
    const size_t width = rows.size() / reading.ends.size();
    for (size_t i = 0; i < reading.ends.size(); ++i) {
      const std::span<const float> row = rows.subspan(i * width, width);
      std::copy(
          row.begin(), row.end(),
          site.values.f32().begin() + static_cast<std::ptrdiff_t>(reading.ends[i].first * width));
    }
  }
}

bool is_white(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

}  // namespace

void internal::check_stimuli(const Stimuli& stimuli) {
  if (stimuli.ids.empty()) user_error("missing stimuli: expected at least one");
  if (stimuli.groups.size() != stimuli.ids.size()) {
    user_error("{} stimuli have {} groups: expected one per stimulus", stimuli.ids.size(),
               stimuli.groups.size());
  }
  for (size_t i = 0; i < stimuli.ids.size(); ++i) {
    if (stimuli.ids[i].empty())
      user_error("stimulus {} has no tokens: expected at least one", i + 1);
  }
}

std::vector<StimulusPlace> internal::stimulus_places(const Stimuli& stimuli) {
  std::map<std::string_view, StimulusPlace> next;
  std::vector<StimulusPlace> places;
  for (size_t i = 0; i < stimuli.ids.size(); ++i) {
    StimulusPlace& place = next[stimuli.groups[i]];
    places.push_back(place);
    ++place.order;
    place.tokens += static_cast<int64_t>(stimuli.ids[i].size());
  }
  return places;
}

Stimuli encode_stimuli(const Tokenizer& tokenizer, std::span<const std::string> texts,
                       std::span<const std::string> groups, StimulusContext context) {
  if (groups.size() != texts.size())
    user_error("{} stimuli have {} groups: expected one per stimulus", texts.size(), groups.size());
  Stimuli stimuli{.ids = {}, .groups = {groups.begin(), groups.end()}};
  std::map<std::string_view, const std::string*> before;
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string*& last = before[groups[i]];
    const bool follows =
        context == StimulusContext::kGroup && last && !last->empty() && !texts[i].empty();
    const bool blank = follows && !is_white(last->back()) && !is_white(texts[i].front());
    stimuli.ids.push_back(tokenizer.encode(blank ? " " + texts[i] : texts[i]));
    if (stimuli.ids.back().empty())
      user_error("stimulus {} has no tokens: expected at least one", i + 1);
    last = &texts[i];
  }
  return stimuli;
}

FeatureSet stimulus_features(const Model& model, const Stimuli& stimuli,
                             const FeatureOptions& options) {
  check_stimuli(stimuli);
  for (const int32_t id : stimuli.before) check_id(model.config(), id, "token before each text:");
  for (size_t i = 0; i < stimuli.ids.size(); ++i) {
    for (const int32_t id : stimuli.ids[i])
      check_id(model.config(), id, fmt::format("token of stimulus {}:", i + 1));
  }
  const std::vector<SiteRef> sites = sites_of(options.sites, model.config());
  const Hooks edits = options.edits.only_edits();
  check_edits_reach(edits, model.config(), sites, "the predictivity");
  const auto count = static_cast<int64_t>(stimuli.ids.size());
  const Readings readings(stimuli, options.context, model.config().context);
  FeatureSet result{.sites = {}, .cut = readings.cut};
  for (const SiteRef& site : sites) {
    const int64_t width = site_width(site_info(site.site).shape, model.config());
    result.sites.push_back(
        {.site = site.name, .layer = site.layer, .values = Tensor(DType::kF32, {count, width})});
  }
  uint64_t done = 0;
  for (const Reading& reading : readings.all) {
    if (reading.ends.empty()) continue;  // a group whose first stimulus is already too long
    const Run run =
        model.forward(reading.ids, hooks_for(sites, reading, edits), {.logits = LogitRows::kNone});
    require_finite(run.captures(), model, {reading.ids}, edits,
                   fmt::format("the features of stimulus {}", reading.ends.front().first + 1));
    keep(run, reading, result.sites);
    done += reading.ends.size();
    if (options.progress) options.progress->update(done, stimuli.ids.size(), "Reading stimuli");
  }
  return result;
}

}  // namespace vitrine
