// SPDX-License-Identifier: MIT
// What all tokenizers share: decoding a token at a time, looking up a token, showing one.

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "tests/tokenizer/string_generator.h"
#include "tokenizer/bpe.h"
#include "tokenizer/loaders.h"
#include "vitrine/error.h"
#include "vitrine/tokenizer.h"

namespace vitrine {
using namespace internal;
namespace {

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    if (!step.valid) return false;
    text.remove_prefix(step.length);
  }
  return true;
}

class AnyTokenizer : public ::testing::TestWithParam<const char*> {
 protected:
  std::shared_ptr<const Tokenizer> tokenizer_ = Tokenizer::load(test::data_path(GetParam()));
};

TEST_P(AnyTokenizer, AStreamIsWholeUtf8AtEveryStep) {
  test::StringGenerator generator;
  StreamDecoder stream(tokenizer_);
  for (uint64_t number = 0; number < 5000; ++number) {
    const auto ids = tokenizer_->encode(generator.string(number), Tokenizer::Special::kAllow);
    const std::string whole = tokenizer_->decode(ids);
    std::string joined;
    for (const int32_t id : ids) {
      const std::string step = stream.push(id);
      ASSERT_TRUE(is_utf8(step)) << printable(whole);
      joined += step;
    }
    ASSERT_EQ(stream.flush(), "") << printable(whole);
    ASSERT_EQ(joined, whole);
  }
}

TEST_P(AnyTokenizer, AStreamOfAnyTokensIsTheirDecoding) {
  std::mt19937_64 random(4);
  StreamDecoder stream(tokenizer_);
  for (int round = 0; round < 2000; ++round) {
    std::vector<int32_t> ids(random() % 20);
    for (int32_t& id : ids)
      id = static_cast<int32_t>(random() % static_cast<uint64_t>(tokenizer_->vocab_size()));
    std::string joined;
    for (const int32_t id : ids) joined += stream.push(id);
    joined += stream.flush();
    ASSERT_EQ(joined, tokenizer_->decode(ids));
  }
}

TEST_P(AnyTokenizer, EveryTokenCanBeShown) {
  for (int32_t id = 0; id < tokenizer_->vocab_size(); ++id) {
    const std::string shown = printable(tokenizer_->token_bytes(id));
    ASSERT_TRUE(is_utf8(shown));
    ASSERT_EQ(shown.find_first_of("\n\r\t\x1b"), std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Small, AnyTokenizer,
    ::testing::Values("small_bpe.json", "small_unigram.model", "small_spbpe.model",
                      "small_char.model"),
    [](const auto& test) {
      return std::string(test.param).substr(0, std::string(test.param).find('.'));
    });

TEST(StreamDecoder, HoldsBackAnUnfinishedCharacter) {
  const auto tokenizer = Tokenizer::load(test::data_path("small_bpe.json"));
  const auto byte = [&](const std::string& bytes) { return tokenizer->encode(bytes).at(0); };
  StreamDecoder stream(tokenizer);
  EXPECT_EQ(stream.push(byte("\xf0")), "");
  EXPECT_EQ(stream.push(byte("\x9f")), "");
  EXPECT_EQ(stream.push(byte("\x98")), "");
  EXPECT_EQ(stream.push(byte("\x80")), "\U0001f600");
  EXPECT_EQ(stream.push(byte("\xe4")), "");
  EXPECT_EQ(stream.push(byte("a")),
            "\xe4"
            "a")
      << "what cannot become a character is passed on";
  EXPECT_EQ(stream.push(byte("\xc3")), "");
  EXPECT_EQ(stream.flush(), "\xc3");
  EXPECT_EQ(stream.flush(), "");
}

TEST(SingleToken, ExplainsWhatIsNotOne) {
  // One token each: the letters, the space, the line end, "ab" and " ba".
  const BpeTokenizer bpe(parse_plain_bpe(
      nlohmann::json::parse(
          R"({"model": {"vocab": {"a": 0, "b": 1, "\u0120": 2, "\u010a": 3, "ab": 4, "\u0120b": 5, "\u0120ba": 6},
                    "merges": ["a b", "\u0120 b", "\u0120b a"]},
          "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}})"),
      "t.json"));
  const auto error_for = [&](std::string_view text) -> std::string {
    try {
      bpe.single_token(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Error::Kind::kUser);
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(bpe.single_token("ab"), 4);
  EXPECT_EQ(bpe.single_token(" ba"), 6);
  EXPECT_EQ(error_for("ba"),
            "\"ba\" is 2 tokens (byte-level BPE, 7 tokens) instead of one: \"b\" \"a\"; with a "
            "leading space it is one: \"\u2423ba\"");
  EXPECT_EQ(error_for(" ab"),
            "\"\u2423ab\" is 2 tokens (byte-level BPE, 7 tokens) instead of one: \"\u2423\" "
            "\"ab\"; without the leading space it is one: \"ab\"");
  EXPECT_EQ(error_for("a\n"),
            "\"a\\n\" is 2 tokens (byte-level BPE, 7 tokens) instead of one: \"a\" \"\\n\"; use "
            "one of these tokens, or a text that is one token");
  EXPECT_EQ(error_for(""),
            "\"\" has no tokens (byte-level BPE, 7 tokens): expected a text that is one token");
  EXPECT_LT(error_for(std::string(1000, 'a')).size(), 300u) << "a long text is not shown whole";
}

TEST(Printable, ShowsWhatCannotBeSeen) {
  EXPECT_EQ(printable(" London"), "\u2423London");
  EXPECT_EQ(printable("  a b "), "\u2423\u2423a b\u2423");
  EXPECT_EQ(printable("  "), "\u2423\u2423");
  EXPECT_EQ(printable("a\n\t\r\x1b[0m\\"), "a\\n\\t\\r\\u{1b}[0m\\\\");
  EXPECT_EQ(printable("\u00e9\xe4\xb8"), "\u00e9\\xe4\\xb8");
  EXPECT_EQ(printable("\u200b\u202e\u00a0\u0085"), "\\u{200b}\\u{202e}\\u{a0}\\u{85}");
  EXPECT_EQ(printable(std::string_view("\0", 1)), "\\u{0}");
  EXPECT_EQ(printable(""), "");
}

}  // namespace
}  // namespace vitrine
