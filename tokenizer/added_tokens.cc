// SPDX-License-Identifier: MIT
#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "tokenizer/pipeline/characters.h"
#include "tokenizer/unicode_class.h"

namespace vitrine::internal {
namespace {

bool is_space(std::string_view text, size_t at, uint32_t& length) {
  const Utf8Step step = utf8_step(text.substr(at, 4));
  length = step.length;
  return step.valid && char_class(step.code_point) == CharClass::kSpace;
}

// Where the character that ends at `end` begins, which is not before `floor`.
size_t character_before(std::string_view text, size_t floor, size_t end) {
  size_t at = end - 1;
  while (at > floor && end - at < 4 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

// Where the white space that ends at `end` begins, not before `floor`.
size_t space_before(std::string_view text, size_t floor, size_t end) {
  while (end > floor) {
    const size_t at = character_before(text, floor, end);
    uint32_t length = 0;
    if (!is_space(text.substr(0, end), at, length) || at + length != end) break;
    end = at;
  }
  return end;
}

size_t space_after(std::string_view text, size_t begin, size_t ceiling) {
  uint32_t length = 0;
  while (begin < ceiling && is_space(text.substr(0, ceiling), begin, length)) begin += length;
  return begin;
}

bool stands_alone(std::string_view text, size_t begin, size_t end) {
  const auto is_word_at = [&](size_t at) {
    const Utf8Step step = utf8_step(text.substr(at, 4));
    return step.valid && is_word(step.code_point);
  };
  return (begin == 0 || !is_word_at(character_before(text, 0, begin))) &&
         (end == text.size() || !is_word_at(end));
}

}  // namespace

void settle_ends(const std::vector<AddedToken>& tokens, TextEnds& ends) {
  const auto first = [&](std::initializer_list<std::string_view> names) -> std::optional<int32_t> {
    for (const std::string_view name : names) {
      for (const AddedToken& token : tokens) {
        if (token.special && token.content == name) return token.id;
      }
    }
    return std::nullopt;
  };
  if (!ends.end) ends.end = first({"<|endoftext|>", "</s>"});
  if (!ends.begin) ends.begin = first({"<|endoftext|>", "<s>"});
  if (!ends.begin) ends.begin = ends.end;
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  for (const AddedToken& token : tokens_) {
    Pass& pass = passes_[token.normalized ? 1 : 0];
    const auto first = static_cast<unsigned char>(token.content[0]);
    if (pass.by_first_byte[first].empty()) pass.first_bytes.push_back(first);
    pass.by_first_byte[first].push_back(&token);
    pass.has_ordinary |= !token.special;
  }
  for (Pass& pass : passes_) {
    for (auto& candidates : pass.by_first_byte) {
      std::sort(candidates.begin(), candidates.end(),
                [](const AddedToken* a, const AddedToken* b) { return a->content < b->content; });
    }
  }
}

const AddedToken* AddedTokens::Pass::longest_at(std::string_view text, size_t at) const {
  const auto& candidates = by_first_byte[static_cast<unsigned char>(text[at])];
  const AddedToken* longest = nullptr;
  // Those that begin like the text are neighbours, the shortest first: they get fewer byte by byte.
  auto begin = candidates.begin(), end = candidates.end();
  for (size_t length = 1; begin != end; ++length) {
    for (; begin != end && (*begin)->content.size() == length; ++begin) longest = *begin;
    if (at + length == text.size()) break;
    const auto next = static_cast<unsigned char>(text[at + length]);
    const auto byte = [&](const AddedToken* token) {
      return static_cast<unsigned char>(token->content[length]);
    };
    begin = std::partition_point(begin, end, [&](const auto* token) { return byte(token) < next; });
    end = std::partition_point(begin, end, [&](const auto* token) { return byte(token) == next; });
  }
  return longest;
}

size_t AddedTokens::Pass::next_first_byte(std::string_view text, size_t from) const {
  if (first_bytes.size() == 1)
    return std::min(text.find(static_cast<char>(first_bytes[0]), from), text.size());
  while (from < text.size() && by_first_byte[static_cast<unsigned char>(text[from])].empty())
    ++from;
  return from;
}

void AddedTokens::run(const Pass& pass, std::string_view text, Segment within,
                      Tokenizer::Special special, std::vector<Segment>& out) {
  const std::string_view part = text.substr(0, within.end);
  size_t done = within.begin;
  for (size_t at = pass.next_first_byte(part, done); at < within.end;
       at = pass.next_first_byte(part, at)) {
    const AddedToken* token = pass.longest_at(part, at);
    if (token == nullptr) {
      ++at;
      continue;
    }
    const size_t begin = token->lstrip ? space_before(part, done, at) : at;
    const bool fits =
        !token->single_word || stands_alone(part.substr(within.begin), at - within.begin,
                                            at - within.begin + token->content.size());
    at += token->content.size();
    if (!fits || (token->special && special == Tokenizer::Special::kText))
      continue;  // text, and nothing in it is a token
    const size_t end = token->rstrip ? space_after(part, at, within.end) : at;
    if (done < begin) out.push_back({done, begin, Segment::kText});
    out.push_back({begin, end, token->id});
    done = at = end;
  }
  if (done < within.end) out.push_back({done, within.end, Segment::kText});
}

std::vector<AddedTokens::Segment> AddedTokens::split(std::string_view text,
                                                     Tokenizer::Special special) const {
  std::vector<Segment> segments;
  if (text.empty()) return segments;
  segments.push_back({0, text.size(), Segment::kText});
  for (const Pass& pass : passes_) {
    if (pass.first_bytes.empty() || (special == Tokenizer::Special::kText && !pass.has_ordinary))
      continue;
    std::vector<Segment> finer;
    for (const Segment& segment : segments) {
      if (segment.id == Segment::kText) {
        run(pass, text, segment, special, finer);
      } else {
        finer.push_back(segment);
      }
    }
    segments = std::move(finer);
  }
  return segments;
}

std::vector<AddedTokens::Segment> AddedTokens::find(bool normalized, std::string_view text,
                                                    Tokenizer::Special special) const {
  std::vector<Segment> segments;
  if (!text.empty())
    run(passes_[normalized ? 1 : 0], text, {0, text.size(), Segment::kText}, special, segments);
  return segments;
}

}  // namespace vitrine::internal
