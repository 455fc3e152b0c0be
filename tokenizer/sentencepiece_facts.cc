// SPDX-License-Identifier: MIT
#include "tokenizer/sentencepiece_facts.h"

#include <cstdint>
#include <cstring>
#include <optional>

#include "base/check.h"

namespace vitrine::internal {
namespace {

// Walks the fields of one protocol buffer message.
class Message {
 public:
  struct Field {
    uint64_t number;
    uint64_t value;          // of a varint
    std::string_view bytes;  // of a string or message
  };

  Message(std::string_view rest, const std::string& file) : rest_(rest), file_(file) {}

  // The next field; nothing at the end.
  std::optional<Field> next() {
    if (rest_.empty()) return std::nullopt;
    const uint64_t tag = varint();
    Field field{tag >> 3, 0, {}};
    switch (tag & 7) {
      case 0:
        field.value = varint();
        break;
      case 1:
        take(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        take(4);
        break;
      default:
        broken();
    }
    return field;
  }

 private:
  [[noreturn]] void broken() const {
    user_error(
        "{}: not a SentencePiece model, or cut short ({} bytes from the end of a part make no "
        "sense); fetch it again",
        file_, rest_.size());
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    broken();
  }

  std::string_view take(uint64_t count) {
    if (count > rest_.size()) broken();
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::string_view rest_;
  const std::string& file_;
};

// The table is four bytes of size, that many bytes of a double-array trie, and the normalised
// strings (each ended by a zero). The trie is read as darts-clone lays it out; whatever text comes,
// the library must stay inside both.
bool charsmap_is_sound(std::string_view table) {
  uint32_t trie_bytes = 0;
  if (table.size() <= sizeof trie_bytes) return false;
  std::memcpy(&trie_bytes, table.data(), sizeof trie_bytes);
  table.remove_prefix(sizeof trie_bytes);
  if (trie_bytes >= table.size() || trie_bytes < 4 || trie_bytes % 4 != 0 || table.back() != '\0')
    return false;
  const size_t units = trie_bytes / 4, strings = table.size() - trie_bytes;
  const auto unit = [&](size_t i) {
    uint32_t value;
    std::memcpy(&value, table.data() + 4 * i, 4);
    return value;
  };
  for (size_t i = 0; i < units; ++i) {
    const uint32_t u = unit(i);
    if (u >> 31 != 0) continue;  // a value, which has no children
    const size_t children = i ^ (u >> 10) << ((u & 1u << 9) >> 6);
    if ((children | 0xFF) >= units) return false;
    const bool has_value = (u >> 8 & 1) != 0;
    if (has_value && (unit(children) & 0x7FFFFFFF) >= strings) return false;
  }
  return true;
}

void read_trainer(Message trainer, const std::string& file, SentencePieceFacts& facts) {
  while (const auto field = trainer.next()) {
    if (field->number == 3) {
      constexpr const char* kAlgorithms[] = {"unigram", "BPE", "word", "char"};
      if (field->value < 1 || field->value > 4)
        user_error("{}: model_type is {}; only 1 to 4 are known", file, field->value);
      facts.algorithm = kAlgorithms[field->value - 1];
    }
    if (field->number == 44) facts.unknown_text = std::string(field->bytes);
  }
}

void read_normalizer(Message normalizer, const std::string& file, SentencePieceFacts& facts) {
  while (const auto field = normalizer.next()) {
    if (field->number == 2 && !field->bytes.empty() && !charsmap_is_sound(field->bytes)) {
      user_error("{}: its table of normalisations ({} bytes) is damaged; fetch it again", file,
                 field->bytes.size());
    }
    if (field->number == 3) facts.add_dummy_prefix = field->value != 0;
    if (field->number == 4) facts.remove_extra_whitespaces = field->value != 0;
  }
}

void refuse_denormalizer(Message denormalizer, const std::string& file) {
  while (const auto field = denormalizer.next()) {
    if (field->number == 2 && !field->bytes.empty())
      user_error("{}: has a denormalizer_spec, which is not supported", file);
  }
}

void check_piece(Message piece, size_t index, const std::string& file) {
  while (const auto field = piece.next()) {
    if (field->number == 1 &&
        (field->bytes.empty() || field->bytes.find('\0') != std::string_view::npos)) {
      user_error("{}: piece {} is empty or has a zero byte in it", file, index);
    }
  }
}

}  // namespace

SentencePieceFacts read_sentencepiece_facts(std::string_view model, const std::string& file) {
  SentencePieceFacts facts;
  size_t pieces = 0;
  Message top(model, file);
  while (const auto field = top.next()) {
    const Message part(field->bytes, file);
    switch (field->number) {
      case 1:
        check_piece(part, pieces++, file);
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
  if (pieces == 0) user_error("{}: not a SentencePiece model: it has no pieces", file);
  return facts;
}

}  // namespace vitrine::internal
