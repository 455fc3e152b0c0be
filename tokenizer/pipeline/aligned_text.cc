// SPDX-License-Identifier: MIT
#include "tokenizer/pipeline/aligned_text.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/utf8.h"
#include "tokenizer/pipeline/characters.h"

namespace vitrine::internal {

AlignedText::AlignedText(std::string_view users_text) {
  if (users_text.size() >= std::numeric_limits<uint32_t>::max())
    user_error("a text is {} bytes long: expected less than 4 GiB for this tokenizer; split it",
               users_text.size());
  text_.reserve(users_text.size());
  spans_.reserve(users_text.size());
  for (size_t at = 0; at < users_text.size();) {
    const Utf8Step step = utf8_step(users_text.substr(at, 4));
    const size_t before = text_.size();
    append_utf8(step.valid ? step.code_point : kReplacement, text_);
    const auto begin = static_cast<uint32_t>(at);
    if (step.valid) {
      // Each byte of a character is the whole character's.
      spans_.insert(spans_.end(), step.length, {begin, begin + step.length});
    } else {
      spans_.insert(spans_.end(), text_.size() - before, {begin, begin + 1});
    }
    at += step.length;
  }
}

AlignedText AlignedText::slice(size_t begin, size_t end) const {
  AlignedText part;
  part.text_ = text_.substr(begin, end - begin);
  part.spans_.assign(spans_.begin() + static_cast<std::ptrdiff_t>(begin),
                     spans_.begin() + static_cast<std::ptrdiff_t>(end));
  part.start_ = begin < end ? part.spans_.front().begin : start_;
  return part;
}

void AlignedText::transform(const std::vector<NewCharacter>& characters, size_t dropped) {
  std::string text;
  std::vector<TextSpan> spans;
  text.reserve(text_.size());
  spans.reserve(text_.size());
  size_t at = 0;
  const auto skip = [&](size_t count) {
    for (; count > 0 && at < text_.size(); --count)
      at += utf8_step(std::string_view(text_).substr(at)).length;
  };
  skip(dropped);
  for (const NewCharacter& next : characters) {
    const bool inserted = next.removed == NewCharacter::kInserted;
    const TextSpan span = inserted || at >= text_.size() ? span_before(at) : spans_[at];
    if (!inserted) skip(1 + static_cast<size_t>(next.removed));
    append_utf8(next.character, text);
    spans.resize(text.size(), span);
  }
  text_ = std::move(text);
  spans_ = std::move(spans);
}

void AlignedText::filter(const std::function<bool(char32_t)>& keep) {
  std::vector<NewCharacter> kept;
  size_t dropped_first = 0;
  for_each_character(text_, [&](char32_t c, size_t, size_t) {
    if (keep(c)) {
      kept.push_back({c});
    } else if (kept.empty()) {
      ++dropped_first;
    } else {
      ++kept.back().removed;
    }
  });
  transform(kept, dropped_first);
}

void AlignedText::map(const std::function<char32_t(char32_t)>& change) {
  std::vector<NewCharacter> changed;
  for_each_character(text_, [&](char32_t c, size_t, size_t) { changed.push_back({change(c)}); });
  transform(changed);
}

void AlignedText::prepend(std::string_view prefix) {
  if (text_.empty() || prefix.empty()) return;
  // The first character's span is that of what comes before it, as tokenizers has it.
  const uint32_t first = utf8_step(text_).length;
  text_.insert(0, prefix);
  spans_.insert(spans_.begin(), prefix.size(), spans_[0]);
  std::fill_n(spans_.begin() + static_cast<std::ptrdiff_t>(prefix.size()), first,
              spans_[prefix.size() + first - 1]);
}

void AlignedText::replace(const std::vector<TextMatch>& matches, std::string_view content) {
  std::string text;
  std::vector<TextSpan> spans;
  for (const TextMatch& match : matches) {
    if (match.matches) {
      text += content;
      spans.resize(text.size(), span_before(match.end));
    } else {
      text.append(text_, match.begin, match.end - match.begin);
      spans.insert(spans.end(), spans_.begin() + static_cast<std::ptrdiff_t>(match.begin),
                   spans_.begin() + static_cast<std::ptrdiff_t>(match.end));
    }
  }
  text_ = std::move(text);
  spans_ = std::move(spans);
}

}  // namespace vitrine::internal
