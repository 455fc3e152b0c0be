// SPDX-License-Identifier: MIT
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "base/check.h"
#include "python/src/arguments.h"
#include "python/src/bindings.h"
#include "python/src/hooks.h"
#include "python/src/model.h"
#include "python/src/results.h"
#include "report/results/results.h"
#include "vitrine/analysis/attention.h"

// Attention maps, what follows from them over layers, and statistics of heads.

namespace vitrine::python {
using namespace internal;
namespace {

void bind_maps(nb::module_& module) {
  module.def(
      "attention",
      [](const Model& model, const PromptArg& prompt, const IndicesArg& layers,
         const IndicesArg& heads, const IndicesArg& queries, const nb::object& edits) {
        const std::vector<int32_t> ids = ids_of(model, prompt);
        AttentionOptions options;
        options.layers = indices_of<int>(layers, "layers");
        options.heads = indices_of<int>(heads, "heads");
        options.queries = indices_of<int64_t>(queries, "queries");
        options.edits = edits_of(model, edits);
        const nb::gil_scoped_release release;
        return described_result(maps_result(attention(model, ids, options), PageSource::of(model)),
                                model);
      },
      nb::arg("model"), nb::arg("prompt"), nb::kw_only(), nb::arg("layers") = nb::none(),
      nb::arg("heads") = nb::none(), nb::arg("queries") = nb::none(),
      nb::arg("edits") = nb::tuple(),
      nb::sig("def attention(model: Model, prompt: vitrine.types.Prompt, *, layers: "
              "vitrine.types.Indices | None = None, heads: vitrine.types.Indices | None = None, "
              "queries: vitrine.types.Indices | None = None, edits: vitrine.types.Edits = ()) -> "
              "Result"),
      "Attention maps as the model computed them: each row sums to 1.");
}

void bind_relevance(nb::module_& module) {
  module.def(
      "attention_rollout",
      [](const Model& model, const PromptArg& prompt, const IndicesArg& layers,
         const IndicesArg& queries, const nb::object& edits, const nb::object& progress) {
        const std::vector<int32_t> ids = ids_of(model, prompt);
        AttentionRolloutOptions options;
        options.layers = indices_of<int>(layers, "layers");
        options.queries = indices_of<int64_t>(queries, "queries");
        options.edits = edits_of(model, edits);
        PythonProgress report(progress);
        options.progress = &report;
        const nb::gil_scoped_release release;
        return described_result(relevance_result(attention_rollout(model, ids, options), "rollout",
                                                 PageSource::of(model)),
                                model);
      },
      nb::arg("model"), nb::arg("prompt"), nb::kw_only(), nb::arg("layers") = nb::none(),
      nb::arg("queries") = nb::none(), nb::arg("edits") = nb::tuple(),
      nb::arg("progress") = nb::none(),
      nb::sig("def attention_rollout(model: Model, prompt: vitrine.types.Prompt, *, layers: "
              "vitrine.types.Indices | None = None, queries: vitrine.types.Indices | None = None, "
              "edits: vitrine.types.Edits = (), progress: vitrine.types.Progress | None = None) -> "
              "Result"),
      "Attention rollout (Abnar & Zuidema 2020): share of each input token in each position of "
      "the\n"
      "residual stream, by layer.");
  module.def(
      "attention_flow",
      [](const Model& model, const PromptArg& prompt, const IndicesArg& layers,
         const IndicesArg& queries, double max_work, const nb::object& edits,
         const nb::object& progress) {
        const std::vector<int32_t> ids = ids_of(model, prompt);
        AttentionFlowOptions options;
        if (!layers.is_none()) options.layers = indices_of<int>(layers, "layers");
        options.queries = indices_of<int64_t>(queries, "queries");
        options.max_work = max_work;
        options.edits = edits_of(model, edits);
        PythonProgress report(progress);
        options.progress = &report;
        const nb::gil_scoped_release release;
        return described_result(
            relevance_result(attention_flow(model, ids, options), "flow", PageSource::of(model)),
            model);
      },
      nb::arg("model"), nb::arg("prompt"), nb::kw_only(), nb::arg("layers") = nb::none(),
      nb::arg("queries") = nb::none(), nb::arg("max_work") = AttentionFlowOptions().max_work,
      nb::arg("edits") = nb::tuple(), nb::arg("progress") = nb::none(),
      nb::sig("def attention_flow(model: Model, prompt: vitrine.types.Prompt, *, layers: "
              "vitrine.types.Indices | None = None, queries: vitrine.types.Indices | None = None, "
              "max_work: float = 2e8, edits: vitrine.types.Edits = (), progress: "
              "vitrine.types.Progress | None = None) -> Result"),
      "Attention flow (Abnar & Zuidema 2020): maximum flow from a query to each input token.\n"
      "`layers`: the last by default. `max_work`: maximum number of edges of all networks; a core\n"
      "does a few million a second.");
}

void bind_heads(nb::module_& module) {
  module.def(
      "heads",
      [](const Model& model, const nb::object& texts, const IndicesArg& layers,
         const IndicesArg& heads, bool repetition, std::optional<int> sequences,
         std::optional<int64_t> length, const nb::object& bos, std::optional<uint64_t> seed,
         const nb::object& edits, const nb::object& progress) {
        std::optional<Batch> batch;
        if (is_prompt(texts.ptr()))
          batch = Batch{ids_of(model, texts)};
        else if (!texts.is_none())
          batch = batch_of(model, texts);
        if (!batch && !repetition)
          user_error(
              "missing texts=: expected texts, or repetition=True for scores on random tokens");
        PythonProgress report(progress);
        HeadStatisticsOptions options;
        options.layers = indices_of<int>(layers, "layers");
        options.heads = indices_of<int>(heads, "heads");
        options.edits = edits_of(model, edits);
        options.progress = &report;
        RepetitionOptions repeated;
        repeated.layers = options.layers;
        repeated.heads = options.heads;
        repeated.edits = options.edits;
        repeated.progress = &report;
        const auto is_used = [&](bool given, const char* name) {
          if (given && !repetition)
            user_error("invalid {}= with repetition=False: only scores on random tokens use it",
                       name);
          return given;
        };
        if (is_used(sequences.has_value(), "sequences")) repeated.sequences = *sequences;
        if (is_used(length.has_value(), "length")) repeated.length = *length;
        if (is_used(seed.has_value(), "seed")) repeated.seed = *seed;
        if (is_used(!bos.is_none(), "bos")) repeated.bos = token_of(model, bos);
        const nb::gil_scoped_release release;
        std::optional<HeadStatistics> statistics;
        if (batch) statistics = head_statistics(model, *batch, options);
        std::optional<RepetitionScores> scores;
        if (repetition) scores = repetition_scores(model, repeated);
        return described_result(heads_result(statistics ? &*statistics : nullptr,
                                             scores ? &*scores : nullptr, PageSource::of(model)),
                                model);
      },
      nb::arg("model"), nb::arg("texts") = nb::none(), nb::kw_only(),
      nb::arg("layers") = nb::none(), nb::arg("heads") = nb::none(), nb::arg("repetition") = true,
      nb::arg("sequences") = nb::none(), nb::arg("length") = nb::none(),
      nb::arg("bos") = nb::none(), nb::arg("seed") = nb::none(), nb::arg("edits") = nb::tuple(),
      nb::arg("progress") = nb::none(),
      nb::sig(
          "def heads(model: Model, texts: vitrine.types.Prompt | vitrine.types.Prompts | None = "
          "None, *, layers: vitrine.types.Indices | None = None, heads: vitrine.types.Indices | "
          "None = None, repetition: bool = True, sequences: int | None = None, length: int | None "
          "= None, bos: str "
          "| int | None = None, seed: int | None = None, edits: vitrine.types.Edits = (), "
          "progress: "
          "vitrine.types.Progress | None = None) -> Result"),
      R"(Statistics of each head on texts, and scores on random tokens that are repeated once.

On `texts`: entropy, distance, attention to the current, previous and first token. On random tokens
(`repetition`; `sequences` of `length` tokens, by default 8 of 50): attention to the same token's first occurrence, and to the
token after it, the induction score (Olsson 2022).)");
}

}  // namespace

void bind_attention_analyses(nb::module_& module) {
  bind_maps(module);
  bind_relevance(module);
  bind_heads(module);
}

}  // namespace vitrine::python
