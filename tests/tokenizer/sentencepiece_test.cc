// SPDX-License-Identifier: MIT
// SentencePiece models against what its Python package made of the same text
// (tools/make_tokenizer_goldens.py).

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/base/test_files.h"
#include "tests/tokenizer/string_generator.h"
#include "vitrine/error.h"
#include "vitrine/tokenizer.h"

namespace vitrine {
namespace {

using nlohmann::json;
using Special = Tokenizer::Special;
using Ids = std::vector<int32_t>;

class SentencePiece : public ::testing::TestWithParam<const char*> {
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
                         ::testing::Values("small_unigram", "small_spbpe", "small_char"),
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

// By sentencepiece 0.2.3. The package of Debian 12 chooses other pieces of some of these.
TEST(SentencePieceModel, EquallyGoodPiecesAreTheNewestLibrarys) {
  const auto tokenizer = Tokenizer::load(test::data_path("small_ties.model"));
  const std::map<std::string, Ids> wanted = {
      {"[[[]]]", {3, 11, 12, 13, 14}},          {"a___b", {9, 15, 16, 5}},
      {"a [[[]]]", {9, 3, 12, 11, 13, 14}},     {"a .......", {9, 3, 17, 18, 18, 18}},
      {"ab [[[]]]", {9, 5, 3, 11, 12, 13, 14}}, {"x___", {3, 8, 15, 16}},
      {"xa.......", {3, 8, 4, 18, 17, 18, 18}}, {"b]]...", {10, 14, 18, 17}},
      {"ba x.....", {10, 4, 3, 8, 17, 18, 18}}, {"a \u6771\u4eac_", {9, 3, 0, 15}},
  };
  for (const auto& [text, ids] : wanted) {
    EXPECT_EQ(tokenizer->encode(text), ids) << text;
    size_t at = 0;
    for (const auto& piece : tokenizer->encode_with_spans(text)) {
      EXPECT_EQ(piece.begin, at) << text;
      at = piece.end;
    }
    EXPECT_EQ(at, text.size()) << text;
  }
  const auto pieces = tokenizer->encode_with_spans("a___b");
  EXPECT_EQ(pieces[1].end, 2u) << "a boundary where the library of Debian 12 has none";
  EXPECT_EQ(pieces[2].end, 4u);
}

/// A folder with a SentencePiece file and the two other files.
class SentencePieceFolder : public ::testing::Test {
 protected:
  std::shared_ptr<const Tokenizer> load(const std::string& config, const std::string& added = "") {
    std::filesystem::copy_file(test::data_path("small_unigram.model"), folder_ / "spiece.model",
                               std::filesystem::copy_options::overwrite_existing);
    folder_.write("tokenizer_config.json", config);
    if (!added.empty()) folder_.write("added_tokens.json", added);
    return Tokenizer::load(folder_.path());
  }
  testing::TempFolder folder_;
};

// Ids of transformers 5.24's GPTSw3Tokenizer.
TEST_F(SentencePieceFolder, AddedTokensAreFound) {
  const auto tokenizer = load(R"({"tokenizer_class": "GPTSw3Tokenizer", "added_tokens_decoder": {
      "500": {"content": "<new>"}, "501": {"content": "<l>", "lstrip": true},
      "502": {"content": "<r>", "rstrip": true, "special": true}, "5": {"content": "'"}},
      "bos_token": "<s>", "eos_token": "<r>", "unk_token": "<unk>", "pad_token": "<mypad>"})");
  const std::map<std::string, Ids> wanted = {
      {"hello <new>world", {4, 41, 7, 99, 26, 500, 4, 43, 26, 21, 13, 10}},
      {" a <l> b", {4, 6, 501, 4, 20}},
      {"a <r> b", {4, 6, 502, 4, 20}},
      {"x<mypad>y", {98, 503, 4, 33}},
      {"<new><l><r>", {500, 501, 502}},
      {"the'q'", {190, 5, 4, 27, 5}},
      {"it <newer> is", {173, 103, 14, 7, 110, 21, 25, 104, 8}},
      {"<new> <new>", {500, 500}},
  };
  for (const auto& [text, ids] : wanted)
    EXPECT_EQ(tokenizer->encode(text, Special::kAllow), ids) << text;
  EXPECT_EQ(tokenizer->vocab_size(), 504);
  EXPECT_EQ(tokenizer->token_bytes(500), "<new>");
  EXPECT_EQ(tokenizer->end_of_text(), 502);
  EXPECT_EQ(tokenizer->find_special("<mypad>"), 503);
  EXPECT_EQ(tokenizer->find_special("<new>"), std::nullopt) << "it is not special";
  EXPECT_EQ(tokenizer->decode(Ids{190, 500, 4, 33, 503}), "the<new>y<mypad>");
  const auto as_text = tokenizer->encode("x<mypad>", Special::kText);
  EXPECT_EQ(std::ranges::count(as_text, 503), 0) << "special tokens are text there";
}

TEST_F(SentencePieceFolder, AddedTokensOfOldFiles) {
  const auto tokenizer =
      load(R"({"tokenizer_class": "GPTSw3Tokenizer", "unk_token": "<unk>", "pad_token": "<q>"})",
           R"({"<b>": 501, "<a>": 500, "<q>": 502})");
  EXPECT_EQ(tokenizer->encode("hello <a>world<b>"),
            (Ids{4, 41, 7, 99, 26, 500, 4, 43, 26, 21, 13, 10, 501}));
  EXPECT_EQ(tokenizer->encode("x<q> y", Special::kAllow), (Ids{98, 502, 4, 33}));
  EXPECT_EQ(tokenizer->decode(Ids{0, 190}), " \u2047  the") << "the unknown token's own text";
}

TEST_F(SentencePieceFolder, AGapBeforeAddedTokensIsEmpty) {
  const auto tokenizer = load(R"({"added_tokens_decoder": {"510": {"content": "<new>"}}})");
  EXPECT_EQ(tokenizer->vocab_size(), 511);
  EXPECT_EQ(tokenizer->token_bytes(505), "");
  EXPECT_EQ(tokenizer->decode(Ids{505, 510}), "<new>");
  try {
    load(R"({"added_tokens_decoder": {"500": {"content": "a", "rstrip": true},
                                      "501": {"content": " b"}}})");
    FAIL() << "two tokens compete for a space";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("rstrip"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace vitrine
