// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/tokenizer.h"

namespace vitrine::internal {

/// A token that is found in the text before any merging.
struct AddedToken {
  static constexpr int32_t kNoId = -1;  ///< the files say none
  int32_t id = 0;
  std::string content;       ///< not empty
  bool special = false;      ///< found only where special tokens are allowed
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space after it
  bool normalized = false;   ///< looked for after all those that are not
  bool single_word = false;  ///< only where no letter, digit or mark is beside it
};

/// Where texts begin and end, and what is around them.
struct TextEnds {
  Tokenizer::Frame frame;
  std::optional<int32_t> begin, end;
};

/// Takes special tokens of the usual names for the ends that no file names.
void settle_ends(const std::vector<AddedToken>& tokens, TextEnds& ends);

/// Cuts text at added tokens. Immutable.
class AddedTokens {
 public:
  struct Segment {
    static constexpr int32_t kText = -1;
    size_t begin, end;
    int32_t id;  ///< of an added token, or kText
  };

  explicit AddedTokens(std::vector<AddedToken> tokens);
  AddedTokens(AddedTokens&&) = default;  // no copies: the passes point into tokens_

  /// Segments that cover the text in order; none is empty, and no two texts are neighbours. Of
  /// tokens that begin at one place the longest is taken, and none is looked for inside it.
  std::vector<Segment> split(std::string_view text, Tokenizer::Special special) const;
  /// The same with the tokens alone that are `normalized`, or with those that are not.
  std::vector<Segment> find(bool normalized, std::string_view text,
                            Tokenizer::Special special) const;

  const std::vector<AddedToken>& tokens() const { return tokens_; }

 private:
  // The tokens of one pass, by their first byte, in their order as text.
  struct Pass {
    std::array<std::vector<const AddedToken*>, 256> by_first_byte;
    std::vector<unsigned char> first_bytes;
    bool has_ordinary = false;  // a token that is not special

    const AddedToken* longest_at(std::string_view text, size_t at) const;
    size_t next_first_byte(std::string_view text, size_t from) const;
  };

  static void run(const Pass& pass, std::string_view text, Segment within,
                  Tokenizer::Special special, std::vector<Segment>& out);

  std::vector<AddedToken> tokens_;
  std::array<Pass, 2> passes_;
};

}  // namespace vitrine::internal
