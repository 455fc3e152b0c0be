// SPDX-License-Identifier: MIT
#include "python/src/generation.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "base/check.h"
#include "python/src/arrays.h"
#include "python/src/bindings.h"
#include "python/src/hooks.h"
#include "python/src/immutable.h"
#include "python/src/shared_object.h"
#include "vitrine/analysis/choices.h"
#include "vitrine/beam_search.h"

namespace vitrine::python {
using namespace internal;
namespace {

/// The continuation of one prompt.
struct Continuation {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::vector<int32_t> prompt;
  Generation::Sequence found;
  std::optional<double> score = {};  ///< of a beam
  std::shared_ptr<const Captures> captured = {};
  int sequence = 0;

  SequenceCaptures captures() const {
    return {captured ? captured : std::make_shared<Captures>(), sequence};
  }
  /// Decoded together with the prompt, so that characters cut between tokens are whole.
  nb::object text() const {
    if (!tokenizer) user_error("this model has no tokenizer: use .ids");
    std::vector<int32_t> all = prompt;
    all.insert(all.end(), found.ids.begin(), found.ids.end());
    const size_t before = tokenizer->decode(prompt).size();
    const std::string text = tokenizer->decode(all).substr(before);
    return nb::steal(
        PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogateescape"));
  }
  int64_t tokens() const { return std::ssize(found.ids); }
  int64_t kept() const { return tokens() > 0 ? std::ssize(found.top_ids) / tokens() : 0; }
};

/// Calls a Python function for each token; None, like true, goes on.
std::function<bool(int, int32_t)> calling(const nb::object& on_token) {
  if (on_token.is_none()) return {};
  return [held = share(on_token)](int sequence, int32_t id) {
    const nb::gil_scoped_acquire gil;
    const nb::object answer = (*held)(sequence, id);
    return answer.is_none() || nb::cast<bool>(nb::bool_(answer));
  };
}

struct GenerateValues : GenerationValues {
  HookArgs hooks;
  nb::object on_token = nb::none();
  bool slide = false;
};

Parameters<GenerateValues> generate_parameters(bool batch) {
  using Values = GenerateValues;
  Parameters<Values> parameters;
  if (batch)
    parameters.batch("prompts", &Values::prompts)
        .value("max_new_tokens", at(&Values::generation, &GenerateOptions::max_new_tokens));
  else
    add_prompt(parameters);
  add_sampling(parameters);
  add_penalties(parameters);
  parameters
      .value("log_probabilities", at(&Values::generation, &GenerateOptions::log_probabilities))
      .value("slide", &Values::slide)
      .object("capture", "vitrine.types.Captured", "()", at(&Values::hooks, &HookArgs::capture))
      .object("edits", "vitrine.types.Edits", "()", at(&Values::hooks, &HookArgs::edits))
      .object("on_token", "collections.abc.Callable[[int, int], bool | None] | None", "None",
              &Values::on_token);
  return parameters;
}

std::vector<Continuation> run(const Call& call, GenerateValues& v) {
  const Model& model = call.model();
  complete(v, call);
  v.generation.on_token = calling(v.on_token);
  if (v.slide) v.generation.past_context = PastContext::kSlide;
  const Hooks hooks = hooks_of(model, v.hooks);
  Generation generation;
  {
    const nb::gil_scoped_release release;
    generation = generate(model, v.prompts, v.generation, hooks);
  }
  std::vector<Continuation> found;
  for (size_t i = 0; i < v.prompts.size(); ++i)
    found.push_back({.tokenizer = model.shared_tokenizer(),
                     .prompt = v.prompts[i],
                     .found = std::move(generation.sequences[i]),
                     .captured = generation.captures,
                     .sequence = static_cast<int>(i)});
  return found;
}

BeamEnd beam_end_of(const nb::object& early_stopping) {
  if (PyBool_Check(early_stopping.ptr()))
    return nb::cast<bool>(early_stopping) ? BeamEnd::kFull : BeamEnd::kHeuristic;
  if (shown(early_stopping) == "never") return BeamEnd::kNever;
  user_error("invalid early_stopping={}: expected False, True or 'never'",
             shown(nb::repr(early_stopping)));
}

struct BeamValues : GenerationValues {
  BeamOptions search;
  Hooks edits;
};

Parameters<BeamValues> beam_parameters() {
  using Values = BeamValues;
  Parameters<Values> parameters;
  add_prompt(parameters);
  parameters.value("beams", at(&Values::search, &BeamOptions::beams))
      .keywords()
      .value("results", at(&Values::search, &BeamOptions::results))
      .value("length_penalty", at(&Values::search, &BeamOptions::length_penalty))
      .add({"early_stopping", "bool | typing.Literal['never']", "False"},
           [](Call&, Values& v, const nb::object& given) { v.search.end = beam_end_of(given); });
  add_penalties(parameters);
  parameters.edits(&Values::edits);
  return parameters;
}

std::vector<Continuation> beams(const Call& call, BeamValues& v) {
  complete(v, call);
  std::vector<Beam> best;
  {
    const nb::gil_scoped_release release;
    best = beam_search(call.model(), v.prompt(), v.generation, v.search, v.edits);
  }
  std::vector<Continuation> found;
  for (Beam& beam : best) {
    Generation::Sequence sequence;
    sequence.ids = std::move(beam.ids);
    sequence.reason = beam.reason;
    found.push_back({.tokenizer = call.model().shared_tokenizer(),
                     .prompt = v.prompt(),
                     .found = std::move(sequence),
                     .score = beam.score});
  }
  return found;
}

nb::list choices(const Model& model, const PromptArg& prompt, const BatchArg& given,
                 const nb::object& edits) {
  const std::vector<int32_t> ids = ids_of(model, prompt);
  const Batch batch = continuations_of(model, given);
  const Hooks hooks = edits_of(model, edits);
  std::vector<ChoiceScore> scores;
  {
    const nb::gil_scoped_release release;
    scores = score_choices(model, ids, batch, hooks);
  }
  nb::list found;
  for (const ChoiceScore& score : scores) {
    nb::dict one;
    one["log_probability"] = score.log_probability();
    one["log_probabilities"] = score.log_probabilities;
    one["ranks"] = score.ranks;
    found.append(one);
  }
  return found;
}

void bind_continuation(nb::module_& module) {
  nb::class_<Continuation> bound(module, "Generation", "The continuation of one prompt.");
  immutable(bound, "keep its ids, text and arrays");
  bound
      .def_prop_ro(
          "ids", [](const Continuation& self) { return self.found.ids; },
          "The new tokens, with the one that stopped it.")
      .def_ro("prompt_ids", &Continuation::prompt)
      .def_prop_ro("text", &Continuation::text, nb::sig("def text(self) -> str"),
                   "Their text. Error without a tokenizer.")
      .def_prop_ro(
          "reason",
          [](const Continuation& self) { return std::string(stop_reason_name(self.found.reason)); },
          "Why it ended: \"length\", \"stop\", \"stop_string\", \"context\" or \"callback\".")
      .def_ro("score", &Continuation::score,
              "Of a beam: its log-probability in nats, by the length penalty; otherwise None.")
      .def_prop_ro(
          "log_probabilities",
          [](const Continuation& self) {
            return array_of(self.found.log_probabilities,
                            {std::ssize(self.found.log_probabilities)});
          },
          nb::sig("def log_probabilities(self) -> numpy.typing.NDArray[numpy.float32]"),
          "[tokens] in nats, of the model's own distribution; [0] if they were not requested.")
      .def_prop_ro(
          "top_ids",
          [](const Continuation& self) {
            return array_of(self.found.top_ids, {self.tokens(), self.kept()});
          },
          nb::sig("def top_ids(self) -> numpy.typing.NDArray[numpy.int32]"),
          "[tokens, k] most likely tokens, best first.")
      .def_prop_ro(
          "top_log_probabilities",
          [](const Continuation& self) {
            return array_of(self.found.top_log_probabilities, {self.tokens(), self.kept()});
          },
          nb::sig("def top_log_probabilities(self) -> numpy.typing.NDArray[numpy.float32]"))
      .def_prop_ro("captures", &Continuation::captures,
                   "Over all passes: the prompt's positions, then one position a step.")
      .def(
          "__getitem__",
          [](const Continuation& self, const std::string& site) { return self.captures()[site]; },
          nb::sig("def __getitem__(self, site: str, /) -> numpy.typing.NDArray[numpy.float32]"),
          "captures[site]")
      .def("__repr__", [](const Continuation& self) {
        return fmt::format("<vitrine.Generation of {} tokens, {}>", self.tokens(),
                           stop_reason_name(self.found.reason));
      });
}

constexpr const char* kGenerateDoc = R"(Continues a prompt, or each of several.

`temperature`: 0 is greedy, and refuses what only sampling uses; above 0 in Hugging Face's order: penalties, temperature, top_k, top_p, min_p,
typical_p. `seed`: the samples of a sequence depend on its seed and the step alone; sequence i of a batch
has seed + i. `stop`: ids or single-token texts that end a sequence; None: the model's own (end_ids).
`stop_strings`: texts that end it. `bad_words`: texts or ids that never occur. `log_probabilities`: keeps
that of each new token, and this number of the most likely ones. `min_length`: as `min_new_tokens`, with the
prompt's tokens counted. More new tokens than the context has room for are rejected, unless `slide`: each time
it is full, its newest half is read again. `capture`, `edits`: in every pass, the prompt's and each new token's;
position -1 is the newest token of a pass. `on_token(sequence, id)` is called for each new token; returning False ends all.
stream() yields texts instead.)";

bool is_one_prompt(const nb::args& args, const nb::kwargs& kwargs) {
  if (args.size() > 0) return is_prompt(nb::object(args[0]).ptr());
  return kwargs.contains("prompt") && is_prompt(nb::object(kwargs["prompt"]).ptr());
}

void bind_generate(nb::class_<Model>& model) {
  const auto one = generate_parameters(false), several = generate_parameters(true);
  model
      .def(
          "generate",
          [one](const Model& self, const nb::args& args, const nb::kwargs& kwargs) {
            if (!is_one_prompt(args, kwargs)) throw nb::next_overload();
            Call call(self);
            GenerateValues values = one.read("generate", call, args, kwargs);
            return run(call, values).front();
          },
          nb::sig(one.signature().text("generate", "Generation", "self").c_str()), kGenerateDoc)
      .def(
          "generate",
          [several](const Model& self, const nb::args& args, const nb::kwargs& kwargs) {
            Call call(self);
            GenerateValues values = several.read("generate", call, args, kwargs);
            return run(call, values);
          },
          nb::sig(several.signature().text("generate", "list[Generation]", "self").c_str()));
}

void bind_searches(nb::class_<Model>& model) {
  const auto parameters = beam_parameters();
  model
      .def(
          "beam_search",
          [parameters](const Model& self, const nb::args& args, const nb::kwargs& kwargs) {
            Call call(self);
            BeamValues values = parameters.read("beam_search", call, args, kwargs);
            return beams(call, values);
          },
          nb::sig(parameters.signature().text("beam_search", "list[Generation]", "self").c_str()),
          "The `results` best continuations, best first, as transformers' beam search without\n"
          "sampling finds them. The other arguments: see generate().")
      .def("score_choices", &choices, nb::arg("prompt"), nb::arg("choices"), nb::kw_only(),
           nb::arg("edits") = nb::tuple(),
           nb::sig("def score_choices(self, prompt: vitrine.types.Prompt, choices: "
                   "vitrine.types.Prompts, *, edits: vitrine.types.Edits = ()) -> list[dict[str, "
                   "typing.Any]]"),
           "Probability of each of several continuations of one prompt, which is computed once:\n"
           "log_probability (nats), and log_probabilities and ranks of its tokens.");
}

}  // namespace

void complete(GenerationValues& values, const Call& call) {
  GenerateOptions& options = values.generation;
  if (options.sampling.temperature == 0) {
    for (const char* name : {"top_k", "top_p", "min_p", "typical_p", "seed"}) {
      if (call.has(name))
        user_error(
            "invalid {}= with temperature=0, which is greedy: expected temperature= above 0, or no "
            "{}=",
            name, name);
    }
  }
  const size_t several = values.prompts.size() > 1 ? values.prompts.size() : 0;
  for (size_t i = 0; i < several; ++i) options.sampling.seeds.push_back(options.sampling.seed + i);
  if (!call.has("stop")) options.stop_ids = call.model().end_ids();
}

void bind_generation(nb::module_& module, nb::class_<Model>& model) {
  bind_continuation(module);
  bind_generate(model);
  bind_searches(model);
}

}  // namespace vitrine::python
