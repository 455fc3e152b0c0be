// SPDX-License-Identifier: MIT
#include "tokenizer/pipeline/normal_forms.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <optional>

#include "tokenizer/pipeline/characters.h"

namespace vitrine::internal {
namespace {

int combining_class(char32_t c) {
  return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
}

bool is_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char byte) { return byte >= 0; });
}

/// The decomposition, in canonical order, with what each character replaces. Marks that change
/// places keep theirs, as in tokenizers.
std::vector<NewCharacter> decomposition(const std::string& text, bool compatible) {
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE |
                                                      (compatible ? UTF8PROC_COMPAT : 0));
  std::vector<NewCharacter> out;
  for_each_character(text, [&](char32_t c, size_t, size_t) {
    std::array<utf8proc_int32_t, 32> parts;  // Unicode's longest has 18
    int boundary = 0;
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts.data(),
                                               parts.size(), options, &boundary);
    if (count <= 0 || static_cast<size_t>(count) > parts.size()) {
      out.push_back({c});
      return;
    }
    for (size_t i = 0; i < static_cast<size_t>(count); ++i)
      out.push_back({static_cast<char32_t>(parts[i]), i == 0 ? 0 : NewCharacter::kInserted});
  });
  for (auto begin = out.begin(); begin != out.end();) {
    if (combining_class(begin->character) == 0) {
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, out.end(), [](const NewCharacter& next) {
      return combining_class(next.character) == 0;
    });
    std::stable_sort(begin, end, [](const NewCharacter& a, const NewCharacter& b) {
      return combining_class(a.character) < combining_class(b.character);
    });
    begin = end;
  }
  return out;
}

/// The one character that the two make, if they make one.
std::optional<char32_t> composed(char32_t first, char32_t second) {
  utf8proc_int32_t pair[2] = {static_cast<utf8proc_int32_t>(first),
                              static_cast<utf8proc_int32_t>(second)};
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  if (utf8proc_normalize_utf32(pair, 2, options) != 1) return std::nullopt;
  return static_cast<char32_t>(pair[0]);
}

/// What `second` replaces goes to `first`, with which it was joined.
int joined_changes(int first, int second) {
  // Characters of the text in both, an inserted one being none.
  const int characters = first + 1 + second + 1;
  return characters - 1;
}

}  // namespace

void decompose(AlignedText& text, bool compatible) {
  if (!is_ascii(text.text())) text.transform(decomposition(text.text(), compatible));
}

void compose(AlignedText& text, bool compatible) {
  if (is_ascii(text.text())) return;
  const std::vector<NewCharacter> parts = decomposition(text.text(), compatible);
  std::vector<NewCharacter> out;
  std::optional<size_t> starter;  // in `out`
  int last_class = 0;             // of what came after the starter
  for (const NewCharacter& next : parts) {
    const int klass = combining_class(next.character);
    const bool blocked =
        !starter || (*starter + 1 < out.size() && (last_class == 0 || last_class >= klass));
    if (!blocked) {
      if (const auto one = composed(out[*starter].character, next.character)) {
        out[*starter] = {*one, joined_changes(out[*starter].removed, next.removed)};
        continue;
      }
    }
    if (klass == 0) starter = out.size();
    last_class = klass;
    out.push_back(next);
  }
  text.transform(out);
}

}  // namespace vitrine::internal
