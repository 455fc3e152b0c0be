// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/tokenizer/string_generator.h"
#include "vitrine/tokenizer.h"

namespace vitrine {
namespace {

/// Texts of all lengths from nothing on, a few of them with a special token's name.
std::vector<std::string> some_texts() {
  std::mt19937_64 random(5);
  std::vector<std::string> texts;
  for (size_t i = 0; i < 300; ++i) {
    std::string text;
    for (size_t length = random() % 200; text.size() < length;)
      text += static_cast<char>('a' + random() % 26), text += random() % 3 ? "" : " ";
    texts.push_back(i % 10 == 3 ? text + "<|endoftext|>" : text);
  }
  return texts;
}

TEST(EncodeAll, IsEncodeOfEach) {
  const auto tokenizer = Tokenizer::load(test::data_path("small_bpe.json"));
  const std::vector<std::string> texts = some_texts();
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  for (const Tokenizer::Special special : {Tokenizer::Special::kText, Tokenizer::Special::kAllow}) {
    std::vector<std::vector<int32_t>> each;
    for (const std::string_view text : views) each.push_back(tokenizer->encode(text, special));
    for (const int threads : {0, 1, 2, 7, 1000})
      EXPECT_EQ(tokenizer->encode_all(views, threads, special), each) << threads;
  }
  EXPECT_TRUE(tokenizer->encode_all({}, 3).empty());
}

/// Refuses one text.
class Refusing : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text, Special) const override {
    if (text == "bad") throw std::runtime_error("bad text");
    return {1};
  }
  std::vector<Piece> encode_with_spans(std::string_view, Special) const override { return {}; }
  std::string token_bytes(int32_t) const override { return ""; }
  std::optional<int32_t> find_special(std::string_view) const override { return std::nullopt; }
  std::optional<int32_t> end_of_text() const override { return std::nullopt; }
  int32_t vocab_size() const override { return 2; }
  std::string description() const override { return "refusing"; }
};

TEST(EncodeAll, PassesOnWhatOneTextThrew) {
  std::vector<std::string_view> texts(500, "good");
  for (const int threads : {1, 4})
    EXPECT_EQ(Refusing().encode_all(texts, threads), std::vector<std::vector<int32_t>>(500, {1}));
  for (const size_t at : {size_t{0}, size_t{250}, size_t{499}}) {
    texts[at] = "bad";
    for (const int threads : {1, 4})
      EXPECT_THROW(Refusing().encode_all(texts, threads), std::runtime_error);
    texts[at] = "good";
  }
}

}  // namespace
}  // namespace vitrine
