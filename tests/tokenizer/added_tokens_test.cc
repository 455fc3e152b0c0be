// SPDX-License-Identifier: MIT
#include "tokenizer/added_tokens.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <vector>

namespace vitrine::internal {
namespace {

std::vector<AddedToken> tokens_of(const std::set<std::string>& contents) {
  std::vector<AddedToken> tokens;
  for (const std::string& content : contents)
    tokens.push_back({.id = static_cast<int32_t>(tokens.size()), .content = content});
  return tokens;
}

/// The ids as split() promises them: the longest token at each place, by looking at all of them.
std::vector<int32_t> naive(const std::vector<AddedToken>& tokens, const std::string& text) {
  std::vector<int32_t> ids;
  for (size_t at = 0; at < text.size();) {
    const AddedToken* longest = nullptr;
    for (const AddedToken& token : tokens) {
      if (text.compare(at, token.content.size(), token.content) == 0 &&
          (!longest || token.content.size() > longest->content.size()))
        longest = &token;
    }
    if (longest) ids.push_back(longest->id);
    at += longest ? longest->content.size() : 1;
  }
  return ids;
}

TEST(AddedTokens, TheLongestAtAPlaceIsTaken) {
  std::mt19937_64 random(5);
  const auto word = [&](size_t longest) {
    std::string made;
    for (size_t i = 0, length = 1 + random() % longest; i < length; ++i)
      made += "ab\xc3"[random() % 3];
    return made;
  };
  for (int round = 0; round < 300; ++round) {
    std::set<std::string> contents;
    for (size_t i = 0; i < 1 + random() % 12; ++i) contents.insert(word(5));
    const auto tokens = tokens_of(contents);
    const std::string text = word(40);
    std::vector<int32_t> ids;
    for (const auto& segment : AddedTokens(tokens).split(text, Tokenizer::Special::kText)) {
      if (segment.id != AddedTokens::Segment::kText) ids.push_back(segment.id);
    }
    EXPECT_EQ(ids, naive(tokens, text)) << text;
  }
}

// To try every token that begins like the text, at each of its bytes, took minutes.
TEST(AddedTokens, ManyThatBeginAlikeTakeNoQuadraticTime) {
  std::set<std::string> contents;
  for (int i = 0; i < 200'000; ++i) contents.insert(fmt::format("aaaa{:06}", i));
  const AddedTokens tokens(tokens_of(contents));
  EXPECT_EQ(tokens.split(std::string(1'000'000, 'a'), Tokenizer::Special::kText).size(), 1u);
}

}  // namespace
}  // namespace vitrine::internal
