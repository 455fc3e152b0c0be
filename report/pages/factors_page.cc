// SPDX-License-Identifier: MIT
#include "report/packed.h"
#include "report/page.h"
#include "report/pages/factor_shares.h"
#include "vitrine/analysis/factors.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr size_t kTopNeurons = 50;

JsonValue component_data(const Factors& result, size_t component) {
  JsonValue neurons = JsonValue::array();
  for (const int64_t place : result.top_neurons(component, kTopNeurons)) {
    neurons.push_back({{"layer", result.layers[static_cast<size_t>(place / result.inner)]},
                       {"neuron", place % result.inner},
                       {"weight", result.neurons[component * static_cast<size_t>(result.width()) +
                                                 static_cast<size_t>(place)]}});
  }
  return {{"neurons", std::move(neurons)}, {"layers", packed(layer_shares(result, component))}};
}

}  // namespace

std::string factors_page(const Factors& result, const PageSource& source) {
  check_factors(result);
  TokenTable tokens(source.tokenizer);
  std::vector<int32_t> ids;
  std::vector<int64_t> lengths;
  for (const auto& text : result.texts) {
    ids.insert(ids.end(), text.begin(), text.end());
    lengths.push_back(std::ssize(text));
  }
  Page page{.kind = "factors",
            .title = "Neuron factors",
            .subtitle = text_label(result.texts[0], source),
            .help =
                "Groups of MLP neurons that fire together, by non-negative matrix factorisation. "
                "Point at a component to see where in the text "
                "it fires; point at a token to see what fires there."};
  JsonValue components = JsonValue::array();
  for (size_t c = 0; c < static_cast<size_t>(result.components); ++c)
    components.push_back(component_data(result, c));
  page.results.push_back({{"label", page.subtitle},
                          {"tokens", tokens.places(ids)},
                          {"lengths", packed(lengths)},
                          {"layers", result.layers},
                          {"inner", result.inner},
                          {"residual", result.relative_residual},
                          {"iterations", result.iterations},
                          {"converged", result.converged},
                          {"components", std::move(components)},
                          {"strengths", packed(result.strengths)}});
  return render(page, tokens, source);
}

}  // namespace vitrine
