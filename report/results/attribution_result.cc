// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <type_traits>

#include "report/page.h"
#include "report/results/patch_parts.h"
#include "report/results/results.h"
#include "vitrine/analysis/pairs.h"

namespace vitrine {
using namespace internal;
namespace {

/// Contributions of a text, or their means over pairs with the other statistics.
struct Parts {
  const LogitAttribution& found;
  const OverPairs<LogitAttribution>* pairs = nullptr;

  Quantity quantity(const char* name, auto member) const {
    const auto of = [member](const LogitAttribution& from) {
      if constexpr (std::is_same_v<decltype(member), double LogitAttribution::*>)
        return std::vector<double>{from.*member};
      else
        return from.*member;
    };
    if (!pairs) return {name, "logits", of(found)};
    return {name, "logits", of(found), of(pairs->standard_error), of(pairs->deviation)};
  }
};

/// [L, H + 2] heads, then the bias and the MLP.
std::vector<double> components(const LogitAttribution& found) {
  std::vector<double> values;
  for (int layer = 0; layer < found.layers; ++layer) {
    const auto heads = found.head.begin() + layer * found.heads;
    values.insert(values.end(), heads, heads + found.heads);
    values.push_back(found.attention_bias[static_cast<size_t>(layer)]);
    values.push_back(found.mlp[static_cast<size_t>(layer)]);
  }
  return values;
}

HeatPanel heat(const Parts& parts, const std::string& what, const std::string& label) {
  const LogitAttribution& found = parts.found;
  HeatPanel panel{.title = label,
                  .row_name = "layer",
                  .column_name = "head",
                  .value_name = what,
                  .values = components(found),
                  .kind = HeatPanel::Kind::kDiverging,
                  .layers = true,
                  .below = "lowers it",
                  .above = "raises it",
                  .corner = "layer, head",
                  .cells = "hundredths of a logit"};
  for (int head = 0; head < found.heads; ++head) panel.columns.push_back(std::to_string(head));
  panel.columns.insert(panel.columns.end(), {"bias", "MLP"});
  for (int layer = 0; layer < found.layers; ++layer) panel.rows.push_back(std::to_string(layer));
  panel.limit = largest_size(panel.values);
  if (!parts.pairs) return panel;
  panel.errors = components(parts.pairs->standard_error);
  panel.texts = hundredths(panel.values, panel.errors);
  panel.numbers = true;
  panel.value_name += ", mean ± standard error in hundredths";
  panel.cells =
      fmt::format("mean ± standard error of {} pairs, hundredths of a logit", parts.pairs->pairs);
  return panel;
}

/// What every contribution is part of.
Table whole(const Parts& parts) {
  Table table{"", {}};
  add_quantity(table, parts.quantity("logit", &LogitAttribution::logit));
  add_quantity(table, parts.quantity("embedding", &LogitAttribution::embedding));
  add_quantity(table, parts.quantity("position_embedding", &LogitAttribution::position_embedding));
  add_quantity(table, parts.quantity("final_bias", &LogitAttribution::final_bias));
  add_quantity(table, parts.quantity("edits", &LogitAttribution::edits));
  return table;
}

Table layers(const Parts& parts) {
  Table table{"layers", {"layer"}};
  add_quantity(table, parts.quantity("attention_bias", &LogitAttribution::attention_bias));
  add_quantity(table, parts.quantity("mlp", &LogitAttribution::mlp));
  if (!parts.found.mlp_bias.empty())
    table.fields.push_back({"mlp_bias", parts.found.mlp_bias, "logits"});
  add_quantity(table, parts.quantity("heads", &LogitAttribution::head), {"head"});
  return table;
}

/// Without what is of one text.
Result begun(const LogitAttribution& found) {
  return {.view = "attribution",
          .title = "Direct logit attribution",
          .help =
              "The logit as a sum over what wrote to the residual stream: embeddings, heads, "
              "biases and MLPs, each through the final layernorm with its scale held fixed. Blue "
              "writes for the answer, orange against it.",
          .label = {},
          .axes = {{"layer", numbered(static_cast<size_t>(found.layers))},
                   {"head", numbered(static_cast<size_t>(found.heads)), true}},
          .cells = {"layer", "head"}};
}

Table neurons(const LogitAttribution& found) {
  using Neuron = LogitAttribution::Neuron;
  const auto field = [&](const char* name, auto Neuron::*member, const char* unit = "") {
    return Field{name, column_of(found.neurons, [&](const Neuron& n) { return n.*member; }), unit};
  };
  return {"neurons",
          {"place"},
          {field("layer", &Neuron::layer), field("neuron", &Neuron::neuron),
           field("activation", &Neuron::activation),
           field("contribution", &Neuron::contribution, "logits")}};
}

}  // namespace

std::string internal::attributed_in_words(const LogitAttribution& found, const Names& names) {
  using Kind = PatchMetric::Kind;
  return metric_in_words({.kind = found.against.empty() ? Kind::kLogit : Kind::kLogitDifference,
                          .answer = found.target,
                          .wrong = found.against},
                         names);
}

Result internal::attribution_result(const LogitAttribution& found, const PageSource& source) {
  const Names names(source.tokenizer);
  Result result = begun(found);
  result.label = text_label(found.ids, source);
  result.facts = {
      {"position", found.position},
      {"target", answers_json(found.target, names)},
      {"against", found.against.empty() ? JsonValue(nullptr) : answers_json(found.against, names)}};
  result.shown = {{"of", attributed_in_words(found, names)}};
  result.axes.insert(result.axes.end(), {{"place", numbered(found.neurons.size()), true},
                                         {"ids", TokenIds{found.ids}}});
  Table text = whole({found});
  text.fields.push_back({"sum", std::vector{found.sum()}, "logits"});
  text.fields.push_back({"gap", std::vector{found.gap()}, "logits"});
  text.parts.push_back(neurons(found));
  result.tables = {std::move(text), layers({found})};
  result.panels.emplace_back(heat({found}, attributed_in_words(found, names), result.label));
  return result;
}

Result internal::attributed_pairs_result(const AttributedPairs& found, const PageSource& source) {
  const LogitAttribution& mean = found.clean.mean;
  const Names names(source.tokenizer);
  LogitAttribution own = mean;  // of each pair: without tokens
  own.target = {};
  const std::string what = attributed_in_words(own, names);
  const Parts clean{mean, &found.clean};
  Result result = begun(mean);
  result.label = fmt::format("{} pairs of prompts", found.clean.pairs);
  result.facts = {{"pairs", found.clean.pairs}};
  result.shown = {{"of", what}};
  result.tables = {whole(clean), layers(clean)};
  result.panels.emplace_back(heat(clean, what, "clean prompts"));
  if (!found.difference) return result;
  const Parts difference{found.difference->mean, &*found.difference};
  for (size_t table = 0; table < 2; ++table) {
    Table part = table == 0 ? whole(difference) : layers(difference);
    part.name = "difference";
    part.axes.clear();
    result.tables[table].parts.push_back(std::move(part));
  }
  result.panels.emplace_back(heat(difference, what, "clean less corrupt prompts"));
  return result;
}

std::string attributed_pairs_page(const AttributedPairs& found, const PageSource& source) {
  return results_page({{attributed_pairs_result(found, source)}}, source);
}

std::string attributed_pairs_figure(const AttributedPairs& found, const PageSource& source,
                                    FigureFormat format) {
  return results_figure({{attributed_pairs_result(found, source)}}, format);
}

std::string attribution_page(std::span<const LogitAttribution> results, const PageSource& source) {
  return page_of(results, "attribution", source, attribution_result);
}

std::string attribution_figure(std::span<const LogitAttribution> results, const PageSource& source,
                               FigureFormat format) {
  return figure_of(results, source, format, attribution_result);
}

}  // namespace vitrine
