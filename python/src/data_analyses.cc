// SPDX-License-Identifier: MIT
#include <nanobind/ndarray.h>

#include "base/check.h"
#include "python/src/analysis.h"
#include "python/src/bindings.h"
#include "report/results/results.h"
#include "vitrine/analysis/concepts.h"
#include "vitrine/analysis/covariance.h"
#include "vitrine/analysis/factors.h"
#include "vitrine/analysis/predictivity.h"
#include "vitrine/analysis/similarity.h"

// What is computed from many texts or from a matrix.

namespace vitrine::python {
using namespace internal;
namespace {

using Numbers = nb::ndarray<const double, nb::c_contig, nb::device::cpu>;

/// A float64 array of `axes` axes.
Numbers numbers_of(nb::handle array, size_t axes, const char* name) {
  const nb::module_ numpy = nb::module_::import_("numpy");
  const auto values = nb::cast<Numbers>(
      numpy.attr("ascontiguousarray")(numpy_of(array, name), numpy.attr("float64")));
  if (values.ndim() != axes)
    user_error("invalid {}: expected an array of {} axes, not {}", name, axes, values.ndim());
  return values;
}

Tensor float64_tensor(const Numbers& values) {
  Tensor tensor(DType::kF64, Shape{static_cast<int64_t>(values.shape(0)),
                                   static_cast<int64_t>(values.shape(1))});
  std::copy_n(values.data(), values.size(), static_cast<double*>(tensor.data()));
  return tensor;
}

void bind_similarity(nb::module_& module) {
  struct Values : SimilarityOptions {
    Batch texts;
    const Model* against = nullptr;
  };
  auto parameters = model_parameters<Values>();
  parameters.batch("texts", &Values::texts)
      .add({"against", "Model | None", "None", true},
           [](Call&, Values& v, const nb::object& given) {
             if (!nb::try_cast(given, v.against) || !v.against)
               refuse_type("against", "Model", given);
           })
      .keywords()
      .named("measure", &Values::measure, similarity_measure_from_name, similarity_measure_name)
      .value("site", &Values::site)
      .value("layers", at(&Values::where, &Where::layers))
      .value("positions", at(&Values::where, &Where::positions))
      .value("heads", at(&Values::where, &Where::heads))
      .value("neurons", at(&Values::where, &Where::neurons))
      .maybe("variance", &Values::variance)
      .edits(&Values::edits)
      .progress(&Values::progress);
  bind_analysis(
      module, "similarity", parameters,
      R"(Similarity of the representations of each pair of sites, 0..1: "cka" (linear, Kornblith
2019) or "svcca" (Raghu 2017; `variance` kept, 0.99). `against`: columns of another model.)",
      [](const Call& call, const Values& v) {
        refuse_unused(call, "variance", "measure", similarity_measure_name(v.measure), {"svcca"});
        return similarity_result(v.against ? similarity(call.model(), *v.against, v.texts, v)
                                           : similarity(call.model(), v.texts, v),
                                 PageSource::of(call.model()), v.against ? v.against->name() : "");
      });
}

void bind_factors(nb::module_& module) {
  struct Values : FactorOptions {
    Batch texts;
    std::optional<int> max_new_tokens;
    size_t neurons = kFactorNeurons;
  };
  auto parameters = model_parameters<Values>();
  parameters.batch("texts", &Values::texts)
      .keywords()
      .value("components", &Values::components)
      .value("layers", &Values::layers)
      .named("init", &Values::init, factor_init_from_name, factor_init_name)
      .maybe("seed", &Values::seed)
      .value("max_iterations", &Values::max_iterations)
      .value("tolerance", &Values::tolerance)
      .value("max_new_tokens", &Values::max_new_tokens)
      .value("neurons", &Values::neurons)
      .edits(&Values::edits)
      .progress(&Values::progress);
  bind_analysis(
      module, "factors", parameters,
      R"(Groups of MLP neurons that are active together (Ecco's run_nmf): a non-negative factorisation.

`init`: "random" with `seed`, or "nndsvd". `max_new_tokens`: continues each text and factorises the new
tokens as well. `neurons`: number of the strongest to list for each component.)",
      [](const Call& call, Values& v) {
        refuse_unused(call, "seed", "init", factor_init_name(v.init), {"random"});
        if (v.max_new_tokens)
          v.generate = {.max_new_tokens = *v.max_new_tokens, .stop_ids = call.model().end_ids()};
        return factors_result(factors(call.model(), v.texts, v), PageSource::of(call.model()),
                              v.neurons);
      });
}

void bind_concepts(nb::module_& module) {
  struct Values : ConceptOptions {
    ConceptSubject subject;
  };
  auto parameters = model_parameters<Values>();
  parameters.batch("positive", at(&Values::subject, &ConceptSubject::positive))
      .batch("negative", at(&Values::subject, &ConceptSubject::negative))
      .keywords()
      .value("site", &Values::site)
      .value("layers", at(&Values::where, &Where::layers))
      .value("heads", at(&Values::where, &Where::heads))
      .value("neurons", at(&Values::where, &Where::neurons))
      .named("pooling", &Values::pooling, concept_pooling_from_name, concept_pooling_name)
      .edits(&Values::edits)
      .progress(&Values::progress);
  bind_analysis(
      module, "concept_directions", parameters,
      R"(Difference of the mean activations of two sets of texts at each site, tested on held-out texts.

`pooling`: "last" token of a text, or "mean" over its tokens. A direction steers with Edit.add, and is
removed with Edit.project_out.)",
      [](const Call& call, Values& v) {
        v.subject.pooling = v.pooling;
        const auto found =
            concept_directions(call.model(), v.subject.positive, v.subject.negative, v);
        return concept_result(found, v.subject, PageSource::of(call.model()));
      });
}

/// Weights are copied, because the options refer to them.
struct CovarianceValues : CovarianceOptions {
  Numbers matrix;
  std::vector<int64_t> frequencies;
  std::vector<double> weights;
  std::vector<std::string> names;
  size_t pairs = 10;
};

Parameters<CovarianceValues> covariance_parameters() {
  using Values = CovarianceValues;
  Parameters<Values> parameters;
  parameters
      .add({"matrix", "numpy.typing.ArrayLike", ""},
           [](Call&, Values& v, const nb::object& given) {
             v.matrix = numbers_of(given, 2, "matrix");
           })
      .keywords()
      .value("rowvar", &Values::rowvar)
      .value("bias", &Values::bias)
      .value("ddof", &Values::ddof)
      .add({"fweights", "collections.abc.Sequence[int] | numpy.typing.NDArray[numpy.int64] | None",
            "None", true},
           [](Call& call, Values& v, const nb::object& given) {
             v.frequencies = Conversion<std::vector<int64_t>>::from(call, given, "fweights");
           })
      .add({"aweights", "numpy.typing.ArrayLike | None", "None", true},
           [](Call&, Values& v, const nb::object& given) {
             const Numbers weights = numbers_of(given, 1, "aweights");
             v.weights.assign(weights.data(), weights.data() + weights.size());
           })
      .value("names", &Values::names)
      .value("pairs", &Values::pairs);
  return parameters;
}

AnalysisResult covariance_of(const Call&, CovarianceValues& v) {
  const nb::gil_scoped_release release;
  v.fweights = v.frequencies;
  v.aweights = v.weights;
  const auto rows = static_cast<int64_t>(v.matrix.shape(0));
  const auto columns = static_cast<int64_t>(v.matrix.shape(1));
  const Covariance found = covariance({{v.matrix.data(), v.matrix.size()}, rows, columns}, v);
  if (!v.names.empty() && static_cast<int64_t>(v.names.size()) != found.variables)
    user_error("invalid names=: expected {} names, one a variable, not {}", found.variables,
               v.names.size());
  CovarianceView view;
  view.covariance = &found;
  view.names = v.names;
  return described_result(covariance_result(view, v.pairs));
}

struct PredictivityValues : PredictivityOptions {
  /// The texts, or their tokens.
  std::vector<std::string> texts;
  Batch ids;
  Responses responses;
  std::vector<std::string> groups;

  Stimuli stimuli(const Model& model) const {
    if (!ids.empty()) return {ids, groups};
    Stimuli found = encode_stimuli(model.tokenizer(), texts, groups, features.context);
    found.before = model.frame().before;
    return found;
  }
};

Parameters<PredictivityValues> predictivity_parameters() {
  using Values = PredictivityValues;
  auto parameters = model_parameters<Values>();
  parameters
      .add({"texts", "vitrine.types.Prompts", ""},
           [](Call& call, Values& v, const nb::object& given) {
             const nb::list items(listed(given));
             if (nb::len(items) > 0 && PyUnicode_Check(nb::object(items[0]).ptr()))
               v.texts = Conversion<std::vector<std::string>>::from(call, items, "texts");
             else
               v.ids = batch_of(call.model(), items);
           })
      .add({"responses", "numpy.typing.ArrayLike", ""},
           [](Call&, Values& v, const nb::object& given) {
             v.responses.values = float64_tensor(numbers_of(given, 2, "responses"));
           })
      .keywords()
      .required("groups", &Values::groups)
      .value("neuroids", at(&Values::responses, &Responses::neuroids))
      .value("subjects", at(&Values::responses, &Responses::subjects))
      .value("ceilings", at(&Values::responses, &Responses::ceilings))
      .value("sites", at(&Values::features, &FeatureOptions::sites))
      .named("context", at(&Values::features, &FeatureOptions::context), stimulus_context_from_name,
             stimulus_context_name)
      .named("method", at(&Values::regression, &RegressionOptions::method), regression_from_name,
             regression_name)
      .maybe("alphas", at(&Values::regression, &RegressionOptions::alphas))
      .maybe_named("choice", at(&Values::regression, &RegressionOptions::choice),
                   alpha_choice_from_name)
      .value("folds", &Values::folds)
      .named("fold_kind", &Values::fold_kind, fold_kind_from_name, fold_kind_name)
      .value("seed", &Values::seed)
      .value("control_seeds", &Values::control_seeds)
      .value("bootstraps", &Values::bootstraps)
      .edits(at(&Values::features, &FeatureOptions::edits))
      .progress(&Values::progress);
  return parameters;
}

void bind_predictivity(nb::module_& module) {
  bind_analysis(
      module, "predictivity", predictivity_parameters(),
      R"(How well activations at each stimulus's last token predict measured responses [N, Q].

`groups`: story or passage of each of the N texts; `context`: "group" puts the earlier texts of the group
before a text, "none" nothing. `neuroids`, `subjects`, `ceilings`: of each column. `method`: "ridge" with
`alphas` and `choice` ("gcv", "loo"), or "ols". `fold_kind`: "grouped" or "shuffled". `control_seeds`:
untrained models for comparison. Intervals are 95 %, from `bootstraps` draws.)",
      [](const Call& call, const PredictivityValues& v) {
        for (const char* name : {"alphas", "choice"})
          refuse_unused(call, name, "method", regression_name(v.regression.method), {"ridge"});
        return predictivity_result(
            predictivity(call.model(), v.stimuli(call.model()), v.responses, v));
      });
}

}  // namespace

void bind_data_analyses(nb::module_& module) {
  bind_similarity(module);
  bind_factors(module);
  bind_concepts(module);
  bind_function(
      module, "covariance", covariance_parameters(), "Result",
      R"(Covariance matrix with NumPy's meaning of every argument (numpy.cov), and its page.

`names`: of the variables. `pairs`: number of the most correlated pairs to list.)",
      &covariance_of);
  bind_predictivity(module);
}

}  // namespace vitrine::python
