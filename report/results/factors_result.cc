// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/check.h"
#include "report/page.h"
#include "report/results/results.h"
#include "vitrine/analysis/factors.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr size_t kTokensInAPicture = 50;  // maximum, so that all labels of columns fit

/// The tokens of all texts, one after the other.
struct FactorTokens {
  std::vector<int32_t> ids, texts, positions, steps;
};

void check_factors(const Factors& found) {
  check_results(static_cast<size_t>(std::max(found.components, 0)), "factors");
  size_t tokens = 0;
  for (const auto& text : found.texts) tokens += text.size();
  const auto components = static_cast<size_t>(found.components);
  const bool fits =
      found.inner > 0 && !found.texts.empty() && tokens == static_cast<size_t>(found.tokens) &&
      found.strengths.size() == components * tokens &&
      found.neurons.size() == components * static_cast<size_t>(found.width()) &&
      (found.prompt_tokens.empty() || found.prompt_tokens.size() == found.texts.size());
  if (!fits) user_error("inconsistent sizes of the texts, strengths and neurons of factors");
}

FactorTokens tokens_of(const Factors& found) {
  FactorTokens tokens;
  for (size_t t = 0; t < found.texts.size(); ++t) {
    const std::vector<int32_t>& text = found.texts[t];
    tokens.ids.insert(tokens.ids.end(), text.begin(), text.end());
    const int64_t prompt = found.prompt_tokens.empty() ? std::ssize(text) : found.prompt_tokens[t];
    for (int64_t position = 0; position < std::ssize(text); ++position) {
      tokens.texts.push_back(static_cast<int32_t>(t));
      tokens.positions.push_back(static_cast<int32_t>(position));
      tokens.steps.push_back(static_cast<int32_t>(std::max(position - prompt + 1, int64_t{0})));
    }
  }
  return tokens;
}

/// Each component's part of all squares, [C].
std::vector<double> component_shares(const Factors& found) {
  std::vector<double> shares;
  for (size_t c = 0; c < static_cast<size_t>(found.components); ++c) {
    const std::vector<double> row = found.strengths_of(c);
    shares.push_back(std::inner_product(row.begin(), row.end(), row.begin(), 0.0));
  }
  const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (double& share : shares) share = total > 0 ? share / total : 0;
  return shares;
}

/// How much of a component is in each block, [C, layers]: its neurons' squares, which sum to 1.
std::vector<double> layer_shares(const Factors& found) {
  std::vector<double> shares(static_cast<size_t>(found.components) * found.layers.size());
  for (size_t i = 0; i < found.neurons.size(); ++i)
    shares[i / static_cast<size_t>(found.inner)] += found.neurons[i] * found.neurons[i];
  return shares;
}

Table top_neurons(const Factors& found, size_t count) {
  std::vector<int32_t> layers, neurons;
  std::vector<double> weights;
  for (size_t c = 0; c < static_cast<size_t>(found.components); ++c) {
    for (const int64_t place : found.top_neurons(c, count)) {
      layers.push_back(found.layers[static_cast<size_t>(place / found.inner)]);
      neurons.push_back(static_cast<int32_t>(place % found.inner));
      weights.push_back(
          found.neurons[c * static_cast<size_t>(found.width()) + static_cast<size_t>(place)]);
    }
  }
  return {"top_neurons",
          {"top"},
          {{"layer", std::move(layers)},
           {"neuron", std::move(neurons)},
           {"weight", std::move(weights)}}};
}

std::vector<std::string> component_names(const Factors& found) {
  return column_of(numbered(static_cast<size_t>(found.components)),
                   [](int32_t c) { return std::to_string(c); });
}

/// The strengths at tokens [first, first + count).
HeatPanel strengths_panel(const Factors& found, size_t first, size_t count,
                          const FactorTokens& tokens, const Names& names) {
  HeatPanel panel{.row_name = "component",
                  .value_name = "strength",
                  .rows = component_names(found),
                  .limit = largest_size(found.strengths)};
  for (size_t t = first; t < first + count; ++t) {
    panel.columns.push_back(names.shown(tokens.ids[t]));
    if (tokens.steps[t] == 1 && tokens.positions[t] > 0) panel.borders.push_back(t - first);
  }
  for (size_t c = 0; c < panel.rows.size(); ++c) {
    const auto from =
        found.strengths.begin() + static_cast<int64_t>(c) * found.tokens + std::ptrdiff_t(first);
    panel.values.insert(panel.values.end(), from, from + std::ptrdiff_t(count));
  }
  return panel;
}

std::vector<Panel> factor_panels(const Factors& found, const FactorTokens& tokens,
                                 const PageSource& source) {
  const Names names(source.tokenizer);
  std::vector<Panel> panels;
  size_t first = 0;
  for (const auto& text : found.texts) {
    // Pictures of one text have the same width, except for one token.
    const size_t pictures = (text.size() + kTokensInAPicture - 1) / kTokensInAPicture,
                 width = pictures > 0 ? (text.size() + pictures - 1) / pictures : 1;
    for (size_t from = 0; from < text.size(); from += width) {
      HeatPanel panel =
          strengths_panel(found, first + from, std::min(width, text.size() - from), tokens, names);
      panel.title = from == 0 ? text_label(text, source) : fmt::format("from token {}", from);
      panels.emplace_back(std::move(panel));
    }
    first += text.size();
  }
  HeatPanel layers{
      .title = "Where the components' neurons are",
      .row_name = "component",
      .column_name = "layer",
      .value_name = "share of the squares of its weights",
      .rows = component_names(found),
      .columns = column_of(found.layers, [](int layer) { return std::to_string(layer); }),
      .values = layer_shares(found)};
  layers.limit = largest_size(layers.values);
  panels.emplace_back(std::move(layers));
  return panels;
}

}  // namespace

Result internal::factors_result(const Factors& found, const PageSource& source, size_t neurons) {
  check_factors(found);
  const FactorTokens tokens = tokens_of(found);
  neurons = std::min(neurons, static_cast<size_t>(found.width()));
  Tensor all(DType::kF64, {found.components, found.width()});
  std::memcpy(all.data(), found.neurons.data(), all.view().bytes());
  Result result{
      .view = "factors",
      .title = "Neuron factors",
      .help =
          "Groups of MLP neurons that fire together, by non-negative matrix factorisation. Click "
          "on a row of the overview to colour the text by that component; point at a token to see "
          "what fires there.",
      .label = text_label(found.texts[0], source),
      .facts = {{"relative_residual", found.relative_residual},
                {"iterations", found.iterations},
                {"converged", found.converged}},
      .shown = {{"inner", found.inner}},
      .axes = {{"component", numbered(static_cast<size_t>(found.components))},
               {"token", TokenIds{tokens.ids}},
               {"layer", found.layers},
               {"top", numbered(neurons), true}},
      .tables = {{"layers", {"layer"}},
                 {"tokens",
                  {"token"},
                  {{"text", tokens.texts}, {"position", tokens.positions}, {"step", tokens.steps}}},
                 {"components",
                  {"component"},
                  {{"share", component_shares(found)}},
                  {{"strengths", {"token"}, {{"", found.strengths}}},
                   {"layer_shares", {"layer"}, {{"", layer_shares(found)}}},
                   top_neurons(found, neurons)}}},
      .cells = {"component", "token"},
      .panels = factor_panels(found, tokens, source),
      .arrays = {{"neurons.0", std::move(all)}}};
  return result;
}

std::string factors_page(const Factors& result, const PageSource& source) {
  const Result found = factors_result(result, source, kFactorNeurons);
  return results_page({&found, 1}, source);
}

std::string factors_figure(const Factors& result, const PageSource& source, FigureFormat format) {
  const Result found = factors_result(result, source, 0);
  return results_figure({&found, 1}, format);
}

}  // namespace vitrine
