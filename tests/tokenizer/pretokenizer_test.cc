// SPDX-License-Identifier: MIT
#include "tokenizer/pretokenizer.h"

#include <gtest/gtest.h>

#include <bit>
#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "tests/tokenizer/string_generator.h"
#include "tokenizer/unicode_class.h"

namespace vitrine {
using namespace internal;
namespace {

using Words = std::vector<std::string>;

Words words(const std::string& text) {
  Words out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = word_end(text, at);
    out.push_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

TEST(Pretokenizer, CutsAsTheExpressionDoes) {
  EXPECT_EQ(words("Hello, world"), (Words{"Hello", ",", " world"}));
  EXPECT_EQ(words("it's we'll they've I'm you're he'd can't"),
            (Words{"it", "'s", " we", "'ll", " they", "'ve", " I", "'m", " you", "'re", " he", "'d",
                   " can", "'t"}));
  EXPECT_EQ(words("'S 's !'s 'l 'r '"),
            (Words{"'", "S", " '", "s", " !'", "s", " '", "l", " '", "r", " '"}));
  EXPECT_EQ(words("a  b   c\n\n d \n"), (Words{"a", " ", " b", "  ", " c", "\n\n", " d", " \n"}));
  EXPECT_EQ(words("\ta\n\nb"), (Words{"\t", "a", "\n", "\n", "b"}));
  EXPECT_EQ(words("x12y 34!?5"), (Words{"x", "12", "y", " 34", "!?", "5"}));
  EXPECT_EQ(words(" "), (Words{" "}));
  EXPECT_EQ(words("a "), (Words{"a", " "}));
}

TEST(Pretokenizer, ClassesBeyondAscii) {
  EXPECT_EQ(words("\u00a0\u00a0x"), (Words{"\u00a0", "\u00a0", "x"}));
  EXPECT_EQ(words(" \u3000x"), (Words{" ", "\u3000", "x"}));
  EXPECT_EQ(words("na\u00efve cafe\u0301s"), (Words{"na\u00efve", " cafe", "\u0301", "s"}));
  EXPECT_EQ(words("\u0661\u00bd x"), (Words{"\u0661\u00bd", " x"}));
  EXPECT_EQ(char_class(0x1C89), CharClass::kLetter) << "new in Unicode 16";
  EXPECT_EQ(char_class(0x10FFFF), CharClass::kOther);
}

TEST(Pretokenizer, AnInvalidByteIsOneOtherCharacter) {
  EXPECT_EQ(words("a\xff\xfe b\xc3"), (Words{"a", "\xff\xfe", " b", "\xc3"}));
  EXPECT_EQ(words("\xed\xa0\x80z"), (Words{"\xed\xa0\x80", "z"})) << "a surrogate";
  EXPECT_EQ(words("\xc0\xa0z"), (Words{"\xc0\xa0", "z"})) << "an overlong space";
  EXPECT_EQ(words("\xe4\xb8z"), (Words{"\xe4\xb8", "z"})) << "a character cut short";
  EXPECT_EQ(words("\xf4\x90\x80\x80z"), (Words{"\xf4\x90\x80\x80", "z"})) << "above U+10FFFF";
}

// Every window of a text, from the start of a word, against one word at a time.
void expect_windows_agree(const std::string& text, size_t& words_found) {
  for (size_t begin = 0; begin + kWordWindow <= text.size(); begin = word_end(text, begin)) {
    const uint64_t starts = word_starts(text.data() + begin);
    ASSERT_EQ(starts & 1, 1u);
    size_t at = begin;
    for (uint64_t ends = starts & ~1ull; ends != 0; ends &= ends - 1) {
      const size_t end = begin + static_cast<size_t>(std::countr_zero(ends));
      ASSERT_EQ(end, word_end(text, at)) << text << " at " << at << " in the window from " << begin;
      at = end;
      ++words_found;
    }
  }
}

TEST(Pretokenizer, WindowsAgreeWithWords) {
  test::StringGenerator generator;
  size_t found = 0;
  for (uint64_t number = 0; number < 20000; ++number)
    expect_windows_agree(generator.string(number), found);
  EXPECT_GT(found, 100000u);
}

TEST(Pretokenizer, WindowsAgreeWithWordsOfFewCharacters) {
  // Few characters, so that all short sequences of them come at all places of a window.
  std::mt19937_64 random(6);
  size_t found = 0;
  for (const std::string& alphabet :
       {std::string("ab  \n'stmdrevl1.!"), std::string("a '\n"), std::string("x 's\xc3\xa9\xff")}) {
    for (int round = 0; round < 5000; ++round) {
      std::string text;
      while (text.size() < 200) text += alphabet[random() % alphabet.size()];
      expect_windows_agree(text, found);
    }
  }
  EXPECT_GT(found, 1000000u);
}

TEST(Utf8, UnfinishedTails) {
  EXPECT_EQ(utf8_unfinished_tail(""), 0u);
  EXPECT_EQ(utf8_unfinished_tail("abc"), 0u);
  EXPECT_EQ(utf8_unfinished_tail("a\u00e9"), 0u);
  EXPECT_EQ(utf8_unfinished_tail("a\xc3"), 1u);
  EXPECT_EQ(utf8_unfinished_tail("\xe4\xb8"), 2u);
  EXPECT_EQ(utf8_unfinished_tail("\xf0\x9f\x98"), 3u);
  EXPECT_EQ(utf8_unfinished_tail("\xf0\x9f\x98\x80"), 0u);
  EXPECT_EQ(utf8_unfinished_tail("\xe0\x80"), 0u) << "overlong";
  EXPECT_EQ(utf8_unfinished_tail("\xed\xa0"), 0u) << "surrogate";
  EXPECT_EQ(utf8_unfinished_tail("\x80\x80"), 0u);
  EXPECT_EQ(utf8_unfinished_tail("\xff"), 0u);
}

}  // namespace
}  // namespace vitrine
