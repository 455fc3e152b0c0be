// SPDX-License-Identifier: MIT
#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/sanitized.h"
#include "tests/tokenizer/string_generator.h"
#include "tokenizer/loaders.h"
#include "tokenizer/merges.h"
#include "vitrine/error.h"
#include "vitrine/tokenizer.h"

namespace vitrine {
using namespace internal;
using testing::kSanitized;
namespace {

using Special = Tokenizer::Special;
using Ids = std::vector<int32_t>;

std::shared_ptr<const Tokenizer> small() {
  static const auto tokenizer = Tokenizer::load(test::data_path("small_bpe.json"));
  return tokenizer;
}

std::string random_bytes(std::mt19937_64& random, size_t length) {
  // Half of them from few values, so that sequences of several bytes and merges occur.
  static constexpr char kCommon[] = " the\n's\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\xff\x80";
  std::string text;
  for (; length > 0; --length) {
    const uint64_t draw = random();
    text += draw & 1 ? static_cast<char>(draw >> 8) : kCommon[(draw >> 8) % (sizeof kCommon - 1)];
  }
  return text;
}

TEST(Bpe, DecodesWhatItEncodesForAnyBytes) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const std::string text = random_bytes(random, random() % 100);
    const Ids ids = small()->encode(text);
    ASSERT_EQ(small()->decode(ids), text);
    std::string joined;
    for (const int32_t id : ids) joined += small()->token_bytes(id);
    ASSERT_EQ(joined, text);
  }
}

TEST(Bpe, SpansHoldTheirTokens) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 5000; ++i) {
    const std::string text = random_bytes(random, random() % 100);
    size_t at = 0;
    for (const auto& piece : small()->encode_with_spans(text)) {
      ASSERT_EQ(piece.begin, at);
      ASSERT_EQ(text.substr(piece.begin, piece.end - piece.begin), small()->token_bytes(piece.id));
      at = piece.end;
    }
    ASSERT_EQ(at, text.size());
  }
}

// The cache must not change a word's tokens: a tokenizer that has seen nothing, and one that has
// seen much.
TEST(Bpe, TheCacheChangesNothing) {
  test::StringGenerator generator;
  for (uint64_t number = 0; number < 30; ++number) {
    std::string text;
    for (uint64_t i = 0; i < 20; ++i) text += generator.string(number * 20 + i);
    const auto fresh = Tokenizer::load(test::data_path("small_bpe.json"));
    ASSERT_EQ(fresh->encode(text), small()->encode(text)) << text;
  }
}

// The rule itself, in quadratic time: merge the best pair, the leftmost of equals, until there is
// none.
Ids merge_plainly(Ids ids, const std::vector<MergeRule>& rules) {
  while (true) {
    size_t best_rule = rules.size(), best_at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      for (size_t r = 0; r < best_rule; ++r) {
        if (rules[r].left == ids[i] && rules[r].right == ids[i + 1]) {
          best_rule = r;
          best_at = i;
        }
      }
    }
    if (best_rule == rules.size()) return ids;
    ids[best_at] = rules[best_rule].product;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
}

TEST(Merges, ShortAndLongWordsFollowTheRule) {
  std::array<int32_t, 256> byte_ids{};
  for (int32_t i = 0; i < 256; ++i) byte_ids[static_cast<size_t>(i)] = i;
  std::mt19937_64 random(3);
  for (int round = 0; round < 300; ++round) {
    // Rules over five letters, in an order that training would never give.
    std::vector<MergeRule> rules;
    std::vector<int32_t> known{'a', 'b', 'c', 'd', 'e'};
    for (int32_t product = 256; product < 280; ++product) {
      const MergeRule rule{known[random() % known.size()], known[random() % known.size()], product};
      bool is_new = true;
      for (const MergeRule& other : rules)
        is_new &= other.left != rule.left || other.right != rule.right;
      if (!is_new) continue;
      rules.push_back(rule);
      known.push_back(product);
    }
    std::shuffle(rules.begin(), rules.end(), random);
    const MergeTable table(byte_ids, rules);
    MergeTable::Scratch scratch;
    for (const size_t length : {1u, 2u, 7u, 47u, 48u, 49u, 120u}) {
      std::string word;
      for (size_t i = 0; i < length; ++i) word += static_cast<char>('a' + random() % 5);
      Ids merged;
      table.merge(word, scratch, merged);
      ASSERT_EQ(merged, merge_plainly(Ids(word.begin(), word.end()), rules)) << word;
    }
  }
}

// Quadratic merging of it takes hours, which the time limit of a test ends.
TEST(Bpe, ALongRunIsNotQuadratic) {
  const std::string text(kSanitized ? 1u << 20 : 4u << 20, 'a');
  EXPECT_EQ(small()->decode(small()->encode(text)), text);
}

TEST(Bpe, SpecialTokensAreTextUnlessAllowed) {
  const std::string text = "a<|endoftext|>b";
  const int32_t end = small()->end_of_text().value();
  const Ids plain = small()->encode(text);
  EXPECT_EQ(std::count(plain.begin(), plain.end(), end), 0);
  EXPECT_EQ(small()->decode(plain), text);
  const Ids allowed = small()->encode(text, Special::kAllow);
  EXPECT_EQ(allowed, (Ids{small()->single_token("a"), end, small()->single_token("b")}));
  EXPECT_EQ(small()->decode(allowed), text);
  const auto pieces = small()->encode_with_spans(text, Special::kAllow);
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(pieces[1].begin, 1u);
  EXPECT_EQ(pieces[1].end, 14u);
}

TEST(Bpe, AddedTokensTakeTheSpaceBesideThem) {
  const int32_t mask = small()->find_special("[MASK]").value();  // lstrip
  const auto pieces = small()->encode_with_spans("a \n\u3000[MASK] b", Special::kAllow);
  ASSERT_GE(pieces.size(), 2u);
  EXPECT_EQ(pieces[1].id, mask);
  EXPECT_EQ(pieces[1].begin, 1u);
  EXPECT_EQ(pieces[1].end, 12u);
  EXPECT_EQ(small()->find_special("[pad]"), std::nullopt) << "added, but not special";
}

TEST(Bpe, TheLongestAddedTokenIsTaken) {
  const std::string file = R"({"model": {"vocab": {"a": 0, "<": 1, ">": 2}, "merges": []},
                               "added_tokens": [{"id": 3, "content": "<a>", "special": true}, {"id": 4, "content": "<a"},
                                                {"id": 5, "content": "<a>a", "normalized": false}, {"id": 6, "content": ">a<", "normalized": false}],
                               "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}})";
  const BpeTokenizer tokenizer(parse_plain_bpe(nlohmann::json::parse(file), "t.json"));
  EXPECT_EQ(tokenizer.encode("<a>a", Special::kAllow), (Ids{5}));
  EXPECT_EQ(tokenizer.encode("<a><", Special::kAllow), (Ids{3, 1}));
  EXPECT_EQ(tokenizer.encode("<a", Special::kAllow), (Ids{4}));
  // The special token is text; of the others, those that are not normalized come first.
  EXPECT_EQ(tokenizer.encode("<a><", Special::kText), (Ids{4, 2, 1}));
  EXPECT_EQ(tokenizer.encode("<a>a<", Special::kText), (Ids{5, 1}));
  EXPECT_EQ(tokenizer.encode("a>a<a", Special::kText), (Ids{0, 6, 0}));
}

TEST(Bpe, ThreadsShareOneTokenizer) {
  test::StringGenerator generator;
  std::string text;
  for (uint64_t number = 0; number < 2000; ++number) text += generator.string(number);
  const Ids expected = small()->encode(text);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) wrong[t] += small()->encode(text) != expected;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

TEST(Bpe, AMissingByteIsNamed) {
  const std::string file =
      R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
                               "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}})";
  const BpeTokenizer bpe(parse_plain_bpe(nlohmann::json::parse(file), "t.json"));
  const Tokenizer& tokenizer = bpe;
  EXPECT_EQ(tokenizer.encode("aab"), (Ids{0, 2}));
  try {
    tokenizer.encode("abc");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::kUser);
    EXPECT_NE(std::string(error.what()).find("0x63"), std::string::npos) << error.what();
  }
}

TEST(Bpe, IdsOutsideTheVocabularyAreRefused) {
  for (const int32_t id : {-1, small()->vocab_size()}) {
    EXPECT_THROW(small()->decode(Ids{id}), Error);
    EXPECT_THROW(small()->token_bytes(id), Error);
  }
}

}  // namespace
}  // namespace vitrine
