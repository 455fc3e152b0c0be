// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>

#include "report/page.h"
#include "report/results/results.h"
#include "vitrine/analysis/score.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr size_t kMaxWindows = 16, kMaxPlaces = 32;  // of a figure, whose cells hold text

/// Two rows a window: orange what goes in, blue what is to come out.
HeatPanel windows_panel(std::span<const TrainingWindow> windows, const std::string& label,
                        const Names& names) {
  const size_t rows = std::min(windows.size(), kMaxWindows),
               places = std::min(windows[0].inputs.size(), kMaxPlaces);
  HeatPanel panel{.title = label,
                  .row_name = "window",
                  .column_name = "place",
                  .columns = column_of(numbered(places), [](int n) { return std::to_string(n); }),
                  .kind = HeatPanel::Kind::kDiverging};
  if (rows < windows.size())
    panel.title += fmt::format(", first {} of {} windows", rows, thousands(std::ssize(windows)));
  if (places < windows[0].inputs.size())
    panel.title += fmt::format(", first {} of {} tokens", places, windows[0].inputs.size());
  for (const TrainingWindow& window : windows.first(rows)) {
    for (const bool target : {false, true}) {
      panel.rows.push_back(fmt::format("{} {}", window.begin, target ? "target" : "input"));
      for (const int32_t id : (target ? window.targets : window.inputs).first(places)) {
        panel.values.push_back(target ? 0.4 : -0.4);
        panel.texts.push_back(names.shown(id));
      }
    }
  }
  return panel;
}

}  // namespace

Result internal::windows_result(const WindowedText& text, const PageSource& source) {
  const auto windows = training_windows(text.ids, text.window, text.stride);
  const auto all = [&](std::span<const int32_t> TrainingWindow::*ids) {
    TokenIds found;
    for (const TrainingWindow& window : windows)
      found.ids.insert(found.ids.end(), (window.*ids).begin(), (window.*ids).end());
    return found;
  };
  Result result{
      .view = "windows",
      .title = "Training windows",
      .help =
          "What a model is trained on: each window's tokens go in, and after each of them the "
          "next one is to come out. Point at a window to see it in the text.",
      .label = text_label(text.ids, source),
      .facts = {{"window", text.window}, {"stride", text.stride}, {"tokens", text.ids.size()}},
      .lists = {{"text_token", TokenIds{text.ids}}},
      .axes = {{"begin", column_of(windows, [](const TrainingWindow& w) { return w.begin; })},
               {"place", numbered(static_cast<size_t>(text.window)), true}},
      .tables = {{.name = "windows",
                  .axes = {"begin"},
                  .parts = {{"inputs", {"place"}, {{"", all(&TrainingWindow::inputs)}}},
                            {"targets", {"place"}, {{"", all(&TrainingWindow::targets)}}}}}},
      .cells = {"begin", "place"}};
  result.panels.emplace_back(windows_panel(windows, result.label, Names(source.tokenizer)));
  return result;
}

std::string windows_page(std::span<const WindowedText> results, const PageSource& source) {
  return page_of(results, "windows", source, windows_result);
}

std::string windows_figure(std::span<const WindowedText> results, const PageSource& source,
                           FigureFormat format) {
  return figure_of(results, source, format, windows_result);
}

}  // namespace vitrine
