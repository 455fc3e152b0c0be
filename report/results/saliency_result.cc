// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "analysis/saliency/words.h"
#include "report/page.h"
#include "report/results/results.h"
#include "vitrine/analysis/saliency.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

template <typename Of>
auto of_steps(const Saliency& found, Of of) {
  return column_of(found.steps, of);
}

/// What each step has of some of its inputs, as [S, T].
template <typename T, typename Of>
std::vector<T> of_tokens(const Saliency& found, T absent, Of of) {
  std::vector<T> all;
  for (const SaliencyStep& step : found.steps) {
    const auto& values = of(step);
    all.insert(all.end(), values.begin(), values.end());
    all.resize(all.size() + found.ids.size() - values.size(), absent);
  }
  return all;
}

bool has_contrast(const Saliency& found) { return found.contrast || !found.contrasts.empty(); }

/// One a step, or none.
std::vector<int32_t> contrasts(const Saliency& found) {
  std::vector<int32_t> ids;
  for (size_t step = 0; has_contrast(found) && step < found.steps.size(); ++step)
    ids.push_back(*found.contrast_of(step));
  return ids;
}

Table completeness(const Saliency& found) {
  const auto field = [&](const char* name, double Completeness::*member) {
    return Field{name,
                 of_steps(found, [&](const SaliencyStep& s) { return *s.completeness.*member; })};
  };
  return {"completeness",
          {},
          {field("baseline_value", &Completeness::baseline_value), field("gap", &Completeness::gap),
           field("relative_gap", &Completeness::relative_gap)}};
}

Table masking(const Saliency& found, const char* name, MaskingEffect SpanComparison::*effect) {
  const auto field = [&](const char* of, double MaskingEffect::*member, const char* unit = "") {
    return Field{
        of, of_steps(found, [&](const SaliencyStep& s) { return *s.comparison.*effect.*member; }),
        unit};
  };
  return {name,
          {},
          {field("value", &MaskingEffect::value),
           field("standard_error", &MaskingEffect::standard_error),
           field("log_probability", &MaskingEffect::log_prob, "nats"),
           field("rank", &MaskingEffect::rank), field("hidden", &MaskingEffect::hidden)}};
}

/// One object an input token of each step.
Table tokens(const Saliency& found, bool compared) {
  const size_t cells = found.steps.size() * found.ids.size();
  TokenIds ids;
  std::vector<int32_t> positions;
  for (size_t i = 0; i < cells; ++i) {
    positions.push_back(static_cast<int32_t>(i % found.ids.size()));
    ids.ids.push_back(found.ids[i % found.ids.size()]);
  }
  Table table{"tokens",
              {"position"},
              {{"token", std::move(ids)},
               {"position", std::move(positions)},
               {"share", found.shares},
               {"score", found.scores}}};
  if (!compared) return table;
  table.fields.push_back({"draws", of_tokens<int32_t>(
                                       found, 0, [](const SaliencyStep& s) -> auto& {
                                         return s.comparison->span_draws;
                                       })});
  table.parts.push_back({"scattered",
                         {},
                         {{"score", of_tokens(
                                        found, kNone, [](const SaliencyStep& s) -> auto& {
                                          return s.comparison->scattered_scores;
                                        })},
                          {"draws", of_tokens<int32_t>(
                                        found, 0, [](const SaliencyStep& s) -> auto& {
                                          return s.comparison->scattered_draws;
                                        })}}});
  return table;
}

Panel panel(const Saliency& found, const Names& names, const std::string& label) {
  const bool is_signed = has_contrast(found);
  const std::vector<double>& values = is_signed ? found.scores : found.shares;
  const std::string what =
      fmt::format("{} ({})", is_signed ? "score" : "share", saliency_method_name(found.method));
  const auto shown = [&](int32_t id) { return names.shown(id); };
  if (found.steps.size() == 1) {
    BarsPanel bars{.title = fmt::format("{} → {}", label, shown(found.steps[0].target)),
                   .value_name = what,
                   .bars = {}};
    for (size_t i = 0; i < found.ids.size(); ++i)
      bars.bars.push_back({shown(found.ids[i]), values[i]});
    return bars;
  }
  HeatPanel heat{.title = label,
                 .row_name = "next",
                 .value_name = what,
                 .rows = of_steps(found, [&](const SaliencyStep& s) { return shown(s.target); }),
                 .columns = column_of(found.ids, shown),
                 .values = values,
                 .kind = is_signed ? HeatPanel::Kind::kDiverging : HeatPanel::Kind::kAmount,
                 .limit = largest_size(values)};
  for (size_t step = 0; step < found.steps.size(); ++step) {
    for (size_t i = static_cast<size_t>(found.steps[step].inputs); i < found.ids.size(); ++i)
      heat.values[found.cell(step, i)] = kNone;
  }
  return heat;
}

}  // namespace

Result internal::saliency_result(const Saliency& found, const PageSource& source) {
  const Names names(source.tokenizer);
  const bool compared = !found.steps.empty() && found.steps[0].comparison;
  const auto inputs = of_steps(found, [](const SaliencyStep& s) { return s.inputs; });
  const auto log_probs = of_steps(found, [](const SaliencyStep& s) { return s.log_prob; });
  Table steps{
      "steps",
      {"step"},
      {{"inputs", inputs},
       {"target", TokenIds{of_steps(found, [](const SaliencyStep& s) { return s.target; })}},
       {"rank", of_steps(found, [](const SaliencyStep& s) { return s.rank; })},
       {"logit", of_steps(found, [](const SaliencyStep& s) { return s.logit; })},
       {"log_probability", log_probs, "nats"},
       {.name = "probability", .values = probabilities(log_probs), .derived = true},
       {"value", of_steps(found, [](const SaliencyStep& s) { return s.value; })}}};
  if (!found.contrasts.empty()) steps.fields.push_back({"contrast", TokenIds{found.contrasts}});
  if (!found.steps.empty() && found.steps[0].completeness)
    steps.parts.push_back(completeness(found));
  if (compared) {
    const auto masked =
        of_steps(found, [](const SaliencyStep& s) { return s.comparison->masked_tokens; });
    steps.parts.push_back({"comparison",
                           {},
                           {{"masked_tokens", masked}},
                           {masking(found, "spans", &SpanComparison::spans),
                            masking(found, "scattered", &SpanComparison::scattered)}});
  }
  steps.parts.push_back(tokens(found, compared));
  Result result{
      .view = "saliency",
      .title = "Input saliency",
      .help =
          "How much each token of the input matters for a next token. Point at a next token, or "
          "move to it with Tab, to see its input; a click keeps it.",
      .label = text_label(found.ids, source),
      .facts = {{"method", saliency_method_name(found.method)},
                {"of", saliency_value_name(found.value)},
                {"contrast", found.contrast ? names.json(*found.contrast) : JsonValue(nullptr)}},
      .shown = {{"what", value_in_words(found.value)}},
      .lists = {{"contrasts", TokenIds{contrasts(found)}}},
      .axes = {{"step", numbered(found.steps.size()), true},
               {"position", numbered(found.ids.size()), true, inputs},
               {"ids", TokenIds{found.ids}}},
      .tables = {std::move(steps)},
      .cells = {"step", "position"}};
  result.panels.push_back(panel(found, names, result.label));
  return result;
}

std::string saliency_page(std::span<const Saliency> results, const PageSource& source) {
  return page_of(results, "saliency", source, saliency_result);
}

std::string saliency_figure(std::span<const Saliency> results, const PageSource& source,
                            FigureFormat format) {
  return figure_of(results, source, format, saliency_result);
}

}  // namespace vitrine
