// SPDX-License-Identifier: MIT
#include "tokenizer/sentencepiece_pieces.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace vitrine::internal {
namespace {

using sentencepiece::SentencePieceProcessor;

std::optional<UnigramLattice> lattice_of(const SentencePieceProcessor& processor,
                                         const SentencePieceFacts& facts) {
  // User-defined pieces have scores that differ between versions.
  if (facts.algorithm != "unigram" || facts.has_user_defined) return std::nullopt;
  std::vector<ScoredToken> tokens;
  for (int id = 0; id < processor.GetPieceSize(); ++id) {
    if (processor.IsUnknown(id) || processor.IsControl(id) || processor.IsUnused(id) ||
        processor.IsByte(id))
      continue;
    tokens.push_back({processor.IdToPiece(id), static_cast<double>(processor.GetScore(id)), id});
  }
  if (tokens.empty()) return std::nullopt;
  return UnigramLattice(std::move(tokens), processor.unk_id(), UnigramLattice::Sums::kSingle);
}

}  // namespace

char byte_of_piece(const std::string& piece) {
  return static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16));
}

/// A text as the model sees it, and where the library's pieces of it end in both.
struct SentencePieceCutter::Normalized {
  std::string text;
  std::vector<std::pair<size_t, size_t>> ends;  // in `text`, in the original

  // Where in the original the character ends that ends at `end` of `text`. Within a piece of the
  // library a space symbol is one byte of the original, and nothing else differs.
  size_t original(size_t end) const {
    const auto piece = std::lower_bound(ends.begin(), ends.end(), std::pair(end, size_t{0}));
    const size_t floor = piece == ends.begin() ? 0 : (piece - 1)->second;
    const std::string_view rest = std::string_view(text).substr(end, piece->first - end);
    size_t left = rest.size();
    for (size_t at = 0; (at = rest.find("\u2581", at)) != std::string_view::npos; at += 3)
      left -= 2;
    return std::max(floor, piece->second - std::min(left, piece->second));
  }
};

SentencePieceCutter::SentencePieceCutter(const SentencePieceProcessor& processor,
                                         const SentencePieceFacts& facts)
    : processor_(processor),
      byte_fallback_(facts.byte_fallback),
      lattice_(lattice_of(processor, facts)) {}

/// The pieces of characters without a piece of their own, from `before` to `end` of the text.
void SentencePieceCutter::spell(std::string_view text, size_t end, size_t before,
                                std::vector<Part>& out) const {
  if (!byte_fallback_) return out.push_back({processor_.unk_id(), end});
  for (const char c : text)
    out.push_back(
        {processor_.PieceToId(fmt::format("<0x{:02X}>", static_cast<unsigned char>(c))), before});
  out.back().end = end;
}

std::vector<SentencePieceCutter::Part> SentencePieceCutter::cut(std::string_view text) const {
  sentencepiece::ImmutableSentencePieceText encoded;
  const auto status = processor_.Encode(text, encoded.mutable_proto());
  if (!status.ok()) user_error("cannot encode the text with SentencePiece: {}", status.ToString());
  std::vector<Part> parts;
  Normalized normalized;
  for (const auto& piece : encoded.pieces()) {
    const auto id = static_cast<int32_t>(piece.id());
    if (!lattice_) {
      parts.push_back({id, piece.end()});
      continue;
    }
    if (processor_.IsByte(id)) {
      normalized.text += byte_of_piece(piece.piece());
    } else {
      normalized.text += piece.piece();
    }
    normalized.ends.emplace_back(normalized.text.size(), piece.end());
  }
  if (!lattice_) return parts;
  size_t before = 0;
  for (const WordToken& best : lattice_->best(normalized.text)) {
    const size_t end = normalized.original(best.end);
    if (best.id == lattice_->unknown()) {
      spell(std::string_view(normalized.text).substr(best.begin, best.end - best.begin), end,
            before, parts);
    } else {
      parts.push_back({best.id, end});
    }
    before = end;
  }
  return parts;
}

}  // namespace vitrine::internal
