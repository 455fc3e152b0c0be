// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine::internal {

/// Bytes [begin, end) of a text.
struct TextSpan {
  uint32_t begin = 0, end = 0;
  bool operator==(const TextSpan&) const = default;
};

/// A part of a text that a pattern matches, or that lies between two matches.
struct TextMatch {
  size_t begin, end;
  bool matches;
};

/// One character of a changed text. `removed`: how many characters after the one that it replaces
/// are dropped; kInserted: it replaces none.
struct NewCharacter {
  static constexpr int kInserted = -1;
  char32_t character;
  int removed = 0;
};

/// UTF-8 text on its way through the stages, which remembers for each of its bytes where in the
/// user's text it comes from. Spans follow Hugging Face tokenizers: an inserted character has the
/// span of the one before it, and what is dropped is in no span.
class AlignedText {
 public:
  /// The user's text. Bytes that are not UTF-8 become U+FFFD.
  explicit AlignedText(std::string_view users_text);

  const std::string& text() const { return text_; }
  bool empty() const { return text_.empty(); }
  /// Where the text begins in the user's text.
  uint32_t start() const { return start_; }
  /// Of bytes [begin, end), which are not none.
  TextSpan span(size_t begin, size_t end) const {
    return {spans_[begin].begin, spans_[end - 1].end};
  }
  AlignedText slice(size_t begin, size_t end) const;

  /// Replaces all characters; the first `dropped` of them are dropped before.
  void transform(const std::vector<NewCharacter>& characters, size_t dropped = 0);
  /// Keeps the characters for which `keep` holds.
  void filter(const std::function<bool(char32_t)>& keep);
  void map(const std::function<char32_t(char32_t)>& change);
  /// Nothing is put before an empty text.
  void prepend(std::string_view prefix);
  /// Puts `content` in the place of each match.
  void replace(const std::vector<TextMatch>& matches, std::string_view content);

 private:
  AlignedText() = default;
  TextSpan span_before(size_t at) const {
    return at == 0 ? TextSpan{start_, start_} : spans_[at - 1];
  }

  std::string text_;
  std::vector<TextSpan> spans_;  // by byte of text_
  uint32_t start_ = 0;
};

}  // namespace vitrine::internal
