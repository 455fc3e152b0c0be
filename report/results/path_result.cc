// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "report/results/patch_parts.h"
#include "report/results/patch_result.h"

namespace vitrine::internal {
namespace {

using Kind = PathNode::Kind;

/// Senders in the places that they have in the model: embeddings in a row of their own, then a row
/// for each layer, heads and the MLP beside each other.
struct Layout {
  std::vector<std::string> rows = {"embed"}, columns = {};
  std::vector<int32_t> sender;  ///< [rows, columns] index of the sender; -1: none

  explicit Layout(const std::vector<PathNode>& senders) {
    int layers = 0, heads = 0;
    for (const PathNode& node : senders) {
      if (node.kind != Kind::kEmbedding) layers = std::max(layers, node.layer + 1);
      if (node.kind == Kind::kHead) heads = std::max(heads, node.head + 1);
    }
    for (int layer = 0; layer < layers; ++layer) rows.push_back(std::to_string(layer));
    for (int head = 0; head < heads; ++head) columns.push_back(fmt::format("head {}", head));
    columns.emplace_back("MLP");
    sender.assign(rows.size() * columns.size(), -1);
    for (size_t i = 0; i < senders.size(); ++i) {
      const auto& [kind, layer, head] = senders[i];
      const size_t row = kind == Kind::kEmbedding ? 0 : static_cast<size_t>(layer) + 1;
      const size_t column = kind == Kind::kHead ? static_cast<size_t>(head) : columns.size() - 1;
      sender[row * columns.size() + column] = static_cast<int32_t>(i);
    }
  }

  std::vector<double> placed(const std::vector<double>& values) const {
    return column_of(sender, [&](int32_t i) {
      return i < 0 ? std::numeric_limits<double>::quiet_NaN() : values[static_cast<size_t>(i)];
    });
  }
};

/// `errors` and `deviations` are null for one pair.
Result path_result_of(const PathPatching& found, const PathPatching* errors,
                      const PathPatching* deviations, std::vector<Quantity> ends,
                      const PatchSubject& subject, const PageSource& source) {
  const Experiment experiment{
      .mode = "paths",
      .title = "Path patching",
      .help =
          "Each cell is a component whose message to the receivers alone is taken from the other "
          "prompt's run.",
      .effect = kShareOfTheWay,
      .of_clean = subject.direction == PatchDirection::kNoise};
  const Layout layout(found.senders);
  Result result = begun_patching(experiment, subject, source);
  Table senders{"senders", {"sender"}};
  const auto add = [&](const char* name, std::vector<double> PathPatching::*member,
                       const std::string& unit) {
    add_quantity(senders,
                 {name, unit, found.*member, errors ? errors->*member : std::vector<double>(),
                  deviations ? deviations->*member : std::vector<double>()});
  };
  add("value", &PathPatching::values, metric_unit(subject.metric.kind));
  add("effect", &PathPatching::effects, "");
  result.axes = {{"sender", column_of(found.senders, [](const PathNode& n) { return n.name(); })}};
  result.tables = {whole_runs(std::move(ends), found.work), std::move(senders)};
  result.lists.push_back({"sender_at", layout.sender});
  result.shown["grids"].push_back(
      {{"title", "senders"}, {"rows", layout.rows}, {"columns", layout.columns}});
  HeatPanel panel = effect_panel(experiment, subject, source, layout.placed(found.effects),
                                 errors ? layout.placed(errors->effects) : std::vector<double>());
  panel.title = "senders";
  panel.column_name = "component";
  panel.rows = layout.rows;
  panel.columns = layout.columns;
  result.panels.emplace_back(std::move(panel));
  return result;
}

}  // namespace

Result path_result(const PathPatching& found, const PatchSubject& subject,
                   const PageSource& source) {
  const std::string unit = metric_unit(subject.metric.kind);
  return path_result_of(found, nullptr, nullptr,
                        {{"clean", unit, {found.clean}}, {"corrupt", unit, {found.corrupt}}},
                        subject, source);
}

Result path_pairs_result(const OverPairs<PathPatching>& found, const PatchSubject& subject,
                         const PageSource& source) {
  return path_result_of(found.mean, &found.standard_error, &found.deviation,
                        ends_of_pairs(found, metric_unit(subject.metric.kind)), subject, source);
}

}  // namespace vitrine::internal
