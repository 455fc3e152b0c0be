// SPDX-License-Identifier: MIT
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "base/check.h"
#include "python/src/arguments.h"
#include "python/src/arrays.h"
#include "python/src/bindings.h"
#include "python/src/hooks.h"
#include "python/src/model.h"
#include "python/src/results.h"
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
  const auto values =
      nb::cast<Numbers>(numpy.attr("ascontiguousarray")(array, numpy.attr("float64")));
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
  module.def(
      "similarity",
      [](const Model& model, const BatchArg& texts, const Model* against,
         const std::string& measure, const std::string& site, const IndicesArg& layers,
         const IndicesArg& positions, const IndicesArg& heads, const IndicesArg& neurons,
         std::optional<double> variance, const nb::object& edits, const nb::object& progress) {
        const Batch batch = batch_of(model, texts);
        SimilarityOptions options;
        options.measure = similarity_measure_from_name(measure);
        options.site = site;
        options.where.layers = indices_of<int>(layers, "layers");
        options.where.positions = indices_of<int64_t>(positions, "positions");
        options.where.heads = indices_of<int>(heads, "heads");
        options.where.neurons = indices_of<int64_t>(neurons, "neurons");
        if (variance && options.measure != SimilarityMeasure::kSvcca)
          user_error("invalid variance= with measure='{}': only 'svcca' uses it", measure);
        if (variance) options.variance = *variance;
        options.edits = edits_of(model, edits);
        PythonProgress report(progress);
        options.progress = &report;
        const nb::gil_scoped_release release;
        return described_result(
            similarity_result(against ? similarity(model, *against, batch, options)
                                      : similarity(model, batch, options),
                              PageSource::of(model), against ? against->name() : ""),
            model);
      },
      nb::arg("model"), nb::arg("texts"), nb::arg("against") = nb::none(), nb::kw_only(),
      nb::arg("measure") = "cka", nb::arg("site") = "blocks.*.hook_resid_post",
      nb::arg("layers") = nb::none(), nb::arg("positions") = nb::none(),
      nb::arg("heads") = nb::none(), nb::arg("neurons") = nb::none(),
      nb::arg("variance") = nb::none(), nb::arg("edits") = nb::tuple(),
      nb::arg("progress") = nb::none(),
      nb::sig("def similarity(model: Model, texts: vitrine.types.Prompts, against: Model | None = "
              "None, *, measure: str = 'cka', site: str = 'blocks.*.hook_resid_post', layers: "
              "vitrine.types.Indices | None = None, positions: vitrine.types.Indices | None = "
              "None, heads: vitrine.types.Indices | None = None, neurons: vitrine.types.Indices | "
              "None = None, variance: float | None = None, edits: vitrine.types.Edits = (), "
              "progress: vitrine.types.Progress | None = None) -> Result"),
      "Similarity of the representations of each pair of sites, 0..1: \"cka\" (linear, Kornblith\n"
      "2019) or \"svcca\" (Raghu 2017; `variance` kept, 0.99). `against`: columns of another "
      "model.");
}

void bind_factors(nb::module_& module) {
  module.def(
      "factors",
      [](const Model& model, const BatchArg& texts, int components, const IndicesArg& layers,
         const std::string& init, std::optional<uint64_t> seed, int max_iterations,
         double tolerance, std::optional<int> max_new_tokens, size_t neurons,
         const nb::object& edits, const nb::object& progress) {
        const Batch batch = batch_of(model, texts);
        FactorOptions options;
        options.components = components;
        options.layers = indices_of<int>(layers, "layers");
        options.init = factor_init_from_name(init);
        if (seed && options.init != FactorInit::kRandom)
          user_error("invalid seed= with init='{}': only 'random' uses it", init);
        options.seed = seed.value_or(0);
        options.max_iterations = max_iterations;
        options.tolerance = tolerance;
        if (max_new_tokens)
          options.generate = {.max_new_tokens = *max_new_tokens, .stop_ids = model.end_ids()};
        options.edits = edits_of(model, edits);
        PythonProgress report(progress);
        options.progress = &report;
        const nb::gil_scoped_release release;
        return described_result(
            factors_result(factors(model, batch, options), PageSource::of(model), neurons), model);
      },
      nb::arg("model"), nb::arg("texts"), nb::kw_only(), nb::arg("components") = 10,
      nb::arg("layers") = nb::none(), nb::arg("init") = "random", nb::arg("seed") = nb::none(),
      nb::arg("max_iterations") = 500, nb::arg("tolerance") = 1e-4,
      nb::arg("max_new_tokens") = nb::none(), nb::arg("neurons") = kFactorNeurons,
      nb::arg("edits") = nb::tuple(), nb::arg("progress") = nb::none(),
      nb::sig("def factors(model: Model, texts: vitrine.types.Prompts, *, components: int = 10, "
              "layers: vitrine.types.Indices | None = None, init: str = 'random', seed: int | None "
              "= None, max_iterations: int = 500, tolerance: float = 1e-4, max_new_tokens: int | "
              "None = None, neurons: int = 50, edits: vitrine.types.Edits = (), progress: "
              "vitrine.types.Progress | None = None) -> Result"),
      R"(Groups of MLP neurons that are active together (Ecco's run_nmf): a non-negative factorisation.

`init`: "random" with `seed`, or "nndsvd". `max_new_tokens`: continues each text and factorises the new
tokens as well. `neurons`: number of the strongest to list for each component.)");
}

void bind_concepts(nb::module_& module) {
  module.def(
      "concept_directions",
      [](const Model& model, const BatchArg& positive, const BatchArg& negative,
         const std::string& site, const IndicesArg& layers, const IndicesArg& heads,
         const IndicesArg& neurons, const std::string& pooling, const nb::object& edits,
         const nb::object& progress) {
        ConceptSubject subject;
        subject.positive = batch_of(model, positive);
        subject.negative = batch_of(model, negative);
        ConceptOptions options;
        options.site = site;
        options.where.layers = indices_of<int>(layers, "layers");
        options.where.heads = indices_of<int>(heads, "heads");
        options.where.neurons = indices_of<int64_t>(neurons, "neurons");
        options.pooling = subject.pooling = concept_pooling_from_name(pooling);
        options.edits = edits_of(model, edits);
        PythonProgress report(progress);
        options.progress = &report;
        const nb::gil_scoped_release release;
        const auto found = concept_directions(model, subject.positive, subject.negative, options);
        return described_result(concept_result(found, subject, PageSource::of(model)), model);
      },
      nb::arg("model"), nb::arg("positive"), nb::arg("negative"), nb::kw_only(),
      nb::arg("site") = ConceptOptions().site, nb::arg("layers") = nb::none(),
      nb::arg("heads") = nb::none(), nb::arg("neurons") = nb::none(), nb::arg("pooling") = "last",
      nb::arg("edits") = nb::tuple(), nb::arg("progress") = nb::none(),
      nb::sig(
          "def concept_directions(model: Model, positive: vitrine.types.Prompts, negative: "
          "vitrine.types.Prompts, *, site: str = 'blocks.*.hook_resid_post', layers: "
          "vitrine.types.Indices | None = None, heads: vitrine.types.Indices | None = None, "
          "neurons: vitrine.types.Indices | None = None, pooling: str = 'last', edits: "
          "vitrine.types.Edits = (), progress: vitrine.types.Progress | None = None) -> Result"),
      R"(Difference of the mean activations of two sets of texts at each site, tested on held-out texts.

`pooling`: "last" token of a text, or "mean" over its tokens. A direction steers with Edit.add, and is
removed with Edit.project_out.)");
}

/// numpy.cov's arguments, and names for the variables.
AnalysisResult covariance_of(const ArrayArg& m, bool rowvar, bool bias, std::optional<int64_t> ddof,
                             const nb::object& fweights, const nb::object& aweights,
                             const std::vector<std::string>& names, size_t pairs) {
  const Numbers values = numbers_of(m, 2, "matrix");
  CovarianceOptions options;
  options.rowvar = rowvar;
  options.bias = bias;
  options.ddof = ddof;
  std::vector<int64_t> frequencies;
  std::vector<double> weights;
  if (!fweights.is_none()) frequencies = nb::cast<std::vector<int64_t>>(fweights.attr("tolist")());
  if (!aweights.is_none()) {
    const Numbers given = numbers_of(aweights, 1, "aweights");
    weights.assign(given.data(), given.data() + given.size());
  }
  options.fweights = frequencies;
  options.aweights = weights;
  const auto rows = static_cast<int64_t>(values.shape(0));
  const auto columns = static_cast<int64_t>(values.shape(1));
  const Covariance found = covariance({{values.data(), values.size()}, rows, columns}, options);
  if (!names.empty() && static_cast<int64_t>(names.size()) != found.variables)
    user_error("invalid names=: expected {} names, one a variable, not {}", found.variables,
               names.size());
  CovarianceView view;
  view.covariance = &found;
  view.names = names;
  return described_result(covariance_result(view, pairs));
}

void bind_covariance(nb::module_& module) {
  module.def(
      "covariance", &covariance_of, nb::arg("matrix"), nb::kw_only(), nb::arg("rowvar") = true,
      nb::arg("bias") = false, nb::arg("ddof") = nb::none(), nb::arg("fweights") = nb::none(),
      nb::arg("aweights") = nb::none(), nb::arg("names") = std::vector<std::string>{},
      nb::arg("pairs") = 10,
      nb::sig("def covariance(matrix: numpy.typing.ArrayLike, *, rowvar: bool = True, bias: bool = "
              "False, ddof: int | None = None, fweights: numpy.typing.NDArray[numpy.int64] | None "
              "= None, aweights: numpy.typing.ArrayLike | None = None, names: "
              "collections.abc.Sequence[str] = (), pairs: int = 10) -> Result"),
      R"(Covariance matrix with NumPy's meaning of every argument (numpy.cov), and its page.

`names`: of the variables. `pairs`: number of the most correlated pairs to list.)");
}

Stimuli stimuli_of(const Model& model, const BatchArg& texts,
                   const std::vector<std::string>& groups, StimulusContext context) {
  if (nb::len(texts) == 0 || !PyUnicode_Check(nb::object(texts[0]).ptr()))
    return {batch_of(model, texts), groups};
  Stimuli stimuli =
      encode_stimuli(model.tokenizer(), nb::cast<std::vector<std::string>>(texts), groups, context);
  stimuli.before = model.frame().before;
  return stimuli;
}

void bind_predictivity(nb::module_& module) {
  module.def(
      "predictivity",
      [](const Model& model, const BatchArg& texts, const ArrayArg& responses,
         std::vector<std::string> groups, std::vector<std::string> neuroids,
         std::vector<std::string> subjects, std::vector<double> ceilings,
         std::vector<std::string> sites, const std::string& context, const std::string& method,
         std::optional<std::vector<double>> alphas, std::optional<std::string> choice, int folds,
         const std::string& fold_kind, uint64_t seed, std::vector<uint64_t> control_seeds,
         int bootstraps, const nb::object& edits, const nb::object& progress) {
        PredictivityOptions options;
        options.features.context = stimulus_context_from_name(context);
        options.features.sites = std::move(sites);
        options.features.edits = edits_of(model, edits);
        options.regression.method = regression_from_name(method);
        if ((alphas || choice) && options.regression.method != Regression::kRidge)
          user_error("invalid {}= with method='{}': only 'ridge' uses it",
                     alphas ? "alphas" : "choice", method);
        if (alphas) options.regression.alphas = std::move(*alphas);
        if (choice) options.regression.choice = alpha_choice_from_name(*choice);
        options.folds = folds;
        options.fold_kind = fold_kind_from_name(fold_kind);
        options.seed = seed;
        options.control_seeds = std::move(control_seeds);
        options.bootstraps = bootstraps;
        PythonProgress report(progress);
        options.progress = &report;
        const Stimuli stimuli = stimuli_of(model, texts, groups, options.features.context);
        Responses measured;
        measured.values = float64_tensor(numbers_of(responses, 2, "responses"));
        measured.neuroids = std::move(neuroids);
        measured.subjects = std::move(subjects);
        measured.ceilings = std::move(ceilings);
        const nb::gil_scoped_release release;
        return described_result(
            predictivity_result(predictivity(model, stimuli, measured, options)), model);
      },
      nb::arg("model"), nb::arg("texts"), nb::arg("responses"), nb::kw_only(), nb::arg("groups"),
      nb::arg("neuroids") = std::vector<std::string>{},
      nb::arg("subjects") = std::vector<std::string>{}, nb::arg("ceilings") = std::vector<double>{},
      nb::arg("sites") = FeatureOptions{}.sites, nb::arg("context") = "group",
      nb::arg("method") = "ridge", nb::arg("alphas") = nb::none(), nb::arg("choice") = nb::none(),
      nb::arg("folds") = 5, nb::arg("fold_kind") = "grouped", nb::arg("seed") = 0,
      nb::arg("control_seeds") = std::vector<uint64_t>{0}, nb::arg("bootstraps") = 1000,
      nb::arg("edits") = nb::tuple(), nb::arg("progress") = nb::none(),
      nb::sig(
          "def predictivity(model: Model, texts: vitrine.types.Prompts, responses: "
          "numpy.typing.ArrayLike, *, groups: collections.abc.Sequence[str], neuroids: "
          "collections.abc.Sequence[str] = (), subjects: collections.abc.Sequence[str] = (), "
          "ceilings: collections.abc.Sequence[float] = (), sites: collections.abc.Sequence[str] = "
          "('blocks.0.hook_resid_pre', 'blocks.*.hook_resid_post'), context: str = 'group', "
          "method: str = 'ridge', alphas: collections.abc.Sequence[float] | None = None, choice: "
          "str | None = None, folds: int = 5, fold_kind: str = 'grouped', seed: int = 0, "
          "control_seeds: collections.abc.Sequence[int] = (0,), bootstraps: int = 1000, edits: "
          "vitrine.types.Edits = (), progress: vitrine.types.Progress | None = None) -> Result"),
      R"(How well activations at each stimulus's last token predict measured responses [N, Q].

`groups`: story or passage of each of the N texts; `context`: "group" puts the earlier texts of the group
before a text, "none" nothing. `neuroids`, `subjects`, `ceilings`: of each column. `method`: "ridge" with
`alphas` and `choice` ("gcv", "loo"), or "ols". `fold_kind`: "grouped" or "shuffled". `control_seeds`:
untrained models for comparison. Intervals are 95 %, from `bootstraps` draws.)");
}

}  // namespace

void bind_data_analyses(nb::module_& module) {
  bind_similarity(module);
  bind_factors(module);
  bind_concepts(module);
  bind_covariance(module);
  bind_predictivity(module);
}

}  // namespace vitrine::python
