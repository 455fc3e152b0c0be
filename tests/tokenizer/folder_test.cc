// SPDX-License-Identifier: MIT
// What the files beside a tokenizer say is followed, as transformers does.

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "tests/base/test_files.h"
#include "tests/tokenizer/string_generator.h"
#include "tokenizer/byte_alphabet.h"
#include "vitrine/error.h"
#include "vitrine/tokenizer.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Special = Tokenizer::Special;
using Ids = std::vector<int32_t>;

/// GPT-2's 256 bytes by their value, "ab" (256) and "<|endoftext|>" (257).
json byte_vocab() {
  json vocab;
  for (int byte = 0; byte < 256; ++byte)
    vocab[spelling_of_byte(static_cast<unsigned char>(byte))] = byte;
  vocab["ab"] = 256;
  vocab["<|endoftext|>"] = 257;
  return vocab;
}

class TokenizerFolder : public ::testing::Test {
 protected:
  void write_pair() {
    folder_.write("vocab.json", byte_vocab().dump());
    folder_.write("merges.txt", "#version: 0.2\na b\n");
  }
  std::shared_ptr<const Tokenizer> load() const { return Tokenizer::load(folder_.path()); }

  testing::TempFolder folder_;
};

TEST_F(TokenizerFolder, APairBesideNothingIsGpt2s) {
  write_pair();
  EXPECT_EQ(load()->encode("ab <|endoftext|>", Special::kAllow), (Ids{256, ' ', 257}));
  EXPECT_EQ(load()->end_of_text(), 257);
  EXPECT_EQ(load()->begin_of_text(), 257);
  EXPECT_TRUE(load()->frame().before.empty());
}

/// small_bpe.json without the white space that added tokens take, which GGUF does not keep.
std::shared_ptr<const Tokenizer> original_of_gguf() {
  json root = test::read_data("small_bpe.json");
  for (json& token : root["added_tokens"]) token["lstrip"] = token["rstrip"] = false;
  testing::TempFolder folder;
  return Tokenizer::load(folder.write("tokenizer.json", root.dump()));
}

// The file is made by the package `gguf` (tools/make_tokenizer_goldens.py).
TEST_F(TokenizerFolder, TheTokenizerInsideAGgufFileIsTheOriginal) {
  const auto original = original_of_gguf();
  fs::copy_file(test::data_path("small_bpe.gguf"), folder_ / "m.gguf");
  EXPECT_EQ(Tokenizer::find_file(folder_.path()), fs::path(folder_ / "m.gguf"));
  const auto inside = load();
  EXPECT_EQ(inside->vocab_size(), original->vocab_size());
  EXPECT_EQ(inside->end_of_text(), original->end_of_text());
  for (int32_t id = 0; id < original->vocab_size(); ++id)
    EXPECT_EQ(inside->token_bytes(id), original->token_bytes(id)) << id;
  test::StringGenerator generator;
  for (uint64_t number = 0; number < 2000; ++number) {
    const std::string text = generator.string(number) + "<extra>[pad]<|endoftext|>";
    for (const Special special : {Special::kText, Special::kAllow})
      ASSERT_EQ(inside->encode(text, special), original->encode(text, special)) << text;
  }
  // Another file goes before it; of two none is the model's.
  write_pair();
  EXPECT_EQ(Tokenizer::find_file(folder_.path()), fs::path(folder_ / "vocab.json"));
  fs::remove(folder_ / "vocab.json");
  fs::remove(folder_ / "merges.txt");
  fs::copy_file(test::data_path("small_bpe.gguf"), folder_ / "n.gguf");
  EXPECT_EQ(Tokenizer::find_file(folder_.path()), fs::path());
}

TEST_F(TokenizerFolder, AGgufTokenizerOfAnotherKindIsNamed) {
  const std::string bytes = testing::read_bytes(test::data_path("small_bpe.gguf"));
  const auto error = [&](const std::string& from, const std::string& to) {
    std::string changed = bytes;
    changed.replace(changed.find(from), from.size(), to);
    return testing::error_of([&] { Tokenizer::load(folder_.write("m.gguf", changed)); });
  };
  using testing::says;
  EXPECT_TRUE(says(error("gpt-2", "qwen2"), "tokenizer.ggml.pre is 'qwen2': expected 'gpt-2'"));
  EXPECT_TRUE(says(error("tokenizer.ggml.model", "tokenizer.ggml.mode1"),
                   "tokenizer.ggml.model is missing: expected 'gpt2'"));
  EXPECT_TRUE(says(error("tokenizer.ggml.merges", "tokenizer.ggml.merge5"),
                   "missing tokenizer.ggml.merges"));
  EXPECT_TRUE(says(error("<extra>", "<extr\xff>"), "the tokens have", "expected UTF-8"));
  EXPECT_TRUE(says(error("<extra>", "[MASK]]"), "no error")) << "another text is not an error";
  EXPECT_TRUE(
      says(error("tokenizer.ggml.eos_token_id", "tokenizer.ggml.e0s_token_id"), "no error"));
  for (size_t size = 0; size < bytes.size(); size += 97) {
    folder_.write("m.gguf", bytes.substr(0, size));
    EXPECT_THROW(Tokenizer::load(folder_ / "m.gguf"), Error) << size;
  }
}

// As transformers 2 to 4 saved them.
TEST_F(TokenizerFolder, AddedTokensAndSpecialTokensOfOldFiles) {
  write_pair();
  folder_.write("added_tokens.json", R"({"<PAD>": 259, "<BOS>": 258})");
  folder_.write(
      "special_tokens_map.json",
      R"({"bos_token": "<BOS>", "pad_token": {"content": "<PAD>"}, "mask_token": "<M>"})");
  const auto tokenizer = load();
  EXPECT_EQ(tokenizer->vocab_size(), 261);
  EXPECT_EQ(tokenizer->encode("<BOS>ab<PAD><M>", Special::kAllow), (Ids{258, 256, 259, 260}));
  EXPECT_EQ(tokenizer->encode("<BOS>").size(), 5u) << "special tokens are text unless allowed";
  EXPECT_EQ(tokenizer->begin_of_text(), 258);
  EXPECT_EQ(tokenizer->end_of_text(), 257);
}

TEST_F(TokenizerFolder, TokenizerConfigIsFollowed) {
  write_pair();
  folder_.write("tokenizer_config.json", R"({"add_prefix_space": true, "add_bos_token": true,
      "bos_token": "<|endoftext|>", "eos_token": "<end>",
      "added_tokens_decoder": {"258": {"content": "<end>", "special": true},
                               "259": {"content": "xy", "single_word": true}}})");
  const auto tokenizer = load();
  EXPECT_EQ(tokenizer->encode("ab"), (Ids{' ', 256}));
  EXPECT_EQ(tokenizer->encode("a xy"), (Ids{' ', 'a', ' ', 259}));
  EXPECT_EQ(tokenizer->encode("axy"), (Ids{' ', 'a', 'x', 'y'}));
  EXPECT_EQ(tokenizer->end_of_text(), 258);
  EXPECT_EQ(tokenizer->frame().before, (Ids{257}));
  EXPECT_TRUE(tokenizer->frame().after.empty());
}

TEST_F(TokenizerFolder, SpecialTokensMayBeObjectsWithFlags) {
  write_pair();
  folder_.write("tokenizer_config.json", R"({
      "mask_token": {"__type": "AddedToken", "content": "[M]", "lstrip": true, "normalized": false},
      "extra_special_tokens": {"image_token": "<image>", "box_token": {"content": "<box>", "rstrip": true}}})");
  const auto tokenizer = load();
  EXPECT_EQ(tokenizer->vocab_size(), 261);
  EXPECT_EQ(tokenizer->encode("a  [M] b", Special::kAllow), (Ids{'a', 258, ' ', 'b'}));
  EXPECT_EQ(tokenizer->encode("a <image> <box>  b", Special::kAllow),
            (Ids{'a', ' ', 259, ' ', 260, 'b'}))
      << "ids follow in the file's order, not by name";
}

// tokenizer_config.json decides over a post-processor, if it says anything of that.
TEST_F(TokenizerFolder, APostProcessorCountsUnlessTheConfigSaysOtherwise) {
  json root = {
      {"model", {{"type", "BPE"}, {"vocab", byte_vocab()}, {"merges", {"a b"}}}},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"post_processor", {{"type", "BertProcessing"}, {"cls", {"a", 97}}, {"sep", {"b", 98}}}}};
  folder_.write("tokenizer.json", root.dump());
  EXPECT_EQ(load()->frame().before, (Ids{97}));
  EXPECT_EQ(load()->frame().after, (Ids{98}));
  folder_.write("tokenizer_config.json", R"({"add_bos_token": false})");
  EXPECT_TRUE(load()->frame().before.empty());
  EXPECT_TRUE(load()->frame().after.empty());
}

TEST_F(TokenizerFolder, BertsVocabulary) {
  folder_.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nkey\n##s\n\xe4\xb8\xad\nKey\n.\n");
  auto tokenizer = load();
  EXPECT_EQ(tokenizer->encode("Keys. \xe4\xb8\xad\xe4\xb8\xad x"), (Ids{4, 5, 8, 6, 6, 1}));
  EXPECT_EQ(tokenizer->decode(Ids{4, 5, 8}), "keys.");
  EXPECT_EQ(tokenizer->frame().before, (Ids{2}));
  EXPECT_EQ(tokenizer->frame().after, (Ids{3}));
  folder_.write("tokenizer_config.json", R"({"do_lower_case": false})");
  EXPECT_EQ(load()->encode("Keys"), (Ids{7, 5}));
  // A class in config.json decides between two.
  write_pair();
  EXPECT_EQ(load()->encode("ab"), (Ids{256}));
  folder_.write("config.json", R"({"tokenizer_class": "BertTokenizerFast"})");
  EXPECT_EQ(load()->encode("key"), (Ids{4}));
}

// The file has the tokens in the order of training and no merges: GPT-2's rule is to merge the pair
// whose token came first.
TEST_F(TokenizerFolder, LlmcsVocabulary) {
  uint32_t header[256] = {20240328, 2, 261, 260};
  std::string file(reinterpret_cast<const char*>(header), sizeof header);
  const auto add = [&](std::string_view token) {
    file += static_cast<char>(token.size());
    file += token;
  };
  for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
  for (const char* token : {"bc", "ab", "abc", "abcd", "<|endoftext|>"}) add(token);
  folder_.write("gpt2_tokenizer.bin", file);
  const auto tokenizer = load();
  EXPECT_EQ(tokenizer->encode("ab"), (Ids{257}));
  EXPECT_EQ(tokenizer->encode("abc"), (Ids{258})) << "a + bc";
  EXPECT_EQ(tokenizer->encode("abcd"), (Ids{259}));
  EXPECT_EQ(tokenizer->encode("bcab"), (Ids{256, 257}));
  EXPECT_EQ(tokenizer->end_of_text(), 260);
  for (const size_t length : {0u, 100u, 1100u, 1550u}) {
    folder_.write("gpt2_tokenizer.bin", file.substr(0, length));
    EXPECT_THROW(load(), Error) << length;
  }
}

TEST_F(TokenizerFolder, SentencePieceUnderItsUsualNames) {
  for (const char* name : {"spiece.model", "sentencepiece.bpe.model", "spm.model"}) {
    const fs::path file = folder_.path() / name;
    fs::copy_file(test::data_path("small_char.model"), file);
    EXPECT_EQ(Tokenizer::find_file(folder_.path()), file);
    EXPECT_EQ(load()->description().substr(0, 18), "SentencePiece char");
    fs::remove(file);
  }
  EXPECT_TRUE(Tokenizer::find_file(folder_.path()).empty());
}

// Folders with what transformers and tokenizers make of them, where they are at hand.
TEST(TokenizerFolders, AreAsTransformersHasThem) {
  const fs::path cases = VITRINE_TEST_DATA "/cases/files";
  if (!fs::exists(cases)) GTEST_SKIP() << "no " << cases;
  size_t texts = 0;
  for (const auto& entry : fs::directory_iterator(cases)) {
    // The linked SentencePiece decides between equally good pieces in its own way.
    const bool tie = entry.path().filename() == "sentencepiece_tie";
    if (tie || Tokenizer::find_file(entry.path()).empty() ||
        !fs::exists(entry.path() / "expected.json"))
      continue;
    const json expected = json::parse(testing::read_bytes(entry.path() / "expected.json"));
    if (!expected.contains("encode") && !expected.contains("encode_default")) continue;
    const auto tokenizer = Tokenizer::load(entry.path());
    for (const char* how : {"encode", "encode_default"}) {
      const json encoded = expected.value(how, json::object());
      for (const auto& [text, ids] : encoded.items()) {
        Ids got = tokenizer->encode(text, Special::kAllow);
        if (std::strcmp(how, "encode_default") == 0)
          got.insert(got.begin(), tokenizer->frame().before.begin(),
                     tokenizer->frame().before.end());
        EXPECT_EQ(json(got), ids) << entry.path() << " " << text;
        ++texts;
      }
    }
    if (expected.contains("bos")) {
      EXPECT_EQ(tokenizer->begin_of_text(), expected["bos"].get<int32_t>());
      EXPECT_EQ(tokenizer->end_of_text(), expected["eos"].get<int32_t>());
    }
  }
  EXPECT_GT(texts, 50u);
}

}  // namespace
}  // namespace vitrine
