// SPDX-License-Identifier: MIT
#include "vitrine/analysis/factors.h"

#include <algorithm>
#include <numeric>

#include "analysis/attention/maps.h"
#include "analysis/common/model_output.h"
#include "analysis/common/options.h"
#include "analysis/common/text_runs.h"
#include "analysis/representation/nmf.h"

namespace vitrine {
using namespace internal;
namespace {

/// The neurons above 0 at every token, [N, M'].
NonNegative collect(const Model& model, const Factors& found, const FactorOptions& options) {
  Hooks hooks = options.edits.only_edits();
  hooks.capture(Site::kMlpPost, {.layers = found.layers});
  check_edits_reach(hooks, model.config(), captured_sites(hooks, model.config()),
                    "the factorisation");
  NonNegative x{.values = std::vector<float>(static_cast<size_t>(found.tokens * found.width())),
                .rows = found.tokens,
                .columns = found.width()};
  int64_t at = 0;
  const auto see = [&](const TextBatch& batch) {
    for (size_t s = 0; s < batch.captures.entries().front().sequences.size(); ++s) {
      size_t rows = 0;
      for (size_t l = 0; l < found.layers.size(); ++l) {
        const std::string site = site_name(Site::kMlpPost, found.layers[l]);
        const SiteRows part = rows_of(batch.captures, site, s);
        rows = part.rows;
        for (size_t r = 0; r < rows; ++r) {
          const std::span<const float> row = part.values.subspan(r * part.width, part.width);
          const int64_t first = (at + static_cast<int64_t>(r)) * x.columns;
          std::transform(row.begin(), row.end(),
                         x.values.begin() + first + static_cast<int64_t>(l) * found.inner,
                         [](float value) { return std::max(value, 0.0f); });
        }
      }
      at += static_cast<int64_t>(rows);
    }
    if (options.progress) options.progress->update(batch.done, batch.total, "Activations");
  };
  run_texts(model, found.texts, model.compile(hooks), options.batch_tokens, "the factorisation",
            true, see);
  return x;
}

/// Puts the length of a component's neurons into its strengths, and the largest component first.
void arrange(const Nmf& nmf, Factors& found) {
  const auto column = [](const Matrix& side, size_t c) {
    std::vector<double> values;
    for (int64_t i = 0; i < side.rows(); ++i) values.push_back(side(i, static_cast<int64_t>(c)));
    return values;
  };
  const auto count = static_cast<size_t>(nmf.strengths.columns());
  std::vector<double> lengths, sizes;
  for (size_t c = 0; c < count; ++c) {
    lengths.push_back(norm(column(nmf.neurons, c)));
    sizes.push_back(lengths.back() * norm(column(nmf.strengths, c)));
  }
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
  for (const size_t c : order) {
    const double length = lengths[c] > 0 ? lengths[c] : 1;
    for (const double x : column(nmf.strengths, c)) found.strengths.push_back(x * length);
    for (const double x : column(nmf.neurons, c)) found.neurons.push_back(x / length);
  }
}

/// Continues the texts; a last token beyond the context, which no pass could read, is left out.
void add_generated(const Model& model, const FactorOptions& options, Factors& found) {
  const Generation generation =
      generate(model, found.texts, *options.generate, options.edits.only_edits());
  for (size_t t = 0; t < found.texts.size(); ++t) {
    std::vector<int32_t>& text = found.texts[t];
    const std::vector<int32_t>& fresh = generation.sequences[t].ids;
    found.prompt_tokens.push_back(std::ssize(text));
    text.insert(text.end(), fresh.begin(), fresh.end());
    if (std::ssize(text) > model.config().context) text.pop_back();
  }
}

void check(const Model& model, const Batch& texts, const FactorOptions& options) {
  if (texts.empty()) user_error("missing prompts to factorise: expected at least one");
  check_texts(model.config(), texts);
  if (options.max_iterations < 1)
    user_error("invalid number of iterations {}: expected at least 1", options.max_iterations);
  if (!(options.tolerance >= 0))
    user_error("tolerance {} is out of range: expected 0 or more, such as 1e-4", options.tolerance);
}

}  // namespace

std::string_view factor_init_name(FactorInit init) {
  return init == FactorInit::kNndsvd ? "nndsvd" : "random";
}

FactorInit factor_init_from_name(std::string_view name) {
  for (const FactorInit init : {FactorInit::kRandom, FactorInit::kNndsvd}) {
    if (name == factor_init_name(init)) return init;
  }
  user_error("unknown start '{}': expected random or nndsvd", name);
}

std::vector<double> Factors::strengths_of(size_t component) const {
  const auto first = strengths.begin() + static_cast<int64_t>(component) * tokens;
  return {first, first + tokens};
}

std::vector<int64_t> Factors::top_neurons(size_t component, size_t count) const {
  const double* row = neurons.data() + static_cast<int64_t>(component) * width();
  std::vector<int64_t> order(static_cast<size_t>(width()));
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto end = order.begin() + static_cast<int64_t>(std::min(count, order.size()));
  std::partial_sort(order.begin(), end, order.end(), [&](int64_t a, int64_t b) {
    return row[a] > row[b] || (row[a] == row[b] && a < b);
  });
  return {order.begin(), end};
}

Factors factors(const Model& model, const Batch& texts, const FactorOptions& options) {
  check(model, texts, options);
  Factors found;
  found.texts = texts;
  found.layers = resolve_layers(model, options.layers);
  found.inner = model.config().inner;
  found.components = options.components;
  if (options.generate) add_generated(model, options, found);
  for (const auto& text : found.texts) found.tokens += std::ssize(text);
  const int64_t most = std::min(found.tokens, found.width());
  if (options.components < 1 || options.components > most) {
    user_error(
        "{} components are out of range: expected 1..{}, the smaller number of {} tokens and {} "
        "neurons",
        options.components, most, found.tokens, found.width());
  }
  const NonNegative x = collect(model, found, options);
  if (*std::max_element(x.values.begin(), x.values.end()) <= 0)
    user_error("no neuron of these layers is positive at any token: expected positive activations");
  NmfOptions nmf{.components = options.components,
                 .init = options.init,
                 .seed = options.seed,
                 .max_iterations = options.max_iterations,
                 .tolerance = options.tolerance};
  nmf.see = [&](int iterations) {
    if (options.progress)
      options.progress->update(static_cast<uint64_t>(iterations),
                               static_cast<uint64_t>(options.max_iterations), "Factors");
  };
  const Nmf result = factorise(x, nmf);
  found.relative_residual = result.relative_residual;
  found.iterations = result.iterations;
  found.converged = result.converged;
  arrange(result, found);
  return found;
}

}  // namespace vitrine
