// SPDX-License-Identifier: MIT
#include "cli/text/score_words.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "cli/core/progress_bar.h"
#include "report/results/results.h"

namespace vitrine::cli {
using namespace internal;
namespace {

void print_words(const Terminal& out, const WordScores& scores, bool in_bits) {
  constexpr double kFullBar = 24;  // bits
  const bool shared = std::ranges::any_of(scores.words, &WordScore::shares_token);
  print(out.paint(Style::kDim,
                  fmt::format("{:>6}  {}  {:>8}  {}  {:>6}  {:>7}", "word", left("", 24),
                              in_bits ? "bits" : "nats", left("", 16), "tokens", "context")) +
        "\n");
  for (size_t w = 0; w < scores.words.size(); ++w) {
    const WordScore& word = scores.words[w];
    const bool known = !std::isnan(word.surprisal);
    const double loss = known ? bits(word.surprisal) : 0;
    const Style style = known ? loss_style(loss) : Style::kDim;
    const std::string number =
        known ? fmt::format("{:8.3f}", in_bits ? loss : word.surprisal) : "       -";
    print(fmt::format("{:>6}  {}{} {}  {}  {:>6}  {:>7}\n", w,
                      out.paint(style, left(printable(word.text), 24)),
                      word.shares_token ? "*" : " ", out.paint(style, number),
                      out.paint(style, left(bar(loss / kFullBar, 16), 16)), word.tokens,
                      thousands(word.context)));
  }
  if (shared)
    print(out.paint(Style::kDim,
                    "* * shares a token with its neighbour; the token belongs to the first word") +
          "\n");
}

void print_scores(const Terminal& out, const WordScores& scores, const Names& names,
                  const Prompt& prompt, const WordArgs& args) {
  print(out.paint(Style::kTitle, clip(printable(prompt.text), out.width())) + "\n");
  std::string how = scores.tokens.prepend >= 0
                        ? fmt::format("after {}", names.shown(scores.tokens.prepend))
                        : "the first word has no context and no surprisal";
  how += fmt::format("; words include their {} white space", word_boundary_name(scores.boundary));
  if (static_cast<int64_t>(prompt.ids.size()) > scores.tokens.window)
    how += fmt::format("; window {}, stride {}", scores.tokens.window, scores.tokens.stride);
  print(out.paint(Style::kDim, how) + "\n");
  if (!args.summary) print_words(out, scores, args.bits);
  const double mean = args.bits ? bits(scores.mean_nats()) : scores.mean_nats(),
               total = args.bits ? bits(scores.total_nats()) : scores.total_nats();
  print(
      out.paint(Style::kTitle, fmt::format("{:.4f} {} a word", mean, args.bits ? "bits" : "nats")) +
      fmt::format(", {} words scored, {:.2f} in all\n", thousands(scores.scored()), total));
}

}  // namespace

JsonValue scores_json(const Model& model, std::vector<Result> results,
                      const std::vector<Prompt>& prompts, bool summary) {
  for (Result& result : results) {
    if (summary) result.tables.clear();
  }
  return results_json("score", model, results, prompts);
}

void show_words(const Context& context, const Model& model, const std::vector<Prompt>& prompts,
                ScoreOptions options, const WordArgs& args) {
  const Names names(model.shared_tokenizer());
  std::vector<WordScores> results;
  for (const Prompt& prompt : prompts) {
    ProgressBar progress({.unit = "tokens"});
    options.progress = &progress;
    results.push_back(score_words(model, prompt.text, args.boundary, options, args.special));
  }
  const PageSource source = PageSource::of(model, context.command_line);
  auto found = described(std::span<const WordScores>(results), [&](const WordScores& scores) {
    return word_score_result(scores, source);
  });
  write_results(args.output, found, source);
  if (context.json) return print_json(scores_json(model, found, prompts, args.summary));
  for (size_t i = 0; i < results.size(); ++i) {
    if (i > 0) print("\n");
    print_scores(context.out, results[i], names, prompts[i], args);
  }
}

}  // namespace vitrine::cli
