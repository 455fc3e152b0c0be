// SPDX-License-Identifier: MIT
// Byte-level BPE against what Hugging Face tokenizers made of the same generated text
// (tools/make_tokenizer_goldens.py).

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/tokenizer/string_generator.h"
#include "tokenizer/bpe.h"
#include "tokenizer/loaders.h"
#include "vitrine/tokenizer.h"

namespace vitrine {
using namespace internal;
namespace {

using nlohmann::json;
using test::Fnv;
using Special = Tokenizer::Special;

void expect_spans_cover(const Tokenizer& tokenizer, const std::string& text, Special special) {
  const auto ids = tokenizer.encode(text, special);
  const auto pieces = tokenizer.encode_with_spans(text, special);
  ASSERT_EQ(pieces.size(), ids.size()) << text;
  size_t at = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    ASSERT_EQ(pieces[i].id, ids[i]) << text;
    ASSERT_EQ(pieces[i].begin, at) << text;
    ASSERT_LE(pieces[i].begin, pieces[i].end) << text;
    at = pieces[i].end;
  }
  ASSERT_EQ(at, text.size()) << text;
}

void expect_explicit(const Tokenizer& tokenizer, const json& golden) {
  for (const json& one : golden["explicit"]) {
    const std::string text = one["text"];
    EXPECT_EQ(tokenizer.encode(text), one["ids"].get<std::vector<int32_t>>()) << text;
    EXPECT_EQ(tokenizer.encode(text, Special::kAllow), one["allowed"].get<std::vector<int32_t>>())
        << text;
    expect_spans_cover(tokenizer, text, Special::kText);
    expect_spans_cover(tokenizer, text, Special::kAllow);
  }
}

// `exact`: decoding gives the text back.
void expect_blocks(const Tokenizer& tokenizer, const json& golden, bool exact) {
  test::StringGenerator generator;
  const size_t size = golden["block"];
  for (size_t block = 0; block < golden["blocks"].size(); ++block) {
    Fnv text_hash, plain, allowed;
    for (size_t i = 0; i < size; ++i) {
      const std::string text = generator.string(block * size + i);
      text_hash.add(text);
      text_hash.add("\xff");
      const auto ids = tokenizer.encode(text);
      plain.add(ids);
      allowed.add(tokenizer.encode(text, Special::kAllow));
      if (exact) {
        ASSERT_EQ(tokenizer.decode(ids), text);
      }
    }
    const json& expected = golden["blocks"][block];
    ASSERT_EQ(text_hash.hex(), expected[0]) << "the generators differ in block " << block;
    EXPECT_EQ(plain.hex(), expected[1]) << "block " << block;
    EXPECT_EQ(allowed.hex(), expected[2]) << "special tokens allowed, block " << block;
  }
}

// The same changes as tools/make_tokenizer_goldens.py makes.
json variant(json document, const std::string& change) {
  json& model = document["model"];
  json& merges = model["merges"];
  if (change == "prefix_space") document["pre_tokenizer"]["add_prefix_space"] = true;
  if (change == "whole_text") document["pre_tokenizer"]["use_regex"] = false;
  if (change == "reversed_merges") std::reverse(merges.begin(), merges.end());
  if (change == "ignore_merges") {
    model["ignore_merges"] = true;
    json kept = json::array();
    for (size_t i = 0; i < merges.size(); ++i) {
      if (i % 5 != 4) kept.push_back(merges[i]);
    }
    merges = kept;
  }
  return document;
}

class SmallBpe : public ::testing::TestWithParam<const char*> {};

TEST_P(SmallBpe, IsAsHuggingFaceHasIt) {
  const std::string change = GetParam();
  const json document = variant(test::read_data("small_bpe.json"), change);
  ASSERT_TRUE(is_plain_bpe(document));
  const BpeTokenizer tokenizer(parse_plain_bpe(document, "small_bpe.json"));
  const json golden = test::read_data("small_bpe." + change + ".golden.json");
  expect_explicit(tokenizer, golden);
  // A space put before the text stays in it; white space that an added token took does not.
  expect_blocks(tokenizer, golden, false);
}

INSTANTIATE_TEST_SUITE_P(Variants, SmallBpe,
                         ::testing::Values("as_is", "prefix_space", "whole_text", "ignore_merges",
                                           "reversed_merges"),
                         [](const auto& test) { return std::string(test.param); });

TEST(DemoModel, IsAsHuggingFaceHasIt) {
  const auto tokenizer = Tokenizer::load(VITRINE_SOURCE_DIR "/models/demo");
  const json golden = test::read_data("demo.golden.json");
  expect_explicit(*tokenizer, golden);
  expect_blocks(*tokenizer, golden, true);
}

class Gpt2 : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path files = VITRINE_TEST_DATA "/gpt2-tokenizer";
    if (!std::filesystem::exists(files)) GTEST_SKIP() << "no GPT-2 tokenizer files in " << files;
    tokenizer_ = Tokenizer::load(files);
    golden_ = test::read_data("gpt2.golden.json");
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  json golden_;
};

TEST_F(Gpt2, EncodesExplicitTextAsHuggingFace) { expect_explicit(*tokenizer_, golden_); }

TEST_F(Gpt2, EncodesGeneratedTextAsHuggingFace) {
  ASSERT_GE(golden_["blocks"].size() * golden_["block"].get<size_t>(), 200'000u);
  expect_blocks(*tokenizer_, golden_, true);
}

TEST_F(Gpt2, EncodesBooksAsHuggingFace) {
  const std::string corpus = VITRINE_TEST_DATA "/corpus/children.txt.xz";
  if (!std::filesystem::exists(corpus)) GTEST_SKIP() << "no " << corpus;
  FILE* pipe = popen(("xz -dc '" + corpus + "'").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string all;
  std::vector<char> buffer(1 << 20);
  while (const size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe))
    all.append(buffer.data(), count);
  if (pclose(pipe) != 0) GTEST_SKIP() << "xz cannot read " << corpus;

  constexpr std::string_view kEnd = "<|endoftext|>\n";
  size_t begin = 0;
  for (size_t i = 0; i < golden_["corpus"].size(); ++i) {
    ASSERT_LE(begin, all.size());
    const size_t end = std::min(all.find(kEnd, begin), all.size());
    const std::string_view document = std::string_view(all).substr(begin, end - begin);
    const auto ids = tokenizer_->encode(document);
    Fnv hash;
    hash.add(ids);
    EXPECT_EQ(json(ids.size()), golden_["corpus"][i][0]) << "document " << i;
    EXPECT_EQ(json(hash.hex()), golden_["corpus"][i][1]) << "document " << i;
    EXPECT_TRUE(tokenizer_->decode(ids) == document) << "document " << i;
    begin = end + kEnd.size();
  }
  EXPECT_GE(begin, all.size()) << "all documents are in the golden";
}

TEST_F(Gpt2, KnowsItsNumbers) {
  EXPECT_EQ(tokenizer_->vocab_size(), 50257);
  EXPECT_EQ(tokenizer_->description(), "byte-level BPE, 50257 tokens");
  EXPECT_EQ(tokenizer_->end_of_text(), 50256);
  EXPECT_EQ(tokenizer_->find_special("<|endoftext|>"), 50256);
  EXPECT_EQ(tokenizer_->single_token(" London"), 3576);
  EXPECT_EQ(tokenizer_->single_token("<|endoftext|>"), 50256);
  EXPECT_EQ(tokenizer_->decode(std::vector<int32_t>{50256, 3576}), "<|endoftext|> London");
}

}  // namespace
}  // namespace vitrine
