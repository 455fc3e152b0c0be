// SPDX-License-Identifier: MIT
#include "base/check.h"
#include "report/packed.h"
#include "report/page.h"
#include "vitrine/analysis/lens.h"

namespace vitrine {
using namespace internal;
namespace {

std::string layer_label(int layer, int output) {
  if (layer == 0) return "embed";
  return layer == output ? std::to_string(layer) + " out" : std::to_string(layer);
}

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

JsonValue lens_data(const Lens& lens, TokenTable& tokens, const PageSource& source) {
  JsonValue layers = JsonValue::array();
  std::vector<int32_t> here;
  const int output = lens.of == LensSource::kResidual ? source.config.layers : -1;
  for (const int layer : lens.layers) layers.push_back(layer_label(layer, output));
  for (const int64_t position : lens.positions)
    here.push_back(lens.ids[static_cast<size_t>(position)]);
  return {{"label", text_label(lens.ids, source)},
          {"mode", lens_mode_name(lens.mode)},
          {"vocab", source.config.vocab},
          {"layers", std::move(layers)},
          {"positions", packed(lens.positions)},
          {"tokens", tokens.places(here)},
          {"targets", tokens.places(lens.targets)},
          {"watch", tokens.places(lens.watch)},
          {"topK", lens.top_k},
          {"topTokens", tokens.places(lens.top_ids)},
          {"topLogProbs", packed(lens.top_log_probs)},
          {"ranks", packed(lens.target_ranks)},
          {"logProbs", packed(lens.target_log_probs)},
          {"watchRanks", packed(lens.watch_ranks)},
          {"watchLogProbs", packed(lens.watch_log_probs)},
          {"entropies", packed(lens.entropies)},
          {"kl", lens.kl.empty() ? JsonValue(nullptr) : packed(lens.kl)}};
}

}  // namespace

std::string rankings_page(std::span<const Lens> results, const PageSource& source) {
  check_results(results.size(), "rankings");
  TokenTable tokens(source.tokenizer);
  Page page{.kind = "lens",
            .title = "Rankings over a generation",
            .subtitle = text_label(results[0].ids, source),
            .help =
                "How high each layer had ranked the token that was then chosen. A column is a "
                "step; its rank falls towards 1 from the first layer "
                "up, and where it gets there the layer has settled on the token. A dot marks the "
                "cells that name it."};
  for (const Lens& lens : results) {
    const auto prompt =
        static_cast<size_t>(lens.positions.empty() ? 0 : lens.positions.front() + 1);
    page.results.push_back(lens_data(lens, tokens, source));
    page.results.back()["prompt"] = tokens.places(std::span(lens.ids).first(prompt));
  }
  return render(page, tokens, source);
}

std::string lens_page(std::span<const Lens> results, const PageSource& source) {
  check_results(results.size(), "lens");
  TokenTable tokens(source.tokenizer);
  Page page{.kind = "lens",
            .title = "Logit lens",
            .subtitle = text_label(results[0].ids, source),
            .help = help(results[0])};
  for (const Lens& lens : results) page.results.push_back(lens_data(lens, tokens, source));
  return render(page, tokens, source);
}

}  // namespace vitrine
