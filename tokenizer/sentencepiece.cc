// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <exception>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/loaders.h"
#include "tokenizer/pipeline/swedish.h"
#include "tokenizer/sentencepiece_facts.h"
#include "tokenizer/sentencepiece_pieces.h"

namespace vitrine::internal {
namespace {

using sentencepiece::SentencePieceProcessor;

constexpr std::string_view kSpaceSymbol = "\u2581";

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(std::unique_ptr<SentencePieceProcessor> processor,
                         SentencePieceFacts facts, const FolderSettings& settings,
                         const std::string& file);

  std::vector<int32_t> encode(std::string_view text, Special special) const override;
  std::vector<Piece> encode_with_spans(std::string_view text, Special special) const override;
  std::string token_bytes(int32_t id) const override;
  std::optional<int32_t> find_special(std::string_view name) const override;
  std::optional<int32_t> end_of_text() const override { return ends_.end; }
  std::optional<int32_t> begin_of_text() const override { return ends_.begin; }
  const Frame& frame() const override { return ends_.frame; }
  int32_t vocab_size() const override { return vocab_size_; }
  std::string description() const override {
    return fmt::format("SentencePiece {}, {} tokens", facts_.algorithm, vocab_size());
  }

 protected:
  std::unique_ptr<Decoding> start_decoding() const override;

 private:
  class TextRun;
  std::optional<int32_t> named(const std::string& name, int otherwise) const;
  const std::string* added_text(int32_t id) const;

  std::unique_ptr<SentencePieceProcessor> processor_;
  SentencePieceFacts facts_;
  SentencePieceCutter cutter_;
  AddedTokens added_;
  std::unordered_map<int32_t, const std::string*> added_texts_;
  int32_t vocab_size_;
  TextEnds ends_;
  bool swedish_;  // GPT-SW3's text is changed before the model sees it
};

int32_t piece_named(const SentencePieceProcessor& processor, const std::string& name) {
  const int id = processor.PieceToId(name);
  return id >= 0 && id < processor.GetPieceSize() && processor.IdToPiece(id) == name ? id : -1;
}

/// The control pieces, and what the files beside the model add: as transformers' classes of
/// SentencePiece have them, with the files' own ids, or that of the piece, or the next.
AddedTokens added_of(const SentencePieceProcessor& processor, const FolderSettings& settings,
                     const std::string& file) {
  std::vector<AddedToken> added = settings.added;
  int32_t next = processor.GetPieceSize();
  for (const AddedToken& token : added) next = std::max(next, token.id + 1);
  for (AddedToken& token : added) {
    token.normalized = false;  // all are looked for before the model normalises
    if (token.id == AddedToken::kNoId) token.id = piece_named(processor, token.content);
    if (token.id < 0) token.id = next++;
  }
  check_added_tokens(added, file);
  for (int id = 0; id < processor.GetPieceSize(); ++id) {
    const std::string& piece = processor.IdToPiece(id);
    const auto known = [&](const AddedToken& token) { return token.content == piece; };
    if (processor.IsControl(id) && std::ranges::none_of(settings.added, known))
      added.push_back({.id = id, .content = piece, .special = true});
  }
  return AddedTokens(std::move(added));
}

SentencePieceTokenizer::SentencePieceTokenizer(std::unique_ptr<SentencePieceProcessor> processor,
                                               SentencePieceFacts facts,
                                               const FolderSettings& settings,
                                               const std::string& file)
    : processor_(std::move(processor)),
      facts_(std::move(facts)),
      cutter_(*processor_, facts_),
      added_(added_of(*processor_, settings, file)),
      vocab_size_(processor_->GetPieceSize()),
      swedish_(settings.tokenizer_class == "GPTSw3Tokenizer") {
  for (const AddedToken& token : added_.tokens()) {
    // Unknown characters are decoded as the model says, and are inside a text.
    const bool is_unknown = token.id == processor_->unk_id();
    if (!is_unknown) added_texts_.emplace(token.id, &token.content);
    vocab_size_ = std::max(vocab_size_, token.id + 1);
  }
  ends_.begin = named(settings.begin, processor_->bos_id());
  ends_.end = named(settings.end, processor_->eos_id());
  frame_as_set(settings, ends_);
  if (!ends_.begin) ends_.begin = ends_.end;
}

// The token that a file names, or SentencePiece's own.
std::optional<int32_t> SentencePieceTokenizer::named(const std::string& name, int otherwise) const {
  for (const AddedToken& token : added_.tokens()) {
    if (token.content == name) return token.id;
  }
  const int id = name.empty() ? otherwise : piece_named(*processor_, name);
  return id >= 0 ? std::optional<int32_t>(id) : std::nullopt;
}

const std::string* SentencePieceTokenizer::added_text(int32_t id) const {
  const auto found = added_texts_.find(id);
  return found == added_texts_.end() ? nullptr : found->second;
}

std::vector<int32_t> SentencePieceTokenizer::encode(std::string_view text, Special special) const {
  std::vector<int32_t> ids;
  for (const Piece& piece : encode_with_spans(text, special)) ids.push_back(piece.id);
  return ids;
}

std::vector<Tokenizer::Piece> SentencePieceTokenizer::encode_with_spans(std::string_view text,
                                                                        Special special) const {
  std::vector<Piece> pieces;
  for (const AddedTokens::Segment& segment : added_.split(text, special)) {
    if (segment.id != AddedTokens::Segment::kText) {
      pieces.push_back({segment.id, segment.begin, segment.end});
      continue;
    }
    const std::string_view raw = text.substr(segment.begin, segment.end - segment.begin);
    const auto changed = swedish_ ? std::optional(swedish_text(raw)) : std::nullopt;
    const size_t before = pieces.size();
    size_t done = segment.begin;
    for (auto [id, part_end] : cutter_.cut(changed ? changed->text() : raw)) {
      if (changed && part_end > 0) part_end = changed->span(part_end - 1, part_end).end;
      const size_t end = std::max(done, segment.begin + part_end);
      pieces.push_back({id, done, end});
      done = end;
    }
    if (pieces.size() > before) pieces.back().end = segment.end;
  }
  return pieces;
}

// As the library decodes: a space symbol that begins the text is the one that encoding added.
class SentencePieceTokenizer::TextRun : public Decoding {
 public:
  explicit TextRun(const SentencePieceTokenizer& tokenizer) : tokenizer_(tokenizer) {}
  void push(int32_t id, std::string& out) override {
    tokenizer_.check_id(id);
    const SentencePieceProcessor& processor = *tokenizer_.processor_;
    const SentencePieceFacts& facts = tokenizer_.facts_;
    if (const std::string* added = tokenizer_.added_text(id)) {
      out += *added;
      at_start_ = true;  // the text after it was encoded on its own
      return;
    }
    std::string text = tokenizer_.token_bytes(id);
    if (id >= processor.GetPieceSize()) return;
    const bool spaced = at_start_ && (facts.add_dummy_prefix || facts.remove_extra_whitespaces) &&
                        !processor.IsByte(id) && processor.IdToPiece(id).starts_with(kSpaceSymbol);
    if (spaced) text.erase(0, 1);
    at_start_ = at_start_ && text.empty() && (!spaced || facts.remove_extra_whitespaces);
    out += text;
  }

 private:
  const SentencePieceTokenizer& tokenizer_;
  bool at_start_ = true;
};

std::unique_ptr<Tokenizer::Decoding> SentencePieceTokenizer::start_decoding() const {
  return std::make_unique<TextRun>(*this);
}

std::string SentencePieceTokenizer::token_bytes(int32_t id) const {
  check_id(id);
  if (const std::string* added = added_text(id)) return *added;
  if (id >= processor_->GetPieceSize()) return "";  // a gap between the pieces and added tokens
  if (processor_->IsUnknown(id)) return facts_.unknown_text;
  const std::string& piece = processor_->IdToPiece(id);
  if (processor_->IsByte(id)) return std::string(1, byte_of_piece(piece));
  std::string text;
  for (size_t at = 0; at < piece.size();) {
    const size_t symbol = std::min(piece.find(kSpaceSymbol, at), piece.size());
    text.append(piece, at, symbol - at);
    if (symbol < piece.size()) text += ' ';
    at = symbol + kSpaceSymbol.size();
  }
  return text;
}

std::optional<int32_t> SentencePieceTokenizer::find_special(std::string_view name) const {
  for (const AddedToken& token : added_.tokens()) {
    if (token.special && token.content == name) return token.id;
  }
  return std::nullopt;
}

}  // namespace

std::shared_ptr<const Tokenizer> parse_sentencepiece(std::string_view contents,
                                                     const std::string& file,
                                                     const FolderSettings& settings) {
  SentencePieceFacts facts = read_sentencepiece_facts(contents, file);
  auto processor = std::make_unique<SentencePieceProcessor>();
  try {
    if (const auto status = processor->LoadFromSerializedProto(contents); !status.ok()) {
      user_error("{}: invalid SentencePiece model: {}; download it again", file, status.ToString());
    }
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    user_error("{}: invalid SentencePiece model: {}; download it again", file, error.what());
  }
  return std::make_shared<SentencePieceTokenizer>(std::move(processor), std::move(facts), settings,
                                                  file);
}

}  // namespace vitrine::internal
