// SPDX-License-Identifier: MIT
#pragma once

#include <sentencepiece_processor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/pipeline/unigram.h"
#include "tokenizer/sentencepiece_facts.h"

namespace vitrine::internal {

/// Cuts text into the pieces of a SentencePiece model. Immutable.
class SentencePieceCutter {
 public:
  struct Part {
    int32_t id;
    size_t end;  ///< in the text
  };

  /// `processor` must outlive this.
  SentencePieceCutter(const sentencepiece::SentencePieceProcessor& processor,
                      const SentencePieceFacts& facts);

  /// Throws Error (user) for a text that the library rejects.
  std::vector<Part> cut(std::string_view text) const;

 private:
  struct Normalized;
  void spell(std::string_view text, size_t end, size_t before, std::vector<Part>& out) const;

  const sentencepiece::SentencePieceProcessor& processor_;
  bool byte_fallback_;
  /// Of a unigram model. The library normalises; of equally good pieces it chooses those of its
  /// version, and this those of versions from 0.2.2 on, whose sums are of single precision.
  std::optional<UnigramLattice> lattice_;
};

/// The byte of a piece such as "<0x0A>".
char byte_of_piece(const std::string& piece);

}  // namespace vitrine::internal
