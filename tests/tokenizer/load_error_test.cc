// SPDX-License-Identifier: MIT
// Files that are not what they should be: one line that names the file, the thing and its value;
// never a crash.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
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
using Ids = std::vector<int32_t>;

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
  EXPECT_SAYS(error_with({.model = R"("type": "Chars")"}), "t.json: model: type is 'Chars'");
  EXPECT_SAYS(error_with({.model = R"("dropout": 0.1)"}), "dropout is 0.1");
  EXPECT_SAYS(error_with({.model = R"("byte_fallback": "yes")"}), "byte_fallback is 'yes'");
  EXPECT_SAYS(error_with({.model = R"("ignore_merges": 1)"}), "ignore_merges is 1");
  EXPECT_SAYS(error_with({.pre_tokenizer = R"({"type": "UnicodeScripts"})"}),
              "t.json: pre_tokenizer: type is 'UnicodeScripts'");
  EXPECT_SAYS(error_with({.pre_tokenizer = R"({"type": "ByteLevel", "use_regex": "yes"})"}),
              "use_regex is 'yes'");
  EXPECT_SAYS(error_with({.pre_tokenizer = R"({"type": "Metaspace", "replacement": "ab"})"}),
              "replacement is 'ab'");
  EXPECT_SAYS(
      error_with({.pre_tokenizer = R"({"type": "Sequence", "pretokenizers": [{"type": 1}]})"}),
      "t.json: pre_tokenizer[0]: type is 1");
  EXPECT_SAYS(error_with({.more = R"("normalizer": {"type": "Upper"})"}),
              "t.json: normalizer: type is 'Upper'");
  EXPECT_SAYS(
      error_with({.more = R"("normalizer": {"type": "Precompiled", "precompiled_charsmap": "!"})"}),
      "not base 64");
  EXPECT_SAYS(error_with({.more = R"("decoder": {"type": "CTC"})"}),
              "t.json: decoder: type is 'CTC'");
  EXPECT_SAYS(
      error_with({.more = R"("post_processor": {"type": "BertProcessing", "sep": ["x", -1]})"}),
      "t.json: post_processor: cls is missing");
  EXPECT_SAYS(
      error_with(
          {.more =
               R"("post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}]})"}),
      "the template has 'x'");
  EXPECT_SAYS(
      error_with(
          {.added = R"([{"id": 3, "content": "x", "rstrip": true}, {"id": 4, "content": " y"}])"}),
      "'x' strips white space");
}

// The regular expressions of these files have Oniguruma's syntax. What PCRE2 would read otherwise
// is refused.
TEST(TokenizerJson, RefusesPatternsThatWouldMeanSomethingElse) {
  const auto error = [](const std::string& pattern) {
    return error_with(
        {.pre_tokenizer = R"({"type": "Split", "behavior": "Isolated", "pattern": {"Regex": ")" +
                          pattern + R"("}})"});
  };
  EXPECT_EQ(error("a|b+?"), "no error");
  EXPECT_SAYS(error("(a"), "t.json: pre_tokenizer: invalid regular expression '(a'");
  for (const char* part : {"[a&&]", "[&&a]", "[a-[b]]", "a{2,3}+", "a{2}?", "(?x)", "(?~a)", "[]a]",
                           R"(\\y)", R"(\\xe9)"})
    EXPECT_SAYS(error(part), "which is not supported");
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
  EXPECT_SAYS(error_with({.vocab = R"({"a": 0, "b": 1, "ab": 4294967298})"}),
              "the id of 'ab' is 4294967298");
  EXPECT_SAYS(error_with({.vocab = R"({"a": 0, "b": 1, "ab": 2000000000})"}),
              "the id of 'ab' is 2000000000: expected 0 to 16777216");
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
  EXPECT_SAYS(error_with({.merges = R"(["ab"])"}), "merge 1 is 'ab'");
  EXPECT_SAYS(error_with({.merges = R"(["a  b"])"}), "merge 1 is 'a  b'");
  EXPECT_SAYS(error_with({.merges = R"([["a", "b", "c"]])"}), "merge 1 is a list of 3 values");
  EXPECT_SAYS(error_with({.merges = R"([[1, 2]])"}), "merge 1 is a list");
  EXPECT_SAYS(error_with({.merges = R"({"a": "b"})"}), "merges is an object");
}

TEST(TokenizerJson, NamesWhatIsWrongWithAddedTokens) {
  EXPECT_SAYS(error_with({.added = R"([{"id": -3, "content": "x"}])"}), "id is -3");
  EXPECT_SAYS(error_with({.added = R"([{"content": "x"}])"}), "id is missing");
  EXPECT_SAYS(error_with({.added = R"([{"id": 3, "content": ""}])"}), "added token 3 is empty");
  EXPECT_SAYS(error_with({.added = R"([{"id": 3}])"}), "content is missing");
  EXPECT_SAYS(error_with({.added = R"([3])"}), "added_tokens[0]: is 3: expected a JSON object");
  EXPECT_SAYS(error_with({.added = R"({"x": 3})"}), "added_tokens is an object");
}

// Seeds of every kind with a few bytes changed: refused, or they work.
TEST(TokenizerJson, DamagedAnywhereDoesNotCrash) {
  std::mt19937_64 random(6);
  for (const auto& entry :
       fs::directory_iterator(VITRINE_SOURCE_DIR "/tests/tokenizer/tokenizer_json_seeds")) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string whole{std::istreambuf_iterator<char>(file), {}};
    for (int round = 0; round < 400; ++round) {
      std::string damaged = whole;
      for (uint64_t flips = 1 + random() % 2; flips > 0; --flips)
        damaged[random() % damaged.size()] = R"("{}[],:0123-abTNF\u)"[random() % 20];
      error_of([&] {
        const auto tokenizer = parse_tokenizer_json(damaged, "t.json");
        const auto ids =
            tokenizer->encode("aab <End> \u00c5b, \u4e2d\xff 12 'tis", Tokenizer::Special::kAllow);
        tokenizer->decode(ids);
      });
    }
  }
}

// As tokenizers does: the model's token keeps its id, and others follow the model's.
TEST(TokenizerJson, AddedTokensAreNumberedAnew) {
  const auto ids = [](const std::string& added, const std::string& text) {
    return parse_tokenizer_json(Parts{.added = added}.json(), "t.json")
        ->encode(text, Tokenizer::Special::kAllow);
  };
  EXPECT_EQ(ids(R"([{"id": 9, "content": "<x>"}, {"id": 7, "content": "<y>"}])", "<x>a<y>"),
            (Ids{3, 0, 4}));
  EXPECT_EQ(ids(R"([{"id": 3, "content": "a"}])", "ba"), (Ids{1, 0}));
  EXPECT_EQ(ids(R"([{"id": 3, "content": "<x>"}, {"id": 4, "content": "<x>"}])", "<x>"), (Ids{3}));
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
              "tokenizer.model, spiece.model, ");
  put("notes.md", "x");
  EXPECT_SAYS(load("notes.md"), "unknown tokenizer file name");
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
  put("added_tokens.json", R"({"<pad>": "3"})");
  EXPECT_SAYS(load(), "added_tokens.json: the id of '<pad>' is '3'");
  put("added_tokens.json", R"(["<pad>"])");
  EXPECT_SAYS(load(), "added_tokens.json: is a list of 1 values");
  put("added_tokens.json", "{}");
  put("tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "y"}}})");
  EXPECT_SAYS(load(), "tokenizer_config.json: added_tokens_decoder: the id is 'x'");
  put("tokenizer_config.json", R"({"add_prefix_space": "yes"})");
  EXPECT_SAYS(load(), "tokenizer_config.json: add_prefix_space is 'yes'");
  fs::remove(folder_ / "tokenizer_config.json");
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
