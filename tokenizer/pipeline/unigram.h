// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/pipeline/word_models.h"

namespace vitrine::internal {

struct ScoredToken {
  std::string text;
  double score;  ///< log-probability
  int32_t id;
};

/// Finds the likeliest way to spell a text with tokens. Immutable.
class UnigramLattice {
 public:
  /// Precision of sums, which decides between pieces that are as likely.
  enum class Sums : uint8_t { kDouble, kSingle };
  /// `unknown`: the token of characters that no token begins with, or -1.
  UnigramLattice(std::vector<ScoredToken> tokens, int32_t unknown, Sums sums = Sums::kDouble);

  /// The pieces of `word`, of which several may be as likely: then the one whose last token begins
  /// first. Unknown characters in a row are one piece, with the id unknown().
  std::vector<WordToken> best(std::string_view word) const;
  int32_t unknown() const { return unknown_; }

 private:
  double rounded(double score) const {
    return sums_ == Sums::kSingle ? static_cast<double>(static_cast<float>(score)) : score;
  }
  template <typename Take>
  void for_each_prefix(std::string_view text, const Take& take) const;

  std::vector<ScoredToken> tokens_;  // by text
  std::array<size_t, 257> first_{};  // of the tokens that begin with a byte
  int32_t unknown_;
  double unknown_score_ = 0;
  Sums sums_;
};

}  // namespace vitrine::internal
