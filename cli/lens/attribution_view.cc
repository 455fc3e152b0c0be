// SPDX-License-Identifier: MIT
#include "cli/lens/attribution_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

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
  return text;
}

}  // namespace vitrine::cli
