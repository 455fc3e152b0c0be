// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "base/check.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/loaders.h"
#include "tokenizer/pipeline/swedish.h"
#include "tokenizer/sentencepiece_facts.h"

namespace vitrine::internal {
namespace {

using sentencepiece::SentencePieceProcessor;

constexpr std::string_view kSpaceSymbol = "\u2581";

// The byte of a piece such as "<0x0A>".
char byte_of_piece(const std::string& piece) {
  return static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16));
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(std::unique_ptr<SentencePieceProcessor> processor,
                         SentencePieceFacts facts, const FolderSettings& settings);

  std::vector<int32_t> encode(std::string_view text, Special special) const override;
  std::vector<Piece> encode_with_spans(std::string_view text, Special special) const override;
  std::string token_bytes(int32_t id) const override;
  std::optional<int32_t> find_special(std::string_view name) const override;
  std::optional<int32_t> end_of_text() const override { return ends_.end; }
  std::optional<int32_t> begin_of_text() const override { return ends_.begin; }
  const Frame& frame() const override { return ends_.frame; }
  int32_t vocab_size() const override { return processor_->GetPieceSize(); }
  std::string description() const override {
    return fmt::format("SentencePiece {}, {} tokens", facts_.algorithm, vocab_size());
  }

 protected:
  std::unique_ptr<Decoding> start_decoding() const override;

 private:
  class TextRun;
  std::optional<int32_t> named(const std::string& name, int otherwise) const;

  std::unique_ptr<SentencePieceProcessor> processor_;
  SentencePieceFacts facts_;
  AddedTokens controls_;
  TextEnds ends_;
  bool swedish_;  // GPT-SW3's text is changed before the model sees it
};

void check(const sentencepiece::util::Status& status) {
  if (!status.ok()) user_error("cannot encode the text with SentencePiece: {}", status.ToString());
}

AddedTokens controls_of(const SentencePieceProcessor& processor) {
  std::vector<AddedToken> controls;
  for (int id = 0; id < processor.GetPieceSize(); ++id) {
    if (processor.IsControl(id))
      controls.push_back({.id = id, .content = processor.IdToPiece(id), .special = true});
  }
  return AddedTokens(std::move(controls));
}

SentencePieceTokenizer::SentencePieceTokenizer(std::unique_ptr<SentencePieceProcessor> processor,
                                               SentencePieceFacts facts,
                                               const FolderSettings& settings)
    : processor_(std::move(processor)),
      facts_(std::move(facts)),
      controls_(controls_of(*processor_)),
      swedish_(settings.tokenizer_class == "GPTSw3Tokenizer") {
  ends_.begin = named(settings.begin, processor_->bos_id());
  ends_.end = named(settings.end, processor_->eos_id());
  frame_as_set(settings, ends_);
  if (!ends_.begin) ends_.begin = ends_.end;
}

// The token that a file names, or SentencePiece's own.
std::optional<int32_t> SentencePieceTokenizer::named(const std::string& name, int otherwise) const {
  const int id = name.empty() ? otherwise : processor_->PieceToId(name);
  const bool known = id >= 0 && (name.empty() || processor_->IdToPiece(id) == name);
  return known ? std::optional<int32_t>(id) : std::nullopt;
}

std::vector<int32_t> SentencePieceTokenizer::encode(std::string_view text, Special special) const {
  std::vector<int32_t> ids;
  for (const AddedTokens::Segment& segment : controls_.split(text, special)) {
    if (segment.id != AddedTokens::Segment::kText) {
      ids.push_back(segment.id);
      continue;
    }
    std::vector<int> part;
    const std::string_view raw = text.substr(segment.begin, segment.end - segment.begin);
    check(processor_->Encode(swedish_ ? swedish_text(raw).text() : raw, &part));
    ids.insert(ids.end(), part.begin(), part.end());
  }
  return ids;
}

std::vector<Tokenizer::Piece> SentencePieceTokenizer::encode_with_spans(std::string_view text,
                                                                        Special special) const {
  std::vector<Piece> pieces;
  for (const AddedTokens::Segment& segment : controls_.split(text, special)) {
    if (segment.id != AddedTokens::Segment::kText) {
      pieces.push_back({segment.id, segment.begin, segment.end});
      continue;
    }
    sentencepiece::ImmutableSentencePieceText encoded;
    const std::string_view raw = text.substr(segment.begin, segment.end - segment.begin);
    const auto changed = swedish_ ? std::optional(swedish_text(raw)) : std::nullopt;
    check(processor_->Encode(changed ? changed->text() : raw, encoded.mutable_proto()));
    const size_t before = pieces.size();
    size_t done = segment.begin;
    for (const auto& piece : encoded.pieces()) {
      size_t piece_end = piece.end();
      if (changed && piece_end > 0) piece_end = changed->span(piece_end - 1, piece_end).end;
      const size_t end = std::max(done, segment.begin + piece_end);
      pieces.push_back({static_cast<int32_t>(piece.id()), done, end});
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
    if (processor.IsControl(id)) {
      out += processor.IdToPiece(id);
      at_start_ = true;
      return;
    }
    std::string text = tokenizer_.token_bytes(id);
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
  if (processor_->IsUnknown(id)) return facts_.unknown_text;
  const std::string& piece = processor_->IdToPiece(id);
  if (processor_->IsByte(id)) return std::string(1, byte_of_piece(piece));
  if (processor_->IsControl(id)) return piece;
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
  for (const AddedToken& control : controls_.tokens()) {
    if (control.content == name) return control.id;
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
  return std::make_shared<SentencePieceTokenizer>(std::move(processor), std::move(facts), settings);
}

}  // namespace vitrine::internal
