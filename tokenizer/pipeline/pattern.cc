// SPDX-License-Identifier: MIT
#include "tokenizer/pipeline/pattern.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "base/utf8.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/pipeline/characters.h"

namespace vitrine::internal {
namespace {

/// Joins neighbours where `joins(match, previous one matches)` holds.
template <typename Joins>
std::vector<TextMatch> joined_matches(const std::vector<TextMatch>& matches, const Joins& joins) {
  std::vector<TextMatch> out;
  bool previous = false;
  for (const TextMatch& match : matches) {
    if (!out.empty() && joins(match.matches, previous)) {
      out.back().begin = std::min(out.back().begin, match.begin);
      out.back().end = std::max(out.back().end, match.end);
    } else {
      out.push_back({match.begin, match.end, false});
    }
    previous = match.matches;
  }
  return out;
}

std::vector<TextMatch> applied(std::vector<TextMatch> matches, SplitBehavior behavior) {
  const auto first_match = [](bool now, bool previous) { return now && !previous; };
  switch (behavior) {
    case SplitBehavior::kRemoved:
      return matches;
    case SplitBehavior::kIsolated:
      return joined_matches(matches, [](bool, bool) { return false; });
    case SplitBehavior::kContiguous:
      return joined_matches(matches, [](bool now, bool previous) { return now == previous; });
    case SplitBehavior::kMergedWithPrevious:
      return joined_matches(matches, first_match);
    case SplitBehavior::kMergedWithNext:
      std::reverse(matches.begin(), matches.end());
      matches = joined_matches(matches, first_match);
      std::reverse(matches.begin(), matches.end());
      return matches;
  }
  internal_error("unknown behaviour of a split");
}

}  // namespace

Regex read_pattern(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const Json* const pattern = fields.find("pattern");
  if (!pattern || !pattern->is_object() || pattern->size() != 1)
    fields.refuse("pattern", "expected {\"String\": TEXT} or {\"Regex\": PATTERN}");
  const JsonFields kinds(*pattern, where);
  if (const auto regex = kinds.text("Regex")) return Regex(*regex, where);
  if (const auto text = kinds.text("String")) return Regex(escaped_regex(*text), where);
  fields.refuse("pattern", "expected {\"String\": TEXT} or {\"Regex\": PATTERN}");
}

SplitBehavior read_split_behavior(const JsonFields& fields, SplitBehavior if_absent) {
  const auto name = fields.text("behavior");
  if (!name) return if_absent;
  static constexpr std::pair<std::string_view, SplitBehavior> kNames[] = {
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"Contiguous", SplitBehavior::kContiguous},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext}};
  for (const auto& [known, behavior] : kNames) {
    if (*name == known) return behavior;
  }
  fields.refuse("behavior",
                "expected Removed, Isolated, Contiguous, MergedWithPrevious or MergedWithNext");
}

std::vector<TextMatch> split_characters(std::string_view text,
                                        const std::function<bool(char32_t)>& is) {
  std::vector<TextMatch> out;
  size_t done = 0;
  for_each_character(text, [&](char32_t c, size_t begin, size_t end) {
    if (!is(c)) return;
    if (done < begin) out.push_back({done, begin, false});
    out.push_back({begin, end, true});
    done = end;
  });
  if (done < text.size()) out.push_back({done, text.size(), false});
  return out;
}

void cut(const AlignedText& text, std::vector<TextMatch> matches, SplitBehavior behavior,
         std::vector<AlignedText>& out) {
  for (const TextMatch& part : applied(std::move(matches), behavior)) {
    if (!part.matches && part.begin < part.end) out.push_back(text.slice(part.begin, part.end));
  }
}

std::vector<NewCharacter> byte_spelling(std::string_view text) {
  static const std::array<char32_t, 256> kSpelling = [] {
    std::array<char32_t, 256> spelling{};
    for (size_t byte = 0; byte < spelling.size(); ++byte)
      spelling[byte] = utf8_step(spelling_of_byte(static_cast<unsigned char>(byte))).code_point;
    return spelling;
  }();
  std::vector<NewCharacter> out;
  out.reserve(text.size());
  for (const char byte : text) {
    const bool continues = (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
    out.push_back(
        {kSpelling[static_cast<unsigned char>(byte)], continues ? NewCharacter::kInserted : 0});
  }
  return out;
}

}  // namespace vitrine::internal
