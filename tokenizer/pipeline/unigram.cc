// SPDX-License-Identifier: MIT
#include "tokenizer/pipeline/unigram.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/utf8.h"
#include "tokenizer/pipeline/word_models.h"

namespace vitrine::internal {
namespace {

double power_of_ten(int exponent) {
  const std::string text = fmt::format("1e{}", exponent);
  double value = 1;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// The score as tokenizers reads it: the digits as an integer, which a power of ten then scales, so
/// that it is rounded twice. What is chosen of pieces that are nearly as good depends on that.
double rounded_twice(double score) {
  char text[40];
  const auto written =
      std::to_chars(text, text + sizeof text, std::fabs(score), std::chars_format::scientific);
  uint64_t digits = 0;
  int exponent = 0;
  const char* at = text;
  for (bool fraction = false; at != written.ptr && *at != 'e'; ++at) {
    if (*at == '.') {
      fraction = true;
    } else {
      digits = digits * 10 + static_cast<uint64_t>(*at - '0');
      exponent -= fraction;
    }
  }
  int written_exponent = 0;
  if (at != written.ptr) {
    const char* const number = at[1] == '+' ? at + 2 : at + 1;
    std::from_chars(number, written.ptr, written_exponent);
  }
  exponent += written_exponent;
  constexpr int kLargest = 300;
  if (std::abs(exponent) > kLargest) return score;
  const auto value = static_cast<double>(digits);
  const double scaled =
      exponent < 0 ? value / power_of_ten(-exponent) : value * power_of_ten(exponent);
  return std::copysign(scaled, score);
}

class Unigram : public WordModel {
 public:
  Unigram(Vocab vocab, UnigramLattice lattice, bool byte_fallback)
      : WordModel(std::move(vocab)), lattice_(std::move(lattice)), byte_fallback_(byte_fallback) {}
  std::string_view kind() const override { return "Unigram"; }

  void tokenize(std::string_view word, WordMemory&, std::vector<WordToken>& out) const override {
    for (const WordToken& piece : lattice_.best(word)) {
      const std::string_view text = word.substr(piece.begin, piece.end - piece.begin);
      const int32_t id = vocab().find(text);
      if (id >= 0) {
        out.push_back({id, piece.begin, piece.end});
        continue;
      }
      const auto bytes = byte_fallback_ ? byte_tokens(text) : std::nullopt;
      if (bytes) {
        for (const int32_t byte : *bytes) out.push_back({byte, piece.begin, piece.end});
        continue;
      }
      if (piece.id < 0) refuse_unknown(text, "of unk_id");
      out.push_back({lattice_.unknown(), piece.begin, piece.end});
    }
  }

 private:
  UnigramLattice lattice_;
  bool byte_fallback_;
};

}  // namespace

UnigramLattice::UnigramLattice(std::vector<ScoredToken> tokens, int32_t unknown, Sums sums)
    : tokens_(std::move(tokens)), unknown_(unknown), sums_(sums) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const ScoredToken& token : tokens_) lowest = std::min(lowest, token.score);
  constexpr double kUnknownPenalty = 10;
  unknown_score_ = rounded(lowest - kUnknownPenalty);
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const ScoredToken& a, const ScoredToken& b) { return a.text < b.text; });
  // Of two tokens with one text the later counts.
  const auto kept =
      std::unique(tokens_.rbegin(), tokens_.rend(),
                  [](const ScoredToken& a, const ScoredToken& b) { return a.text == b.text; });
  tokens_.erase(tokens_.begin(), kept.base());
  std::erase_if(tokens_, [](const ScoredToken& token) { return token.text.empty(); });
  for (size_t byte = 0, at = 0; byte < 256; ++byte) {
    first_[byte] = at;
    while (at < tokens_.size() && static_cast<unsigned char>(tokens_[at].text[0]) == byte) ++at;
    first_[byte + 1] = at;
  }
}

template <typename Take>
void UnigramLattice::for_each_prefix(std::string_view text, const Take& take) const {
  const auto first = static_cast<unsigned char>(text[0]);
  auto begin = tokens_.begin() + static_cast<std::ptrdiff_t>(first_[first]);
  auto end = tokens_.begin() + static_cast<std::ptrdiff_t>(first_[first + 1]);
  // Tokens that begin like the text are neighbours, the shortest first.
  for (size_t length = 1; begin != end; ++length) {
    if (begin->text.size() == length) take(*begin++);
    if (length == text.size()) return;
    const auto next = static_cast<unsigned char>(text[length]);
    const auto byte = [&](const ScoredToken& token) {
      return static_cast<unsigned char>(token.text[length]);
    };
    begin = std::partition_point(begin, end, [&](const auto& token) { return byte(token) < next; });
    end = std::partition_point(begin, end, [&](const auto& token) { return byte(token) == next; });
  }
}

std::vector<WordToken> UnigramLattice::best(std::string_view word) const {
  struct Node {
    double score = 0;
    size_t begin = SIZE_MAX;
    int32_t id = -1;
  };
  std::vector<Node> nodes(word.size() + 1);
  const auto offer = [&](size_t begin, size_t end, int32_t id, double score) {
    Node& node = nodes[end];
    score = rounded(score + nodes[begin].score);
    if (node.begin == SIZE_MAX || score > node.score) node = {score, begin, id};
  };
  constexpr int32_t kUnknown = -1;
  for (size_t begin = 0; begin < word.size();) {
    const size_t length = utf8_step(word.substr(begin, 4)).length;
    bool is_single = false;
    for_each_prefix(word.substr(begin), [&](const ScoredToken& token) {
      offer(begin, begin + token.text.size(), token.id, token.score);
      is_single |= token.text.size() == length;
    });
    if (!is_single) offer(begin, begin + length, kUnknown, unknown_score_);
    begin += length;
  }
  std::vector<WordToken> pieces;
  for (size_t end = word.size(); end > 0; end = nodes[end].begin) {
    const Node& node = nodes[end];
    const bool unknown = node.id == kUnknown || node.id == unknown_;
    // Unknown pieces in a row are one.
    if (unknown && !pieces.empty() && pieces.back().id == unknown_) {
      pieces.back().begin = node.begin;
    } else {
      pieces.push_back({unknown ? unknown_ : node.id, node.begin, end});
    }
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

std::unique_ptr<WordModel> read_unigram(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const Json* const list = fields.find("vocab");
  if (!list || !list->is_array() || list->empty())
    fields.refuse("vocab", "expected a list of [token, score]");
  Vocab vocab;
  std::vector<ScoredToken> tokens;
  for (const Json& entry : *list) {
    const bool pair =
        entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_number();
    if (!pair)
      user_error("{}: vocab[{}] is {}: expected [token, score]", where, tokens.size(),
                 describe_json(entry));
    const auto id = static_cast<int32_t>(tokens.size());
    tokens.push_back({entry[0].get<std::string>(), rounded_twice(entry[1].get<double>()), id});
    vocab.add(tokens.back().text, id, where + ".vocab");
  }
  const auto unknown =
      static_cast<int32_t>(fields.integer("unk_id", 0, vocab.size() - 1).value_or(-1));
  return std::make_unique<Unigram>(std::move(vocab), UnigramLattice(std::move(tokens), unknown),
                                   fields.boolean("byte_fallback").value_or(false));
}

}  // namespace vitrine::internal
