#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "report/packed.h"
#include "report/page.h"

namespace vitrine {
namespace {

constexpr size_t kTopNeurons = 50;

Json component_data(const Factors& result, size_t component) {
  Json neurons = Json::array();
  for (const int64_t place : result.top_neurons(component, kTopNeurons)) {
    neurons.push_back({{"layer", result.layers[static_cast<size_t>(place / result.inner)]},
                       {"neuron", place % result.inner},
                       {"weight", result.neurons[component * static_cast<size_t>(result.width()) + static_cast<size_t>(place)]}});
  }
  // How much of the component lies in each block: its neurons' squares, which sum to 1.
  std::vector<double> shares(result.layers.size());
  for (size_t at = 0; at < static_cast<size_t>(result.width()); ++at) {
    const double weight = result.neurons[component * static_cast<size_t>(result.width()) + at];
    shares[at / static_cast<size_t>(result.inner)] += weight * weight;
  }
  return {{"neurons", std::move(neurons)}, {"layers", packed(shares)}};
}

void check(const Factors& result) {
  size_t tokens = 0;
  for (const auto& text : result.texts) tokens += text.size();
  const auto components = static_cast<size_t>(std::max(result.components, 0));
  const bool fits = result.inner > 0 && tokens == static_cast<size_t>(result.tokens) && result.strengths.size() == components * tokens &&
                    result.neurons.size() == components * static_cast<size_t>(result.width());
  if (!fits) user_error("factors whose texts, strengths and neurons are of different sizes");
}

}  // namespace

std::string factors_page(const Factors& result, const PageSource& source) {
  check_results(static_cast<size_t>(std::max(result.components, 0)), "factors");
  check(result);
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
            .help = "Groups of MLP neurons that fire together, by non-negative matrix factorisation. Point at a component to see where in the text "
                    "it fires; point at a token to see what fires there."};
  Json components = Json::array();
  for (size_t c = 0; c < static_cast<size_t>(result.components); ++c) components.push_back(component_data(result, c));
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
