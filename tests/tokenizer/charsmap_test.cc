// SPDX-License-Identifier: MIT
// A SentencePiece model's table of normalisations: the library trusts it, so a damaged one must
// never reach the library.

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tokenizer/loaders.h"
#include "vitrine/error.h"
#include "vitrine/tokenizer.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr uint32_t kValue = 1u << 31, kHasValue = 1u << 8;

// A trie of darts-clone's layout, and the strings.
struct Table {
  // Unused units have a label that no byte is.
  std::vector<uint32_t> units = std::vector<uint32_t>(512, kValue);
  std::string strings{"a\0xyz\0", 6};

  uint32_t& root() { return units[0]; }
  // The children of `node` are at base ^ label; a value is at base itself.
  void set(uint32_t node, uint32_t base, uint32_t label, bool has_value) {
    units[node] = (node ^ base) << 10 | label | (has_value ? kHasValue : 0);
  }

  std::string bytes() const {
    const auto size = static_cast<uint32_t>(units.size() * sizeof(uint32_t));
    std::string all(reinterpret_cast<const char*>(&size), sizeof size);
    all.append(reinterpret_cast<const char*>(units.data()), size);
    return all + strings;
  }
};

// "A" becomes "a", "AB" becomes "xyz".
Table sound_table() {
  Table table;
  const uint32_t a = 256 ^ 'A', b = 258 ^ 'B';
  table.set(0, 256, 0, false);
  table.set(a, 258, 'A', true);
  table.units[258] = kValue | 0;
  table.set(b, 259, 'B', true);
  table.units[259] = kValue | 2;
  return table;
}

std::string varint(size_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string field(int number, const std::string& bytes) {
  return varint(static_cast<size_t>(number) << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string field(int number, size_t value) {
  return varint(static_cast<size_t>(number) << 3) + varint(value);
}
std::string piece(const std::string& text, size_t type) {
  return field(1, field(1, text) + field(3, type));
}

// A character model of the letters in "axyz", with such a table; escape_whitespaces and the like
// are off.
std::string model_with(const std::string& table, const std::string& more = "") {
  std::string model = piece("<unk>", 2);
  for (const char* letter : {"a", "x", "y", "z"}) model += piece(letter, 1);
  return model + more + field(2, field(3, size_t{4})) +
         field(3, field(2, table) + field(3, size_t{0}) + field(4, size_t{0}));
}

std::string error_of(const std::string& model) {
  try {
    const auto tokenizer = parse_sentencepiece(model, "m.model");
    (void)tokenizer->encode("AABxA\uff21");
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::kUser) << error.what();
    return error.what();
  }
}
std::string error_of(const Table& table) { return error_of(model_with(table.bytes())); }

#define EXPECT_REJECTED(error, text)                       \
  do {                                                     \
    const std::string said = (error);                      \
    EXPECT_TRUE(said.starts_with("m.model: ")) << said;    \
    EXPECT_NE(said.find(text), std::string::npos) << said; \
  } while (false)

TEST(Charsmap, ASoundTableNormalises) {
  const auto tokenizer = parse_sentencepiece(model_with(sound_table().bytes()), "m.model");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("AAB")), "axyz");
}

TEST(Charsmap, RejectsTablesOfTheWrongSize) {
  Table table = sound_table();
  std::string bytes = table.bytes();
  EXPECT_REJECTED(error_of(model_with(bytes.substr(0, 4))), "it has 4 bytes, expected more than 4");
  EXPECT_REJECTED(error_of(model_with(bytes.substr(0, 4 + 2048))),
                  "its trie has 2048 bytes, expected a multiple of 4 below 2048");
  EXPECT_REJECTED(error_of(model_with(std::string(4, '\0') + bytes.substr(4))),
                  "its trie has 0 bytes");
  bytes[0] = 2;
  EXPECT_REJECTED(error_of(model_with(bytes)),
                  "its trie has 2050 bytes, expected a multiple of 4 below 2054");
  table.strings.back() = 'x';
  EXPECT_REJECTED(error_of(table), "its last string has no end");
}

TEST(Charsmap, RejectsOffsetsOutsideTheTrie) {
  Table table = sound_table();
  table.set(258 ^ 'B', 512, 'B', false);
  EXPECT_REJECTED(error_of(table), "unit 320 leads to unit 767, expected at most 511");
  table = sound_table();
  table.units.resize(
      500);  // the last block is not whole: a text's byte decides where in it the library looks
  EXPECT_REJECTED(error_of(table), "unit 0 leads to unit 511, expected at most 499");
}

// The library follows the root's offset whatever its other bits say.
TEST(Charsmap, RejectsARootThatLooksLikeAValue) {
  Table table = sound_table();
  table.root() = 0xbc010000;
  EXPECT_REJECTED(error_of(table), "unit 0 leads to unit 3080447, expected at most 511");
}

TEST(Charsmap, RejectsStringsOutsideTheTable) {
  Table table = sound_table();
  table.units[259] = kValue | 6;
  EXPECT_REJECTED(error_of(table), "unit 320 has the string at 6, expected at most 5");
}

// Each character of a text would become as many bytes.
TEST(Charsmap, RejectsLongStrings) {
  for (const size_t length : {256u, 257u}) {
    Table table = sound_table();
    table.strings = std::string("a\0", 2) + std::string(length, 'x') + '\0';
    const std::string error = error_of(table);
    if (length == 256)
      EXPECT_EQ(error, "");
    else
      EXPECT_REJECTED(error, "the string at 2 has more than 256 bytes");
  }
}

TEST(Charsmap, RejectsCircles) {
  Table table = sound_table();
  table.set(258 ^ 'B', 256, 'B', false);  // back to the children of the root, of which 'A' is one
  EXPECT_REJECTED(error_of(table), "leads back to unit");
}

TEST(Charsmap, RejectsMoreMatchesThanTheLibraryHasRoomFor) {
  for (const uint32_t matches : {32u, 33u}) {
    Table table;
    table.units.assign(256 * (matches + 2), kValue);
    table.set(0, 256, 0, false);
    for (uint32_t i = 0; i < matches; ++i) table.set(256 * (i + 1) ^ 'A', 256 * (i + 2), 'A', true);
    const std::string error = error_of(table);
    if (matches == 32)
      EXPECT_EQ(error, "");
    else
      EXPECT_REJECTED(error, "one text has 33 matches, expected at most 32");
  }
}

// The library stays inside whatever is accepted; a sanitizer sees it if not.
TEST(Charsmap, DamagedAnywhereDoesNotCrash) {
  std::mt19937_64 random(7);
  const std::string sound = model_with(sound_table().bytes());
  for (int round = 0; round < 20000; ++round) {
    std::string damaged = sound;
    for (uint64_t flips = 1 + random() % 3; flips > 0; --flips)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    (void)error_of(damaged);
  }
}

TEST(SentencePieceModel, RejectsMoreNestedUserDefinedPiecesThanTheLibraryHasRoomFor) {
  for (const size_t count : {64u, 65u}) {
    std::string pieces;
    for (size_t length = 1; length <= count; ++length) pieces += piece(std::string(length, 'u'), 4);
    const std::string error = error_of(model_with(sound_table().bytes(), pieces));
    if (count == 64)
      EXPECT_EQ(error, "");
    else
      EXPECT_REJECTED(error, "too many user-defined pieces begin with 'u': expected at most 64");
  }
}

// The library cuts a field's tag to 32 bits: this one is a table of normalisations to it, and field
// 2^32 + 3 to a reader that does not.
TEST(SentencePieceModel, RejectsTagsOfMoreThan32Bits) {
  const std::string tag = "\x9a\x80\x80\x80\x10";
  const std::string hidden = field(2, std::string("\0\4\0\0", 4) + std::string(1100, '\xff'));
  EXPECT_REJECTED(
      error_of(model_with(sound_table().bytes()) + tag + varint(hidden.size()) + hidden),
      "not a SentencePiece model");
}

}  // namespace
}  // namespace vitrine
