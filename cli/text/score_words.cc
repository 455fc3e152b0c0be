// SPDX-License-Identifier: MIT
#include "cli/text/score_words.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/csv.h"
#include "cli/core/progress_bar.h"

namespace vitrine::cli {
using namespace internal;
namespace {

JsonValue words_json(const WordScores& scores, const Names& names, const Prompt& prompt,
                     bool summary) {
  JsonValue json = {{"boundary", word_boundary_name(scores.boundary)},
                    {"words", scores.words.size()},
                    {"scored", scores.scored()},
                    {"total_nats", scores.total_nats()},
                    {"total_bits", bits(scores.total_nats())},
                    {"mean_nats", scores.mean_nats()},
                    {"mean_bits", bits(scores.mean_nats())},
                    {"white_space_end_nats", scores.white_space_end},
                    {"window", scores.tokens.window},
                    {"stride", scores.tokens.stride}};
  json["prepended"] =
      scores.tokens.prepend >= 0 ? names.json(scores.tokens.prepend) : JsonValue(nullptr);
  add_text(json["prompt"], prompt.text);
  if (summary) return json;
  json["scores"] = JsonValue::array();
  for (const WordScore& word : scores.words) {
    JsonValue one = {{"begin", word.begin},
                     {"end", word.end},
                     {"position", word.first},
                     {"context", word.context},
                     {"nats", word.surprisal},
                     {"bits", bits(word.surprisal)},
                     {"shares_token", word.shares_token}};
    add_text(one, word.text);
    const auto ids =
        std::span(prompt.ids)
            .subspan(static_cast<size_t>(word.first), static_cast<size_t>(word.tokens));
    one["tokens"] = names.json(ids);
    json["scores"].push_back(std::move(one));
  }
  return json;
}

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

void write_csv(const std::string& path, const std::vector<WordScores>& results, bool in_bits) {
  std::string csv =
      fmt::format("text,index,word,begin,end,position,tokens,context,surprisal_{},shares_token\n",
                  in_bits ? "bits" : "nats");
  for (size_t i = 0; i < results.size(); ++i) {
    for (size_t w = 0; w < results[i].words.size(); ++w) {
      const WordScore& word = results[i].words[w];
      const double value = in_bits ? bits(word.surprisal) : word.surprisal;
      csv +=
          fmt::format("{},{},{},{},{},{},{},{},{},{}\n", i, w, csv_field(word.text), word.begin,
                      word.end, word.first, word.tokens, word.context,
                      std::isnan(value) ? "" : fmt::format("{}", value), word.shares_token ? 1 : 0);
    }
  }
  write_file(path, csv);
}

}  // namespace

void check_csv_path(const std::string& path) {
  if (!path.ends_with(".csv"))
    user_error("{}: unknown output format of words: expected a file name ending in .csv", path);
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
  if (!args.out.empty()) write_csv(args.out, results, args.bits);
  write_page(args.page, context, model,
             [&](const PageSource& source) { return word_score_page(results, source); });
  write_figures(args.page, [&](FigureFormat format) {
    return word_score_figure(results, PageSource::of(model), format);
  });
  JsonValue json = json_head("score", model);
  for (size_t i = 0; i < results.size(); ++i) {
    if (context.json) {
      json["results"].push_back(words_json(results[i], names, prompts[i], args.summary));
      continue;
    }
    if (i > 0) print("\n");
    print_scores(context.out, results[i], names, prompts[i], args);
  }
  if (context.json) print_json(json);
}

}  // namespace vitrine::cli
