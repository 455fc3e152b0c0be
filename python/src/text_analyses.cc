// SPDX-License-Identifier: MIT
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "base/check.h"
#include "python/src/arguments.h"
#include "python/src/bindings.h"
#include "python/src/generation.h"
#include "python/src/hooks.h"
#include "python/src/model.h"
#include "python/src/results.h"
#include "report/results/results.h"
#include "vitrine/analysis/attribution.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/analysis/noise.h"
#include "vitrine/analysis/saliency.h"
#include "vitrine/analysis/score.h"

// What is computed from one text: lens, saliency, attribution, noise, scores.

namespace vitrine::python {
using namespace internal;
namespace {

/// Rows of Lens, whose row 0 is what enters the first block: layers count from 0.
Indices<int> lens_rows(const nb::object& layers, LensSource of, int count) {
  Indices<int> rows;
  if (layers.is_none()) return rows;
  const bool residual = of == LensSource::kResidual;
  const auto add = [&](nb::handle item) {
    if (residual && PyUnicode_Check(item.ptr())) {
      const auto name = nb::cast<std::string>(item);
      if (name != "embed" && name != "logits")
        user_error("invalid layers='{}': expected a layer, 'embed' or 'logits'", name);
      rows.add(name == "embed" ? 0 : count);
      return;
    }
    const auto refuse = [&](int layer) {
      user_error("layers={} is out of range: expected 0..{}{}", layer, count - 1,
                 residual ? ", 'embed' or 'logits'" : "");
    };
    for (const int layer : indices_of<int>(item, "layers").resolve(0, count, refuse))
      rows.add(layer + 1);
  };
  if (PyUnicode_Check(layers.ptr()) || !PySequence_Check(layers.ptr())) {
    add(layers);
  } else {
    for (const nb::handle item : layers) add(item);
  }
  return rows;
}

LensOptions lens_options(const Model& model, const std::string& mode, const std::string& of,
                         const std::optional<std::filesystem::path>& translators, int top_k,
                         const nb::object& watch, const nb::object& layers, bool kl,
                         const nb::object& edits) {
  LensOptions options;
  options.mode = lens_mode_from_name(mode);
  options.of = lens_source_from_name(of);
  if (translators) options.tuned = load_tuned_lens(*translators, model);
  if (translators && options.mode != LensMode::kTuned)
    user_error("invalid translators= with mode='{}': only mode='tuned' uses them", mode);
  options.top_k = top_k;
  options.watch = tokens_of(model, watch);
  options.layers = lens_rows(layers, options.of, model.config().layers);
  options.kl = kl;
  options.edits = edits_of(model, edits);
  return options;
}

void bind_lens(nb::module_& module) {
  module.def(
      "lens",
      [](const Model& model, const PromptArg& prompt, const std::string& mode,
         const std::string& of, const std::optional<std::filesystem::path>& translators, int top_k,
         const TokensArg& watch, const nb::object& target, const IndicesArg& positions,
         const nb::object& layers, bool kl, const nb::object& edits, const nb::object& progress) {
        const std::vector<int32_t> ids = ids_of(model, prompt);
        LensOptions options =
            lens_options(model, mode, of, translators, top_k, watch, layers, kl, edits);
        options.positions = indices_of<int64_t>(positions, "positions");
        if (!target.is_none()) options.target = token_of(model, target);
        PythonProgress report(progress);
        options.progress = &report;
        const nb::gil_scoped_release release;
        return described_result(lens_result(lens(model, ids, options), PageSource::of(model)),
                                model);
      },
      nb::arg("model"), nb::arg("prompt"), nb::kw_only(), nb::arg("mode") = "normalized",
      nb::arg("of") = "residual", nb::arg("translators") = nb::none(), nb::arg("top_k") = 5,
      nb::arg("watch") = nb::none(), nb::arg("target") = nb::none(),
      nb::arg("positions") = nb::none(), nb::arg("layers") = nb::none(), nb::arg("kl") = false,
      nb::arg("edits") = nb::tuple(), nb::arg("progress") = nb::none(),
      nb::sig("def lens(model: Model, prompt: vitrine.types.Prompt, *, mode: str = 'normalized', "
              "of: str = 'residual', translators: vitrine.types.Path | None = None, top_k: int "
              "= 5, watch: vitrine.types.Tokens | None = None, target: str | int | None = None, "
              "positions: vitrine.types.Indices | None = None, layers: vitrine.types.Layers | None "
              "= None, kl: bool = False, edits: vitrine.types.Edits = (), progress: "
              "vitrine.types.Progress | None = None) -> Result"),
      R"(Logit lens: next-token distributions decoded from the residual stream after each layer.

`mode`: "normalized" (nostalgebraist 2020), "ecco" (without the final layernorm but in the last row),
"tuned" (Belrose et al. 2023) with the folder `translators`. `of`: "residual", "attention" or "mlp".
`watch`: tokens looked up in every cell. `target`: the token of the last position, elsewhere the next
token of the text is it. `layers`: layers from 0, "embed", "logits". `kl`: KL from the model's output.)");
  module.def(
      "rankings",
      [](const Model& model, const PromptArg& prompt, int max_new_tokens,
         const nb::kwargs& arguments) {
        const std::vector<int32_t> ids = ids_of(model, prompt);
        Keywords keywords(arguments);
        std::string mode = "normalized", of = "residual";
        std::optional<std::filesystem::path> translators;
        int lens_top_k = 5;
        bool kl = false;
        keywords.take("mode", mode);
        keywords.take("of", of);
        keywords.take("translators", translators);
        keywords.take("lens_top_k", lens_top_k);
        keywords.take("kl", kl);
        const nb::object watch = keywords.take("watch"), layers = keywords.take("layers"),
                         edits = keywords.take("edits", nb::tuple());
        LensOptions look =
            lens_options(model, mode, of, translators, lens_top_k, watch, layers, kl, edits);
        refuse_unused_sampling(keywords);
        const GenerateOptions generation = generate_options(model, max_new_tokens, keywords, 1);
        keywords.finish();
        PythonProgress report{nb::none()};
        look.progress = &report;
        const nb::gil_scoped_release release;
        return described_result(
            rankings_result(rankings(model, ids, generation, look), PageSource::of(model)), model);
      },
      nb::arg("model"), nb::arg("prompt"), nb::arg("max_new_tokens") = 32, nb::arg("arguments"),
      nb::sig(
          "def rankings(model: Model, prompt: vitrine.types.Prompt, max_new_tokens: int = 32, "
          "*, " VITRINE_SAMPLING_TYPES
          "mode: str = 'normalized', of: str = 'residual', translators: vitrine.types.Path | "
          "None = None, lens_top_k: int = 5, watch: vitrine.types.Tokens | None = None, layers: "
          "vitrine.types.Layers | None = None, kl: bool = False, edits: vitrine.types.Edits = "
          "()) -> Result"),
      "The lens over a generation: the rank of each generated token at each layer (Ecco's "
      "rankings).\n"
      "Generation options as Model.generate, the others as lens().");
}

/// "zero", "mean", "delete", a token, or embeddings.
Replacement replacement_of(const Model& model, const nb::object& value) {
  if (PyUnicode_Check(value.ptr())) {
    const auto name = nb::cast<std::string>(value);
    if (name == "zero") return {.kind = Replacement::Kind::kZero};
    if (name == "mean") return {.kind = Replacement::Kind::kMean};
    if (name == "delete") return {.kind = Replacement::Kind::kDelete};
    return {.kind = Replacement::Kind::kToken, .token = token_of(model, value)};
  }
  if (PyLong_Check(value.ptr()))
    return {.kind = Replacement::Kind::kToken, .token = token_of(model, value)};
  return {.kind = Replacement::Kind::kTensor, .tensor = tensor_of(value)};
}

/// Refuses what the method does not use.
struct MethodArguments {
  const std::string& method;

  template <typename Value>
  bool use(const Value& value, const char* name, std::initializer_list<const char*> methods) const {
    bool given;
    if constexpr (std::is_base_of_v<nb::handle, Value>)
      given = !value.is_none();
    else
      given = value.has_value();
    if (!given) return false;
    std::string known;
    for (const char* each : methods) {
      if (method == each) return true;
      known += (known.empty() ? "" : " or ") + std::string(each);
    }
    user_error("invalid {}= with method='{}': only {} uses it", name, method, known);
  }
};

constexpr const char* kIntegrated = "integrated-gradients";
constexpr const char* kSmooth = "smooth-grad";

struct SaliencyArguments {
  std::optional<std::string> rule;
  std::optional<int> steps;
  nb::object baseline, mask;
  std::optional<int> samples;
  std::optional<double> noise;
  std::optional<bool> times_input;
  std::optional<uint64_t> seed;
};

void add_method(SaliencyOptions& options, const Model& model, const std::string& method,
                const SaliencyArguments& args) {
  options.method = saliency_method_from_name(method);
  const MethodArguments given{method};
  if (given.use(args.rule, "rule", {kIntegrated}))
    options.integrated.rule = quadrature_from_name(*args.rule);
  if (given.use(args.steps, "steps", {kIntegrated})) options.integrated.steps = *args.steps;
  if (given.use(args.baseline, "baseline", {kIntegrated}))
    options.integrated.baseline = replacement_of(model, args.baseline);
  if (given.use(args.mask, "mask", {"occlusion", "span-occlusion"}))
    options.mask = replacement_of(model, args.mask);
  if (given.use(args.samples, "samples", {kSmooth})) options.smooth.samples = *args.samples;
  if (given.use(args.noise, "noise", {kSmooth})) options.smooth.noise = *args.noise;
  if (given.use(args.times_input, "times_input", {kSmooth}))
    options.smooth.times_input = *args.times_input;
  if (given.use(args.seed, "seed", {kSmooth, "span-occlusion"}))
    options.smooth.seed = options.spans.seed = *args.seed;
}

void bind_saliency(nb::module_& module) {
  module.def(
      "saliency",
      [](const Model& model, const PromptArg& prompt, const std::string& method,
         const std::string& value, const nb::object& target, const nb::object& continuation,
         std::optional<int> max_new_tokens, const nb::object& contrast,
         std::optional<std::string> rule, std::optional<int> steps, const nb::object& baseline,
         const nb::object& mask, std::optional<int> samples, std::optional<double> noise,
         std::optional<bool> times_input, std::optional<uint64_t> seed, const nb::object& edits,
         const nb::object& progress) {
        const std::vector<int32_t> ids = ids_of(model, prompt);
        SaliencyOptions options;
        add_method(options, model, method,
                   {std::move(rule), steps, baseline, mask, samples, noise, times_input, seed});
        options.value = saliency_value_from_name(value);
        if (!target.is_none()) options.target = token_of(model, target);
        if (!continuation.is_none()) options.continuation = continuation_of(model, continuation);
        if (max_new_tokens)
          options.generate = {.max_new_tokens = *max_new_tokens, .stop_ids = model.end_ids()};
        if (!contrast.is_none()) options.contrast = token_of(model, contrast);
        options.edits = edits_of(model, edits);
        PythonProgress report(progress);
        options.progress = &report;
        const nb::gil_scoped_release release;
        return described_result(
            saliency_result(saliency(model, ids, options), PageSource::of(model)), model);
      },
      nb::arg("model"), nb::arg("prompt"), nb::kw_only(), nb::arg("method") = "grad-x-input",
      nb::arg("value") = "logit", nb::arg("target") = nb::none(),
      nb::arg("continuation") = nb::none(), nb::arg("max_new_tokens") = nb::none(),
      nb::arg("contrast") = nb::none(), nb::arg("rule") = nb::none(), nb::arg("steps") = nb::none(),
      nb::arg("baseline") = nb::none(), nb::arg("mask") = nb::none(),
      nb::arg("samples") = nb::none(), nb::arg("noise") = nb::none(),
      nb::arg("times_input") = nb::none(), nb::arg("seed") = nb::none(),
      nb::arg("edits") = nb::tuple(), nb::arg("progress") = nb::none(),
      nb::sig(
          "def saliency(model: Model, prompt: vitrine.types.Prompt, *, method: str = "
          "'grad-x-input', value: str = 'logit', target: str | int | None = None, continuation: "
          "vitrine.types.Prompt | None = None, max_new_tokens: int | None = None, contrast: str | "
          "int | None = None, rule: str | None = None, steps: int | None = None, baseline: "
          "vitrine.types.Replacement | None = None, mask: vitrine.types.Replacement | None = None, "
          "samples: int | None = None, noise: float | None = None, times_input: bool | None = "
          "None, seed: int | None = None, edits: vitrine.types.Edits = (), progress: "
          "vitrine.types.Progress | None = None) -> Result"),
      R"(Importance of each input token for a predicted token.

`method`: "grad-x-input", "gradient-norm", "smooth-grad", "integrated-gradients", "occlusion" or
"span-occlusion". `value`: "logit", "log-prob" or "prob". What is predicted: `target`, a token;
`continuation`, a step for each of its tokens; `max_new_tokens`, a step for each generated token; by
default the model's own next token. `contrast`: a token whose value is subtracted.

Of integrated gradients: `rule` ("gauss-legendre", "trapezoid", "left", "right"), `steps` (50) and
`baseline` ("zero"). Of both occlusions: `mask` ("mean"). Of smooth-grad: `samples` (25), `noise` (0.1),
`times_input` (True) and, also of span-occlusion, `seed` (0). A baseline or mask is "zero", "mean",
"delete", a token or embeddings. What the method does not use is refused.)");
}

void bind_attribution(nb::module_& module) {
  module.def(
      "logit_attribution",
      [](const Model& model, const PromptArg& prompt, const TokensArg& target,
         const TokensArg& against, int64_t position, int neurons, const nb::object& edits) {
        const std::vector<int32_t> ids = ids_of(model, prompt);
        AttributionOptions options;
        options.target = tokens_of(model, target);
        options.against = tokens_of(model, against);
        options.position = position;
        options.neurons = neurons;
        options.edits = edits_of(model, edits);
        const nb::gil_scoped_release release;
        return described_result(
            attribution_result(logit_attribution(model, ids, options), PageSource::of(model)),
            model);
      },
      nb::arg("model"), nb::arg("prompt"), nb::kw_only(), nb::arg("target") = nb::none(),
      nb::arg("against") = nb::none(), nb::arg("position") = -1, nb::arg("neurons") = 0,
      nb::arg("edits") = nb::tuple(),
      nb::sig("def logit_attribution(model: Model, prompt: vitrine.types.Prompt, *, target: "
              "vitrine.types.Tokens | None = None, against: vitrine.types.Tokens | None = None, "
              "position: int = -1, neurons: int = 0, edits: vitrine.types.Edits = ()) -> Result"),
      "A logit, or a difference of two, as a sum over embeddings, heads, biases and MLPs (Elhage "
      "et\n"
      "al. 2021). `neurons`: number of single MLP neurons to list.");
}

void bind_scores(nb::module_& module) {
  module.def(
      "score",
      [](const Model& model, const PromptArg& prompt, int64_t window, int64_t stride,
         const nb::object& prepend, const nb::object& edits, const nb::object& progress) {
        const std::vector<int32_t> ids = ids_of(model, prompt);
        ScoreOptions options;
        options.window = window;
        options.stride = stride;
        if (!prepend.is_none()) options.prepend = token_of(model, prepend);
        options.edits = edits_of(model, edits);
        PythonProgress report(progress);
        options.progress = &report;
        const nb::gil_scoped_release release;
        return described_result(score_result(score(model, ids, options), PageSource::of(model)),
                                model);
      },
      nb::arg("model"), nb::arg("prompt"), nb::kw_only(), nb::arg("window") = 0,
      nb::arg("stride") = 0, nb::arg("prepend") = nb::none(), nb::arg("edits") = nb::tuple(),
      nb::arg("progress") = nb::none(),
      nb::sig("def score(model: Model, prompt: vitrine.types.Prompt, *, window: int = 0, stride: "
              "int = 0, prepend: str | int | None = None, edits: vitrine.types.Edits = (), "
              "progress: vitrine.types.Progress | None = None) -> Result"),
      R"(-log p of each token of a text of any length, in nats, with entropy and rank.

`window`: tokens a pass reads (0: the context); `stride`: tokens between windows (0: half of it).
`prepend`: a token placed before the text, such as model.tokenizer.end_of_text, so that the first token
is scored as well.)");
  module.def(
      "score_words",
      [](const Model& model, const std::string& text, const std::string& boundary, int64_t window,
         int64_t stride, const nb::object& prepend, const nb::object& edits) {
        ScoreOptions options;
        options.window = window;
        options.stride = stride;
        if (!prepend.is_none()) options.prepend = token_of(model, prepend);
        options.edits = edits_of(model, edits);
        const nb::gil_scoped_release release;
        return described_result(
            word_score_result(score_words(model, text, word_boundary_from_name(boundary), options),
                              PageSource::of(model)),
            model);
      },
      nb::arg("model"), nb::arg("text"), nb::kw_only(), nb::arg("boundary") = "leading",
      nb::arg("window") = 0, nb::arg("stride") = 0, nb::arg("prepend") = nb::none(),
      nb::arg("edits") = nb::tuple(),
      nb::sig("def score_words(model: Model, text: str, *, boundary: str = 'leading', window: int "
              "= 0, stride: int = 0, prepend: str | int | None = None, edits: vitrine.types.Edits "
              "= ()) -> Result"),
      "Surprisal of each word. `boundary`: \"leading\" sums a word's tokens; \"trailing\" counts "
      "the\n"
      "space after the word instead of the one before (Pimentel & Meister 2024).");
}

/// Refuses an argument that none of the requested kinds uses; no kinds are all of them.
void refuse_unused_noise(bool given, const char* name, const std::vector<NoiseKind>& kinds,
                         std::initializer_list<NoiseKind> using_it) {
  const auto uses = [&](NoiseKind kind) {
    return std::find(using_it.begin(), using_it.end(), kind) != using_it.end();
  };
  if (!given || kinds.empty() || std::any_of(kinds.begin(), kinds.end(), uses)) return;
  std::string known;
  for (const NoiseKind kind : using_it)
    known += (known.empty() ? "'" : ", '") + std::string(noise_kind_name(kind)) + "'";
  user_error("invalid {}= with kinds={}: only {} use it", name, noise_kind_name(kinds.front()),
             known);
}

void bind_noise(nb::module_& module) {
  module.def(
      "noise",
      [](const Model& model, const PromptArg& prompt, const std::vector<std::string>& kinds,
         int repetitions, std::optional<double> budget, uint64_t seed, const nb::object& mask,
         const nb::object& continuation, const nb::object& edits, const nb::object& progress) {
        const std::vector<int32_t> ids = ids_of(model, prompt);
        NoiseOptions options;
        for (const std::string& kind : kinds) options.kinds.push_back(noise_kind_from_name(kind));
        options.repetitions = repetitions;
        using enum NoiseKind;
        refuse_unused_noise(budget.has_value(), "budget", options.kinds,
                            {kSpans, kScattered, kTokenMasking, kTokenDeletion, kTextInfilling});
        refuse_unused_noise(!mask.is_none(), "mask", options.kinds,
                            {kSpans, kScattered, kTokenMasking, kTextInfilling});
        if (budget) options.budget = *budget;
        options.seed = seed;
        if (!mask.is_none()) options.mask = replacement_of(model, mask);
        if (!continuation.is_none()) options.continuation = continuation_of(model, continuation);
        options.edits = edits_of(model, edits);
        PythonProgress report(progress);
        options.progress = &report;
        const nb::gil_scoped_release release;
        return described_result(noise_result(noise(model, ids, options), PageSource::of(model)),
                                model);
      },
      nb::arg("model"), nb::arg("prompt"), nb::kw_only(),
      nb::arg("kinds") = std::vector<std::string>{}, nb::arg("repetitions") = 50,
      nb::arg("budget") = nb::none(), nb::arg("seed") = 0, nb::arg("mask") = nb::none(),
      nb::arg("continuation") = nb::none(), nb::arg("edits") = nb::tuple(),
      nb::arg("progress") = nb::none(),
      nb::sig(
          "def noise(model: Model, prompt: vitrine.types.Prompt, *, kinds: "
          "collections.abc.Sequence[str] = (), repetitions: int = 50, budget: float | None = None, "
          "seed: int = 0, mask: vitrine.types.Replacement | None = None, continuation: "
          "vitrine.types.Prompt | None = None, edits: vitrine.types.Edits = (), progress: "
          "vitrine.types.Progress | None = None) -> Result"),
      R"(What corrupting a prompt as denoising pre-training does changes (SpanBERT's and BART's noises).

`kinds`: of "spans", "scattered", "token-masking", "token-deletion", "text-infilling",
"sentence-permutation" and "rotation"; empty: all. `budget`: share of the tokens (0.15). `mask`: what replaces a
token ("mean"). Both are refused where no kind uses them.)");
}

}  // namespace

void bind_text_analyses(nb::module_& module) {
  bind_lens(module);
  bind_saliency(module);
  bind_attribution(module);
  bind_scores(module);
  bind_noise(module);
}

}  // namespace vitrine::python
