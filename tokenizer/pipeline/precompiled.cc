// SPDX-License-Identifier: MIT
#include "tokenizer/pipeline/precompiled.h"

#include <utf8proc.h>

#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "base/check.h"
#include "tokenizer/pipeline/characters.h"
#include "tokenizer/sentencepiece_charsmap.h"

namespace vitrine::internal {
namespace {

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

std::optional<std::string> from_base64(std::string_view text) {
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int digit = base64_digit(c);
    if (digit < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xFF);
  }
  return bytes;
}

/// The table, checked: a trie in units of four bytes, and the texts that its values point at.
class Replacements {
 public:
  explicit Replacements(std::string_view table) {
    uint32_t size = 0;
    std::memcpy(&size, table.data(), sizeof size);
    units_.resize(size / sizeof(uint32_t));
    std::memcpy(units_.data(), table.data() + sizeof size, size);
    texts_ = table.substr(sizeof size + size);
  }

  /// What the longest known beginning of `text` is replaced by; none if nothing is known.
  std::optional<std::string_view> find(std::string_view text) const {
    std::optional<std::string_view> found;
    uint32_t node = 0, at = offset(units_[0]);
    for (const char byte : text) {
      const auto label = static_cast<unsigned char>(byte);
      if (label == 0) break;
      node = at ^ label;
      if (node >= units_.size() || (units_[node] & 0x800000FFu) != label) break;
      at = node ^ offset(units_[node]);
      if ((units_[node] >> 8 & 1) == 0) continue;
      const char* const value = texts_.data() + (units_[at] & 0x7FFFFFFFu);
      // tokenizers takes the first that it finds, which is the shortest.
      if (!found) found = std::string_view(value);
    }
    return found;
  }

 private:
  static uint32_t offset(uint32_t unit) { return (unit >> 10) << ((unit & 1u << 9) >> 6); }

  std::vector<uint32_t> units_;
  std::string texts_;
};

void add_replacement(std::string_view old_part, std::string_view new_part,
                     std::vector<NewCharacter>& out) {
  const size_t old_count = count_characters(old_part), new_count = count_characters(new_part);
  size_t index = 0;
  for_each_character(new_part, [&](char32_t c, size_t, size_t) {
    out.push_back({c, index++ < old_count ? 0 : NewCharacter::kInserted});
  });
  if (new_count >= old_count) return;
  const auto missing = static_cast<int>(old_count - new_count);
  if (!out.empty()) {
    // What has no place of its own goes with the character before.
    int& removed = out.back().removed;
    removed = removed == NewCharacter::kInserted ? missing - 1 : removed + missing;
  }
}

void apply(const Replacements& replacements, AlignedText& text) {
  const std::string& all = text.text();
  std::vector<NewCharacter> out;
  bool changed = false;
  const auto replace = [&](std::string_view part) {
    const auto found = replacements.find(part);
    if (found) {
      add_replacement(part, *found, out);
      changed = true;
    }
    return found.has_value();
  };
  const auto take = [&](std::string_view cluster) {
    constexpr size_t kShort = 6;
    if (cluster.size() < kShort && replace(cluster)) return;
    for_each_character(cluster, [&](char32_t c, size_t begin, size_t end) {
      if (!replace(cluster.substr(begin, end - begin))) out.push_back({c});
    });
  };
  size_t begin = 0;
  utf8proc_int32_t state = 0, previous = -1;
  for_each_character(all, [&](char32_t c, size_t at, size_t) {
    const auto now = static_cast<utf8proc_int32_t>(c);
    if (previous >= 0 && utf8proc_grapheme_break_stateful(previous, now, &state)) {
      take(std::string_view(all).substr(begin, at - begin));
      begin = at;
    }
    previous = now;
  });
  take(std::string_view(all).substr(begin));
  if (changed) text.transform(out);
}

}  // namespace

Normalizer read_precompiled(const JsonFields& fields, const std::string& where) {
  const std::string name = "precompiled_charsmap";
  const auto text = fields.text(name);
  if (!text) fields.refuse(name, "expected SentencePiece's table in base 64");
  const auto table = from_base64(*text);
  if (!table) user_error("{}: {} is not base 64: expected SentencePiece's table", where, name);
  // An empty table changes nothing.
  if (table->empty()) return [](AlignedText&) {};
  check_charsmap(*table, where);
  const auto replacements = std::make_shared<const Replacements>(*table);
  return [replacements](AlignedText& normalized) { apply(*replacements, normalized); };
}

}  // namespace vitrine::internal
