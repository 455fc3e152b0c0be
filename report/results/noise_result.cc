// SPDX-License-Identifier: MIT
#include <algorithm>
#include <span>

#include "report/page.h"
#include "report/results/results.h"
#include "vitrine/analysis/noise.h"
#include "vitrine/sites.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr size_t kMaxTexts = 200;  // of each kind, in a page
constexpr double kNormal = 1.96;   // standard errors to each side of a 95 % interval

/// The first corrupted prompts of each kind, concatenated; id -1 is a mask without a token.
std::vector<Axis> texts(const Noise& found) {
  std::vector<int64_t> lengths, sources;
  TokenIds tokens;
  for (const NoiseEffect& effect : found.effects) {
    for (const NoisedPrompt& prompt :
         std::span(effect.prompts).first(std::min(effect.prompts.size(), kMaxTexts))) {
      lengths.push_back(std::ssize(prompt.ids));
      sources.insert(sources.end(), prompt.sources.begin(), prompt.sources.end());
      tokens.ids.insert(tokens.ids.end(), prompt.ids.begin(), prompt.ids.end());
    }
  }
  return {{"text_length", std::move(lengths)},
          {"text_source", std::move(sources)},
          {"text_token", std::move(tokens)}};
}

/// `of(effect)` of all kinds of noise, one after the other.
template <typename T, typename Of>
std::vector<T> joined(const Noise& found, Of of) {
  std::vector<T> all;
  for (const NoiseEffect& effect : found.effects) {
    const auto& values = of(effect);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

/// Mean and standard error.
Table estimates(const std::string& name, std::vector<std::string> axes,
                const std::vector<Estimate>& list, const std::string& unit = "") {
  return {.name = name,
          .axes = std::move(axes),
          .fields = {{"mean", column_of(list, [](const Estimate& e) { return e.mean; }), unit},
                     {"standard_error",
                      column_of(list, [](const Estimate& e) { return e.standard_error; }), unit}}};
}

JsonValue list_of(const auto& values) {
  return JsonValue(std::vector<int64_t>(values.begin(), values.end()));
}

Table repetitions(const Noise& found) {
  const std::vector<std::string> each = {"repetition"}, all = {"repetition", "site"};
  using Effect = NoiseEffect;
  const auto doubles = [&](const std::string& name, const std::vector<std::string>& axes,
                           std::vector<double> Effect::*values, const std::string& unit = "") {
    return Table{name,
                 axes,
                 {{"",
                   joined<double>(
                       found, [&](const Effect& e) -> auto& { return e.*values; }),
                   unit}}};
  };
  std::vector<JsonValue> ids, sources;
  for (const Effect& effect : found.effects) {
    for (const NoisedPrompt& prompt : effect.prompts) {
      ids.push_back(list_of(prompt.ids));
      sources.push_back(list_of(prompt.sources));
    }
  }
  return {.name = "repetitions",
          .parts = {{"masked",
                     each,
                     {{"", joined<int32_t>(
                               found, [](const Effect& e) -> auto& { return e.masked; })}}},
                    doubles("log_probability", each, &Effect::log_probs, "nats"),
                    doubles("rank", each, &Effect::ranks),
                    doubles("cosine", all, &Effect::cosines),
                    doubles("cka", all, &Effect::ckas),
                    {"ids", each, {{"", std::move(ids)}}},
                    {"sources", each, {{"", std::move(sources)}}}}};
}

std::vector<Panel> panels(const Noise& found, const Result& result) {
  LinesPanel lines{.title = result.label,
                   .x_name = "layer",
                   .y_name = "cosine at the last token",
                   .x = site_labels(noise_sites(found)),
                   .series = {}};
  BarsPanel bars{.title = "change of the continuation's log-probability",
                 .value_name = "nats, mean over repetitions",
                 .bars = {}};
  for (const NoiseEffect& effect : found.effects) {
    LinesPanel::Series series{.name = std::string(noise_kind_name(effect.kind)), .values = {}};
    for (const Estimate& layer : effect.cosine) {
      series.values.push_back(layer.mean);
      series.low.push_back(layer.mean - kNormal * layer.standard_error);
      series.high.push_back(layer.mean + kNormal * layer.standard_error);
    }
    bars.bars.push_back({series.name, effect.log_prob_change.mean});
    lines.series.push_back(std::move(series));
  }
  return {std::move(lines), std::move(bars)};
}

}  // namespace

std::vector<std::string> internal::noise_sites(const Noise& found) {
  const size_t layers = found.effects.empty() ? 0 : found.effects[0].cosine.size();
  return column_of(numbered(layers, -1), [](int layer) {
    return layer < 0 ? std::string("embed") : site_name(Site::kResidPost, layer);
  });
}

Result internal::noise_result(const Noise& found, const PageSource& source) {
  const auto& effects = found.effects;
  Result result{
      .view = "noise",
      .title = "Noise",
      .help =
          "The prompt, damaged in several ways, and what the model then makes of it. Each "
          "small dot is one draw of the noise; the large "
          "ones are means, with their standard errors. Point at a draw to read its prompt.",
      .label = text_label(found.ids, source),
      .facts = {{"words", found.words},
                {"sentences", found.sentences},
                {"budget", found.budget},
                {"own_choice", found.own_choice},
                {"spans_less_scattered", nullptr}},
      .axes = {{"noise", column_of(effects,
                                   [](const NoiseEffect& e) {
                                     return std::string(noise_kind_name(e.kind));
                                   })},
               {"repetition", numbered(effects.empty() ? 0 : effects[0].log_probs.size())},
               {"site", noise_sites(found)},
               {"continuation", TokenIds{found.continuation}},
               {"ids", TokenIds{found.ids}}},
      .tables = {{"",
                  {},
                  {{"log_probability", std::vector{found.log_prob}, "nats"},
                   {"rank", std::vector{found.rank}}}},
                 {"continuation", {"continuation"}},
                 {"sites", {"site"}},
                 {.name = "noises",
                  .axes = {"noise"},
                  .parts =
                      {estimates("log_probability_change", {},
                                 column_of(effects,
                                           [](const NoiseEffect& e) { return e.log_prob_change; }),
                                 "nats"),
                       estimates("rank", {},
                                 column_of(effects, [](const NoiseEffect& e) { return e.rank; })),
                       estimates(
                           "cosine", {"site"},
                           joined<Estimate>(
                               found, [](const NoiseEffect& e) -> auto& { return e.cosine; })),
                       estimates("cka", {"site"},
                                 joined<Estimate>(
                                     found, [](const NoiseEffect& e) -> auto& { return e.cka; })),
                       repetitions(found)}}},
      .cells = {"noise", "repetition"}};
  if (const auto& difference = found.spans_less_scattered)
    result.facts["spans_less_scattered"] = {{"mean", difference->mean},
                                            {"standard_error", difference->standard_error}};
  result.shown["rows"] = site_labels(noise_sites(found));
  result.lists = texts(found);
  result.panels = panels(found, result);
  return result;
}

std::string noise_page(std::span<const Noise> results, const PageSource& source) {
  return page_of(results, "noise", source, noise_result);
}

std::string noise_figure(std::span<const Noise> results, const PageSource& source,
                         FigureFormat format) {
  return figure_of(results, source, format, noise_result);
}

}  // namespace vitrine
