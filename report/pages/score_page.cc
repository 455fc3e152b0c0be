// SPDX-License-Identifier: MIT
#include "base/check.h"
#include "report/packed.h"
#include "report/page.h"
#include "vitrine/analysis/score.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr size_t kMaxScoredTokens = 2'000'000;

std::vector<int32_t> scored_ids(const Score& score) {
  std::vector<int32_t> ids;
  for (const TokenScore& token : score.tokens) ids.push_back(token.id);
  return ids;
}

/// One number of each token or word, packed.
template <typename T, typename Items, typename Of>
JsonValue column(const Items& items, Of of) {
  std::vector<T> values;
  values.reserve(items.size());
  for (const auto& item : items) values.push_back(of(item));
  return packed(values);
}

JsonValue score_data(const Score& score, TokenTable& tokens, const PageSource& source) {
  const auto& scored = score.tokens;
  const std::vector<int32_t> ids = scored_ids(score);
  std::vector<int32_t> top;
  for (const TokenScore& token : scored) top.push_back(token.top_id);
  return {
      {"label", text_label(ids, source)},
      {"window", score.window},
      {"stride", score.stride},
      {"prepend", score.prepend < 0 ? JsonValue(nullptr) : JsonValue(tokens.place(score.prepend))},
      {"vocab", source.config.vocab},
      {"tokens", tokens.places(ids)},
      {"positions", column<int64_t>(scored, [](const TokenScore& t) { return t.position; })},
      {"contexts", column<int64_t>(scored, [](const TokenScore& t) { return t.context; })},
      {"losses", column<double>(scored, [](const TokenScore& t) { return t.loss; })},
      {"entropies", column<double>(scored, [](const TokenScore& t) { return t.entropy; })},
      {"ranks", column<int32_t>(scored, [](const TokenScore& t) { return t.rank; })},
      {"topTokens", tokens.places(top)},
      {"topLosses", column<double>(scored, [](const TokenScore& t) { return t.top_loss; })},
      {"words", nullptr}};
}

JsonValue words_data(const WordScores& scores) {
  JsonValue texts = JsonValue::array();
  for (const WordScore& word : scores.words) texts.push_back(printable(word.text));
  return {
      {"boundary", word_boundary_name(scores.boundary)},
      {"texts", std::move(texts)},
      {"first", column<int64_t>(scores.words, [](const WordScore& w) { return w.first; })},
      {"tokens", column<int64_t>(scores.words, [](const WordScore& w) { return w.tokens; })},
      {"contexts", column<int64_t>(scores.words, [](const WordScore& w) { return w.context; })},
      {"surprisals", column<double>(scores.words, [](const WordScore& w) { return w.surprisal; })},
      {"shares",
       column<int32_t>(scores.words, [](const WordScore& w) { return w.shares_token ? 1 : 0; })},
      {"whiteSpaceEnd", scores.white_space_end}};
}

/// `score_of`, `words_of`: a result's Score, and JsonValue of its words.
template <typename Results, typename ScoreOf, typename WordsOf>
std::string surprisal_page(const Results& results, const PageSource& source, ScoreOf score_of,
                           WordsOf words_of) {
  check_results(results.size(), "score");
  size_t count = 0;
  for (const auto& result : results) count += score_of(result).tokens.size();
  if (count > kMaxScoredTokens)
    user_error("a score page is limited to {} tokens, not {}: score fewer at once",
               kMaxScoredTokens, count);
  TokenTable tokens(source.tokenizer);
  Page page{.kind = "score",
            .title = "Surprisal",
            .subtitle = {},
            .help =
                "How little the model expected each token: minus the logarithm of its probability "
                "given all before it. The darker, the more "
                "surprising. Point at a token to see what was expected in its place."};
  for (const auto& result : results) {
    page.results.push_back(score_data(score_of(result), tokens, source));
    page.results.back()["words"] = words_of(result);
  }
  page.subtitle = page.results.front()["label"].text();
  return render(page, tokens, source);
}

}  // namespace

std::string score_page(std::span<const Score> results, const PageSource& source) {
  return surprisal_page(
      results, source, [](const Score& score) -> const Score& { return score; },
      [](const Score&) { return JsonValue(nullptr); });
}

std::string word_score_page(std::span<const WordScores> results, const PageSource& source) {
  return surprisal_page(
      results, source, [](const WordScores& scores) -> const Score& { return scores.tokens; },
      words_data);
}

}  // namespace vitrine
