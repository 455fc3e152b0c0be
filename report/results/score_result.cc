// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>
#include <numbers>

#include "report/page.h"
#include "report/results/results.h"
#include "vitrine/analysis/score.h"

namespace vitrine {
using namespace internal;
namespace {

double bits(double nats) { return nats / std::numbers::ln2; }

Field surprisal(const std::string& name, std::vector<double> nats) {
  return {name, std::move(nats), "nats"};
}

/// The same numbers in bits.
Field in_bits(const Field& nats) {
  return {.name = nats.name + "_bits",
          .values = column_of(std::get<std::vector<double>>(nats.values), bits),
          .unit = "bits",
          .derived = true};
}

/// The tokens of the text: a first one without context has no numbers.
std::vector<TokenScore> rows_of(const Score& score) {
  constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();
  std::vector<TokenScore> rows;
  if (score.first) {
    rows.push_back({.id = *score.first,
                    .loss = kNothing,
                    .entropy = kNothing,
                    .rank = kNoNumber,
                    .top_id = -1,
                    .top_loss = kNothing});
  }
  rows.insert(rows.end(), score.tokens.begin(), score.tokens.end());
  return rows;
}

Table token_table(const Score& score, const std::string& name) {
  const std::vector<TokenScore> rows = rows_of(score);
  const auto of = [&](auto TokenScore::*member) {
    return column_of(rows, [&](const TokenScore& t) { return t.*member; });
  };
  const auto probability = [](double loss) { return std::exp(-loss); };
  const Field loss = surprisal("surprisal", of(&TokenScore::loss));
  return {name,
          {"position"},
          {{"token", TokenIds{of(&TokenScore::id)}},
           {"context", of(&TokenScore::context)},
           loss,
           in_bits(loss),
           {.name = "probability",
            .values = column_of(of(&TokenScore::loss), probability),
            .derived = true},
           {"rank", of(&TokenScore::rank)},
           {"entropy", of(&TokenScore::entropy), "nats"}},
          {{"top",
            {},
            {{"token", TokenIds{of(&TokenScore::top_id)}},
             {"probability", column_of(of(&TokenScore::top_loss), probability)}}}}};
}

/// What the scores of tokens and of words have in common: the text, token by token.
Result base(const Score& score, const PageSource& source) {
  const Names names(source.tokenizer);
  const std::vector<TokenScore> rows = rows_of(score);
  const auto ids = column_of(rows, [](const TokenScore& t) { return t.id; });
  Result result{
      .view = "score",
      .title = "Surprisal",
      .help =
          "How little the model expected each token: minus the logarithm of its probability given "
          "all before it. The darker, the more surprising. Point at a token to see what was "
          "expected in its place.",
      .label = text_label(ids, source),
      .facts = {{"window", score.window},
                {"stride", score.stride},
                {"prepended", score.prepend >= 0 ? names.json(score.prepend) : JsonValue(nullptr)}},
      .shown = {{"vocab", source.config.vocab}},
      .axes = {{"position", column_of(rows, [](const TokenScore& t) { return t.position; })}}};
  if (score.prepend >= 0) result.lists.push_back({"prepended_token", TokenIds{{score.prepend}}});
  return result;
}

ColumnsPanel columns(const Result& result, std::vector<std::string> names,
                     const std::vector<double>& nats) {
  return {.title = result.label,
          .value_name = "surprisal, bits",
          .names = std::move(names),
          .values = column_of(nats, bits)};
}

}  // namespace

JsonValue internal::score_totals(double nats, int64_t tokens) {
  const double mean = nats / static_cast<double>(tokens);
  return {{"tokens", tokens},  {"total_nats", nats},      {"total_bits", bits(nats)},
          {"mean_nats", mean}, {"mean_bits", bits(mean)}, {"perplexity", std::exp(mean)}};
}

Result internal::score_result(const Score& score, const PageSource& source) {
  const Names names(source.tokenizer);
  Result result = base(score, source);
  result.facts.update(score_totals(score.total_nats(), std::ssize(score.tokens)));
  result.tables.push_back(token_table(score, "scores"));
  const std::vector<TokenScore> rows = rows_of(score);
  result.panels.emplace_back(
      columns(result, column_of(rows, [&](const TokenScore& t) { return names.shown(t.id); }),
              column_of(rows, [](const TokenScore& t) { return t.loss; })));
  return result;
}

Result internal::word_score_result(const WordScores& scores, const PageSource& source) {
  Result result = base(scores.tokens, source);
  result.facts.update({{"boundary", word_boundary_name(scores.boundary)},
                       {"words", scores.words.size()},
                       {"scored", scores.scored()},
                       {"total_nats", scores.total_nats()},
                       {"total_bits", bits(scores.total_nats())},
                       {"mean_nats", scores.mean_nats()},
                       {"mean_bits", bits(scores.mean_nats())},
                       {"white_space_end_nats", scores.white_space_end}});
  const auto of = [&](auto WordScore::*member) {
    return column_of(scores.words, [&](const WordScore& w) { return w.*member; });
  };
  const auto place = [](size_t byte) { return static_cast<int64_t>(byte); };
  const Field nats = surprisal("word_surprisal", of(&WordScore::surprisal));
  result.axes.push_back({"word", of(&WordScore::text)});
  result.tables.push_back(token_table(scores.tokens, "token_scores"));
  result.tables.push_back({"scores",
                           {"word"},
                           {{"begin", column_of(of(&WordScore::begin), place)},
                            {"end", column_of(of(&WordScore::end), place)},
                            {"first", of(&WordScore::first)},
                            {"tokens", of(&WordScore::tokens)},
                            {"word_context", of(&WordScore::context)},
                            nats,
                            in_bits(nats),
                            {"shares_token", column_of(scores.words, [](const WordScore& w) {
                               return w.shares_token ? 1 : 0;
                             })}}});
  result.panels.emplace_back(
      columns(result, column_of(scores.words, [](const WordScore& w) { return printable(w.text); }),
              of(&WordScore::surprisal)));
  return result;
}

std::string score_page(std::span<const Score> results, const PageSource& source) {
  return page_of(results, "score", source, score_result);
}

std::string word_score_page(std::span<const WordScores> results, const PageSource& source) {
  return page_of(results, "score", source, word_score_result);
}

std::string score_figure(std::span<const Score> results, const PageSource& source,
                         FigureFormat format) {
  return figure_of(results, source, format, score_result);
}

std::string word_score_figure(std::span<const WordScores> results, const PageSource& source,
                              FigureFormat format) {
  return figure_of(results, source, format, word_score_result);
}

}  // namespace vitrine
