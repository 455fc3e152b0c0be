// SPDX-License-Identifier: MIT
#include "vitrine/checkpoint/safetensors.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/float_bits.h"
#include "base/safetensors_header.h"
#include "tests/base/test_files.h"

namespace vitrine {
using namespace internal;
namespace {

using testing::as_bytes;
using testing::error_of;
using testing::read_bytes;
using testing::says;
using testing::TempFolder;

std::string file_of(const std::string& header, size_t data_bytes, uint64_t claimed = UINT64_MAX) {
  const uint64_t length = claimed == UINT64_MAX ? header.size() : claimed;
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header + std::string(data_bytes, '\0');
}

std::string header_error(const std::string& header, size_t data_bytes) {
  return error_of(
      [&] { parse_safetensors_header(as_bytes(file_of(header, data_bytes)), "m.safetensors"); });
}

std::string braced(const std::string& text) { return fmt::format("{{{}}}", text); }

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return fmt::format(R"("{}": {{"dtype": "{}", "shape": {}, "data_offsets": {}}})", name, dtype,
                     shape, offsets);
}

TEST(SafetensorsHeader, ReadsWhatIsRight) {
  const std::string text =
      braced(entry("b", "F32", "[2, 1]", "[4, 12]") + "," + entry("a", "U8", "[4]", "[0, 4]") +
             "," + entry("empty", "F16", "[0, 3]", "[12, 12]") + "," +
             entry("scalar", "BF16", "[]", "[12, 14]") + R"(,"__metadata__": {"format": "pt"})") +
      "   ";
  const std::string file = file_of(text, 14);
  const SafetensorsHeader header = parse_safetensors_header(as_bytes(file), "m");
  ASSERT_EQ(header.entries.size(), 4u);
  EXPECT_EQ(header.entries[0].name, "a");
  EXPECT_EQ(header.entries[1].name, "b");
  EXPECT_EQ(header.entries[1].begin, 8 + text.size() + 4);
  EXPECT_EQ(header.entries[1].end, 8 + text.size() + 12);
  EXPECT_EQ(header.entries[1].shape, (Shape{2, 1}));
  EXPECT_EQ(header.entries[3].dtype, DType::kBF16);
  EXPECT_EQ(header.metadata.at("format"), "pt");
  EXPECT_EQ(header_error("{}", 0), "(no error)");
}

TEST(SafetensorsHeader, RefusesADamagedLength) {
  const auto error = [](const std::string& bytes) {
    return error_of([&] { parse_safetensors_header(as_bytes(bytes), "m.safetensors"); });
  };
  EXPECT_TRUE(says(error("abc"), "m.safetensors", "truncated: has 3 bytes"));
  EXPECT_TRUE(
      says(error(file_of("{}", 0, 3)), "header is 3 bytes, but only 2 follow", "truncated"));
  EXPECT_TRUE(says(error(file_of("{}", 0, 100'000'001)), "100000001: expected at most 100000000"));
  EXPECT_TRUE(says(error(file_of("{}", 0, UINT64_MAX - 1)), "at most 100000000"));
  EXPECT_TRUE(says(error(file_of("[]", 0)), "expected '{' at the start"));
  EXPECT_TRUE(says(error(file_of("", 0)), "expected '{' at the start"));
  EXPECT_TRUE(says(error(file_of("{\"a\": ", 0)), "m.safetensors:1:7: invalid JSON"));
}

TEST(SafetensorsHeader, RefusesWrongTypes) {
  EXPECT_TRUE(says(header_error(R"({"w": 3})", 0), "tensor 'w'", "is 3: expected an object"));
  EXPECT_TRUE(says(header_error(R"({"w": {"shape": [1], "data_offsets": [0, 4]}})", 4),
                   "tensor 'w'", "missing dtype"));
  EXPECT_TRUE(
      says(header_error(R"({"w": {"dtype": "F32", "data_offsets": [0, 4]}})", 4), "missing shape"));
  EXPECT_TRUE(
      says(header_error(R"({"w": {"dtype": "F32", "shape": [1]}})", 4), "missing data_offsets"));
  EXPECT_TRUE(says(header_error(braced(entry("w", "F8_E4M3", "[4]", "[0, 4]")), 4), "tensor 'w'",
                   "unknown dtype 'F8_E4M3'", "BF16"));
  EXPECT_TRUE(says(header_error(R"({"w": {"dtype": 7, "shape": [1], "data_offsets": [0, 4]}})", 4),
                   "unknown dtype 7"));
  EXPECT_TRUE(says(header_error(braced(entry("w", "F32", "[-1]", "[0, 4]")), 4), "tensor 'w'",
                   "shape contains -1"));
  EXPECT_TRUE(
      says(header_error(braced(entry("w", "F32", "[1.5]", "[0, 4]")), 4), "shape contains 1.5"));
  EXPECT_TRUE(says(header_error(braced(entry("w", "F32", "7", "[0, 4]")), 4),
                   "shape is 7: expected a list"));
  EXPECT_TRUE(says(header_error(braced(entry("w", "F32", "[1,1,1,1,1]", "[0, 4]")), 4),
                   "shape has 5 axes: expected at most 4"));
  EXPECT_TRUE(says(header_error(braced(entry("w", "F32", "[1]", "[0, 4, 8]")), 8),
                   "data_offsets is a list of 3 values"));
  EXPECT_TRUE(says(header_error(braced(entry("w", "F32", "[1]", "[0, \"4\"]")), 4),
                   "data_offsets contains '4'"));
  EXPECT_TRUE(says(header_error(R"({"__metadata__": {"a": 1}})", 0),
                   "__metadata__ 'a' is 1: expected a string"));
  EXPECT_TRUE(says(header_error(R"({"__metadata__": 1})", 0), "__metadata__ is 1"));
  const std::string w = entry("w", "U8", "[1]", "[0, 1]");
  EXPECT_TRUE(says(header_error(braced(w + "," + w), 1), "duplicate key 'w'"));
}

TEST(SafetensorsHeader, RefusesWrongOffsets) {
  const auto one = [](const std::string& shape, const std::string& offsets, size_t bytes) {
    return header_error(braced(entry("w", "F32", shape, offsets)), bytes);
  };
  EXPECT_TRUE(says(one("[2]", "[0, 8]", 4), "tensor 'w'",
                   "[0, 8] are out of range: the file has 4 bytes", "truncated"));
  EXPECT_TRUE(says(one("[2]", "[8, 0]", 8), "[8, 0] are out of range"));
  EXPECT_TRUE(says(one("[3]", "[0, 8]", 8), "f32 and shape [3] do not match the 8 bytes"));
  EXPECT_TRUE(says(one("[4294967296, 4294967296]", "[0, 8]", 8), "tensor 'w'",
                   "the number of elements exceeds 64 bits"));
  EXPECT_TRUE(says(one("[4611686018427387904]", "[0, 0]", 0), "do not match the 0 bytes"))
      << "2^62 elements of 4 bytes overflow";
  EXPECT_TRUE(says(one("[18446744073709551615]", "[0, 8]", 8), "expected at most 63 bits"));
  EXPECT_TRUE(says(one("[1]", "[4, 8]", 8), "tensor 'w' begins at byte 4", "gap after the header",
                   "expected 0"));
  EXPECT_TRUE(says(one("[1]", "[0, 4]", 7), "3 extra bytes after the last tensor"));
  const auto two = [](const std::string& a, const std::string& b) {
    return header_error(braced(entry("a", "U8", "[4]", a) + "," + entry("b", "U8", "[4]", b)), 10);
  };
  EXPECT_TRUE(says(two("[0, 4]", "[2, 6]"), "tensor 'b' begins at byte 2", "overlapping 'a'"));
  EXPECT_TRUE(says(two("[0, 4]", "[0, 4]"), "overlapping"));
  EXPECT_TRUE(says(two("[0, 4]", "[6, 10]"), "tensor 'b' begins at byte 6", "gap after 'a'"));
}

TEST(SafetensorsHeader, ForeignNamesStayOnOneLine) {
  EXPECT_TRUE(says(header_error(R"({"a\n\u001b[31m": 3})", 0), R"('a\x0a\x1b[31m')"));
}

TEST(SafetensorsFile, WritesAndReadsBack) {
  const TempFolder folder;
  const std::vector<float> values = {1.5f, -2.0f, 0.25f, 3.0f, 4.0f, 5.0f};
  const std::vector<uint16_t> halves = {f32_to_bf16(1.0f), f32_to_bf16(-3.0f), f32_to_bf16(0.5f)};
  const uint8_t odd = 9;
  // The byte before it puts `values` at an odd offset.
  SafetensorsWriter::write(folder / "m",
                           {{"odd", TensorView(&odd, DType::kU8, {1})},
                            {"values", TensorView(values.data(), DType::kF32, {2, 3})},
                            {"halves", TensorView(halves.data(), DType::kBF16, {3})}},
                           {{"made by", "a test"}});
  const SafetensorsFile file(folder / "m");
  EXPECT_EQ(file.names(), (std::vector<std::string>{"odd", "values", "halves"}));
  EXPECT_EQ(file.metadata().at("made by"), "a test");
  for (int round = 0; round < 2; ++round) {
    const TensorView back = file.tensor("values");
    EXPECT_EQ(back.shape(), (Shape{2, 3}));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(back.data()) % 4, 0u);
    EXPECT_EQ(std::vector<float>(back.f32().begin(), back.f32().end()), values);
    EXPECT_EQ(file.tensor("halves").to_f32(), (std::vector<float>{1.0f, -3.0f, 0.5f}));
    file.release("values");
    file.release("halves");
  }
  EXPECT_TRUE(says(error_of([&] { file.tensor("nope"); }), "missing tensor 'nope'"));
}

TEST(SafetensorsFile, ReadsWhatTheReferenceImplementationWrote) {
  const SafetensorsFile file(VITRINE_SOURCE_DIR
                             "/tests/engine/checkpoints/mixed/model.safetensors");
  EXPECT_EQ(file.tensor("h.1.attn.bias").dtype(), DType::kBool);
  EXPECT_EQ(file.tensor("h.1.attn.bias").shape(), (Shape{1, 1, 5, 5}));
  EXPECT_EQ(file.tensor("transformer.h.0.attn.masked_bias").shape().rank(), 0);
  EXPECT_EQ(file.tensor("transformer.h.0.attn.masked_bias").f32()[0], -1e4f);
}

TEST(SafetensorsWriter, StreamsAcrossTensors) {
  const TempFolder folder;
  SafetensorsWriter writer(
      folder / "m", {{"a", DType::kI32, {2}}, {"none", DType::kF32, {0}}, {"b", DType::kU8, {3}}});
  writer.append(as_bytes(std::string_view("\1\0\0\0\2\0", 6)));
  EXPECT_TRUE(says(error_of([&] { writer.append(TensorView(nullptr, DType::kI32, {2})); }),
                   "tensor 'a' is incomplete"));
  writer.append(as_bytes(std::string_view("\0\0xy", 4)));
  EXPECT_TRUE(says(error_of([&] { writer.finish(); }), "incomplete tensor", "1 declared bytes"));
  EXPECT_TRUE(says(error_of([&] { writer.append(as_bytes("zz")); }),
                   "2 bytes appended: expected at most 1"));
  writer.append(as_bytes("z"));
  EXPECT_FALSE(std::filesystem::exists(folder / "m")) << "before finish() there is no file";
  writer.finish();
  const SafetensorsFile file(folder / "m");
  EXPECT_EQ(std::memcmp(file.tensor("a").data(), "\1\0\0\0\2\0\0\0", 8), 0);
  EXPECT_EQ(std::memcmp(file.tensor("b").data(), "xyz", 3), 0);
}

TEST(SafetensorsWriter, TensorsWithoutElementsMayStandAnywhere) {
  const TempFolder folder;
  const std::vector<float> values = {1, 2};
  const TensorView none(nullptr, DType::kF32, Shape{0, 3}),
      some(values.data(), DType::kF32, Shape{2});
  SafetensorsWriter::write(folder / "a", {{"first", none},
                                          {"some", some},
                                          {"second", none},
                                          {"third", none},
                                          {"more", some},
                                          {"last", none}});
  const SafetensorsFile file(folder / "a");
  EXPECT_EQ(file.tensor("third").shape(), (Shape{0, 3}));
  EXPECT_EQ(file.tensor("more").to_f32(), values);

  // Bytes that are not told tensor by tensor pass over them.
  SafetensorsWriter writer(folder / "b", {{"some", DType::kF32, Shape{2}},
                                          {"none", DType::kF32, Shape{0, 3}},
                                          {"more", DType::kF32, Shape{2}}});
  for (int i = 0; i < 4; ++i) writer.append(std::as_bytes(std::span(values).first(1)));
  writer.finish();
  EXPECT_EQ(SafetensorsFile(folder / "b").tensor("more").to_f32(), (std::vector<float>{1, 1}));
}

// Both begin at one place, where nothing is aligned: a copy is made of each.
TEST(SafetensorsFile, ATensorWithoutElementsHidesNoOther) {
  const TempFolder folder;
  const std::string header = braced(entry("none", "F32", "[0]", "[0, 0]") + "," +
                                    entry("some", "F32", "[1000]", "[0, 4000]"));
  for (size_t spaces = 0; spaces < 4; ++spaces) {
    std::string file = file_of(header + std::string(spaces, ' '), 0);
    for (int i = 0; i < 1000; ++i) {
      const auto value = static_cast<float>(i);
      file.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    const SafetensorsFile tensors(folder.write("m.safetensors", file));
    EXPECT_EQ(tensors.tensor("none").elements(), 0);
    EXPECT_EQ(tensors.tensor("some").f32()[999], 999.0f);
    tensors.release("none");
    EXPECT_EQ(tensors.tensor("some").f32()[500], 500.0f);
  }
}

TEST(SafetensorsWriter, TakesBytesInAnyOrder) {
  const TempFolder folder;
  SafetensorsWriter writer(
      folder / "m", {{"a", DType::kI32, {2}}, {"none", DType::kF32, {0}}, {"b", DType::kU8, {3}}});
  writer.put(2, 0, as_bytes("xyz"));
  writer.put(0, 4, as_bytes(std::string_view("\2\0\0\0", 4)));
  EXPECT_TRUE(
      says(error_of([&] { writer.put(3, 0, as_bytes("x")); }), "tensor index 3 is out of range"));
  EXPECT_TRUE(says(error_of([&] { writer.put(2, 2, as_bytes("xy")); }),
                   "2 bytes at offset 2 exceed the 3 bytes of tensor 'b'"));
  EXPECT_TRUE(says(error_of([&] { writer.put(2, UINT64_MAX, as_bytes("xy")); }), "exceed the"));
  EXPECT_TRUE(says(error_of([&] { writer.finish(); }), "incomplete file", "4 declared bytes"));
  writer.put(0, 0, as_bytes(std::string_view("\1\0\0\0", 4)));
  writer.finish();
  const SafetensorsFile file(folder / "m");
  EXPECT_EQ(std::memcmp(file.tensor("a").data(), "\1\0\0\0\2\0\0\0", 8), 0);
  EXPECT_EQ(std::memcmp(file.tensor("b").data(), "xyz", 3), 0);
}

TEST(SafetensorsWriter, ChecksWhatItIsGiven) {
  const TempFolder folder;
  const auto declare = [&](const std::vector<SafetensorsWriter::Declaration>& all) {
    return error_of([&] { SafetensorsWriter(folder / "m", all); });
  };
  EXPECT_TRUE(
      says(declare({{"a", DType::kF32, {1}}, {"a", DType::kF32, {1}}}), "duplicate tensor 'a'"));
  EXPECT_TRUE(says(declare({{"", DType::kF32, {1}}}), "invalid tensor name ''"));
  EXPECT_TRUE(says(declare({{"__metadata__", DType::kF32, {1}}}), "invalid tensor name"));
  EXPECT_TRUE(says(declare({{"\xff", DType::kF32, {1}}}), "not UTF-8"));
  EXPECT_TRUE(says(declare({{"w", DType::kF64, {int64_t{1} << 60, 4}}}), "'w'",
                   "exceeds the maximum file size"));
  const float value = 1;
  SafetensorsWriter writer(folder / "m", {{"a", DType::kF32, {2}}});
  EXPECT_TRUE(says(error_of([&] { writer.append(TensorView(&value, DType::kF32, {1})); }),
                   "'a' was declared as f32 [2] and appended as f32 [1]"));
  EXPECT_EQ(folder.count(), 1u) << "the temporary of the writer that lives";
}

TEST(SafetensorsWriter, SameInputSameBytes) {
  const TempFolder folder;
  const float value = 1;
  for (const char* name : {"a", "b"}) {
    SafetensorsWriter::write(folder / name, {{"w", TensorView(&value, DType::kF32, {1})}},
                             {{"z", "1"}, {"a", "2"}});
  }
  EXPECT_EQ(read_bytes(folder / "a"), read_bytes(folder / "b"));
  EXPECT_EQ(read_bytes(folder / "a").substr(8, 47),
            R"({"__metadata__":{"a":"2","z":"1"},"w":{"dtype":)");
}

}  // namespace
}  // namespace vitrine
