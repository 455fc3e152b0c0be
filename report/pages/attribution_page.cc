// SPDX-License-Identifier: MIT
#include "report/packed.h"
#include "report/page.h"
#include "vitrine/analysis/attribution.h"

namespace vitrine {
using namespace internal;
namespace {

JsonValue attribution_data(const LogitAttribution& found, TokenTable& tokens,
                           const PageSource& source) {
  JsonValue neurons = JsonValue::array();
  for (const auto& n : found.neurons)
    neurons.push_back({{"layer", n.layer},
                       {"neuron", n.neuron},
                       {"activation", n.activation},
                       {"value", n.contribution}});
  return {{"label", text_label(found.ids, source)},
          {"tokens", tokens.places(found.ids)},
          {"position", found.position},
          {"target", tokens.place(found.target)},
          {"against", found.against ? JsonValue(tokens.place(*found.against)) : JsonValue(nullptr)},
          {"layers", found.layers},
          {"heads", found.heads},
          {"embedding", found.embedding},
          {"positionEmbedding", found.position_embedding},
          {"finalBias", found.final_bias},
          {"head", packed(found.head)},
          {"attentionBias", packed(found.attention_bias)},
          {"mlp", packed(found.mlp)},
          {"neurons", std::move(neurons)},
          {"logit", found.logit},
          {"gap", found.gap()}};
}

}  // namespace

std::string attribution_page(std::span<const LogitAttribution> results, const PageSource& source) {
  check_results(results.size(), "attribution");
  TokenTable tokens(source.tokenizer);
  Page page{
      .kind = "attribution",
      .title = "Direct logit attribution",
      .subtitle = text_label(results[0].ids, source),
      .help =
          "The logit as a sum over what wrote to the residual stream: embeddings, heads, biases "
          "and MLPs, each through the final "
          "layernorm with its scale held fixed. Blue writes for the answer, orange against it."};
  for (const LogitAttribution& found : results)
    page.results.push_back(attribution_data(found, tokens, source));
  return render(page, tokens, source);
}

}  // namespace vitrine
