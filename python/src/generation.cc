// SPDX-License-Identifier: MIT
#include "python/src/generation.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "base/check.h"
#include "python/src/arrays.h"
#include "python/src/bindings.h"
#include "python/src/hooks.h"
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

std::vector<Continuation> run(const Model& model, const Batch& prompts, int max_new_tokens,
                              const nb::kwargs& arguments) {
  Keywords keywords(arguments);
  HookArgs hooks;
  hooks.capture = keywords.take("capture");
  hooks.edits = keywords.take("edits");
  const nb::object on_token = keywords.take("on_token");
  bool slide = false;
  std::optional<int> log_probabilities;
  keywords.take("slide", slide);
  keywords.take("log_probabilities", log_probabilities);
  refuse_unused_sampling(keywords);
  GenerateOptions options = generate_options(model, max_new_tokens, keywords, prompts.size());
  keywords.finish();
  options.on_token = calling(on_token);
  options.past_context = slide ? PastContext::kSlide : PastContext::kReject;
  options.log_probabilities = log_probabilities;
  const HookPlan plan = compiled(model, hooks);
  Generation generation;
  {
    const nb::gil_scoped_release release;
    generation = generate(model, prompts, options, plan);
  }
  std::vector<Continuation> found;
  for (size_t i = 0; i < prompts.size(); ++i)
    found.push_back({.tokenizer = model.shared_tokenizer(),
                     .prompt = prompts[i],
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

std::vector<Continuation> beams(const Model& model, const PromptArg& prompt, int max_new_tokens,
                                int count, const nb::kwargs& arguments) {
  Keywords keywords(arguments);
  BeamOptions search;
  search.beams = count;
  keywords.take("results", search.results);
  keywords.take("length_penalty", search.length_penalty);
  search.end = beam_end_of(keywords.take("early_stopping", nb::bool_(false)));
  const Hooks edits = edits_of(model, keywords.take("edits"));
  GenerateOptions options = generate_options(model, max_new_tokens, keywords, 0);
  keywords.finish();
  const std::vector<int32_t> ids = ids_of(model, prompt);
  std::vector<Beam> best;
  {
    const nb::gil_scoped_release release;
    best = beam_search(model, ids, options, search, edits);
  }
  std::vector<Continuation> found;
  for (Beam& beam : best) {
    Generation::Sequence sequence;
    sequence.ids = std::move(beam.ids);
    sequence.reason = beam.reason;
    found.push_back({.tokenizer = model.shared_tokenizer(),
                     .prompt = ids,
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
  nb::class_<Continuation>(module, "Generation", "The continuation of one prompt.")
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
that of each new token, and this number of the most likely ones. More new tokens than the context
has room for are rejected, unless `slide`: each time it is full, its newest half is read again. `capture`, `edits`: in every pass, the prompt's and each new token's; position -1 is the
newest token of a pass. `on_token(sequence, id)` is called for each new token; returning False ends all.
stream() yields texts instead.)";

#define VITRINE_GENERATE_SIGNATURE(argument, type, result)                           \
  nb::sig("def generate(self, " argument ": " type                                   \
          ", max_new_tokens: int = 32, *, " VITRINE_SAMPLING_TYPES                   \
          "log_probabilities: int | None = None, slide: bool = False, capture: "     \
          "vitrine.types.Captured = (), edits: vitrine.types.Edits = (), on_token: " \
          "collections.abc.Callable[[int, int], bool | None] | None = None) -> " result)

void bind_searches(nb::class_<Model>& model) {
  model
      .def("beam_search", &beams, nb::arg("prompt"), nb::arg("max_new_tokens") = 32,
           nb::arg("beams") = BeamOptions().beams, nb::arg("arguments"),
           nb::sig("def beam_search(self, prompt: vitrine.types.Prompt, max_new_tokens: int = 32, "
                   "beams: int = 4, *, results: int = 1, length_penalty: float = 1.0, "
                   "early_stopping: bool | typing.Literal['never'] = False, " VITRINE_PENALTY_TYPES
                   "edits: vitrine.types.Edits = ()) -> list[Generation]"),
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

void refuse_unused_sampling(const Keywords& arguments) {
  float temperature = 0;
  arguments.read("temperature", temperature);
  if (temperature != 0) return;
  for (const char* name : {"top_k", "top_p", "min_p", "typical_p", "seed"}) {
    if (arguments.has(name))
      user_error(
          "invalid {}= with temperature=0, which is greedy: expected temperature= above 0, or no "
          "{}=",
          name, name);
  }
}

GenerateOptions generate_options(const Model& model, int max_new_tokens, Keywords& arguments,
                                 size_t sequences) {
  GenerateOptions options;
  options.max_new_tokens = max_new_tokens;
  SamplingOptions& sampling = options.sampling;
  arguments.take("temperature", sampling.temperature);
  arguments.take("top_k", sampling.top_k);
  arguments.take("top_p", sampling.top_p);
  arguments.take("min_p", sampling.min_p);
  arguments.take("typical_p", sampling.typical_p);
  arguments.take("repetition_penalty", sampling.repetition_penalty);
  arguments.take("presence_penalty", sampling.presence_penalty);
  arguments.take("frequency_penalty", sampling.frequency_penalty);
  arguments.take("seed", sampling.seed);
  for (size_t i = 0; i < sequences; ++i) sampling.seeds.push_back(sampling.seed + i);
  arguments.take("min_new_tokens", options.min_new_tokens);
  arguments.take("min_length", options.min_length);
  const nb::object stop = arguments.take("stop");
  options.stop_ids = stop.is_none() ? model.end_ids() : tokens_of(model, stop);
  arguments.take("stop_strings", options.stop_strings);
  const nb::object bad_words = arguments.take("bad_words");
  if (!bad_words.is_none()) options.bad_words = continuations_of(model, bad_words);
  return options;
}

void bind_generation(nb::module_& module, nb::class_<Model>& model) {
  bind_continuation(module);
  model
      .def(
          "generate",
          [](const Model& self, const PromptArg& prompt, int max_new_tokens,
             const nb::kwargs& arguments) {
            return run(self, {ids_of(self, prompt)}, max_new_tokens, arguments).front();
          },
          nb::arg("prompt"), nb::arg("max_new_tokens") = 32, nb::arg("arguments"),
          VITRINE_GENERATE_SIGNATURE("prompt", "vitrine.types.Prompt", "Generation"), kGenerateDoc)
      .def(
          "generate",
          [](const Model& self, const BatchArg& prompts, int max_new_tokens,
             const nb::kwargs& arguments) {
            return run(self, batch_of(self, prompts), max_new_tokens, arguments);
          },
          nb::arg("prompts"), nb::arg("max_new_tokens") = 32, nb::arg("arguments"),
          VITRINE_GENERATE_SIGNATURE("prompts", "vitrine.types.Prompts", "list[Generation]"));
  bind_searches(model);
}

}  // namespace vitrine::python
