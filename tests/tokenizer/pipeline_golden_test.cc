// SPDX-License-Identifier: MIT
// Tokenizers of every kind against what Hugging Face tokenizers makes of the same text with the
// same file (tools/make_pipeline_goldens.py).

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "tests/tokenizer/string_generator.h"
#include "tokenizer/loaders.h"
#include "vitrine/tokenizer.h"

namespace vitrine {
using namespace internal;
namespace {

using nlohmann::json;
using test::Fnv;
using Special = Tokenizer::Special;
using Ids = std::vector<int32_t>;

/// As tokenizers returns text: what is not UTF-8 becomes replacement characters.
std::string as_utf8(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const Utf8Step step = utf8_step(bytes);
    const size_t length = step.valid ? step.length : std::max<size_t>(utf8_prefix(bytes), 1);
    out += step.valid ? std::string(bytes.substr(0, length)) : "\uFFFD";
    bytes.remove_prefix(length);
  }
  return out;
}

const json& pipeline_golden() {
  static const json all = [] {
    if (const char* path = std::getenv("VITRINE_PIPELINE_GOLDENS")) {
      std::ifstream file(path);
      return json::parse(file);
    }
    return test::read_data("pipelines.golden.json");
  }();
  return all;
}

std::vector<std::string> golden_texts() {
  std::vector<std::string> out = pipeline_golden()["texts"];
  test::StringGenerator generator;
  const std::string numbers = pipeline_golden()["numbers"];
  const uint64_t first = pipeline_golden()["first"];
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] == 'x') out.push_back(generator.string(first + i));
  }
  return out;
}

std::string listed(const Ids& ids) {
  std::string out;
  for (const int32_t id : ids) out += ' ' + std::to_string(id);
  return out;
}

TEST(Pipelines, AreAsHuggingFaceHasThem) {
  const std::vector<std::string> all = golden_texts();
  ASSERT_GE(pipeline_golden()["tokenizers"].size(), 25u);
  for (const auto& [name, entry] : pipeline_golden()["tokenizers"].items()) {
    const auto tokenizer = parse_tokenizer_json(entry["json"].dump(), name);
    EXPECT_EQ(tokenizer->frame().before, entry["before"].get<Ids>()) << name;
    EXPECT_EQ(tokenizer->frame().after, entry["after"].get<Ids>()) << name;
    EXPECT_EQ(tokenizer->vocab_size(), entry["size"]) << name;
    const std::string hashes = entry["hashes"];
    ASSERT_EQ(hashes.size(), 8 * all.size()) << name;
    size_t wrong = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      const Ids plain = tokenizer->encode(all[i]), ids = tokenizer->encode(all[i], Special::kAllow);
      Ids ends;
      for (const auto& piece : tokenizer->encode_with_spans(all[i], Special::kAllow))
        ends.push_back(static_cast<int32_t>(piece.end));
      const std::string decoded = tokenizer->decode(ids);
      Fnv hash;
      hash.add(plain);
      hash.add(ids);
      if (entry["spans"].get<bool>()) hash.add(ends);
      hash.add(as_utf8(decoded));
      if (hash.hex().substr(8) == hashes.substr(8 * i, 8)) continue;
      constexpr size_t kShown = 3;
      if (++wrong > kShown) continue;
      ADD_FAILURE() << name << ", text " << i << " " << json(all[i]).dump() << "\nids"
                    << listed(plain) << "\nwith special tokens" << listed(ids) << "\nends"
                    << listed(ends) << "\ndecoded " << json(as_utf8(decoded)).dump();
    }
    EXPECT_EQ(wrong, 0u) << "of " << all.size() << " texts, " << name;
  }
}

// One token after the other gives the same text, and spans cover theirs.
TEST(Pipelines, StreamsAndSpansAreWhole) {
  const std::vector<std::string> all = golden_texts();
  for (const auto& [name, entry] : pipeline_golden()["tokenizers"].items()) {
    const auto tokenizer = parse_tokenizer_json(entry["json"].dump(), name);
    for (size_t i = 0; i < std::min<size_t>(all.size(), 80); ++i) {
      StreamDecoder stream(tokenizer);
      std::string streamed;
      size_t at = 0;
      const auto pieces = tokenizer->encode_with_spans(all[i], Special::kAllow);
      for (const auto& piece : pieces) {
        ASSERT_EQ(piece.begin, at) << name << json(all[i]).dump();
        at = piece.end;
        streamed += stream.push(piece.id);
      }
      ASSERT_EQ(at, pieces.empty() ? 0 : all[i].size()) << name << json(all[i]).dump();
      EXPECT_EQ(streamed + stream.flush(),
                tokenizer->decode(tokenizer->encode(all[i], Special::kAllow)))
          << name << json(all[i]).dump();
    }
  }
}

}  // namespace
}  // namespace vitrine
