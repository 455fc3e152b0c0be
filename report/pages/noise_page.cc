// SPDX-License-Identifier: MIT
#include <algorithm>

#include "report/packed.h"
#include "report/page.h"
#include "vitrine/analysis/noise.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr size_t kMostTexts = 200;  // of each kind

JsonValue estimate_data(const Estimate& estimate) {
  return packed(std::vector<double>{estimate.mean, estimate.standard_error});
}

JsonValue layers_data(const std::vector<Estimate>& layers) {
  std::vector<double> means, errors;
  for (const Estimate& estimate : layers) {
    means.push_back(estimate.mean);
    errors.push_back(estimate.standard_error);
  }
  return {{"means", packed(means)}, {"errors", packed(errors)}};
}

/// The corrupted prompts, concatenated; -1 is a mask without a token.
JsonValue texts_data(const std::vector<NoisedPrompt>& prompts, TokenTable& tokens) {
  std::vector<int64_t> lengths, sources;
  std::vector<int32_t> places;
  for (size_t i = 0; i < std::min(prompts.size(), kMostTexts); ++i) {
    lengths.push_back(std::ssize(prompts[i].ids));
    sources.insert(sources.end(), prompts[i].sources.begin(), prompts[i].sources.end());
    for (const int32_t id : prompts[i].ids) places.push_back(id < 0 ? -1 : tokens.place(id));
  }
  return {{"lengths", packed(lengths)}, {"tokens", packed(places)}, {"sources", packed(sources)}};
}

JsonValue effect_data(const NoiseEffect& effect, TokenTable& tokens) {
  return {{"kind", noise_kind_name(effect.kind)},
          {"masked", packed(effect.masked)},
          {"logProbs", packed(effect.log_probs)},
          {"ranks", packed(effect.ranks)},
          {"change", estimate_data(effect.log_prob_change)},
          {"rank", estimate_data(effect.rank)},
          {"cosine", layers_data(effect.cosine)},
          {"cka", layers_data(effect.cka)},
          {"texts", texts_data(effect.prompts, tokens)}};
}

JsonValue noise_data(const Noise& found, TokenTable& tokens, const PageSource& source) {
  JsonValue effects = JsonValue::array();
  for (const NoiseEffect& effect : found.effects) effects.push_back(effect_data(effect, tokens));
  return {
      {"label", text_label(found.ids, source)},
      {"tokens", tokens.places(found.ids)},
      {"continuation", tokens.places(found.continuation)},
      {"ownChoice", found.own_choice},
      {"words", found.words},
      {"sentences", found.sentences},
      {"budget", found.budget},
      {"logProb", found.log_prob},
      {"rank", found.rank},
      {"spansLessScattered", found.spans_less_scattered ? estimate_data(*found.spans_less_scattered)
                                                        : JsonValue(nullptr)},
      {"effects", std::move(effects)}};
}

}  // namespace

std::string noise_page(std::span<const Noise> results, const PageSource& source) {
  check_results(results.size(), "noise");
  TokenTable tokens(source.tokenizer);
  Page page{.kind = "noise",
            .title = "Noise",
            .subtitle = text_label(results[0].ids, source),
            .help =
                "The prompt, damaged in several ways, and what the model then makes of it. Each "
                "small dot is one draw of the noise; the large "
                "ones are means, with their standard errors. Point at a draw to read its prompt."};
  for (const Noise& found : results) page.results.push_back(noise_data(found, tokens, source));
  return render(page, tokens, source);
}

}  // namespace vitrine
