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

/// Converts text to token ids and back. Immutable and thread-safe.
///
/// Text is a byte string. Byte-level BPE encodes and decodes every byte string exactly, including
/// invalid UTF-8 (each invalid byte is classified as an "other" character). All other kinds require
/// UTF-8 and apply their normalisation; invalid bytes become U+FFFD.
///
/// encode() adds no begin or end tokens, even if the tokenizer's files request them; frame() has
/// those.
class Tokenizer {
 public:
  /// Treatment of text that spells a special token, such as "<|endoftext|>".
  enum class Special {
    kText,   ///< ordinary text (the default, so that corpora cannot inject control tokens)
    kAllow,  ///< the special token
  };

  struct Piece {
    int32_t id = 0;
    size_t begin = 0, end = 0;  ///< byte range [begin, end) in the text
  };

  /// Tokens around a text.
  struct Frame {
    std::vector<int32_t> before, after;
  };

  virtual ~Tokenizer() = default;

  /// Loads the tokenizer of a model directory (the file that find_file() finds, with what
  /// tokenizer_config.json, special_tokens_map.json, added_tokens.json and config.json say beside
  /// it) or one such file alone. Throws Error (user) naming the file and its defect, or the files
  /// that were searched for.
  static std::shared_ptr<const Tokenizer> load(const std::filesystem::path& path);
  /// The tokenizer's file in a directory: tokenizer.json; vocab.json (with merges.txt); a
  /// SentencePiece model under one of its usual names; vocab.txt; gpt2_tokenizer.bin, in this
  /// order, and vocab.txt earlier if tokenizer_class says BERT. Empty: there is none.
  static std::filesystem::path find_file(const std::filesystem::path& directory);

  virtual std::vector<int32_t> encode(std::string_view text,
                                      Special special = Special::kText) const = 0;
  /// encode() with the byte range of each token. Ranges are ascending and cover the text; a token
  /// that holds part of a multi-byte character has a range inside it. SentencePiece: white space
  /// that the model drops belongs to the next token, or at the end to the last token (a text of
  /// only white space has no tokens). If several byte tokens encode one character, the last has its
  /// range and the others have empty ranges.
  virtual std::vector<Piece> encode_with_spans(std::string_view text,
                                               Special special = Special::kText) const = 0;

  /// Encodes many texts on `threads` threads (0 or less: as many as a model uses by default).
  /// Throws the first error of any text.
  std::vector<std::vector<int32_t>> encode_all(std::span<const std::string_view> texts,
                                               int threads = 0,
                                               Special special = Special::kText) const;

  /// Text that the ids encode, with special tokens spelled out: of byte-level BPE the bytes, of
  /// other kinds what their decoder makes. SentencePiece: without the space that encode() inserts
  /// before the text (and after each special token). Throws Error (user) for an id outside the
  /// vocabulary.
  std::string decode(std::span<const int32_t> ids) const;
  /// Bytes of one token, possibly part of a UTF-8 sequence. Throws Error (user) for an id outside
  /// the vocabulary.
  virtual std::string token_bytes(int32_t id) const = 0;

  /// Id of a text that is exactly one token, or of a special token's name. Throws Error (user) that
  /// shows the tokens of the text and the likely fix (often a leading space).
  int32_t single_token(std::string_view text) const;
  /// Id of the special token with this name, if there is one.
  virtual std::optional<int32_t> find_special(std::string_view name) const = 0;
  /// Id of the end-of-text token (eos_token of the files, "<|endoftext|>", "</s>"), if the
  /// vocabulary has one.
  virtual std::optional<int32_t> end_of_text() const = 0;
  /// Id of the token that begins a text (bos_token of the files, "<s>"), by default end_of_text().
  virtual std::optional<int32_t> begin_of_text() const { return end_of_text(); }

  /// What the files put around one text ("post_processor" of tokenizer.json, add_bos_token and
  /// add_eos_token of tokenizer_config.json), and transformers does unless told otherwise.
  virtual const Frame& frame() const;

  /// Ids are in [0, vocab_size()), which may have gaps.
  virtual int32_t vocab_size() const = 0;
  /// "byte-level BPE, 50257 tokens" or "SentencePiece unigram, 32000 tokens"
  virtual std::string description() const = 0;

 protected:
  friend class StreamDecoder;
  /// One text in the making.
  class Decoding {
   public:
    virtual ~Decoding() = default;
    /// Appends what is certain of the text up to `id`.
    virtual void push(int32_t id, std::string& out) = 0;
    /// Appends the rest. To be called once, last.
    virtual void finish(std::string& out) { (void)out; }
  };
  /// The result must not outlive this. Default: the texts are the tokens' bytes.
  virtual std::unique_ptr<Decoding> start_decoding() const;
  /// Throws Error (user) for an id outside the vocabulary.
  void check_id(int32_t id) const;
};

/// The tokens around each text that `bos` names: "auto" (Tokenizer::frame(), none without a
/// tokenizer), "none", or the id of one token that goes before it. Throws Error (user) for
/// anything else.
Tokenizer::Frame frame_from(std::string_view bos, const Tokenizer* tokenizer);

/// Decodes a stream of tokens into text that consists of complete UTF-8 sequences at every step.
/// The concatenated results of push() and flush() equal decode() of all ids. Bytes that cannot
/// become valid UTF-8 are returned unchanged.
class StreamDecoder {
 public:
  explicit StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer);
  ~StreamDecoder();
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;
  /// Text that this token completes; bytes of an incomplete UTF-8 sequence are held back, and text
  /// that the next token may change.
  std::string push(int32_t id);
  /// Returns what was held back, and resets the decoder.
  std::string flush();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<Tokenizer::Decoding> decoding_;
  std::string held_;
};

/// Formats a token's bytes on one line, unambiguously: leading and trailing spaces as U+2423 (open
/// box); backslash, control and invisible characters as \\, \n, \t, \r, \u{200b}; bytes that are
/// not UTF-8 as \xe4.
std::string printable(std::string_view bytes);

}  // namespace vitrine
