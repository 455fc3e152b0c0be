// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include "base/check.h"
#include "cli/core/capture_args.h"
#include "cli/core/context.h"
#include "cli/core/generation_args.h"
#include "cli/core/interrupt.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/core/tokens.h"
#include "cli/text/generate_beams.h"
#include "cli/text/generate_choices.h"
#include "cli/text/generated_text.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct GenerateArgs {
  PromptArgs prompt;
  CaptureArgs capture;
  ChoiceArgs choices;
  BeamArgs beams;
  std::vector<std::string> edits, stop, stop_ids, stop_strings, bad_words, bad_words_ids;
  SamplingOptions sampling;
  std::optional<int> log_probabilities;
  int max_new_tokens = 32, min_new_tokens = 0, min_length = 0, num_samples = 1;
  std::string past_context = "reject";
  bool ignore_end = false;
};

std::vector<int32_t> stop_ids(const GenerateArgs& args, const Model& model) {
  std::vector<int32_t> ids;
  for (const std::string& text : args.stop) ids.push_back(model.tokenizer().single_token(text));
  for (const std::string& list : args.stop_ids) {
    for (const int32_t id : parse_ids(list)) ids.push_back(id);
  }
  if (!args.ignore_end) ids.insert(ids.end(), model.end_ids().begin(), model.end_ids().end());
  return ids;
}

std::vector<std::vector<int32_t>> bad_words(const GenerateArgs& args, const Model& model) {
  std::vector<std::vector<int32_t>> words;
  for (const std::string& text : args.bad_words)
    words.push_back(model.tokenizer().encode(text, Tokenizer::Special::kAllow));
  for (const std::string& list : args.bad_words_ids) words.push_back(parse_ids(list));
  return words;
}

/// One run of the command.
class Generating {
 public:
  Generating(const Context& context, const GenerateArgs& args)
      : context_(context),
        args_(args),
        hooks_(parse_edits(args.edits)),
        model_((add_captures(hooks_, args.capture), load_model(context))),
        texts_(model_, stop_ids(args, model_)) {
    const int times = args.beams.beams ? 1 : args.num_samples;
    for (const Prompt& prompt : read_prompts(args.prompt, model_)) {
      for (int i = 0; i < times; ++i) prompts_.push_back(prompt);
    }
    options_.max_new_tokens = args.max_new_tokens;
    options_.sampling = args.sampling;
    for (size_t i = 0; !args.beams.beams && i < prompts_.size(); ++i)
      options_.sampling.seeds.push_back(args.sampling.seed + i);
    options_.min_new_tokens = args.min_new_tokens;
    options_.min_length = args.min_length;
    options_.stop_ids = texts_.stop_ids();
    options_.stop_strings = args.stop_strings;
    options_.bad_words = bad_words(args, model_);
    options_.log_probabilities = args.log_probabilities;
    if (args.past_context == "end") options_.past_context = PastContext::kEnd;
    if (args.past_context == "slide") options_.past_context = PastContext::kSlide;
  }

  void run() {
    if (args_.beams.beams)
      return show_beams(context_, args_.beams, args_.num_samples, prompts_, model_, options_,
                        hooks_);
    const bool stream = !context_.json && prompts_.size() == 1;
    Generation generation;
    try {
      generation = stream ? run_streaming() : run_batch();
    } catch (const Interrupted&) {
      if (stream)
        print("\n");
      else if (!context_.json)
        print_all(so_far_);
      throw;
    }
    if (stream) {
      print("\n");
      print(texts_.log_probabilities(generation.sequences[0], context_.out));
    } else if (!context_.json) {
      print_all(generation);
    }
    if (!args_.capture.out.empty()) save(generation);
    if (context_.json) print_answer(generation);
  }

 private:
  /// Text appears as soon as it is whole characters.
  Generation run_streaming() {
    std::unique_ptr<StreamDecoder> decoder;
    if (const auto tokenizer = model_.shared_tokenizer()) {
      decoder = std::make_unique<StreamDecoder>(tokenizer);
      for (const int32_t id : prompts_[0].ids) {
        if (id < tokenizer->vocab_size())
          decoder->push(id);  // a continuation is decoded as what follows the prompt
      }
    }
    // With the first token, not before: what the model refuses leaves nothing on the screen but the
    // reason.
    bool begun = false;
    const auto begin = [&] {
      if (!std::exchange(begun, true))
        print_as_is(context_.out.paint(Style::kDim, texts_.shown(prompts_[0])));
    };
    options_.on_token = [&](int, int32_t id) {
      begin();
      const bool known = decoder && id < model_.shared_tokenizer()->vocab_size();
      if (!texts_.stops(id))
        print_as_is(known ? decoder->push(id) : " " + texts_.names().shown(id));
      std::fflush(stdout);
      stop_if_interrupted();
      return true;
    };
    Generation generation = generate(model_, ids_of(prompts_), options_, hooks_);
    begin();
    if (decoder) print_as_is(decoder->flush());
    return generation;
  }

  Generation run_batch() {
    ProgressBar progress({.unit = "tokens"});
    const uint64_t total = prompts_.size() * static_cast<uint64_t>(args_.max_new_tokens);
    uint64_t done = 0;
    so_far_.sequences.resize(prompts_.size());
    options_.on_token = [&](int sequence, int32_t id) {
      so_far_.sequences[static_cast<size_t>(sequence)].ids.push_back(id);
      progress.update(++done, total, "Generating");
      return true;
    };
    return generate(model_, ids_of(prompts_), options_, hooks_);
  }

  void print_all(const Generation& generation) const {
    for (size_t i = 0; i < prompts_.size(); ++i) {
      const std::string head = fmt::format(
          "[{}]{} ", i,
          args_.sampling.temperature > 0 ? fmt::format(" seed {}", args_.sampling.seed + i) : "");
      print_as_is(context_.out.paint(Style::kTitle, head) +
                  context_.out.paint(Style::kDim, texts_.shown(prompts_[i])) +
                  texts_.after(prompts_[i], generation.sequences[i].ids) + "\n");
      print(texts_.log_probabilities(generation.sequences[i], context_.out));
    }
  }

  void save(const Generation& generation) {
    Batch ran = ids_of(prompts_);
    for (size_t i = 0; i < ran.size(); ++i) {
      const std::vector<int32_t>& fresh = generation.sequences[i].ids;
      if (!fresh.empty())
        ran[i].insert(ran[i].end(), fresh.begin(),
                      fresh.end() - 1);  // nothing has read the last one
    }
    summary_ = save_captures(*generation.captures, ran, args_.capture.out,
                             {{"vitrine", VITRINE_VERSION}, {"model", model_.name()}});
    if (!context_.json) print("\n" + summary_text(context_.out, summary_, args_.capture.out));
  }

  void print_answer(const Generation& generation) const {
    JsonValue json = json_head("generate", model_);
    const SamplingOptions& s = args_.sampling;
    json["steps_issued_because"] =
        generation.eager_because.empty() ? JsonValue() : JsonValue(generation.eager_because);
    json["sampling"] = {{"temperature", s.temperature},
                        {"top_k", s.top_k},
                        {"top_p", s.top_p},
                        {"min_p", s.min_p},
                        {"typical_p", s.typical_p},
                        {"repetition_penalty", s.repetition_penalty},
                        {"presence_penalty", s.presence_penalty},
                        {"frequency_penalty", s.frequency_penalty},
                        {"max_new_tokens", args_.max_new_tokens},
                        {"min_new_tokens", args_.min_new_tokens},
                        {"min_length", args_.min_length},
                        {"past_context", args_.past_context}};
    for (size_t i = 0; i < prompts_.size(); ++i) {
      const Generation::Sequence& sequence = generation.sequences[i];
      JsonValue one = {{"seed", s.seed + i},
                       {"stop_reason", stop_reason_name(sequence.reason)},
                       {"tokens", texts_.names().json(sequence.ids)}};
      if (args_.log_probabilities)
        one["log_probabilities"] = texts_.log_probabilities_json(sequence);
      add_text(one["prompt"], prompts_[i].text);
      one["prompt"]["ids"] = prompts_[i].ids;
      add_text(one, texts_.after(prompts_[i], sequence.ids));
      json["results"].push_back(std::move(one));
    }
    if (!args_.capture.out.empty()) json["capture"] = summary_json(summary_, args_.capture.out);
    print_json(json);
  }

  const Context& context_;
  const GenerateArgs& args_;
  Hooks hooks_;
  Model model_;
  GeneratedText texts_;
  std::vector<Prompt> prompts_;
  GenerateOptions options_;
  CaptureFileSummary summary_;
  Generation so_far_;  // of a batch, for an interruption
};

void add_generation_options(Command& command, GenerateArgs& args) {
  const auto group = "Generation";
  SamplingOptions& s = args.sampling;
  command.add_option("-n,--max-new-tokens", args.max_new_tokens, "Maximum number of new tokens")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command
      .add_option("--min-new-tokens", args.min_new_tokens,
                  "Number of new tokens before one that stops may be chosen")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command.add_option("--min-length", args.min_length, "The same with the prompt's tokens counted")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->not_with("--min-new-tokens");
  add_sampling_options(command, s, group);
  command.add_option("--seed", s.seed, "Seed of sampling; sequence i uses seed + i")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("SEED")
      ->group(group)
      ->only_with("--temperature", {kAboveZero});
  command
      .add_option("--num-samples", args.num_samples,
                  "Number of continuations per prompt; with --beams at most that number")
      ->check(in_range(1, 10000))
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  command.add_option("--stop", args.stop, "Token to stop at; repeatable")
      ->allow_extra_args(false)
      ->type_name("TOKEN")
      ->group(group);
  command.add_option("--stop-ids", args.stop_ids, "The same as token ids: 1,2")
      ->allow_extra_args(false)
      ->type_name("IDS")
      ->group(group);
  command
      .add_option("--stop-string", args.stop_strings,
                  "Text to stop after, which may begin or end inside a token; repeatable")
      ->allow_extra_args(false)
      ->type_name("TEXT")
      ->group(group);
  command
      .add_option("--bad-words", args.bad_words,
                  "Text whose tokens are never completed; leading spaces count; repeatable")
      ->allow_extra_args(false)
      ->type_name("TEXT")
      ->group(group);
  command
      .add_option("--bad-words-ids", args.bad_words_ids,
                  "The same as token ids of one text: 1,2; repeatable")
      ->allow_extra_args(false)
      ->type_name("IDS")
      ->group(group);
  command
      .add_option("--log-probabilities", args.log_probabilities,
                  "List the log-probability of each new token, and of the K most likely ones")
      ->check(in_range(0, 1000))
      ->type_name("K")
      ->group(group);
  add_beam_options(command, args.beams, group);
  command
      .add_option(
          "--past-context", args.past_context,
          "More new tokens than the context has room for: reject (generate none), end (when it is "
          "full), or slide (go on from its newest half, read again)")
      ->check(one_of({"reject", "end", "slide"}))
      ->capture_default_str()
      ->type_name("WHAT")
      ->group(group)
      ->not_with("--beams")
      ->not_with("--capture");
  command.option("--log-probabilities").not_with("--beams");
  command.add_flag("--ignore-end", args.ignore_end, "Continue after the end-of-text token")
      ->group(group);
}

}  // namespace

void add_generate(Command& app, Context& context) {
  Command command =
      app.add_subcommand("generate", "Continue a text, with optional edits and captures");
  const auto args = std::make_shared<GenerateArgs>();
  add_prompt_options(command, args->prompt);
  add_generation_options(command, *args);
  add_capture_options(command, args->capture);
  command.option("--capture").not_with("--beams");
  add_edit_option(command, args->edits);
  add_model_options(command, context);
  add_output_options(command, context);
  add_choice_options(command, args->choices, "Generation");
  for (const auto& [name, other] :
       {std::pair("--choices", "--choices-ids"), std::pair("--choices-ids", "--choices")}) {
    command.only_uses(name, with_model_options({other, "--prompt", "--prompt-file", "--text-file",
                                                "--ids", "--special"}));
  }
  set_examples(command,
               "  vitrine generate --prompt \"Once upon a time\" --max-new-tokens 60 --temperature "
               "0.8 --seed 1\n"
               "  vitrine generate --prompt \"The keys to the cabinet\" --choices \" are\" "
               "--choices \" is\"\n"
               "  vitrine generate --prompt \"The keys to the cabinet\" --edit "
               "\"blocks.5.attn.hook_z[heads=3]=zero\"");
  command.callback([&context, args] {
    context.action = [&context, args] {
      if (args->choices.given())
        show_choices(context, args->choices, args->prompt, args->edits);
      else
        Generating(context, *args).run();
    };
  });
}

}  // namespace vitrine::cli
