// SPDX-License-Identifier: MIT
#include "tokenizer/pipeline/swedish.h"

#include <algorithm>
#include <iterator>

#include "tokenizer/pipeline/normal_forms.h"

namespace vitrine::internal {

AlignedText swedish_text(std::string_view text) {
  AlignedText out(text);
  out.filter([](char32_t c) {
    return !(c < 9 || (c >= 11 && c < 32) || (c >= 127 && c <= 160) || c == 173 || c == 0x200B);
  });
  // The spaces that transformers lists, which are not all of Unicode's.
  static constexpr char32_t kSpaces[] = {U' ',   0x2009, 0x200A, 0x202F, 0x2005,
                                         0x3000, 0x2002, 0x2008, 0x2003, 0xFFFC};
  out.map([](char32_t c) {
    return std::find(std::begin(kSpaces), std::end(kSpaces), c) == std::end(kSpaces) ? c : U' ';
  });
  compose(out, false);
  return out;
}

}  // namespace vitrine::internal
