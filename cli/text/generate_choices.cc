// SPDX-License-Identifier: MIT
#include "cli/text/generate_choices.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "cli/core/site_syntax.h"
#include "vitrine/analysis/choices.h"

namespace vitrine::cli {
using namespace internal;
namespace {

/// A continuation and what the model makes of it.
struct Choice {
  std::string text;  ///< as given; of ids as their tokens are shown
  std::vector<int32_t> ids;
  size_t bytes = 0;  ///< 0 without a text
  ChoiceScore score;
  double share = 0;  ///< probability among the choices

  double sum() const { return score.log_probability(); }
  double per_token() const { return sum() / static_cast<double>(ids.size()); }
  double per_byte() const { return bytes > 0 ? sum() / static_cast<double>(bytes) : NAN; }
};

std::vector<Choice> read_choices(const ChoiceArgs& args, const Model& model, const Names& names) {
  std::vector<Choice> choices;
  for (const std::string& text : args.texts)
    choices.push_back({text, model.tokenizer().encode(text), text.size(), {}});
  for (const std::string& list : args.ids) {
    Choice choice;
    choice.ids = parse_ids(list);
    for (const int32_t id : choice.ids) choice.text += names.text(id);
    if (const auto tokenizer = model.shared_tokenizer()) {
      for (const int32_t id : choice.ids)
        choice.bytes += id < tokenizer->vocab_size() ? tokenizer->token_bytes(id).size() : 0;
    }
    choices.push_back(std::move(choice));
  }
  return choices;
}

void score(const Model& model, const Prompt& prompt, const Hooks& edits,
           std::vector<Choice>& choices) {
  Batch ids;
  for (const Choice& choice : choices) ids.push_back(choice.ids);
  std::vector<ChoiceScore> scores = score_choices(model, prompt.ids, ids, edits);
  double highest = -INFINITY, total = 0;
  for (size_t i = 0; i < choices.size(); ++i) {
    choices[i].score = std::move(scores[i]);
    highest = std::max(highest, choices[i].sum());
  }
  for (const Choice& choice : choices) total += std::exp(choice.sum() - highest);
  for (Choice& choice : choices) choice.share = std::exp(choice.sum() - highest) / total;
}

std::string draw(const Prompt& prompt, const std::vector<Choice>& choices, const Terminal& out) {
  const size_t width = 28;
  std::string text =
      heading(prompt, out) +
      out.paint(Style::kDim, fmt::format("{}{:>7}{:>10}{:>10}{:>10}{:>12}", left("choice", width),
                                         "tokens", "log p", "a token", "a byte", "of these")) +
      "\n";
  const auto best =
      std::max_element(choices.begin(), choices.end(),
                       [](const Choice& a, const Choice& b) { return a.sum() < b.sum(); });
  for (const Choice& choice : choices) {
    const std::string name = left(clip(printable(choice.text), width - 1), width);
    text += fmt::format("{}{:>7}{:>10.3f}{:>10.3f}{:>10}{:>12}\n",
                        &choice == &*best ? out.paint(Style::kBest, name) : name, choice.ids.size(),
                        choice.sum(), choice.per_token(),
                        choice.bytes > 0 ? fmt::format("{:.3f}", choice.per_byte()) : "-",
                        percent(choice.share));
  }
  return text;
}

JsonValue choices_json(const std::vector<Choice>& choices, const Names& names) {
  JsonValue list = JsonValue::array();
  for (const Choice& choice : choices) {
    JsonValue tokens = JsonValue::array();
    for (size_t i = 0; i < choice.ids.size(); ++i)
      tokens.push_back({{"token", names.json(choice.ids[i])},
                        {"log_probability", choice.score.log_probabilities[i]},
                        {"rank", choice.score.ranks[i]}});
    JsonValue one = {{"log_probability", choice.sum()},
                     {"per_token", choice.per_token()},
                     {"per_byte", choice.per_byte()},
                     {"share", choice.share},
                     {"tokens", std::move(tokens)}};
    add_text(one, choice.text);
    list.push_back(std::move(one));
  }
  return list;
}

}  // namespace

void add_choice_options(Command& command, ChoiceArgs& args, const std::string& group) {
  command
      .add_option("--choices", args.texts,
                  "Score this continuation instead of generating; leading spaces count: \" are\"; "
                  "repeatable")
      ->allow_extra_args(false)
      ->type_name("TEXT")
      ->group(group);
  command.add_option("--choices-ids", args.ids, "The same as token ids of one continuation: 1,2")
      ->allow_extra_args(false)
      ->type_name("IDS")
      ->group(group);
}

void show_choices(const Context& context, const ChoiceArgs& args, const PromptArgs& prompts,
                  const std::vector<std::string>& edits) {
  const Hooks hooks = parse_edits(edits);
  const Model model = load_model(context);
  const Names names(model.shared_tokenizer());
  std::vector<Choice> choices = read_choices(args, model, names);
  JsonValue json = json_head("generate", model);
  bool first = true;
  for (const Prompt& prompt : read_prompts(prompts, model)) {
    score(model, prompt, hooks, choices);
    if (context.json) {
      JsonValue one = {{"choices", choices_json(choices, names)}};
      add_text(one["prompt"], prompt.text);
      one["prompt"]["ids"] = prompt.ids;
      json["results"].push_back(std::move(one));
    } else {
      print((first ? "" : "\n") + draw(prompt, choices, context.out));
    }
    first = false;
  }
  if (context.json) print_json(json);
}

}  // namespace vitrine::cli
