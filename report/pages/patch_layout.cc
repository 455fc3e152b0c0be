// SPDX-License-Identifier: MIT
#include "report/pages/patch_layout.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "vitrine/analysis/path_patching.h"

namespace vitrine::internal {
namespace {

std::string_view column_name(PatchOver over) {
  switch (over) {
    case PatchOver::kPositions:
      return "position";
    case PatchOver::kHeads:
      return "head";
    case PatchOver::kNeurons:
      return "neuron";
    case PatchOver::kWhole:
      break;
  }
  return "all";
}

}  // namespace

std::string metric_in_words(const PatchMetric& metric, const TokenTable& tokens) {
  const std::string answer = tokens.shown(metric.answer);
  switch (metric.kind) {
    case PatchMetric::Kind::kLogitDifference:
      return fmt::format("logit of {} less that of {}", answer, tokens.shown(metric.wrong));
    case PatchMetric::Kind::kLogit:
      return "logit of " + answer;
    case PatchMetric::Kind::kLogProb:
      return fmt::format("log-probability of {}, in nats", answer);
    case PatchMetric::Kind::kProb:
      break;
  }
  return "probability of " + answer;
}

PatchLayout patch_layout(const PatchGrid& grid, const PatchSubject& subject,
                         const TokenTable& tokens) {
  PatchLayout layout{.title = std::string(site_info(grid.site).name),
                     .over = std::string(column_name(grid.over)),
                     .rows = {},
                     .columns = {}};
  for (const int layer : grid.layers) layout.rows.push_back(std::to_string(layer));
  for (const int64_t column : grid.columns) {
    const bool is_token =
        grid.over == PatchOver::kPositions && column >= 0 && column < std::ssize(subject.base);
    layout.columns.push_back(is_token ? tokens.shown(subject.base[static_cast<size_t>(column)])
                             : grid.over == PatchOver::kWhole ? "all"
                                                              : std::to_string(column));
  }
  return layout;
}

PathLayout path_layout(const PathPatching& found) {
  int layers = 0, heads = 0;
  for (const PathNode& node : found.senders) {
    layers = std::max(layers, node.layer + 1);
    if (node.kind == PathNode::Kind::kHead) heads = std::max(heads, node.head + 1);
  }
  const auto columns = static_cast<size_t>(heads) + 1;
  PathLayout layout{
      .axes = {.title = "senders", .over = "component", .rows = {"embed"}, .columns = {}},
      .values = {},
      .effects = {}};
  for (int layer = 0; layer < layers; ++layer) layout.axes.rows.push_back(std::to_string(layer));
  for (int head = 0; head < heads; ++head)
    layout.axes.columns.push_back(fmt::format("head {}", head));
  layout.axes.columns.emplace_back("MLP");
  layout.values.assign((static_cast<size_t>(layers) + 1) * columns,
                       std::numeric_limits<double>::quiet_NaN());
  layout.effects = layout.values;
  for (size_t i = 0; i < found.senders.size(); ++i) {
    const PathNode& node = found.senders[i];
    const bool head = node.kind == PathNode::Kind::kHead, mlp = node.kind == PathNode::Kind::kMlp;
    const size_t row = head || mlp ? static_cast<size_t>(node.layer) + 1 : 0;
    const size_t cell = row * columns + (head ? static_cast<size_t>(node.head) : columns - 1);
    layout.values[cell] = found.values[i];
    layout.effects[cell] = found.effects[i];
  }
  return layout;
}

}  // namespace vitrine::internal
