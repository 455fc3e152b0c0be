// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

/// Text to token ids and back. Immutable once loaded: any number of threads may use one tokenizer.
///
/// Text is bytes. Byte-level BPE encodes and decodes every byte string exactly, valid UTF-8 or not
/// (invalid bytes are classed as "other" characters, one a byte); SentencePiece works on UTF-8 and
/// normalises as its model says: bytes that are not UTF-8 become U+FFFD.
///
/// encode() adds no token of its own, whatever the files say about what a model's input begins or
/// ends with.
class Tokenizer {
 public:
  /// What to do with text that spells a special token, such as "<|endoftext|>".
  enum class Special {
    kText,   ///< it is ordinary text (default: nothing in a corpus can inject a control token)
    kAllow,  ///< it becomes the special token
  };

  struct Piece {
    int32_t id = 0;
    size_t begin = 0, end = 0;  ///< bytes [begin, end) of the text that this token stands for
  };

  virtual ~Tokenizer() = default;

  /// Loads the tokenizer of a model directory (tokenizer.json; vocab.json with merges.txt;
  /// tokenizer.model or spiece.model, in this order) or one of these files. Throws Error (user)
  /// naming what was looked for and what is wrong.
  static std::shared_ptr<const Tokenizer> load(const std::filesystem::path& path);

  virtual std::vector<int32_t> encode(std::string_view text,
                                      Special special = Special::kText) const = 0;
  /// As encode, with the text span of each token. Spans are ascending and cover the text; a token
  /// that holds part of a multi-byte character has a span inside it. SentencePiece: white space
  /// that the model drops belongs to the token after it, or at the end to the last one (if nothing
  /// else is there, no token has it); of the bytes of one character the last has the span, the
  /// others an empty one.
  virtual std::vector<Piece> encode_with_spans(std::string_view text,
                                               Special special = Special::kText) const = 0;

  /// encode() of many texts, on `threads` threads at once (0 or less: as many as there are
  /// processors). Throws the first error that one of them met.
  std::vector<std::vector<int32_t>> encode_all(std::span<const std::string_view> texts,
                                               int threads = 0,
                                               Special special = Special::kText) const;

  /// The bytes that the ids stand for, special tokens spelled out. Throws Error (user) for an id
  /// outside the vocabulary. SentencePiece: without the space that encode() put before the text
  /// (and after each special token).
  std::string decode(std::span<const int32_t> ids) const;
  /// The bytes of one token, which may be part of a UTF-8 sequence. Throws as decode does.
  virtual std::string token_bytes(int32_t id) const = 0;

  /// The id of a text that is exactly one token, or of a special token's name. Throws Error (user)
  /// showing the pieces it falls into, and the likely fix (often a leading space).
  int32_t single_token(std::string_view text) const;
  /// The id of the special token of this name, if there is one.
  virtual std::optional<int32_t> find_special(std::string_view name) const = 0;
  /// The id that ends a text ("<|endoftext|>", "</s>"), if the vocabulary has one.
  virtual std::optional<int32_t> end_of_text() const = 0;

  /// Ids are in [0, vocab_size()).
  virtual int32_t vocab_size() const = 0;
  /// "byte-level BPE, 50257 tokens" or "SentencePiece unigram, 32000 tokens"
  virtual std::string description() const = 0;

 protected:
  friend class StreamDecoder;
  /// Appends what `id` adds to a text. `at_start`: nothing stands before it; it is set to what
  /// holds for the next token.
  virtual void append_text(int32_t id, bool& at_start, std::string& out) const = 0;
  /// Throws Error (user) for an id outside the vocabulary.
  void check_id(int32_t id) const;
};

/// Decodes a stream of tokens into text that is whole UTF-8 sequences at every step. What push()
/// and flush() return is, put together, what decode() makes of all the ids. Bytes that cannot
/// become UTF-8 are passed on as they are.
class StreamDecoder {
 public:
  explicit StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer);
  /// The text that became complete with this token; bytes of an unfinished UTF-8 sequence are held
  /// back.
  std::string push(int32_t id);
  /// What is held back, as it is. The decoder is then as new.
  std::string flush();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::string held_;
  bool at_start_ = true;
};

/// A token's bytes for a terminal or a table, on one line and unambiguous: spaces at either end are
/// shown as U+2423 (an open box), the backslash, controls and invisible characters as \\, \n, \t,
/// \r, \u{200b}, and bytes that are not UTF-8 as \xe4.
std::string printable(std::string_view bytes);

}  // namespace vitrine
