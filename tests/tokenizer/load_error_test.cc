// SPDX-License-Identifier: MIT
// Files that are not what they should be: one line that names the file, the thing and its value;
// never a crash.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>

#include "tests/tokenizer/string_generator.h"
#include "tokenizer/loaders.h"
#include "vitrine/error.h"
#include "vitrine/tokenizer.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;

template <typename Action>
std::string error_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::kUser) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  return "no error";
}

// A sound tokenizer.json of four tokens, as parts to be replaced.
struct Parts {
  std::string vocab = R"({"a": 0, "b": 1, "ab": 2})";
  std::string merges = R"(["a b"])";
  std::string model = R"("type": "BPE")";  // more fields of it
  std::string pre_tokenizer = R"({"type": "ByteLevel", "add_prefix_space": false})";
  std::string added = R"([{"id": 3, "content": "<end>", "special": true}])";
  std::string more = R"("normalizer": null)";

  std::string json() const {
    return R"({"model": {"vocab": )" + vocab + R"(, "merges": )" + merges + ", " + model +
           R"(}, "pre_tokenizer": )" + pre_tokenizer + R"(, "added_tokens": )" + added + ", " +
           more + "}";
  }
};

std::string error_with(const Parts& parts) {
  return error_of([&] { parse_tokenizer_json(parts.json(), "t.json"); });
}

#define EXPECT_SAYS(error, text)                           \
  do {                                                     \
    const std::string said = (error);                      \
    EXPECT_NE(said.find(text), std::string::npos) << said; \
  } while (false)

TEST(TokenizerJson, TheSoundOneLoads) { EXPECT_EQ(error_with({}), "no error"); }

TEST(TokenizerJson, RefusesWhatChangesTokensByName) {
  EXPECT_SAYS(error_with({.model = R"("type": "WordPiece")"}),
              "t.json: model: type is 'WordPiece'");
  EXPECT_SAYS(error_with({.model = R"("dropout": 0.1)"}), "dropout is 0.1");
  EXPECT_SAYS(error_with({.model = R"("byte_fallback": true)"}), "byte_fallback is true");
  EXPECT_SAYS(error_with({.model = R"("continuing_subword_prefix": "##")"}),
              "continuing_subword_prefix is '##'");
  EXPECT_SAYS(error_with({.model = R"("end_of_word_suffix": "</w>")"}),
              "end_of_word_suffix is '</w>'");
  EXPECT_SAYS(error_with({.model = R"("ignore_merges": 1)"}), "ignore_merges is 1");
  EXPECT_SAYS(error_with({.pre_tokenizer = R"({"type": "Metaspace"})"}),
              "pre_tokenizer is 'Metaspace'");
  EXPECT_SAYS(error_with({.pre_tokenizer = "null"}), "pre_tokenizer");
  EXPECT_SAYS(error_with({.pre_tokenizer = R"({"type": "ByteLevel", "use_regex": "yes"})"}),
              "use_regex is 'yes'");
  EXPECT_SAYS(error_with({.more = R"("normalizer": {"type": "NFC"})"}), "normalizer is 'NFC'");
  EXPECT_SAYS(error_with({.more = R"("decoder": {"type": "WordPiece"})"}),
              "decoder is 'WordPiece'");
  EXPECT_SAYS(error_with({.added = R"([{"id": 3, "content": "x", "single_word": true}])"}),
              "added_tokens[0]: single_word is true");
  EXPECT_SAYS(
      error_with(
          {.added = R"([{"id": 3, "content": "x", "rstrip": true}, {"id": 4, "content": " y"}])"}),
      "'x' strips white space");
}

TEST(TokenizerJson, AcceptsWhatDoesNot) {
  EXPECT_EQ(
      error_with(
          {.model =
               R"("dropout": null, "byte_fallback": false, "continuing_subword_prefix": "", "unk_token": null)"}),
      "no error");
  EXPECT_EQ(
      error_with(
          {.more =
               R"("decoder": {"type": "ByteLevel"}, "post_processor": {"type": "ByteLevel"}, "truncation": null)"}),
      "no error");
  EXPECT_EQ(error_with({.merges = R"([["a", "b"]])"}), "no error");
  EXPECT_EQ(error_with({.added = "[]"}), "no error");
}

TEST(TokenizerJson, NamesWhatIsWrongWithTokens) {
  EXPECT_SAYS(error_with({.vocab = R"({"a": 0, "b": 1, "ab": 1})"}),
              "t.json: model.vocab: 'ab' and 'b' have the same id 1");
  EXPECT_SAYS(error_with({.vocab = R"({"a": 0, "b": 1, "ab": 7})"}),
              "the id of 'ab' is 7 in a vocabulary of 4 tokens");
  EXPECT_SAYS(error_with({.vocab = R"({"a": 0, "b": 1, "ab": 4294967298})"}),
              "the id of 'ab' is 4294967298");
  EXPECT_SAYS(error_with({.vocab = R"({"a": 0, "b": 1, "ab": -1})"}), "the id of 'ab' is -1");
  EXPECT_SAYS(error_with({.vocab = R"({"a": 0, "b": 1, "ab": 2.5})"}), "the id of 'ab' is 2.5");
  EXPECT_SAYS(error_with({.vocab = R"({"a": 0, "b": 1, "ab": "2"})"}), "the id of 'ab' is '2'");
  EXPECT_SAYS(error_with({.vocab = R"({"a": 0, "a": 1, "ab": 2})"}), "duplicate key 'a'");
  EXPECT_SAYS(error_with({.vocab = R"(["a", "b"])"}), "model.vocab: is a list of 2 values");
  EXPECT_SAYS(error_with({.vocab = "{}"}), "model.vocab: is an object of 0 fields");
  EXPECT_SAYS(error_with({.vocab = "null"}), "vocab is null");
}

TEST(TokenizerJson, NamesWhatIsWrongWithMerges) {
  EXPECT_SAYS(error_with({.merges = R"(["a c"])"}), "merge 1 needs the token 'c'");
  EXPECT_SAYS(error_with({.merges = R"(["a b", "b a"])"}), "merge 2 needs the token 'ba'");
  EXPECT_SAYS(error_with({.merges = R"(["a b", "a b"])"}), "merge 2 is a duplicate of merge 1");
  EXPECT_SAYS(error_with({.merges = R"(["ab"])"}), "merge 1 is 'ab'");
  EXPECT_SAYS(error_with({.merges = R"(["a  b"])"}), "merge 1 is 'a  b'");
  EXPECT_SAYS(error_with({.merges = R"([["a", "b", "c"]])"}), "merge 1 is a list of 3 values");
  EXPECT_SAYS(error_with({.merges = R"([[1, 2]])"}), "merge 1 is a list");
  EXPECT_SAYS(error_with({.merges = R"({"a": "b"})"}), "merges is an object");
}

TEST(TokenizerJson, NamesWhatIsWrongWithAddedTokens) {
  EXPECT_SAYS(error_with({.added = R"([{"id": 1, "content": "<end>"}])"}), "have the same id 1");
  EXPECT_SAYS(error_with({.added = R"([{"id": 3, "content": "a"}])"}),
              "'a' has id 3 here and id 0 in t.json: model.vocab");
  EXPECT_SAYS(error_with({.added = R"([{"id": 3, "content": "x"}, {"id": 3, "content": "x"}])"}),
              "duplicate added token 'x'");
  EXPECT_SAYS(error_with({.added = R"([{"id": 9, "content": "x"}])"}), "the id of 'x' is 9");
  EXPECT_SAYS(error_with({.added = R"([{"id": -3, "content": "x"}])"}), "id is -3");
  EXPECT_SAYS(error_with({.added = R"([{"content": "x"}])"}), "id is missing");
  EXPECT_SAYS(error_with({.added = R"([{"id": 3, "content": ""}])"}), "content is empty");
  EXPECT_SAYS(error_with({.added = R"([{"id": 3}])"}), "content is missing");
  EXPECT_SAYS(error_with({.added = R"([3])"}), "added_tokens[0]: is 3: expected a JSON object");
  EXPECT_SAYS(error_with({.added = R"({"x": 3})"}), "added_tokens is an object");
}

TEST(TokenizerJson, CutShortAnywhereIsAnError) {
  const std::string whole = Parts().json();
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_SAYS(error_of([&] { parse_tokenizer_json(whole.substr(0, length), "t.json"); }),
                "t.json");
  }
  EXPECT_SAYS(error_of([&] { parse_tokenizer_json("[]", "t.json"); }), "expected a JSON object");
  EXPECT_SAYS(error_of([&] { parse_tokenizer_json("{\"a\": 1}", "t.json"); }), "model is missing");
}

TEST(VocabAndMerges, NameTheLine) {
  const auto error = [](const std::string& vocab, const std::string& merges) {
    return error_of([&] { parse_vocab_and_merges(vocab, "vocab.json", merges, "merges.txt"); });
  };
  const std::string vocab = R"({"a": 0, "b": 1, "ab": 2, "#version": 3})";
  EXPECT_EQ(error(vocab, "#version: 0.2\na b\n"), "no error");
  EXPECT_EQ(error(vocab, "a b"), "no error");
  EXPECT_EQ(error(vocab, "#version: 0.2\r\na b\r\n"), "no error");
  EXPECT_SAYS(error(vocab, "#version: 0.2\na b\nb a\n"),
              "merges.txt:3: merge 3 needs the token 'ba', which is missing in vocab.json");
  EXPECT_SAYS(error(vocab, "a b\n\na b\n"), "merges.txt:2: merge 2 is ''");
  EXPECT_SAYS(error(vocab, "a\n"), "merges.txt:1: merge 1 is 'a'");
  EXPECT_SAYS(error(vocab, "a b\na b"), "merges.txt:2: merge 2 is a duplicate of merge 1");
  EXPECT_SAYS(error("[1]", "a b"), "vocab.json: is a list of 1 values");
  EXPECT_SAYS(error("{\"a\": 0", "a b"), "vocab.json:1:");
}

class Folder : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              ("vitrine-tokenizer-test-" + std::to_string(std::random_device()()));
    fs::create_directory(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  void put(const std::string& name, const std::string& contents) {
    std::ofstream(folder_ / name, std::ios::binary) << contents;
  }
  std::string load(const std::string& name = "") {
    return error_of([&] { Tokenizer::load(name.empty() ? folder_ : folder_ / name); });
  }

  fs::path folder_;
};

TEST_F(Folder, NothingThereIsSaid) {
  EXPECT_SAYS(load("absent"), "no such file or directory");
  EXPECT_SAYS(load(),
              "no tokenizer found: expected tokenizer.json, vocab.json with merges.txt, "
              "tokenizer.model or spiece.model");
  put("notes.txt", "x");
  EXPECT_SAYS(load("notes.txt"), "unknown tokenizer file name");
  put("tokenizer.json", "");
  EXPECT_SAYS(load(), "tokenizer.json: is empty");
}

TEST_F(Folder, ThePairMustBeWhole) {
  put("vocab.json", R"({"a": 0, "b": 1, "ab": 2})");
  EXPECT_SAYS(load(), "expected merges.txt next to vocab.json");
  EXPECT_SAYS(load("vocab.json"), "expected merges.txt next to vocab.json");
  put("merges.txt", "a b\n");
  EXPECT_EQ(load(), "no error");
  EXPECT_EQ(load("merges.txt"), "no error");
  put("added_tokens.json", R"({"ab": 2})");
  EXPECT_EQ(load(), "no error");
  put("added_tokens.json", R"({"<pad>": 3})");
  EXPECT_SAYS(load(), "added_tokens.json: adds token '<pad>' with id 3");
  fs::remove(folder_ / "vocab.json");
  EXPECT_SAYS(load(), "expected vocab.json next to merges.txt");
}

TEST_F(Folder, TheOrderIsAsPromised) {
  fs::copy_file(test::data_path("small_char.model"), folder_ / "spiece.model");
  EXPECT_EQ(Tokenizer::load(folder_)->description().substr(0, 13), "SentencePiece");
  fs::copy_file(test::data_path("small_unigram.model"), folder_ / "tokenizer.model");
  EXPECT_EQ(Tokenizer::load(folder_)->description().substr(0, 21), "SentencePiece unigram");
  put("vocab.json", R"({"a": 0, "b": 1, "ab": 2})");
  put("merges.txt", "a b\n");
  EXPECT_EQ(Tokenizer::load(folder_)->description(), "byte-level BPE, 3 tokens");
  put("tokenizer.json", Parts().json());
  EXPECT_EQ(Tokenizer::load(folder_)->description(), "byte-level BPE, 4 tokens");
}

std::string model_bytes(const std::string& name) {
  std::ifstream file(test::data_path(name), std::ios::binary);
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
}

TEST(SentencePieceFile, CutShortIsAnErrorOrStillWhole) {
  for (const char* name : {"small_char.model", "small_unigram.model"}) {
    const std::string whole = model_bytes(name);
    for (size_t length = 0; length < whole.size(); length += length < 600 ? 1 : 37) {
      const std::string error =
          error_of([&] { parse_sentencepiece(whole.substr(0, length), name); });
      // Cut between two of its parts, a model may still be one.
      if (error != "no error") {
        EXPECT_SAYS(error, name);
      }
    }
  }
  EXPECT_SAYS(error_of([] { parse_sentencepiece("", "m.model"); }), "missing pieces");
  EXPECT_SAYS(error_of([] { parse_sentencepiece("{\"model\": {}}", "m.model"); }),
              "not a SentencePiece model");
}

// The library reads a damaged model with more trust than it deserves; we must have refused it by
// then.
TEST(SentencePieceFile, DamagedAnywhereDoesNotCrash) {
  std::mt19937_64 random(5);
  for (const char* name : {"small_char.model", "small_unigram.model", "small_spbpe.model"}) {
    const std::string whole = model_bytes(name);
    for (int round = 0; round < 1000; ++round) {
      std::string damaged = whole;
      for (uint64_t flips = 1 + random() % 3; flips > 0; --flips)
        damaged[random() % damaged.size()] = static_cast<char>(random());
      error_of([&] {
        const auto tokenizer = parse_sentencepiece(damaged, name);
        tokenizer->decode(tokenizer->encode("The \uff21 quick </s> brown \ufb01x [pad] jumps",
                                            Tokenizer::Special::kAllow));
      });
    }
  }
}

}  // namespace
}  // namespace vitrine
