// SPDX-License-Identifier: MIT
// SentencePiece models against what its Python package made of the same text
// (tools/make_tokenizer_goldens.py).

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/tokenizer/string_generator.h"
#include "vitrine/error.h"
#include "vitrine/tokenizer.h"

namespace vitrine {
namespace {

using nlohmann::json;
using Special = Tokenizer::Special;
using Ids = std::vector<int32_t>;

class SentencePiece : public testing::TestWithParam<const char*> {
 protected:
  std::shared_ptr<const Tokenizer> tokenizer_ =
      Tokenizer::load(test::data_path(std::string(GetParam()) + ".model"));
};

TEST_P(SentencePiece, IsAsThePackageHasIt) {
  const json golden = test::read_data(std::string(GetParam()) + ".golden.json");
  for (const json& one : golden["explicit"]) {
    const std::string text = one["text"];
    EXPECT_EQ(tokenizer_->encode(text), one["ids"].get<Ids>()) << text;
    // Special tokens are spelled out, which the package leaves out; encoding as text makes none.
    EXPECT_EQ(tokenizer_->decode(one["ids"].get<Ids>()), one["decoded"]) << text;
  }
  test::StringGenerator generator;
  const size_t size = golden["block"];
  for (size_t block = 0; block < golden["blocks"].size(); ++block) {
    test::Fnv hash;
    for (size_t i = 0; i < size; ++i)
      hash.add(tokenizer_->encode(generator.string(block * size + i)));
    EXPECT_EQ(hash.hex(), golden["blocks"][block][1]) << "block " << block;
  }
}

TEST_P(SentencePiece, SpansCoverTheText) {
  test::StringGenerator generator;
  for (uint64_t number = 0; number < 5000; ++number) {
    const std::string text = generator.string(number);
    const auto ids = tokenizer_->encode(text, Special::kAllow);
    const auto pieces = tokenizer_->encode_with_spans(text, Special::kAllow);
    ASSERT_EQ(pieces.size(), ids.size());
    size_t at = 0;
    for (size_t i = 0; i < pieces.size(); ++i) {
      ASSERT_EQ(pieces[i].id, ids[i]);
      ASSERT_GE(pieces[i].begin, at) << text;
      ASSERT_LE(pieces[i].begin, pieces[i].end) << text;
      at = pieces[i].end;
    }
    // White space alone, between two special tokens or at an end, may be no token at all.
    if (!pieces.empty() && text.find("s>") == std::string::npos) {
      ASSERT_EQ(at, text.size()) << text;
    }
  }
}

TEST_P(SentencePiece, EndsTextWithItsEndToken) {
  const int32_t end = tokenizer_->end_of_text().value();
  EXPECT_EQ(tokenizer_->token_bytes(end), "</s>");
  EXPECT_EQ(tokenizer_->find_special("</s>"), end);
  EXPECT_EQ(tokenizer_->find_special("nothing"), std::nullopt);
  const Ids allowed = tokenizer_->encode("words</s>", Special::kAllow);
  EXPECT_EQ(allowed.back(), end);
  EXPECT_EQ(tokenizer_->decode(allowed), "words</s>");
  EXPECT_EQ(tokenizer_->decode(tokenizer_->encode("words</s>code", Special::kAllow)),
            "words</s>code")
      << "no space comes in";
  const Ids text = tokenizer_->encode("words</s>");
  EXPECT_NE(text.back(), end);
  EXPECT_EQ(tokenizer_->decode(text), "words</s>");
}

TEST_P(SentencePiece, TakesBytesThatAreNotUtf8) {
  const std::string text = "the\xff \xe4\xb8 and";
  EXPECT_NO_THROW(tokenizer_->encode(text));
  size_t at = 0;
  for (const auto& piece : tokenizer_->encode_with_spans(text)) {
    EXPECT_EQ(piece.begin, at);
    at = piece.end;
  }
  EXPECT_EQ(at, text.size());
}

INSTANTIATE_TEST_SUITE_P(Small, SentencePiece,
                         testing::Values("small_unigram", "small_spbpe", "small_char"),
                         [](const auto& test) { return std::string(test.param); });

TEST(SentencePieceModel, SaysWhatItIs) {
  EXPECT_EQ(Tokenizer::load(test::data_path("small_unigram.model"))->description().substr(0, 21),
            "SentencePiece unigram");
  EXPECT_EQ(Tokenizer::load(test::data_path("small_spbpe.model"))->description().substr(0, 17),
            "SentencePiece BPE");
  EXPECT_EQ(Tokenizer::load(test::data_path("small_char.model"))->description().substr(0, 18),
            "SentencePiece char");
}

TEST(SentencePieceModel, BytePiecesDecodeExactly) {
  const auto tokenizer = Tokenizer::load(test::data_path("small_spbpe.model"));
  const std::string text = "the \U0001f600 and \u6771\u4eac";
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
}

TEST(SentencePieceModel, NormalisesAsItsRulesSay) {
  const auto tokenizer = Tokenizer::load(test::data_path("small_unigram.model"));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("  \uff21  A\u3000 \ufb01x ")), "a a fix");
}

}  // namespace
}  // namespace vitrine
