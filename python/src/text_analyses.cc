// SPDX-License-Identifier: MIT
#include <algorithm>

#include "base/check.h"
#include "python/src/analysis.h"
#include "python/src/bindings.h"
#include "python/src/generation.h"
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

/// Those of lens() and rankings(). `look`: the place of their LensOptions.
template <typename Values, typename Look>
void add_look(Parameters<Values>& parameters, const char* top_k, Look look) {
  parameters.named("mode", at(look, &LensOptions::mode), lens_mode_from_name, lens_mode_name)
      .named("of", at(look, &LensOptions::of), lens_source_from_name, lens_source_name)
      .add({"translators", "vitrine.types.Path | None", "None", true},
           [look](Call& call, Values& v, const nb::object& given) {
             LensOptions& options = std::invoke(look, v);
             refuse_unused(call, "translators", "mode", lens_mode_name(options.mode), {"tuned"});
             const auto folder =
                 Conversion<std::filesystem::path>::from(call, given, "translators");
             const nb::gil_scoped_release release;
             options.tuned = load_tuned_lens(folder, call.model());
           })
      .value(top_k, at(look, &LensOptions::top_k))
      .tokens("watch", at(look, &LensOptions::watch))
      .add({"layers", "vitrine.types.Layers | None", "None", true},
           [look](Call& call, Values& v, const nb::object& given) {
             LensOptions& options = std::invoke(look, v);
             options.layers = lens_rows(given, options.of, call.model().config().layers);
           })
      .value("kl", at(look, &LensOptions::kl))
      .edits(at(look, &LensOptions::edits));
}

void bind_lens(nb::module_& module) {
  using Values = OfPrompt<LensOptions>;
  auto parameters = model_parameters<Values>();
  parameters.prompt("prompt", &Values::ids).keywords();
  add_look(parameters, "top_k", [](Values& v) -> LensOptions& { return v; });
  parameters.token("target", &Values::target)
      .value("positions", &Values::positions)
      .progress(&Values::progress);
  bind_analysis(
      module, "lens", parameters,
      R"(Logit lens: next-token distributions decoded from the residual stream after each layer.

`mode`: "normalized" (nostalgebraist 2020), "ecco" (without the final layernorm but in the last row),
"tuned" (Belrose et al. 2023) with the folder `translators`. `of`: "residual", "attention" or "mlp".
`watch`: tokens looked up in every cell. `target`: the token of the last position, elsewhere the next
token of the text is it. `layers`: layers from 0, "embed", "logits". `kl`: KL from the model's output.)",
      [](const Call& call, const Values& v) {
        return lens_result(lens(call.model(), v.ids, v), PageSource::of(call.model()));
      });
}

void bind_rankings(nb::module_& module) {
  struct Values : GenerationValues {
    LensOptions look;
  };
  auto parameters = model_parameters<Values>();
  add_prompt(parameters);
  add_sampling(parameters);
  add_penalties(parameters);
  add_look(parameters, "lens_top_k", &Values::look);
  parameters.progress(at(&Values::look, &LensOptions::progress));
  bind_analysis(
      module, "rankings", parameters,
      R"(The lens over a generation: the rank of each generated token at each layer (Ecco's rankings).
Generation options as Model.generate, the others as lens().)",
      [](const Call& call, Values& v) {
        complete(v, call);
        return rankings_result(rankings(call.model(), v.prompt(), v.generation, v.look),
                               PageSource::of(call.model()));
      });
}

/// "zero", "mean", "delete", a token, or embeddings.
Replacement replacement_of(const Model& model, const nb::object& value, const char* name) {
  if (PyUnicode_Check(value.ptr())) {
    const auto word = nb::cast<std::string>(value);
    if (word == "zero") return {.kind = Replacement::Kind::kZero};
    if (word == "mean") return {.kind = Replacement::Kind::kMean};
    if (word == "delete") return {.kind = Replacement::Kind::kDelete};
    return {.kind = Replacement::Kind::kToken, .token = token_of(model, value)};
  }
  if (is_integer(value.ptr()))
    return {.kind = Replacement::Kind::kToken, .token = token_of(model, value)};
  return {.kind = Replacement::Kind::kTensor, .tensor = tensor_of(value, name)};
}

template <typename Values, typename Place>
void add_replacement(Parameters<Values>& parameters, const char* name, Place place) {
  parameters.add({name, "vitrine.types.Replacement | None", "None", true},
                 [name, place](Call& call, Values& v, const nb::object& given) {
                   std::invoke(place, v) = replacement_of(call.model(), given, name);
                 });
}

struct SaliencyValues : OfPrompt<SaliencyOptions> {
  std::optional<int> max_new_tokens;
};

Parameters<SaliencyValues> saliency_parameters() {
  using Values = SaliencyValues;
  using Integrated = IntegratedGradientsOptions;
  using Smooth = SmoothGradOptions;
  auto parameters = model_parameters<Values>();
  parameters.prompt("prompt", &Values::ids)
      .keywords()
      .named("method", &Values::method, saliency_method_from_name, saliency_method_name)
      .named("value", &Values::value, saliency_value_from_name, saliency_value_name)
      .token("target", &Values::target)
      .continuation("continuation", &Values::continuation)
      .value("max_new_tokens", &Values::max_new_tokens)
      .token("contrast", &Values::contrast)
      .continuation("contrast_text", &Values::contrast_text)
      .maybe_named("rule", at(&Values::integrated, &Integrated::rule), quadrature_from_name)
      .maybe("steps", at(&Values::integrated, &Integrated::steps));
  add_replacement(parameters, "baseline", at(&Values::integrated, &Integrated::baseline));
  add_replacement(parameters, "mask", &Values::mask);
  parameters.maybe("samples", at(&Values::smooth, &Smooth::samples))
      .maybe("noise", at(&Values::smooth, &Smooth::noise))
      .maybe("times_input", at(&Values::smooth, &Smooth::times_input))
      .maybe("seed", at(&Values::smooth, &Smooth::seed))
      .edits(&Values::edits)
      .progress(&Values::progress);
  return parameters;
}

Result saliency_of(const Call& call, SaliencyValues& v) {
  constexpr std::string_view kIntegrated = "integrated-gradients", kSmooth = "smooth-grad",
                             kSpans = "span-occlusion";
  const auto used_by = [&](const char* name, std::initializer_list<std::string_view> methods) {
    refuse_unused(call, name, "method", saliency_method_name(v.method), methods);
  };
  for (const char* name : {"rule", "steps", "baseline"}) used_by(name, {kIntegrated});
  for (const char* name : {"samples", "noise", "times_input"}) used_by(name, {kSmooth});
  used_by("mask", {"occlusion", kSpans});
  used_by("seed", {kSmooth, kSpans});
  v.spans.seed = v.smooth.seed;
  if (v.max_new_tokens)
    v.generate = {.max_new_tokens = *v.max_new_tokens, .stop_ids = call.model().end_ids()};
  return saliency_result(saliency(call.model(), v.ids, v), PageSource::of(call.model()));
}

constexpr const char* kSaliencyDoc = R"(Importance of each input token for a predicted token.

`method`: "grad-x-input", "gradient-norm", "smooth-grad", "integrated-gradients", "occlusion" or
"span-occlusion". `value`: "logit", "log-prob" or "prob". What is predicted: `target`, a token;
`continuation`, a step for each of its tokens; `max_new_tokens`, a step for each generated token; by
default the model's own next token. `contrast`: a token whose value is subtracted; `contrast_text`: one
for each step, a text or ids as long as the steps.

Of integrated gradients: `rule` ("gauss-legendre", "trapezoid", "left", "right"), `steps` (50) and
`baseline` ("zero"). Of both occlusions: `mask` ("mean"). Of smooth-grad: `samples` (25), `noise` (0.1),
`times_input` (True) and, also of span-occlusion, `seed` (0). A baseline or mask is "zero", "mean",
"delete", a token or embeddings. What the method does not use is refused.)";

void bind_attribution(nb::module_& module) {
  using Values = OfPrompt<AttributionOptions>;
  auto parameters = model_parameters<Values>();
  parameters.prompt("prompt", &Values::ids)
      .keywords()
      .tokens("target", &Values::target)
      .tokens("against", &Values::against)
      .value("position", &Values::position)
      .value("neurons", &Values::neurons)
      .edits(&Values::edits);
  bind_analysis(
      module, "logit_attribution", parameters,
      R"(A logit, or a difference of two, as a sum over embeddings, heads, biases and MLPs (Elhage et
al. 2021). `neurons`: number of single MLP neurons to list.)",
      [](const Call& call, const Values& v) {
        return attribution_result(logit_attribution(call.model(), v.ids, v),
                                  PageSource::of(call.model()));
      });
}

template <typename Values>
void add_windows(Parameters<Values>& parameters) {
  parameters.value("window", &Values::window)
      .value("stride", &Values::stride)
      .token("prepend", &Values::prepend)
      .edits(&Values::edits)
      .progress(&Values::progress);
}

void bind_score(nb::module_& module) {
  using Values = OfPrompt<ScoreOptions>;
  auto parameters = model_parameters<Values>();
  parameters.prompt("prompt", &Values::ids).keywords();
  add_windows(parameters);
  bind_analysis(module, "score", parameters,
                R"(-log p of each token of a text of any length, in nats, with entropy and rank.

`window`: tokens a pass reads (0: the context); `stride`: tokens between windows (0: half of it).
`prepend`: a token placed before the text, such as model.tokenizer.end_of_text, so that the first token
is scored as well.)",
                [](const Call& call, const Values& v) {
                  return score_result(score(call.model(), v.ids, v), PageSource::of(call.model()));
                });
}

void bind_score_words(nb::module_& module) {
  struct Values : ScoreOptions {
    std::string text;
    WordBoundary boundary = WordBoundary::kLeading;
  };
  auto parameters = model_parameters<Values>();
  parameters.required("text", &Values::text)
      .keywords()
      .named("boundary", &Values::boundary, word_boundary_from_name, word_boundary_name);
  add_windows(parameters);
  bind_analysis(
      module, "score_words", parameters,
      R"(Surprisal of each word. `boundary`: "leading" sums a word's tokens; "trailing" counts the
space after the word instead of the one before (Pimentel & Meister 2024). The others: see score().)",
      [](const Call& call, const Values& v) {
        return word_score_result(score_words(call.model(), v.text, v.boundary, v),
                                 PageSource::of(call.model()));
      });
}

void bind_windows(nb::module_& module) {
  using Values = WindowedText;
  auto parameters = model_parameters<Values>();
  parameters.prompt("prompt", &Values::ids)
      .required("window", &Values::window)
      .maybe("stride", &Values::stride);
  bind_analysis(
      module, "windows", parameters,
      R"(Training windows of a text: `window` tokens each and, of each token, the next one as its target.

Window k begins at k * `stride` (None: the window). Tokens after the last full window are left out. The
arrays of the result are [windows, window].)",
      [](const Call& call, Values& v) {
        if (!call.has("stride")) v.stride = v.window;
        return windows_result(v, PageSource::of(call.model()));
      });
}

/// Refuses an argument that none of the requested kinds uses; no kinds are all of them.
void refuse_unused_noise(const Call& call, const char* name, const std::vector<NoiseKind>& kinds,
                         std::initializer_list<NoiseKind> using_it) {
  const auto uses = [&](NoiseKind kind) {
    return std::find(using_it.begin(), using_it.end(), kind) != using_it.end();
  };
  if (!call.has(name) || kinds.empty() || std::any_of(kinds.begin(), kinds.end(), uses)) return;
  std::string known;
  for (const NoiseKind kind : using_it)
    known += (known.empty() ? "'" : ", '") + std::string(noise_kind_name(kind)) + "'";
  user_error("invalid {}= with kinds={}: only {} use it", name, noise_kind_name(kinds.front()),
             known);
}

void bind_noise(nb::module_& module) {
  struct Values : OfPrompt<NoiseOptions> {
    std::vector<std::string> names;
  };
  auto parameters = model_parameters<Values>();
  parameters.prompt("prompt", &Values::ids)
      .keywords()
      .value("kinds", &Values::names)
      .value("repetitions", &Values::repetitions)
      .maybe("budget", &Values::budget)
      .value("seed", &Values::seed);
  add_replacement(parameters, "mask", &Values::mask);
  parameters.continuation("continuation", &Values::continuation)
      .edits(&Values::edits)
      .progress(&Values::progress);
  bind_analysis(
      module, "noise", parameters,
      R"(What corrupting a prompt as denoising pre-training does changes (SpanBERT's and BART's noises).

`kinds`: of "spans", "scattered", "token-masking", "token-deletion", "text-infilling",
"sentence-permutation" and "rotation"; empty: all. `budget`: share of the tokens (0.15). `mask`: what replaces a
token ("mean"). Both are refused where no kind uses them.)",
      [](const Call& call, Values& v) {
        for (const std::string& kind : v.names) v.kinds.push_back(noise_kind_from_name(kind));
        using enum NoiseKind;
        refuse_unused_noise(call, "budget", v.kinds,
                            {kSpans, kScattered, kTokenMasking, kTokenDeletion, kTextInfilling});
        refuse_unused_noise(call, "mask", v.kinds,
                            {kSpans, kScattered, kTokenMasking, kTextInfilling});
        return noise_result(noise(call.model(), v.ids, v), PageSource::of(call.model()));
      });
}

}  // namespace

void bind_text_analyses(nb::module_& module) {
  bind_lens(module);
  bind_rankings(module);
  bind_analysis(module, "saliency", saliency_parameters(), kSaliencyDoc, &saliency_of);
  bind_attribution(module);
  bind_score(module);
  bind_score_words(module);
  bind_windows(module);
  bind_noise(module);
}

}  // namespace vitrine::python
