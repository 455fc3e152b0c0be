// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <memory>

#include "base/check.h"
#include "cli/core/context.h"
#include "cli/core/output_files.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/core/tokens.h"
#include "cli/text/score_words.h"
#include "report/results/results.h"
#include "vitrine/analysis/score.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct ScoreArgs {
  PromptArgs prompt;
  std::vector<std::string> edits;
  int64_t window = 0, stride = 0;
  bool prepend = false, summary = false, words = false, bits = false;
  int prepend_id = -1;
  std::string boundary = "leading";
  ResultArgs output;
};

void check(const ScoreArgs& args) {
  if (args.words && !args.prompt.prompt_file.empty() &&
      args.prompt.prompt_file.ends_with(".jsonl")) {
    user_error("--words needs text, but {} may contain ids: expected a .txt file",
               args.prompt.prompt_file);
  }
}

void print_table(const Terminal& out, const Score& score, const Names& names) {
  constexpr double kFullBar = 16;  // bits: what a uniform choice among 65,536 costs
  const bool wide = out.width() >= 100;
  const size_t token = wide ? 16 : 10, bar_width = wide ? 12 : 0;
  print(out.paint(Style::kDim,
                  fmt::format("{:>8}  {}  {:>7}  {:>7}  {}  {:>7}  {:>7}  {}", "position",
                              left("token", token), "nats", "bits", left("", bar_width), "rank",
                              "context", "the model's choice")) +
        "\n");
  if (score.first) {
    print(fmt::format("{:>8}  {}  {:>7}  {:>7}  {}  {:>7}  {:>7}  {}\n", 0,
                      out.paint(Style::kDim, left(names.shown(*score.first), token)), "-", "-",
                      left("", bar_width), "-", 0, out.paint(Style::kDim, "without context")));
  }
  for (const TokenScore& t : score.tokens) {
    const Style style = loss_style(bits(t.loss));
    print(fmt::format("{:>8}  {}  {}  {:>7}  {:>7}  {} {}\n", t.position,
                      out.paint(style, left(names.shown(t.id), token)),
                      out.paint(style, fmt::format("{:7.3f}  {:7.3f}  {}", t.loss, bits(t.loss),
                                                   bar(bits(t.loss) / kFullBar, bar_width))),
                      thousands(t.rank), thousands(t.context),
                      clip(names.shown(t.top_id), wide ? 20 : 12),
                      out.paint(Style::kDim, percent(std::exp(-t.top_loss)))));
  }
}

std::string totals(const Terminal& out, double nats, int64_t tokens) {
  const double mean = nats / static_cast<double>(tokens);
  return out.paint(Style::kTitle, fmt::format("perplexity {:.3f}", std::exp(mean))) +
         fmt::format(": {:.4f} nats = {:.4f} bits a token, {} tokens scored, {:.2f} nats in all\n",
                     mean, bits(mean), thousands(tokens), nats);
}

void print_score(const Context& context, const ScoreArgs& args, const Score& score,
                 const Names& names, const Prompt& prompt) {
  const Terminal& out = context.out;
  print(out.paint(Style::kTitle, clip(prompt.text.empty() ? fmt::format("{} ids", prompt.ids.size())
                                                          : printable(prompt.text),
                                      out.width())) +
        "\n");
  const bool slid = static_cast<int64_t>(prompt.ids.size()) > score.window;
  std::string how = score.prepend >= 0 ? fmt::format("after {}", names.shown(score.prepend))
                                       : "the first token has no context and no score";
  if (slid) how += fmt::format("; window {}, stride {}", score.window, score.stride);
  print(out.paint(Style::kDim, how) + "\n");
  if (!args.summary) print_table(out, score, names);
  print(totals(out, score.total_nats(), static_cast<int64_t>(score.tokens.size())));
}

int32_t prepended_id(const ScoreArgs& args, const Model& model) {
  if (args.prepend_id >= 0) return args.prepend_id;
  if (!args.prepend) return -1;
  const auto begin = model.tokenizer().begin_of_text();
  if (!begin)
    user_error("missing begin-of-text token in the tokenizer of model '{}': use --prepend-id",
               model.name());
  return *begin;
}

void run(const Context& context, const ScoreArgs& args) {
  check(args);
  const Model model = load_model(context);
  const auto prompts = read_prompts(args.prompt, model);
  const Names names(model.shared_tokenizer());
  ScoreOptions options;
  options.window = args.window;
  options.stride = args.stride;
  options.prepend = prepended_id(args, model);
  options.edits = parse_edits(args.edits);
  if (args.words) {
    const auto special =
        args.prompt.special ? Tokenizer::Special::kAllow : Tokenizer::Special::kText;
    return show_words(
        context, model, prompts, options,
        {word_boundary_from_name(args.boundary), special, args.bits, args.summary, args.output});
  }
  std::vector<Score> results;
  double nats = 0;
  int64_t tokens = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    ProgressBar progress({.unit = "tokens"});
    options.progress = &progress;
    const Score& result = results.emplace_back(score(model, prompts[i].ids, options));
    progress.erase();
    nats += result.total_nats();
    tokens += static_cast<int64_t>(result.tokens.size());
    if (context.json) continue;
    if (i > 0) print("\n");
    print_score(context, args, result, names, prompts[i]);
  }
  const PageSource source = PageSource::of(model, context.command_line);
  const auto found = described(std::span<const Score>(results),
                               [&](const Score& each) { return score_result(each, source); });
  write_results(args.output, found, source);
  if (context.json) {
    JsonValue json = scores_json(model, found, prompts, args.summary);
    json["total"] = score_totals(nats, tokens);
    print_json(json);
  } else if (prompts.size() > 1) {
    print(fmt::format("\nall {} texts: ", prompts.size()) + totals(context.out, nats, tokens));
  }
}

}  // namespace

void add_score(Command& app, Context& context) {
  Command command = app.add_subcommand(
      "score", "Show how well the model predicts a text: loss per token, and perplexity");
  const auto args = std::make_shared<ScoreArgs>();
  add_prompt_options(command, args->prompt);
  const auto group = "Score";
  command
      .add_option(
          "--window", args->window,
          "Tokens per window; a longer text is scored with a sliding window [the model's context]")
      ->check(above_zero())
      ->type_name("TOKENS")
      ->group(group);
  command
      .add_option("--stride", args->stride,
                  "Tokens between windows; each scored token has at least window - stride + 1 "
                  "preceding tokens [half the window]")
      ->check(above_zero())
      ->type_name("TOKENS")
      ->group(group);
  command
      .add_flag(
          "--prepend", args->prepend,
          "Put the begin-of-text token (of GPT-2 <|endoftext|>) before the text, so that its first "
          "token is scored as well")
      ->group(group);
  command
      .add_option("--prepend-id", args->prepend_id, "Put the token with this id before the text")
      ->check(not_negative())
      ->type_name("ID")
      ->group(group)
      ->not_with("--prepend");
  command.add_flag("--summary", args->summary, "Omit the table of tokens or words")->group(group);
  command
      .add_flag("--words", args->words,
                "Surprisal per word: text between white space, with punctuation attached")
      ->group(group)
      ->not_with("--ids");
  command
      .add_option("--boundary", args->boundary,
                  "White space included in a word's probability: leading (as in the tokens), "
                  "trailing (corrected)")
      ->check(one_of({"leading", "trailing"}))
      ->capture_default_str()
      ->type_name("WHICH")
      ->group(group)
      ->only_with("--words");
  command.add_flag("--bits", args->bits, "Show the surprisal of words in bits instead of nats")
      ->group(group)
      ->only_with("--words")
      ->not_with("--json");
  add_edit_option(command, args->edits);
  add_model_options(command, context);
  add_output_options(command, context);
  add_result_options(command, args->output);
  set_examples(command,
               "  vitrine score --prompt \"The keys to the cabinet are on the table.\" --prepend\n"
               "  vitrine score --text-file book.txt --window 256 --stride 128 --summary\n"
               "  vitrine score --prompt \"The keys to the cabinet are on the table.\" --prepend "
               "--words --csv words.csv");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
