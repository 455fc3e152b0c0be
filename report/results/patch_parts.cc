// SPDX-License-Identifier: MIT
#include "report/results/patch_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/page.h"

namespace vitrine {
using namespace internal;
namespace {

using Kind = PatchMetric::Kind;

/// What stays as it is: of shares, the end of the prompt that is run again.
double base_effect(const Experiment& experiment) {
  return experiment.shares && experiment.of_clean ? 1.0 : 0.0;
}

/// What a cell of a panel says, in hundredths.
std::string cells_in_words(const Experiment& experiment, Kind kind) {
  if (experiment.shares && experiment.of_clean)
    return "percent of the way from the clean prompt's answer (0) to the corrupt one's (-100)";
  if (experiment.shares)
    return "percent of the way from the corrupt prompt's answer (0) to the clean one's (+100)";
  return kind == Kind::kProb      ? "what is added to the probability, in percentage points"
         : kind == Kind::kLogProb ? "what is added to the log-probability, in hundredths of a nat"
                                  : "what is added, in hundredths of a logit";
}

JsonValue prompt_json(const std::vector<int32_t>& ids, const Names& names,
                      const PageSource& source) {
  JsonValue json = JsonValue::object();
  const auto known = [&](int32_t id) { return id >= 0 && id < source.tokenizer->vocab_size(); };
  const bool all = source.tokenizer && std::ranges::all_of(ids, known);
  add_text(json, all ? source.tokenizer->decode(ids) : "");
  json["tokens"] = names.json(ids);
  return json;
}

}  // namespace

Result internal::begun_patching(const Experiment& experiment, const PatchSubject& subject,
                                const PageSource& source) {
  const Names names(source.tokenizer);
  Result result{.view = "patch",
                .title = experiment.title,
                .help = experiment.help,
                .label = subject.pairs > 0 ? fmt::format("{} pairs of prompts", subject.pairs)
                                           : text_label(subject.clean, source)};
  result.facts = {{"mode", experiment.mode},
                  {"metric", {{"name", patch_metric_name(subject.metric.kind)}}}};
  if (experiment.shares) result.facts["direction"] = experiment.of_clean ? "noising" : "denoising";
  if (subject.pairs > 0) {
    result.facts["pairs"] = subject.pairs;
  } else {
    result.facts["metric"]["answer"] = answers_json(subject.metric.answer, names);
    if (subject.metric.kind == Kind::kLogitDifference)
      result.facts["metric"]["wrong"] = answers_json(subject.metric.wrong, names);
    result.facts["clean_prompt"] = prompt_json(subject.clean, names, source);
    if (!subject.corrupt.empty())
      result.facts["corrupt_prompt"] = prompt_json(subject.corrupt, names, source);
  }
  result.shown = {{"measured", metric_in_words(subject.metric, names)},
                  {"meaning", experiment.effect},
                  {"note", subject.note},
                  {"zero", base_effect(experiment)},
                  {"grids", JsonValue::array()}};
  result.lists = {{"clean_tokens", TokenIds{subject.clean}},
                  {"corrupt_tokens", TokenIds{subject.corrupt}}};
  return result;
}

Table internal::whole_runs(std::vector<Quantity> ends, const PatchWork& work) {
  Table table{"", {}, {}, {}};
  for (Quantity& end : ends) add_quantity(table, std::move(end));
  const auto one = [](const char* name, int64_t value) { return Field{name, std::vector{value}}; };
  table.parts.push_back({"work",
                         {},
                         {one("cells", work.cells), one("token_layers", work.computed),
                          one("naive_token_layers", work.naive)}});
  return table;
}

HeatPanel internal::effect_panel(const Experiment& experiment, const PatchSubject& subject,
                                 const PageSource& source, const std::vector<double>& values,
                                 const std::vector<double>& errors) {
  HeatPanel panel{
      .row_name = "layer",
      .value_name = "effect on the " + metric_in_words(subject.metric, Names(source.tokenizer)),
      .errors = errors,
      .kind = HeatPanel::Kind::kDiverging,
      .layers = true,
      .below = "towards the wrong answer",
      .above = "towards the answer",
      .numbers = true,
      .cells = cells_in_words(experiment, subject.metric.kind)};
  for (const double value : values) panel.values.push_back(value - base_effect(experiment));
  panel.limit = largest_size(panel.values);
  if (errors.empty()) return panel;
  panel.texts = hundredths(panel.values, errors);
  panel.value_name += ", mean ± standard error in hundredths";
  panel.cells = fmt::format("mean ± standard error of {} pairs: {}", subject.pairs, panel.cells);
  return panel;
}

std::string internal::metric_unit(Kind kind) {
  return kind == Kind::kProb ? "" : kind == Kind::kLogProb ? "nats" : "logits";
}

void internal::add_quantity(Table& table, Quantity quantity, std::vector<std::string> axes) {
  auto& [name, unit, values, errors, deviations] = quantity;
  if (errors.empty() && axes.empty()) {
    table.fields.push_back({name, std::move(values), unit});
    return;
  }
  Table part{name, std::move(axes)};
  part.fields = {{errors.empty() ? "" : "mean", std::move(values), unit}};
  if (!errors.empty()) {
    part.fields.push_back({"standard_error", std::move(errors), unit});
    part.fields.push_back({"deviation", std::move(deviations), unit});
  }
  table.parts.push_back(std::move(part));
}

std::vector<std::string> internal::hundredths(const std::vector<double>& values,
                                              const std::vector<double>& errors) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < values.size(); ++i) {
    std::string& text = texts.emplace_back();
    if (!std::isfinite(values[i])) continue;
    text = fmt::format("{:+}", std::lround(100 * values[i]));
    if (std::isfinite(errors[i])) text += fmt::format(" ±{}", std::lround(100 * errors[i]));
  }
  return texts;
}

JsonValue internal::answers_json(const AnswerTokens& tokens, const Names& names) {
  return tokens.size() == 1 ? names.json(tokens.ids()[0]) : names.json(tokens.ids());
}

std::string internal::answers_shown(const AnswerTokens& tokens, const Names& names) {
  std::string text;
  for (const int32_t id : tokens) text += (text.empty() ? "" : ", ") + names.shown(id);
  return text;
}

std::string internal::metric_in_words(const PatchMetric& metric, const Names& names) {
  const bool own = metric.answer.empty();  // of each pair
  const std::string answer = own ? "the answer" : answers_shown(metric.answer, names);
  const std::string wrong = own ? "the wrong one" : answers_shown(metric.wrong, names);
  switch (metric.kind) {
    case Kind::kLogitDifference:
      return fmt::format("logit of {} less that of {}", answer, wrong);
    case Kind::kLogit:
      return "logit of " + answer;
    case Kind::kLogProb:
      return fmt::format("log-probability of {}, in nats", answer);
    case Kind::kProb:
      break;
  }
  return "probability of " + answer;
}

}  // namespace vitrine
