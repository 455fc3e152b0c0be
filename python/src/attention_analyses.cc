// SPDX-License-Identifier: MIT
#include "base/check.h"
#include "python/src/analysis.h"
#include "python/src/bindings.h"
#include "report/results/results.h"
#include "vitrine/analysis/attention.h"

// Attention maps, what follows from them over layers, and statistics of heads.

namespace vitrine::python {
using namespace internal;
namespace {

void bind_maps(nb::module_& module) {
  using Values = OfPrompt<AttentionOptions>;
  auto parameters = model_parameters<Values>();
  parameters.prompt("prompt", &Values::ids)
      .keywords()
      .value("layers", &Values::layers)
      .value("heads", &Values::heads)
      .value("queries", &Values::queries)
      .edits(&Values::edits);
  bind_analysis(module, "attention", parameters,
                "Attention maps as the model computed them: each row sums to 1.",
                [](const Call& call, const Values& v) {
                  return maps_result(attention(call.model(), v.ids, v),
                                     PageSource::of(call.model()));
                });
}

void bind_rollout(nb::module_& module) {
  using Values = OfPrompt<AttentionRolloutOptions>;
  auto parameters = model_parameters<Values>();
  parameters.prompt("prompt", &Values::ids)
      .keywords()
      .value("layers", &Values::layers)
      .value("queries", &Values::queries)
      .edits(&Values::edits)
      .progress(&Values::progress);
  bind_analysis(
      module, "attention_rollout", parameters,
      R"(Attention rollout (Abnar & Zuidema 2020): share of each input token in each position of the
residual stream, by layer.)",
      [](const Call& call, const Values& v) {
        return relevance_result(attention_rollout(call.model(), v.ids, v), "rollout",
                                PageSource::of(call.model()));
      });
}

void bind_flow(nb::module_& module) {
  using Values = OfPrompt<AttentionFlowOptions>;
  auto parameters = model_parameters<Values>();
  parameters.prompt("prompt", &Values::ids)
      .keywords()
      .value("layers", &Values::layers)
      .value("queries", &Values::queries)
      .value("max_work", &Values::max_work)
      .edits(&Values::edits)
      .progress(&Values::progress);
  bind_analysis(
      module, "attention_flow", parameters,
      R"(Attention flow (Abnar & Zuidema 2020): maximum flow from a query to each input token.
`layers`: the last by default. `max_work`: maximum number of edges of all networks; a core
does a few million a second.)",
      [](const Call& call, const Values& v) {
        return relevance_result(attention_flow(call.model(), v.ids, v), "flow",
                                PageSource::of(call.model()));
      });
}

struct HeadsValues : HeadStatisticsOptions {
  std::optional<Batch> texts;
  bool repetition = true;
  RepetitionOptions repeated;
};

Parameters<HeadsValues> heads_parameters() {
  using Values = HeadsValues;
  auto parameters = model_parameters<Values>();
  parameters
      .add({"texts", "vitrine.types.Prompt | vitrine.types.Prompts | None", "None", true},
           [](Call& call, Values& v, const nb::object& given) {
             v.texts = prompts_of(call.model(), given);
           })
      .keywords()
      .value("layers", &Values::layers)
      .value("heads", &Values::heads)
      .value("repetition", &Values::repetition)
      .maybe("sequences", at(&Values::repeated, &RepetitionOptions::sequences))
      .maybe("length", at(&Values::repeated, &RepetitionOptions::length))
      .token("bos", at(&Values::repeated, &RepetitionOptions::bos))
      .maybe("seed", at(&Values::repeated, &RepetitionOptions::seed))
      .edits(&Values::edits)
      .progress(&Values::progress);
  return parameters;
}

Result heads_of(const Call& call, HeadsValues& v) {
  if (!v.texts && !v.repetition)
    user_error("missing texts=: expected texts, or repetition=True for scores on random tokens");
  for (const char* name : {"sequences", "length", "bos", "seed"}) {
    if (call.has(name) && !v.repetition)
      user_error("invalid {}= with repetition=False: only scores on random tokens use it", name);
  }
  v.repeated.layers = v.layers;
  v.repeated.heads = v.heads;
  v.repeated.edits = v.edits;
  v.repeated.progress = v.progress;
  std::optional<HeadStatistics> statistics;
  if (v.texts) statistics = head_statistics(call.model(), *v.texts, v);
  std::optional<RepetitionScores> scores;
  if (v.repetition) scores = repetition_scores(call.model(), v.repeated);
  return heads_result(statistics ? &*statistics : nullptr, scores ? &*scores : nullptr,
                      PageSource::of(call.model()));
}

}  // namespace

void bind_attention_analyses(nb::module_& module) {
  bind_maps(module);
  bind_rollout(module);
  bind_flow(module);
  bind_analysis(
      module, "heads", heads_parameters(),
      R"(Statistics of each head on texts, and scores on random tokens that are repeated once.

On `texts`: entropy, distance, attention to the current, previous and first token. On random tokens
(`repetition`; `sequences` of `length` tokens, by default 8 of 50): attention to the same token's first occurrence, and to the
token after it, the induction score (Olsson 2022).)",
      &heads_of);
}

}  // namespace vitrine::python
