// SPDX-License-Identifier: MIT
#include <cmath>

#include "analysis/saliency/words.h"
#include "report/packed.h"
#include "report/page.h"
#include "vitrine/analysis/saliency.h"

namespace vitrine {
using namespace internal;
namespace {

JsonValue step_data(const SaliencyStep& step, TokenTable& tokens) {
  JsonValue json = {{"inputs", step.inputs},    {"target", tokens.place(step.target)},
                    {"rank", step.rank},        {"logit", step.logit},
                    {"logProb", step.log_prob}, {"value", step.value}};
  if (step.completeness) {
    json["completeness"] = {{"baseline", step.completeness->baseline_value},
                            {"gap", step.completeness->gap}};
    if (std::isfinite(step.completeness->relative_gap))
      json["completeness"]["relative"] = step.completeness->relative_gap;
  }
  if (step.comparison) {
    const auto effect = [](const MaskingEffect& e) {
      return JsonValue{{"value", e.value},
                       {"error", e.standard_error},
                       {"logProb", e.log_prob},
                       {"rank", e.rank},
                       {"hidden", e.hidden}};
    };
    json["comparison"] = {{"masked", step.comparison->masked_tokens},
                          {"spans", effect(step.comparison->spans)},
                          {"scattered", effect(step.comparison->scattered)}};
  }
  return json;
}

JsonValue saliency_data(const Saliency& saliency, TokenTable& tokens, const PageSource& source) {
  JsonValue steps = JsonValue::array();
  for (const SaliencyStep& step : saliency.steps) steps.push_back(step_data(step, tokens));
  return {{"label", text_label(saliency.ids, source)},
          {"method", saliency_method_name(saliency.method)},
          {"of", value_in_words(saliency.value)},
          {"contrast",
           saliency.contrast ? JsonValue(tokens.place(*saliency.contrast)) : JsonValue(nullptr)},
          {"prompt", saliency.prompt},
          {"tokens", tokens.places(saliency.ids)},
          {"steps", std::move(steps)},
          {"shares", packed(saliency.shares)},
          {"scores", packed(saliency.scores)}};
}

}  // namespace

std::string saliency_page(std::span<const Saliency> results, const PageSource& source) {
  check_results(results.size(), "saliency");
  TokenTable tokens(source.tokenizer);
  Page page{.kind = "saliency",
            .title = "Input saliency",
            .subtitle = text_label(results[0].ids, source),
            .help =
                "How much each token of the input matters for a next token. Point at a next token, "
                "or move to it with Tab, to see its input; "
                "a click keeps it."};
  for (const Saliency& saliency : results)
    page.results.push_back(saliency_data(saliency, tokens, source));
  return render(page, tokens, source);
}

}  // namespace vitrine
