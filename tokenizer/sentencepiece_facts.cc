// SPDX-License-Identifier: MIT
#include "tokenizer/sentencepiece_facts.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/proto_message.h"
#include "base/quote.h"
#include "tokenizer/sentencepiece_charsmap.h"

namespace vitrine::internal {
namespace {

using Message = ProtoMessage;

constexpr size_t kMaxUnknownText = 256;

void read_trainer(Message trainer, const std::string& file, SentencePieceFacts& facts) {
  while (const auto field = trainer.next()) {
    if (field->number == 3) {
      constexpr const char* kAlgorithms[] = {"unigram", "BPE", "word", "char"};
      if (field->value < 1 || field->value > 4)
        user_error("{}: unknown model_type {}: expected 1 to 4", file, field->value);
      facts.algorithm = kAlgorithms[field->value - 1];
    }
    if (field->number == 35) facts.byte_fallback = field->value != 0;
    if (field->number != 44) continue;
    // Each unknown token of a text becomes this.
    if (field->bytes.size() > kMaxUnknownText)
      user_error("{}: unk_surface has {} bytes: expected at most {}", file, field->bytes.size(),
                 kMaxUnknownText);
    facts.unknown_text = std::string(field->bytes);
  }
}

void read_normalizer(Message normalizer, const std::string& file, SentencePieceFacts& facts) {
  while (const auto field = normalizer.next()) {
    if (field->number == 2 && !field->bytes.empty()) check_charsmap(field->bytes, file);
    if (field->number == 3) facts.add_dummy_prefix = field->value != 0;
    if (field->number == 4) facts.remove_extra_whitespaces = field->value != 0;
  }
}

void refuse_denormalizer(Message denormalizer, const std::string& file) {
  while (const auto field = denormalizer.next()) {
    if (field->number == 2 && !field->bytes.empty())
      user_error("{}: unsupported denormalizer_spec: expected none", file);
  }
}

// Adds the piece to `user_defined` if it is of that type.
void check_piece(Message piece, size_t index, const std::string& file,
                 std::vector<std::string_view>& user_defined) {
  constexpr uint32_t kUserDefined = 4, kMaxType = 6;
  std::string_view text;
  uint32_t type = 1;
  while (const auto field = piece.next()) {
    if (field->number == 1) {
      text = field->bytes;
      if (text.empty() || text.find('\0') != std::string_view::npos) {
        user_error("{}: invalid piece {}: expected text without zero bytes", file, index);
      }
    }
    // The library ignores types that it does not know.
    const auto value = static_cast<uint32_t>(field->value);
    if (field->number == 3 && value >= 1 && value <= kMaxType) type = value;
  }
  if (type == kUserDefined) user_defined.push_back(text);
}

// Limits the number of user-defined pieces that are prefixes of one text, which the library keeps
// on its stack.
void check_prefixes(std::vector<std::string_view> pieces, const std::string& file) {
  constexpr size_t kMaxPrefixes = 64;
  std::sort(pieces.begin(), pieces.end());
  pieces.erase(std::unique(pieces.begin(), pieces.end()), pieces.end());
  std::vector<std::string_view> prefixes;
  for (const std::string_view piece : pieces) {
    while (!prefixes.empty() && !piece.starts_with(prefixes.back())) prefixes.pop_back();
    prefixes.push_back(piece);
    if (prefixes.size() > kMaxPrefixes) {
      user_error(
          "{}: too many user-defined pieces begin with {}: expected at most {}; train the model "
          "without them",
          file, quote(prefixes.front()), kMaxPrefixes);
    }
  }
}

}  // namespace

SentencePieceFacts read_sentencepiece_facts(std::string_view model, const std::string& file) {
  SentencePieceFacts facts;
  size_t pieces = 0;
  std::vector<std::string_view> user_defined;
  Message top(model, file, "a SentencePiece model");
  while (const auto field = top.next()) {
    const Message part = top.inside(*field);
    switch (field->number) {
      case 1:
        check_piece(part, pieces++, file, user_defined);
        break;
      case 2:
        read_trainer(part, file, facts);
        break;
      case 3:
        read_normalizer(part, file, facts);
        break;
      case 5:
        refuse_denormalizer(part, file);
        break;
      default:
        break;
    }
  }
  if (pieces == 0) user_error("{}: is not a SentencePiece model: missing pieces", file);
  facts.has_user_defined = !user_defined.empty();
  check_prefixes(std::move(user_defined), file);
  return facts;
}

}  // namespace vitrine::internal
