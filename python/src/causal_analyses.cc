// SPDX-License-Identifier: MIT
#include <array>

#include "base/check.h"
#include "python/src/analysis.h"
#include "python/src/bindings.h"
#include "report/results/patch_result.h"
#include "report/results/results.h"
#include "vitrine/analysis/ablation.h"
#include "vitrine/analysis/causal_trace.h"
#include "vitrine/analysis/pairs.h"
#include "vitrine/analysis/patching.h"
#include "vitrine/analysis/path_patching.h"

// What changes when activations do: patching, path patching, ablation, causal tracing.

namespace vitrine::python {
using namespace internal;
namespace {

PatchDirection direction_of(const std::string& name) {
  if (name == "denoise") return PatchDirection::kDenoise;
  if (name == "noise") return PatchDirection::kNoise;
  user_error("invalid direction='{}': expected 'denoise' or 'noise'", name);
}
std::string_view name_of_direction(PatchDirection direction) {
  return direction == PatchDirection::kDenoise ? "denoise" : "noise";
}

constexpr std::array<std::pair<std::string_view, PatchOver>, 4> kOvers = {
    {{"positions", PatchOver::kPositions},
     {"heads", PatchOver::kHeads},
     {"neurons", PatchOver::kNeurons},
     {"whole", PatchOver::kWhole}}};
PatchOver over_of(const std::string& name) {
  for (const auto& [each, over] : kOvers) {
    if (each == name) return over;
  }
  user_error("invalid over='{}': expected 'positions', 'heads', 'neurons' or 'whole'", name);
}
std::string_view name_of_over(PatchOver over) { return kOvers[static_cast<size_t>(over)].first; }

Site site_of(const std::string& name) {
  for (const SiteInfo& info : kSites) {
    if (info.name == name) return info.site;
  }
  user_error(
      "invalid sites='{}': expected a site's name without its layer, such as 'hook_resid_pre' or "
      "'attn.hook_z'",
      name);
}

/// The arguments of a metric, checked together.
struct MetricValues {
  std::optional<PatchMetric::Kind> kind;
  std::vector<int32_t> answer, wrong;

  PatchMetric metric(PatchMetric::Kind otherwise = PatchMetric::Kind::kLogit) const {
    using enum PatchMetric::Kind;
    PatchMetric found;
    found.kind = kind.value_or(wrong.empty() ? otherwise : kLogitDifference);
    if (answer.empty()) user_error("missing answer=: expected a token, or several");
    const bool difference = found.kind == kLogitDifference;
    if (difference && wrong.empty())
      user_error("missing wrong=: metric='logit-difference' compares answer= with it");
    if (!difference && !wrong.empty())
      user_error("invalid wrong= with metric='{}': only 'logit-difference' uses it",
                 patch_metric_name(found.kind));
    found.answer = answer;
    if (difference) found.wrong = wrong;
    return found;
  }
};

template <typename Options>
struct Sweep : Options {
  PatchSubject subject;
  MetricValues measured;
};

template <typename Values>
void add_metric(Parameters<Values>& parameters) {
  parameters
      .add({"answer", "vitrine.types.Tokens", ""},
           [](Call& call, Values& v, const nb::object& given) {
             v.measured.answer = tokens_of(call.model(), given);
           })
      .tokens("wrong", at(&Values::measured, &MetricValues::wrong))
      .maybe_named("metric", at(&Values::measured, &MetricValues::kind), patch_metric_from_name);
}

template <typename Values>
void add_pair(Parameters<Values>& parameters) {
  parameters.prompt("clean", at(&Values::subject, &PatchSubject::clean))
      .prompt("corrupt", at(&Values::subject, &PatchSubject::corrupt))
      .keywords();
  add_metric(parameters);
  parameters.named("direction", &Values::direction, direction_of, name_of_direction);
}

template <typename Values>
void add_cells(Parameters<Values>& parameters) {
  // The stub's maker takes a name with a dot for that of a module.
  const std::string_view site = site_info(Values{}.cells.sites.front()).name;
  const std::string otherwise =
      site.find('.') == std::string_view::npos ? fmt::format("'{}'", site) : "...";
  parameters
      .add({"sites", "str | collections.abc.Sequence[str]", otherwise},
           [](Call& call, Values& v, const nb::object& given) {
             v.cells.sites.clear();
             if (PyUnicode_Check(given.ptr()))
               return v.cells.sites.push_back(site_of(nb::cast<std::string>(given)));
             for (const auto& name :
                  Conversion<std::vector<std::string>>::from(call, given, "sites"))
               v.cells.sites.push_back(site_of(name));
           })
      .named("over", at(&Values::cells, &PatchCells::over), over_of, name_of_over)
      .value("layers", at(&Values::cells, &PatchCells::layers))
      .value("positions", at(&Values::cells, &PatchCells::positions))
      .value("heads", at(&Values::cells, &PatchCells::heads))
      .value("neurons", at(&Values::cells, &PatchCells::neurons))
      .value("window", at(&Values::cells, &PatchCells::window));
}

template <typename Values>
void add_last(Parameters<Values>& parameters) {
  parameters.value("position", &Values::position).edits(&Values::edits).progress(&Values::progress);
}

template <typename Values>
void add_patching(Parameters<Values>& parameters) {
  add_cells(parameters);
  parameters
      .add({"alignment", "collections.abc.Sequence[tuple[int, int]]", "()"},
           [](Call&, Values& v, const nb::object& given) {
             for (const nb::handle pair : listed(given)) {
               if (!PySequence_Check(pair.ptr()) || nb::len(pair) != 2)
                 refuse_type("alignment", "pairs of positions", pair);
               v.alignment.emplace_back(integer_of<int64_t>(pair[0], "alignment"),
                                        integer_of<int64_t>(pair[1], "alignment"));
             }
           })
      .value("exact", &Values::exact)
      .value("attribution", &Values::attribution);
  add_last(parameters);
}

void bind_patch(nb::module_& module) {
  using Values = Sweep<PatchOptions>;
  auto parameters = model_parameters<Values>();
  add_pair(parameters);
  add_patching(parameters);
  bind_analysis(
      module, "patch", parameters,
      R"(Activation patching: the effect of replacing one activation of a run by that of another.

`answer` and `wrong` give the metric: "logit-difference" with `wrong`, otherwise "logit"; or "log-prob",
"prob". `direction`: "denoise" puts clean activations into the corrupt run, "noise" the reverse.
`sites`: names without layer; a grid of layers x `over` ("positions", "heads", "neurons", "whole") each.
`window`: layers replaced together. `alignment`: pairs of positions, for prompts of different lengths.
`exact`: runs every cell. `attribution`: first-order estimates (Nanda 2023). Effects: 0 corrupt, 1
clean.)",
      [](const Call& call, Values& v) {
        v.metric = v.subject.metric = v.measured.metric();
        v.subject.direction = v.direction;
        return patching_result(patch(call.model(), v.subject.clean, v.subject.corrupt, v),
                               v.subject, PageSource::of(call.model()));
      });
}

struct PathValues : Sweep<PathOptions> {
  std::vector<std::string> sender_names, receiver_names = {"final"};

  void set_nodes() {
    for (const std::string& node : sender_names) senders.push_back(PathNode::parse(node));
    receivers.clear();
    for (const std::string& node : receiver_names) receivers.push_back(PathNode::parse(node));
  }
};

template <typename Values>
void add_paths(Parameters<Values>& parameters) {
  parameters.value("senders", &Values::sender_names)
      .value("receivers", &Values::receiver_names)
      .value("sender_positions", &Values::sender_positions)
      .value("receiver_positions", &Values::receiver_positions)
      .value("through_mlps", &Values::through_mlps);
  add_last(parameters);
}

void bind_path_patch(nb::module_& module) {
  auto parameters = model_parameters<PathValues>();
  add_pair(parameters);
  add_paths(parameters);
  bind_analysis(
      module, "path_patch", parameters,
      R"(The effect of each sender on the output through the receivers alone (Wang et al. 2022).
Senders: "embed", "head 3.1", "mlp 3"; empty: all. Receivers: "q 3.1", "k 3.1", "v 3.1",
"mlp 3", "final".)",
      [](const Call& call, PathValues& v) {
        v.metric = v.subject.metric = v.measured.metric();
        v.subject.direction = v.direction;
        v.set_nodes();
        return path_result(path_patch(call.model(), v.subject.clean, v.subject.corrupt, v),
                           v.subject, PageSource::of(call.model()));
      });
}

void bind_ablate(nb::module_& module) {
  using Values = Sweep<AblationOptions>;
  auto parameters = model_parameters<Values>();
  parameters.prompt("prompt", at(&Values::subject, &PatchSubject::clean)).keywords();
  add_metric(parameters);
  parameters.named("ablation", &Values::ablation, ablation_from_name, ablation_name)
      .add({"others", "vitrine.types.Prompt | vitrine.types.Prompts", "()"},
           [](Call& call, Values& v, const nb::object& given) {
             const bool none = PySequence_Check(given.ptr()) && nb::len(given) == 0;
             if (!none) v.others = prompts_of(call.model(), given);
           });
  add_cells(parameters);
  add_last(parameters);
  bind_analysis(
      module, "ablate", parameters,
      R"(How the metric changes without each component. `ablation`: "zero", "mean" over the prompts
`others`, or "resample" from the one prompt `others`. The other arguments: see patch().)",
      [](const Call& call, Values& v) {
        v.metric = v.subject.metric = v.measured.metric();
        return ablation_result(ablate(call.model(), v.subject.clean, v), v.subject,
                               PageSource::of(call.model()));
      });
}

void bind_trace(nb::module_& module) {
  using Values = Sweep<TraceOptions>;  // whose `subject` are the prompts
  auto parameters = model_parameters<Values>();
  parameters.prompt("prompt", at(&Values::subject, &PatchSubject::clean))
      .keywords()
      .add({"subject", "vitrine.types.Indices", ""}, [](Call&, Values& v, const nb::object& given) {
        v.TraceOptions::subject = indices_of<int64_t>(given, "subject");
      });
  add_metric(parameters);
  parameters.value("draws", &Values::draws)
      .value("noise", &Values::noise)
      .value("spread", &Values::spread)
      .value("seed", &Values::seed);
  add_cells(parameters);
  add_last(parameters);
  bind_analysis(
      module, "causal_trace", parameters,
      R"(Causal tracing (Meng et al. 2022): noise on the subject's embeddings, one activation restored.

`subject`: positions that get noise of `noise` x `spread` (None: the standard deviation of the prompt's
own token embeddings). Means over `draws`. The metric is "prob" unless `wrong` or `metric` says
otherwise. The other arguments: see patch().)",
      [](const Call& call, Values& v) {
        v.metric = v.subject.metric = v.measured.metric(PatchMetric::Kind::kProb);
        return trace_result(causal_trace(call.model(), v.subject.clean, v), v.subject,
                            PageSource::of(call.model()));
      });
}

/// A path, or dictionaries as the lines of such a file.
std::vector<PatchPair> pairs_of(const Model& model, const nb::object& given) {
  if (PyUnicode_Check(given.ptr()) || PyObject_HasAttrString(given.ptr(), "__fspath__"))
    return read_pairs(nb::cast<std::filesystem::path>(given).string(), model);
  if (!is_iterable(given.ptr())) refuse_type("pairs", "a path or a sequence of dict", given);
  const nb::object dumps = nb::module_::import_("json").attr("dumps");
  const nb::object of_array = nb::module_::import_("operator").attr("methodcaller")("tolist");
  std::vector<PatchPair> pairs;
  for (const nb::handle pair : given) {
    if (!PyDict_Check(pair.ptr())) refuse_type("pairs", "a path or a sequence of dict", pair);
    const auto text = nb::cast<std::string>(dumps(pair, nb::arg("default") = of_array));
    pairs.push_back(parse_pair(text, fmt::format("pairs[{}]", pairs.size()), model));
  }
  return pairs;
}

template <typename Options>
struct OfPairs : Options {
  std::vector<PatchPair> pairs;
};

template <typename Values>
void add_pairs(Parameters<Values>& parameters) {
  parameters
      .add({"pairs",
            "vitrine.types.Path | collections.abc.Iterable[collections.abc.Mapping[str, object]]",
            ""},
           [](Call& call, Values& v, const nb::object& given) {
             v.pairs = pairs_of(call.model(), given);
           })
      .keywords();
}

/// Each pair has its own answers, so only the kind of the metric is an argument.
template <typename Values>
void add_metric_of_pairs(Parameters<Values>& parameters) {
  parameters
      .maybe_named("metric", at(&Values::measured, &MetricValues::kind), patch_metric_from_name)
      .named("direction", &Values::direction, direction_of, name_of_direction);
}

template <typename Values>
void set_subject(Values& v) {
  using enum PatchMetric::Kind;
  const auto otherwise = have_wrong_answers(v.pairs) ? kLogitDifference : kLogit;
  v.metric = {.kind = v.measured.kind.value_or(otherwise), .answer = {}, .wrong = {}};
  v.subject.metric = v.metric;
  v.subject.direction = v.direction;
  v.subject.pairs = std::ssize(v.pairs);
}

void bind_patch_pairs(nb::module_& module) {
  using Values = OfPairs<Sweep<PatchOptions>>;
  auto parameters = model_parameters<Values>();
  add_pairs(parameters);
  add_metric_of_pairs(parameters);
  add_patching(parameters);
  bind_analysis(module, "patch_pairs", parameters,
                R"(patch() over many pairs of prompts: means, standard errors and deviations.

`pairs`: a file with a JSON object a line, or dictionaries: "clean", "corrupt" (text or ids), "answer" and
"wrong" (a token, or a list). An answer that is missing is the model's first choice. The metric is
"logit-difference" if pairs have wrong answers, otherwise "logit". Each effect is on its pair's scale.)",
                [](const Call& call, Values& v) {
                  set_subject(v);
                  return patched_pairs_result(patch_pairs(call.model(), v.pairs, v), v.subject,
                                              PageSource::of(call.model()));
                });
}

void bind_path_patch_pairs(nb::module_& module) {
  using Values = OfPairs<PathValues>;
  auto parameters = model_parameters<Values>();
  add_pairs(parameters);
  add_metric_of_pairs(parameters);
  add_paths(parameters);
  bind_analysis(module, "path_patch_pairs", parameters,
                "path_patch() over many pairs of prompts. `pairs`: see patch_pairs().",
                [](const Call& call, Values& v) {
                  set_subject(v);
                  v.set_nodes();
                  return path_pairs_result(path_patch_pairs(call.model(), v.pairs, v), v.subject,
                                           PageSource::of(call.model()));
                });
}

void bind_attribute_pairs(nb::module_& module) {
  using Values = OfPairs<AttributionOptions>;
  auto parameters = model_parameters<Values>();
  add_pairs(parameters);
  parameters.value("position", &Values::position).edits(&Values::edits).progress(&Values::progress);
  bind_analysis(
      module, "attribute_pairs", parameters,
      R"(logit_attribution() of each pair's answers less its wrong answers, in both prompts: means and
standard errors. `pairs`: see patch_pairs().)",
      [](const Call& call, const Values& v) {
        return attributed_pairs_result(attribute_pairs(call.model(), v.pairs, v),
                                       PageSource::of(call.model()));
      });
}

}  // namespace

void bind_causal_analyses(nb::module_& module) {
  bind_patch(module);
  bind_path_patch(module);
  bind_ablate(module);
  bind_trace(module);
  bind_patch_pairs(module);
  bind_path_patch_pairs(module);
  bind_attribute_pairs(module);
}

}  // namespace vitrine::python
