// SPDX-License-Identifier: MIT
#include "cli/text/generate_beams.h"

#include <fmt/core.h>

#include "base/check.h"
#include "cli/core/interrupt.h"
#include "cli/text/generated_text.h"

namespace vitrine::cli {
using namespace internal;
namespace {

BeamOptions options_of(const BeamArgs& args, int results) {
  if (results > *args.beams)
    user_error("--num-samples {} is out of range: expected 1..{} (--beams)", results, *args.beams);
  BeamOptions options{
      .beams = *args.beams, .results = results, .length_penalty = args.length_penalty};
  if (args.end == "full") options.end = BeamEnd::kFull;
  if (args.end == "never") options.end = BeamEnd::kNever;
  return options;
}

}  // namespace

void add_beam_options(Command& command, BeamArgs& args, const std::string& group) {
  command
      .add_option("--beams", args.beams,
                  "Search for the most probable continuation with this number of beams")
      ->check(in_range(1, 10000))
      ->type_name("N")
      ->group(group)
      ->not_with("--temperature", {kAboveZero});
  command
      .add_option("--length-penalty", args.length_penalty,
                  "Divide a beam's log-probability by its number of new tokens to this power")
      ->capture_default_str()
      ->type_name("X")
      ->group(group)
      ->only_with("--beams");
  command
      .add_option("--early-stopping", args.end,
                  "End of the search: heuristic (no running beam is better than the worst result), "
                  "full (as many results as beams), never (none can become better)")
      ->check(one_of({"heuristic", "full", "never"}))
      ->capture_default_str()
      ->type_name("WHEN")
      ->group(group)
      ->only_with("--beams");
}

void show_beams(const Context& context, const BeamArgs& args, int results,
                const std::vector<Prompt>& prompts, const Model& model,
                const GenerateOptions& options, const Hooks& edits) {
  const BeamOptions beams = options_of(args, results);
  const GeneratedText texts(model, options.stop_ids);
  JsonValue json = json_head("generate", model);
  json["beams"] = {{"beams", beams.beams},
                   {"length_penalty", beams.length_penalty},
                   {"early_stopping", args.end}};
  for (const Prompt& prompt : prompts) {
    const std::vector<Beam> found = beam_search(model, prompt.ids, options, beams, edits);
    stop_if_interrupted();
    for (size_t i = 0; i < found.size(); ++i) {
      const std::string text = texts.after(prompt, found[i].ids);
      if (context.json) {
        JsonValue one = {{"score", found[i].score},
                         {"stop_reason", stop_reason_name(found[i].reason)},
                         {"tokens", texts.names().json(found[i].ids)}};
        add_text(one["prompt"], prompt.text);
        one["prompt"]["ids"] = prompt.ids;
        add_text(one, text);
        json["results"].push_back(std::move(one));
        continue;
      }
      print_as_is(context.out.paint(Style::kTitle, fmt::format("{:.3f} ", found[i].score)) +
                  context.out.paint(Style::kDim, texts.shown(prompt)) + text + "\n");
    }
  }
  if (context.json) print_json(json);
}

}  // namespace vitrine::cli
