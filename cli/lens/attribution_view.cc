// SPDX-License-Identifier: MIT
#include "cli/lens/attribution_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "cli/core/heat.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct Part {
  std::string name;
  double contribution;
};

std::vector<Part> parts_of(const LogitAttribution& found) {
  std::vector<Part> parts = {{"token embedding", found.embedding},
                             {"position embedding", found.position_embedding},
                             {"final layernorm's bias", found.final_bias}};
  const auto heads = static_cast<size_t>(found.heads);
  for (size_t layer = 0; layer < found.mlp.size(); ++layer) {
    for (size_t head = 0; head < heads; ++head)
      parts.push_back({fmt::format("head {}.{}", layer, head), found.head[layer * heads + head]});
    parts.push_back({fmt::format("attention bias {}", layer), found.attention_bias[layer]});
    parts.push_back({fmt::format("mlp {}", layer), found.mlp[layer]});
  }
  std::stable_sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
    return std::abs(a.contribution) > std::abs(b.contribution);
  });
  return parts;
}

/// A line each, the largest first.
std::string table(const std::vector<Part>& parts, size_t top, const Terminal& out) {
  constexpr size_t kName = 24;
  const double full = parts.empty() ? 0.0 : std::abs(parts.front().contribution);
  std::string text;
  double rest = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i >= top) {
      rest += parts[i].contribution;
      continue;
    }
    const double share = full > 0 ? parts[i].contribution / full : 0.0;
    text +=
        fmt::format("{}  {}\n", left(parts[i].name, kName),
                    out.paint(heat_style(share), fmt::format("{:>+8.3f}  {}", parts[i].contribution,
                                                             open_bar(std::abs(share), 24))));
  }
  if (parts.size() > top)
    text += out.paint(Style::kDim,
                      fmt::format("{}  {:>+8.3f}",
                                  left(fmt::format("{} more", parts.size() - top), kName), rest)) +
            "\n";
  return text;
}

std::string grid(const LogitAttribution& found, const Terminal& out) {
  Heat heat{.corner = "layer", .columns = {}, .rows = {}, .full = 0};
  const auto heads = static_cast<size_t>(found.heads);
  for (size_t head = 0; head < heads; ++head) heat.columns.push_back(fmt::format("head {}", head));
  heat.columns.insert(heat.columns.end(), {"bias", "mlp"});
  for (size_t layer = 0; layer < found.mlp.size(); ++layer) {
    Heat::Row row{std::to_string(layer),
                  {found.head.begin() + static_cast<std::ptrdiff_t>(layer * heads),
                   found.head.begin() + static_cast<std::ptrdiff_t>((layer + 1) * heads)}};
    row.values.insert(row.values.end(), {found.attention_bias[layer], found.mlp[layer]});
    for (const double x : row.values) heat.full = std::max(heat.full, std::abs(x));
    heat.rows.push_back(std::move(row));
  }
  return draw_heat(heat, out) + out.paint(Style::kDim, "cells: hundredths of a logit") + "\n" +
         heat_legend("lowers it", "raises it", out);
}

}  // namespace

std::string draw_attribution(const LogitAttribution& found, const Names& names, const Terminal& out,
                             size_t top) {
  std::string head = fmt::format("position {}, after {}: logit of {}", found.position,
                                 names.shown(found.ids[static_cast<size_t>(found.position)]),
                                 names.shown(found.target));
  if (found.against) head += fmt::format(" less that of {}", names.shown(*found.against));
  std::string text =
      fmt::format("{} = {:.4f}\n", head, found.logit) + table(parts_of(found), top, out);
  text += out.paint(Style::kDim, fmt::format("sum of all parts {:.4f}, {:.1e} from the model's",
                                             found.sum(), std::abs(found.gap()))) +
          "\n";
  if (!found.neurons.empty()) {
    std::vector<Part> neurons;
    for (const auto& neuron : found.neurons)
      neurons.push_back(
          {fmt::format("neuron {}.{}, {:.2f}", neuron.layer, neuron.neuron, neuron.activation),
           neuron.contribution});
    text += "\n" +
            out.paint(Style::kDim, "neurons with the largest parts, with their activations") +
            "\n" + table(neurons, neurons.size(), out);
  }
  return text + "\n" + grid(found, out);
}

JsonValue attribution_json(const LogitAttribution& found, const Names& names) {
  JsonValue json = {{"position", found.position},
                    {"target", names.json(found.target)},
                    {"logit", found.logit},
                    {"sum", found.sum()},
                    {"gap", found.gap()}};
  json["against"] = found.against ? names.json(*found.against) : JsonValue(nullptr);
  json["embedding"] = found.embedding;
  json["position_embedding"] = found.position_embedding;
  json["final_bias"] = found.final_bias;
  const auto heads = static_cast<size_t>(found.heads);
  for (size_t layer = 0; layer < found.mlp.size(); ++layer) {
    const auto begin = found.head.begin() + static_cast<std::ptrdiff_t>(layer * heads);
    JsonValue row = {{"layer", layer},
                     {"heads", std::vector<double>(begin, begin + found.heads)},
                     {"attention_bias", found.attention_bias[layer]},
                     {"mlp", found.mlp[layer]}};
    if (!found.mlp_bias.empty()) row["mlp_bias"] = found.mlp_bias[layer];
    json["layers"].push_back(std::move(row));
  }
  json["neurons"] = JsonValue::array();
  for (const auto& n : found.neurons) {
    json["neurons"].push_back({{"layer", n.layer},
                               {"neuron", n.neuron},
                               {"activation", n.activation},
                               {"contribution", n.contribution}});
  }
  return json;
}

void add_arrays(Arrays& arrays, const LogitAttribution& found, size_t prompt) {
  const int64_t layers = found.layers, heads = found.heads;
  const auto add = [&](const char* name, Tensor tensor) {
    arrays.emplace_back(fmt::format("{}.{}", name, prompt), std::move(tensor));
  };
  add("ids", tensor_of(DType::kI32, found.ids, {static_cast<int64_t>(found.ids.size())}));
  add("head", tensor_of(DType::kF64, found.head, {layers, heads}));
  add("attention_bias", tensor_of(DType::kF64, found.attention_bias, {layers}));
  add("mlp", tensor_of(DType::kF64, found.mlp, {layers}));
  add("rest",
      tensor_of(DType::kF64,
                std::vector<double>{found.embedding, found.position_embedding, found.final_bias},
                {3}));
  if (found.neurons.empty()) return;
  std::vector<int64_t> places;
  std::vector<double> activations, contributions;
  for (const auto& neuron : found.neurons) {
    places.insert(places.end(), {neuron.layer, neuron.neuron});
    activations.push_back(neuron.activation);
    contributions.push_back(neuron.contribution);
  }
  const auto count = static_cast<int64_t>(found.neurons.size());
  add("neuron", tensor_of(DType::kI64, places, {count, 2}));
  add("activation", tensor_of(DType::kF64, activations, {count}));
  add("contribution", tensor_of(DType::kF64, contributions, {count}));
}

}  // namespace vitrine::cli
