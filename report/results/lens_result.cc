// SPDX-License-Identifier: MIT
#include "report/results/lens_result.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "report/page.h"
#include "report/results/results.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/sites.h"

namespace vitrine {
using namespace internal;
namespace {

std::string help(const Lens& lens) {
  const std::string what = lens.of == LensSource::kResidual    ? "the residual stream after a block"
                           : lens.of == LensSource::kAttention ? "what a block's attention writes"
                                                               : "what a block's MLP writes";
  const std::string through =
      lens.mode == LensMode::kEcco && lens.of == LensSource::kResidual
          ? "without the final layernorm, except the last row, which has it"
      : lens.mode == LensMode::kEcco ? "without the final layernorm"
      : lens.mode == LensMode::kTuned
          ? "through the layer's own translator, the final layernorm and the unembedding"
          : "through the final layernorm and the unembedding";
  return "Each row reads " + what + " " + through +
         ". Columns are positions, the text itself below them, what follows it above. A dot marks "
         "the cells that say what follows.";
}

std::vector<int32_t> tokens_at(const Lens& lens) {
  return column_of(lens.positions,
                   [&](int64_t position) { return lens.ids[static_cast<size_t>(position)]; });
}

Table looked_up(const std::string& name, std::vector<std::string> axes,
                const std::vector<int32_t>& ranks, const std::vector<double>& log_probs) {
  return {.name = name,
          .axes = std::move(axes),
          .fields = {{"rank", ranks},
                     {.name = "probability", .values = probabilities(log_probs), .derived = true},
                     {"log_probability", log_probs, "nats"}}};
}

/// Of one position. A watched token is the same line in each text, whatever follows there.
LinesPanel lines(const Lens& lens, const Names& names, const Result& result, size_t position) {
  LinesPanel panel{.title = result.label,
                   .x_name = "layer",
                   .y_name = "rank",
                   .x = site_labels(std::get<std::vector<std::string>>(result.axes[0].labels)),
                   .series = {},
                   .ranks = true};
  const auto add = [&](int32_t token, auto&& rank) {
    LinesPanel::Series series{.name = names.shown(token), .values = {}};
    for (size_t row = 0; row < lens.rows(); ++row)
      series.values.push_back(rank(lens.cell(row, position)));
    panel.series.push_back(std::move(series));
  };
  for (size_t w = 0; w < lens.watch.size(); ++w)
    add(lens.watch[w], [&](size_t cell) { return lens.watch_ranks[cell * lens.watch.size() + w]; });
  const int32_t target = lens.targets[position];
  if (std::ranges::find(lens.watch, target) == lens.watch.end())
    add(target, [&](size_t cell) { return lens.target_ranks[cell]; });
  return panel;
}

}  // namespace

std::string internal::lens_site(LensSource of, int row, int layers) {
  if (row == 0) return "embed";
  if (of != LensSource::kResidual)
    return site_name(of == LensSource::kMlp ? Site::kMlpOut : Site::kAttnOut, row - 1);
  return row == layers ? "logits" : site_name(Site::kResidPost, row - 1);
}

std::vector<std::string> internal::lens_sites(const Lens& lens, int layers) {
  return column_of(lens.layers, [&](int row) { return lens_site(lens.of, row, layers); });
}

HeatPanel internal::lens_heat(const Lens& lens, const PageSource& source, LensCell cell) {
  const Names names(source.tokenizer);
  const auto shown = [&](int32_t id) { return names.shown(id); };
  const auto k = static_cast<size_t>(lens.top_k);
  HeatPanel panel{
      .title = text_label(lens.ids, source),
      .row_name = "layer",
      .value_name = "rank of what follows",
      .rows = site_labels(lens_sites(lens, source.config.layers)),
      .columns = column_of(tokens_at(lens), shown),
      .values = {lens.target_ranks.begin(), lens.target_ranks.end()},
      .kind = HeatPanel::Kind::kRank,
      .limit = static_cast<double>(source.config.vocab),
      .layers = true,
      .first = {"position", column_of(lens.positions, [](int64_t p) { return std::to_string(p); })},
      .last = {"follows", column_of(lens.targets, shown)},
      .numbers = cell != LensCell::kToken,
      .corner = "token"};
  for (size_t i = 0; i < panel.values.size(); ++i) {
    if (cell == LensCell::kToken && k == 0) break;
    panel.texts.push_back(cell == LensCell::kToken  ? shown(lens.top_ids[i * k])
                          : cell == LensCell::kRank ? thousands(lens.target_ranks[i])
                          : cell == LensCell::kProbability
                              ? percent(std::exp(lens.target_log_probs[i]))
                              : fmt::format("{:.3f}", lens.kl[i]));
    // A dot says without colours what they say with them: the likeliest token is what follows.
    panel.marks.push_back(cell == LensCell::kToken && lens.target_ranks[i] == 1);
  }
  panel.cells = cell == LensCell::kToken  ? "the likeliest next token; • where it is what follows"
                : cell == LensCell::kRank ? "rank of what follows"
                : cell == LensCell::kKl   ? "KL(the model's output || this layer) in nats"
                                          : "probability of what follows";
  return panel;
}

Result internal::lens_result(const Lens& lens, const PageSource& source) {
  const Names names(source.tokenizer);
  const std::vector<std::string> sites = lens_sites(lens, source.config.layers);
  Table cells{.name = "cells",
              .axes = {"site", "position"},
              .fields = {{"entropy", lens.entropies, "nats"}},
              .parts = {looked_up("target", {}, lens.target_ranks, lens.target_log_probs),
                        {.name = "top",
                         .axes = {"top"},
                         .fields = {{"token", TokenIds{lens.top_ids}},
                                    {.name = "probability",
                                     .values = probabilities(lens.top_log_probs),
                                     .derived = true},
                                    {"log_probability", lens.top_log_probs, "nats"}}},
                        looked_up("watch", {"watch"}, lens.watch_ranks, lens.watch_log_probs)}};
  if (!lens.kl.empty()) cells.fields.push_back({"kl", lens.kl, "nats"});
  Result result{.view = "lens",
                .title = "Logit lens",
                .help = help(lens),
                .label = text_label(lens.ids, source),
                .facts = {{"mode", lens_mode_name(lens.mode)}, {"of", lens_source_name(lens.of)}},
                .shown = {{"vocab", source.config.vocab}, {"rows", site_labels(sites)}},
                .axes = {{"site", sites},
                         {"position", lens.positions},
                         {"top", numbered(static_cast<size_t>(lens.top_k), 1), true},
                         {"watch", TokenIds{lens.watch}},
                         {"ids", TokenIds{lens.ids}}},
                .tables = {{.name = "sites", .axes = {"site"}},
                           {.name = "watch", .axes = {"watch"}},
                           {.name = "positions",
                            .axes = {"position"},
                            .fields = {{"token", TokenIds{tokens_at(lens)}},
                                       {"target", TokenIds{lens.targets}}}},
                           std::move(cells)}};
  const size_t positions = lens.positions.size();
  if (positions != 1) result.panels.emplace_back(lens_heat(lens, source, LensCell::kToken));
  if (positions == 1 || (positions > 1 && !lens.watch.empty()))
    result.panels.emplace_back(lines(lens, names, result, positions - 1));
  return result;
}

Result internal::rankings_result(const Lens& lens, const PageSource& source) {
  Result result = lens_result(lens, source);
  result.title = "Rankings over a generation";
  result.help =
      "How high each layer had ranked the token that was then chosen. A column is a step; its rank "
      "falls towards 1 from the first layer up, and where it gets there the layer has settled on "
      "the token. A dot marks the cells that name it.";
  result.shown["prompt"] = lens.positions.empty() ? 0 : lens.positions.front() + 1;
  return result;
}

std::string lens_page(std::span<const Lens> results, const PageSource& source) {
  return page_of(results, "lens", source, lens_result);
}

std::string rankings_page(std::span<const Lens> results, const PageSource& source) {
  return page_of(results, "rankings", source, rankings_result);
}

std::string lens_figure(std::span<const Lens> results, const PageSource& source,
                        FigureFormat format) {
  return figure_of(results, source, format, lens_result);
}

}  // namespace vitrine
