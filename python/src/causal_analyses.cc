// SPDX-License-Identifier: MIT
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "base/check.h"
#include "python/src/arguments.h"
#include "python/src/bindings.h"
#include "python/src/hooks.h"
#include "python/src/model.h"
#include "python/src/results.h"
#include "report/results/patch_result.h"
#include "vitrine/analysis/ablation.h"
#include "vitrine/analysis/causal_trace.h"
#include "vitrine/analysis/patching.h"
#include "vitrine/analysis/path_patching.h"

// What changes when activations do: patching, path patching, ablation, causal tracing.

namespace vitrine::python {
using namespace internal;
namespace {

PatchMetric metric_of(const Model& model, const std::optional<std::string>& name,
                      const TokensArg& answer, const TokensArg& wrong,
                      PatchMetric::Kind otherwise) {
  PatchMetric metric;
  metric.kind = name ? patch_metric_from_name(*name)
                     : (wrong.is_none() ? otherwise : PatchMetric::Kind::kLogitDifference);
  const std::vector<int32_t> answers = tokens_of(model, answer), wrongs = tokens_of(model, wrong);
  if (answers.empty()) user_error("missing answer=: expected a token, or several");
  const bool difference = metric.kind == PatchMetric::Kind::kLogitDifference;
  if (difference && wrongs.empty())
    user_error("missing wrong=: metric='logit-difference' compares answer= with it");
  if (!difference && !wrongs.empty())
    user_error("invalid wrong= with metric='{}': only 'logit-difference' uses it",
               patch_metric_name(metric.kind));
  metric.answer = answers;
  if (difference) metric.wrong = wrongs;
  return metric;
}

PatchDirection direction_of(const std::string& name) {
  if (name == "denoise") return PatchDirection::kDenoise;
  if (name == "noise") return PatchDirection::kNoise;
  user_error("invalid direction='{}': expected 'denoise' or 'noise'", name);
}

PatchOver over_of(const std::string& name) {
  if (name == "positions") return PatchOver::kPositions;
  if (name == "heads") return PatchOver::kHeads;
  if (name == "neurons") return PatchOver::kNeurons;
  if (name == "whole") return PatchOver::kWhole;
  user_error("invalid over='{}': expected 'positions', 'heads', 'neurons' or 'whole'", name);
}

/// The arguments that all sweeps share.
struct CellArguments {
  nb::object sites;
  std::string over;
  const IndicesArg &layers, &positions, &heads, &neurons;
  int window;
};

PatchCells cells_of(const CellArguments& args) {
  PatchCells cells;
  cells.sites.clear();
  const auto add = [&](const std::string& name) {
    for (const SiteInfo& info : kSites) {
      if (info.name == name) return cells.sites.push_back(info.site);
    }
    user_error(
        "invalid sites='{}': expected a site's name without its layer, such as "
        "'hook_resid_pre' or 'attn.hook_z'",
        name);
  };
  if (PyUnicode_Check(args.sites.ptr())) {
    add(nb::cast<std::string>(args.sites));
  } else {
    for (const nb::handle site : args.sites) add(nb::cast<std::string>(site));
  }
  cells.over = over_of(args.over);
  cells.layers = indices_of<int>(args.layers, "layers");
  cells.positions = indices_of<int64_t>(args.positions, "positions");
  cells.heads = indices_of<int>(args.heads, "heads");
  cells.neurons = indices_of<int64_t>(args.neurons, "neurons");
  cells.window = args.window;
  return cells;
}

#define VITRINE_CELLS                                                \
  nb::arg("layers") = nb::none(), nb::arg("positions") = nb::none(), \
  nb::arg("heads") = nb::none(), nb::arg("neurons") = nb::none(), nb::arg("window") = 1
#define VITRINE_CELL_TYPES                                                                        \
  "layers: vitrine.types.Indices | None = None, positions: vitrine.types.Indices | None = None, " \
  "heads: vitrine.types.Indices | None = None, neurons: vitrine.types.Indices | None = None, "    \
  "window: int = 1, "
#define VITRINE_LAST \
  nb::arg("position") = -1, nb::arg("edits") = nb::tuple(), nb::arg("progress") = nb::none()
#define VITRINE_LAST_TYPES                                                                        \
  "position: int = -1, edits: vitrine.types.Edits = (), progress: vitrine.types.Progress | None " \
  "= None) -> Result"

void bind_patch(nb::module_& module) {
  module.def(
      "patch",
      [](const Model& model, const PromptArg& clean, const PromptArg& corrupt,
         const TokensArg& answer, const TokensArg& wrong, const std::optional<std::string>& metric,
         const std::string& direction, const nb::object& sites, const std::string& over,
         const IndicesArg& layers, const IndicesArg& positions, const IndicesArg& heads,
         const IndicesArg& neurons, int window, std::vector<std::pair<int64_t, int64_t>> alignment,
         bool exact, bool attribution, int64_t position, const nb::object& edits,
         const nb::object& progress) {
        PatchSubject subject;
        subject.clean = ids_of(model, clean);
        subject.corrupt = ids_of(model, corrupt);
        PatchOptions options;
        options.metric = subject.metric =
            metric_of(model, metric, answer, wrong, PatchMetric::Kind::kLogit);
        options.direction = subject.direction = direction_of(direction);
        options.cells = cells_of({sites, over, layers, positions, heads, neurons, window});
        options.alignment = std::move(alignment);
        options.exact = exact;
        options.attribution = attribution;
        options.position = position;
        options.edits = edits_of(model, edits);
        PythonProgress report(progress);
        options.progress = &report;
        const nb::gil_scoped_release release;
        return described_result(
            patching_result(patch(model, subject.clean, subject.corrupt, options), subject,
                            PageSource::of(model)),
            model);
      },
      nb::arg("model"), nb::arg("clean"), nb::arg("corrupt"), nb::kw_only(), nb::arg("answer"),
      nb::arg("wrong") = nb::none(), nb::arg("metric") = nb::none(),
      nb::arg("direction") = "denoise", nb::arg("sites") = "hook_resid_pre",
      nb::arg("over") = "positions", VITRINE_CELLS,
      nb::arg("alignment") = std::vector<std::pair<int64_t, int64_t>>{}, nb::arg("exact") = true,
      nb::arg("attribution") = false, VITRINE_LAST,
      nb::sig(
          "def patch(model: Model, clean: vitrine.types.Prompt, corrupt: vitrine.types.Prompt, *, "
          "answer: vitrine.types.Tokens, wrong: vitrine.types.Tokens | None = None, metric: str | "
          "None = None, direction: str = 'denoise', sites: str | collections.abc.Sequence[str] = "
          "'hook_resid_pre', over: str = 'positions', " VITRINE_CELL_TYPES
          "alignment: collections.abc.Sequence[tuple[int, int]] = (), exact: bool = True, "
          "attribution: bool = False, " VITRINE_LAST_TYPES),
      R"(Activation patching: the effect of replacing one activation of a run by that of another.

`answer` and `wrong` give the metric: "logit-difference" with `wrong`, otherwise "logit"; or "log-prob",
"prob". `direction`: "denoise" puts clean activations into the corrupt run, "noise" the reverse.
`sites`: names without layer; a grid of layers x `over` ("positions", "heads", "neurons", "whole") each.
`window`: layers replaced together. `alignment`: pairs of positions, for prompts of different lengths.
`exact`: runs every cell. `attribution`: first-order estimates (Nanda 2023). Effects: 0 corrupt, 1
clean.)");
  module.def(
      "path_patch",
      [](const Model& model, const PromptArg& clean, const PromptArg& corrupt,
         const TokensArg& answer, const TokensArg& wrong, const std::optional<std::string>& metric,
         const std::string& direction, const std::vector<std::string>& senders,
         const std::vector<std::string>& receivers, const IndicesArg& sender_positions,
         const IndicesArg& receiver_positions, bool through_mlps, int64_t position,
         const nb::object& edits, const nb::object& progress) {
        PatchSubject subject;
        subject.clean = ids_of(model, clean);
        subject.corrupt = ids_of(model, corrupt);
        PathOptions options;
        options.metric = subject.metric =
            metric_of(model, metric, answer, wrong, PatchMetric::Kind::kLogit);
        options.direction = subject.direction = direction_of(direction);
        for (const std::string& node : senders) options.senders.push_back(PathNode::parse(node));
        options.receivers.clear();
        for (const std::string& node : receivers)
          options.receivers.push_back(PathNode::parse(node));
        options.sender_positions = indices_of<int64_t>(sender_positions, "sender_positions");
        options.receiver_positions = indices_of<int64_t>(receiver_positions, "receiver_positions");
        options.through_mlps = through_mlps;
        options.position = position;
        options.edits = edits_of(model, edits);
        PythonProgress report(progress);
        options.progress = &report;
        const nb::gil_scoped_release release;
        return described_result(
            path_result(path_patch(model, subject.clean, subject.corrupt, options), subject,
                        PageSource::of(model)),
            model);
      },
      nb::arg("model"), nb::arg("clean"), nb::arg("corrupt"), nb::kw_only(), nb::arg("answer"),
      nb::arg("wrong") = nb::none(), nb::arg("metric") = nb::none(),
      nb::arg("direction") = "denoise", nb::arg("senders") = std::vector<std::string>{},
      nb::arg("receivers") = std::vector<std::string>{"final"},
      nb::arg("sender_positions") = nb::none(), nb::arg("receiver_positions") = nb::none(),
      nb::arg("through_mlps") = false, VITRINE_LAST,
      nb::sig(
          "def path_patch(model: Model, clean: vitrine.types.Prompt, corrupt: "
          "vitrine.types.Prompt, *, answer: vitrine.types.Tokens, wrong: vitrine.types.Tokens | "
          "None = None, metric: str | None = None, direction: str = 'denoise', senders: "
          "collections.abc.Sequence[str] = (), receivers: collections.abc.Sequence[str] = "
          "('final',), sender_positions: vitrine.types.Indices | None = None, receiver_positions: "
          "vitrine.types.Indices | None = None, through_mlps: bool = False, " VITRINE_LAST_TYPES),
      "The effect of each sender on the output through the receivers alone (Wang et al. 2022).\n"
      "Senders: \"embed\", \"head 3.1\", \"mlp 3\"; empty: all. Receivers: \"q 3.1\", \"k 3.1\", "
      "\"v 3.1\",\n"
      "\"mlp 3\", \"final\".");
}

void bind_ablate(nb::module_& module) {
  module.def(
      "ablate",
      [](const Model& model, const PromptArg& prompt, const TokensArg& answer,
         const TokensArg& wrong, const std::optional<std::string>& metric,
         const std::string& ablation, const nb::object& others, const nb::object& sites,
         const std::string& over, const IndicesArg& layers, const IndicesArg& positions,
         const IndicesArg& heads, const IndicesArg& neurons, int window, int64_t position,
         const nb::object& edits, const nb::object& progress) {
        PatchSubject subject;
        subject.clean = ids_of(model, prompt);
        AblationOptions options;
        options.ablation = ablation_from_name(ablation);
        options.metric = subject.metric =
            metric_of(model, metric, answer, wrong, PatchMetric::Kind::kLogit);
        options.cells = cells_of({sites, over, layers, positions, heads, neurons, window});
        options.others = is_prompt(others.ptr()) && nb::len(others) > 0
                             ? Batch{ids_of(model, others)}
                             : batch_of(model, others);
        options.position = position;
        options.edits = edits_of(model, edits);
        PythonProgress report(progress);
        options.progress = &report;
        const nb::gil_scoped_release release;
        return described_result(
            ablation_result(ablate(model, subject.clean, options), subject, PageSource::of(model)),
            model);
      },
      nb::arg("model"), nb::arg("prompt"), nb::kw_only(), nb::arg("answer"),
      nb::arg("wrong") = nb::none(), nb::arg("metric") = nb::none(), nb::arg("ablation") = "zero",
      nb::arg("others") = nb::tuple(), nb::arg("sites") = "attn.hook_z", nb::arg("over") = "heads",
      VITRINE_CELLS, VITRINE_LAST,
      nb::sig(
          "def ablate(model: Model, prompt: vitrine.types.Prompt, *, answer: vitrine.types.Tokens, "
          "wrong: vitrine.types.Tokens | None = None, metric: str | None = None, ablation: str = "
          "'zero', others: vitrine.types.Prompt | vitrine.types.Prompts = (), sites: str | "
          "collections.abc.Sequence[str] = ..., over: str = 'heads', " VITRINE_CELL_TYPES
              VITRINE_LAST_TYPES),
      "How the metric changes without each component. `ablation`: \"zero\", \"mean\" over the "
      "prompts\n"
      "`others`, or \"resample\" from the one prompt `others`. The other arguments: see patch().");
}

void bind_trace(nb::module_& module) {
  module.def(
      "causal_trace",
      [](const Model& model, const PromptArg& prompt, const IndicesArg& subject_positions,
         const TokensArg& answer, const TokensArg& wrong, const std::optional<std::string>& metric,
         int draws, double noise, std::optional<double> spread, uint64_t seed,
         const nb::object& sites, const std::string& over, const IndicesArg& layers,
         const IndicesArg& positions, const IndicesArg& heads, const IndicesArg& neurons,
         int window, int64_t position, const nb::object& edits, const nb::object& progress) {
        PatchSubject subject;
        subject.clean = ids_of(model, prompt);
        TraceOptions options;
        options.metric = subject.metric =
            metric_of(model, metric, answer, wrong, PatchMetric::Kind::kProb);
        options.subject = indices_of<int64_t>(subject_positions, "subject");
        options.draws = draws;
        options.noise = noise;
        options.spread = spread;
        options.seed = seed;
        options.cells = cells_of({sites, over, layers, positions, heads, neurons, window});
        options.position = position;
        options.edits = edits_of(model, edits);
        PythonProgress report(progress);
        options.progress = &report;
        const nb::gil_scoped_release release;
        return described_result(trace_result(causal_trace(model, subject.clean, options), subject,
                                             PageSource::of(model)),
                                model);
      },
      nb::arg("model"), nb::arg("prompt"), nb::kw_only(), nb::arg("subject"), nb::arg("answer"),
      nb::arg("wrong") = nb::none(), nb::arg("metric") = nb::none(), nb::arg("draws") = 10,
      nb::arg("noise") = 3.0, nb::arg("spread") = nb::none(), nb::arg("seed") = 0,
      nb::arg("sites") = "hook_resid_post", nb::arg("over") = "positions", VITRINE_CELLS,
      VITRINE_LAST,
      nb::sig(
          "def causal_trace(model: Model, prompt: vitrine.types.Prompt, *, subject: "
          "vitrine.types.Indices, answer: vitrine.types.Tokens, wrong: vitrine.types.Tokens | None "
          "= None, metric: str | None = None, draws: int = 10, noise: float = 3.0, spread: float | "
          "None = None, seed: int = 0, sites: str | collections.abc.Sequence[str] = "
          "'hook_resid_post', over: str = 'positions', " VITRINE_CELL_TYPES VITRINE_LAST_TYPES),
      R"(Causal tracing (Meng et al. 2022): noise on the subject's embeddings, one activation restored.

`subject`: positions that get noise of `noise` x `spread` (None: the standard deviation of the prompt's
own token embeddings). Means over `draws`. The metric is "prob" unless `wrong` or `metric` says
otherwise. The other arguments: see patch().)");
}

}  // namespace

void bind_causal_analyses(nb::module_& module) {
  bind_patch(module);
  bind_ablate(module);
  bind_trace(module);
}

}  // namespace vitrine::python
