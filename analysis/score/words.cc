// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "analysis/score/windows.h"
#include "base/check.h"

namespace vitrine {
using namespace internal;
namespace {

/// Bytes of the white space that `text` begins with; 0 if there is none. Unicode's property
/// White_Space.
size_t white_space(std::string_view text) {
  constexpr std::array<std::string_view, 19> kWide = {
      "\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
      "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
      "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
  if (text.empty()) return 0;
  if (text[0] == ' ' || (text[0] >= '\t' && text[0] <= '\r')) return 1;
  for (const std::string_view space : kWide) {
    if (text.starts_with(space)) return space.size();
  }
  return 0;
}

std::vector<WordScore> split_words(std::string_view text) {
  std::vector<WordScore> words;
  for (size_t at = 0; at < text.size();) {
    if (const size_t space = white_space(text.substr(at))) {
      at += space;
      continue;
    }
    WordScore word{.text = {}, .begin = at};
    while (at < text.size() && white_space(text.substr(at)) == 0) ++at;
    word.end = at;
    word.text = text.substr(word.begin, word.end - word.begin);
    words.push_back(std::move(word));
  }
  return words;
}

/// Gives each token to the first word that it touches, and white space to the word after it. Tokens
/// after the last word belong to no word.
void give_tokens(std::vector<WordScore>& words, std::span<const Tokenizer::Piece> pieces) {
  size_t word = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    while (word < words.size() && words[word].end <= pieces[i].begin) ++word;
    if (word == words.size()) break;
    if (words[word].tokens++ == 0) words[word].first = static_cast<int64_t>(i);
    for (size_t other = word + 1; other < words.size() && words[other].begin < pieces[i].end;
         ++other) {
      words[word].shares_token = words[other].shares_token = true;
    }
  }
  // A word without tokens of its own follows the one whose token it shares.
  for (size_t w = 1; w < words.size(); ++w) {
    if (words[w].tokens == 0) words[w].first = words[w - 1].first + words[w - 1].tokens;
  }
}

/// For each token: log of the probability, at the place where it stands, of a token that begins
/// with white space or ends the text, and log of the probability of all others.
struct BoundaryMass {
  std::vector<double> boundary, inside;  ///< by position, including the one after the last token
};

/// Which tokens say that a word has ended.
std::vector<bool> boundary_tokens(const Model& model) {
  const Tokenizer& tokenizer = model.tokenizer();
  std::vector<bool> found(static_cast<size_t>(model.config().vocab), false);
  const int32_t known =
      std::min<int32_t>(tokenizer.vocab_size(), static_cast<int32_t>(model.config().vocab));
  for (int32_t id = 0; id < known; ++id)
    found[static_cast<size_t>(id)] = white_space(tokenizer.token_bytes(id)) > 0;
  if (const auto end = tokenizer.end_of_text(); end && *end < known)
    found[static_cast<size_t>(*end)] = true;
  return found;
}

void append_mass(const ScoredWindow& window, const std::vector<bool>& is_boundary,
                 BoundaryMass& mass) {
  window.output.visit(window.rows, [&](int64_t, std::span<const float> logits) {
    const double highest = *std::max_element(logits.begin(), logits.end());
    std::array<double, 2> sums{};
    for (size_t v = 0; v < logits.size(); ++v)
      sums[is_boundary[v]] += std::exp(logits[v] - highest);
    const double total = std::log(sums[0] + sums[1]);
    mass.inside.push_back(std::log(sums[0]) - total);
    mass.boundary.push_back(std::log(sums[1]) - total);
  });
}

/// The plain sums; NaN where a token has no score.
void sum_tokens(WordScores& scores) {
  const std::vector<TokenScore>& tokens = scores.tokens.tokens;
  const int64_t first_scored = tokens.empty() ? 0 : tokens.front().position;
  const auto loss = [&](int64_t position) {
    return position < first_scored ? NAN
                                   : tokens[static_cast<size_t>(position - first_scored)].loss;
  };
  int64_t behind = 0;
  for (WordScore& word : scores.words) {
    word.surprisal = 0;
    for (int64_t i = 0; i < word.tokens; ++i) word.surprisal += loss(word.first + i);
    behind = word.first + word.tokens;
    if (word.first < first_scored) continue;
    const auto last = static_cast<int64_t>(tokens.size()) - 1;
    word.context =
        tokens.empty()
            ? 0
            : tokens[static_cast<size_t>(std::min(word.first - first_scored, last))].context;
  }
  for (; behind < first_scored + static_cast<int64_t>(tokens.size()); ++behind)
    scores.white_space_end += loss(behind);
}

/// Moves the boundary from before each word to after it. A word without a token of its own has none
/// to move.
void move_boundaries(std::vector<WordScore>& words, std::string_view text, const BoundaryMass& mass,
                     int64_t first_scored) {
  const auto at = [&](const std::vector<double>& masses, int64_t position) {
    return position < first_scored ? NAN : masses[static_cast<size_t>(position - first_scored)];
  };
  const bool bare = white_space(text) == 0;
  for (WordScore& word : words) {
    if (word.tokens == 0) continue;
    word.surprisal += at(bare && word.first == 0 ? mass.inside : mass.boundary, word.first);
    word.surprisal -= at(mass.boundary, word.first + word.tokens);
  }
}

}  // namespace

std::string_view word_boundary_name(WordBoundary boundary) {
  return boundary == WordBoundary::kLeading ? "leading" : "trailing";
}

WordBoundary word_boundary_from_name(std::string_view name) {
  for (const WordBoundary boundary : {WordBoundary::kLeading, WordBoundary::kTrailing}) {
    if (name == word_boundary_name(boundary)) return boundary;
  }
  user_error("unknown word boundary '{}': expected leading or trailing", name);
}

double WordScores::total_nats() const {
  return std::accumulate(words.begin(), words.end(), 0.0, [](double sum, const WordScore& word) {
    return std::isnan(word.surprisal) ? sum : sum + word.surprisal;
  });
}

int64_t WordScores::scored() const {
  return std::count_if(words.begin(), words.end(),
                       [](const WordScore& word) { return !std::isnan(word.surprisal); });
}

double WordScores::mean_nats() const { return total_nats() / static_cast<double>(scored()); }

WordScores score_words(const Model& model, std::string_view text, WordBoundary boundary,
                       const ScoreOptions& options, Tokenizer::Special special) {
  const auto pieces = model.tokenizer().encode_with_spans(text, special);
  WordScores scores{.boundary = boundary, .tokens = {}, .words = split_words(text)};
  if (scores.words.empty()) user_error("the text has no words: expected at least one");
  give_tokens(scores.words, pieces);
  for (WordScore& word : scores.words)
    word.first += static_cast<int64_t>(model.frame().before.size());
  std::vector<int32_t> ids = model.encode(text, special);
  if (boundary == WordBoundary::kLeading) {
    scores.tokens = score(model, ids, options);
    sum_tokens(scores);
    return scores;
  }
  // One arbitrary target more, so that the row after the last token is computed as well.
  ids.push_back(0);
  const std::vector<bool> is_boundary = boundary_tokens(model);
  BoundaryMass mass;
  std::vector<TokenScore> tokens;
  scores.tokens = slide_window(model, ids, options, [&](const ScoredWindow& window) {
    append_scores(model, window, options.edits, tokens);
    append_mass(window, is_boundary, mass);
  });
  const int64_t first_scored = tokens.front().position;
  tokens.pop_back();
  scores.tokens.tokens = std::move(tokens);
  sum_tokens(scores);
  move_boundaries(scores.words, text, mass, first_scored);
  return scores;
}

}  // namespace vitrine
