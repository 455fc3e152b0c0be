// SPDX-License-Identifier: MIT
#include "cli/lens/attribution_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "report/results/results.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct Part {
  std::string name;
  double contribution;
  std::string error = {};
};

/// `errors`: of means over pairs; null for one text.
std::vector<Part> parts_of(const LogitAttribution& found, const LogitAttribution* errors) {
  std::vector<Part> parts;
  const auto add = [&](std::string name, auto of) {
    parts.push_back({std::move(name), of(found), {}});
    if (errors) parts.back().error = fmt::format(" ±{:>6.3f}", of(*errors));
  };
  using From = LogitAttribution;
  add("token embedding", [](const From& from) { return from.embedding; });
  add("position embedding", [](const From& from) { return from.position_embedding; });
  add("final layernorm's bias", [](const From& from) { return from.final_bias; });
  if (found.edits != 0) add("edits of the stream", [](const From& from) { return from.edits; });
  const auto heads = static_cast<size_t>(found.heads);
  for (size_t layer = 0; layer < found.mlp.size(); ++layer) {
    for (size_t head = 0; head < heads; ++head)
      add(fmt::format("head {}.{}", layer, head),
          [&](const From& from) { return from.head[layer * heads + head]; });
    add(fmt::format("attention bias {}", layer),
        [&](const From& from) { return from.attention_bias[layer]; });
    add(fmt::format("mlp {}", layer), [&](const From& from) { return from.mlp[layer]; });
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
    text += fmt::format(
        "{}  {}\n", left(parts[i].name, kName),
        out.paint(heat_style(share), fmt::format("{:>+8.3f}{}  {}", parts[i].contribution,
                                                 parts[i].error, open_bar(std::abs(share), 24))));
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
  const std::string head = fmt::format("position {}, after {}: {}", found.position,
                                       names.shown(found.ids[static_cast<size_t>(found.position)]),
                                       attributed_in_words(found, names));
  std::string text =
      fmt::format("{} = {:.4f}\n", head, found.logit) + table(parts_of(found, nullptr), top, out);
  text += out.paint(Style::kDim, fmt::format("sum of all parts {:.4f}, {:.1e} from the model's",
                                             found.sum(), std::abs(found.gap()))) +
          "\n";
  if (!found.neurons.empty()) {
    std::vector<Part> neurons;
    for (const auto& neuron : found.neurons)
      neurons.push_back(
          {fmt::format("neuron {}.{}, {:.2f}", neuron.layer, neuron.neuron, neuron.activation),
           neuron.contribution,
           {}});
    text += "\n" +
            out.paint(Style::kDim, "neurons with the largest parts, with their activations") +
            "\n" + table(neurons, neurons.size(), out);
  }
  return text;
}

std::string draw_attributed_pairs(const AttributedPairs& found, const Names& names,
                                  const Terminal& out, size_t top) {
  LogitAttribution own = found.clean.mean;  // without the tokens, which are those of each pair
  own.target = {};
  std::string text =
      out.paint(Style::kTitle, fmt::format("{} pairs of prompts", found.clean.pairs)) + "\n";
  const auto add = [&](const OverPairs<LogitAttribution>& of, const char* where) {
    text += fmt::format("{}, {}: mean {:.4f} ± {:.4f}\n", attributed_in_words(own, names), where,
                        of.mean.logit, of.standard_error.logit) +
            table(parts_of(of.mean, &of.standard_error), top, out);
  };
  add(found.clean, "clean prompts");
  if (found.difference) add(*found.difference, "clean less corrupt prompts");
  return text + out.paint(Style::kDim, "means ± standard errors over the pairs") + "\n";
}

}  // namespace vitrine::cli
