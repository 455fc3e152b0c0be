// SPDX-License-Identifier: MIT
#include "report/page.h"
#include "report/results/results.h"
#include "vitrine/analysis/attribution.h"

namespace vitrine {
using namespace internal;
namespace {

HeatPanel heat(const LogitAttribution& found, const Names& names, const std::string& label) {
  std::string what = "logit of " + names.shown(found.target);
  if (found.against) what += " less that of " + names.shown(*found.against);
  HeatPanel panel{.title = label,
                  .row_name = "layer",
                  .column_name = "head",
                  .value_name = what,
                  .kind = HeatPanel::Kind::kDiverging,
                  .layers = true,
                  .below = "lowers it",
                  .above = "raises it",
                  .corner = "layer, head",
                  .cells = "hundredths of a logit"};
  for (int head = 0; head < found.heads; ++head) panel.columns.push_back(std::to_string(head));
  panel.columns.insert(panel.columns.end(), {"bias", "MLP"});
  for (int layer = 0; layer < found.layers; ++layer) {
    panel.rows.push_back(std::to_string(layer));
    const auto heads = found.head.begin() + layer * found.heads;
    panel.values.insert(panel.values.end(), heads, heads + found.heads);
    panel.values.push_back(found.attention_bias[static_cast<size_t>(layer)]);
    panel.values.push_back(found.mlp[static_cast<size_t>(layer)]);
  }
  panel.limit = largest_size(panel.values);
  return panel;
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

Result internal::attribution_result(const LogitAttribution& found, const PageSource& source) {
  const Names names(source.tokenizer);
  const auto one = [](std::string name, double value) {
    return Field{std::move(name), std::vector{value}, "logits"};
  };
  Table layers{"layers",
               {"layer"},
               {{"attention_bias", found.attention_bias, "logits"}, {"mlp", found.mlp, "logits"}},
               {{"heads", {"head"}, {{"", found.head, "logits"}}}}};
  if (!found.mlp_bias.empty()) layers.fields.push_back({"mlp_bias", found.mlp_bias, "logits"});
  TokenIds tokens{{found.target}};
  if (found.against) tokens.ids.push_back(*found.against);
  Result result{
      .view = "attribution",
      .title = "Direct logit attribution",
      .help =
          "The logit as a sum over what wrote to the residual stream: embeddings, heads, biases "
          "and MLPs, each through the final layernorm with its scale held fixed. Blue writes for "
          "the answer, orange against it.",
      .label = text_label(found.ids, source),
      .facts = {{"position", found.position},
                {"target", names.json(found.target)},
                {"against", found.against ? names.json(*found.against) : JsonValue(nullptr)}},
      .lists = {{"compared", std::move(tokens)}},
      .axes = {{"layer", numbered(static_cast<size_t>(found.layers))},
               {"head", numbered(static_cast<size_t>(found.heads)), true},
               {"place", numbered(found.neurons.size()), true},
               {"ids", TokenIds{found.ids}}},
      .tables = {{"",
                  {},
                  {one("logit", found.logit), one("sum", found.sum()), one("gap", found.gap()),
                   one("embedding", found.embedding),
                   one("position_embedding", found.position_embedding),
                   one("final_bias", found.final_bias)},
                  {neurons(found)}},
                 std::move(layers)},
      .cells = {"layer", "head"}};
  result.panels.emplace_back(heat(found, names, result.label));
  return result;
}

std::string attribution_page(std::span<const LogitAttribution> results, const PageSource& source) {
  return page_of(results, "attribution", source, attribution_result);
}

std::string attribution_figure(std::span<const LogitAttribution> results, const PageSource& source,
                               FigureFormat format) {
  return figure_of(results, source, format, attribution_result);
}

}  // namespace vitrine
