// SPDX-License-Identifier: MIT
#include "base/text_file.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/base/test_files.h"

namespace vitrine {
using namespace internal;
namespace {

using namespace std::string_view_literals;
using testing::error_of;
using testing::says;
using testing::TempFolder;

std::string text_refused(std::string_view bytes) {
  return error_of([&] { check_text(bytes, "F"); });
}

TEST(TextFile, DropsTheByteOrderMarkAndKeepsTheRest) {
  EXPECT_EQ(check_text("\xef\xbb\xbfThe\r\nkeys\n", "F"), "The\r\nkeys\n");
  EXPECT_EQ(check_text("a\xef\xbb\xbf", "F"), "a\xef\xbb\xbf") << "elsewhere it is a character";
  EXPECT_EQ(check_text("\xe4\xbd\xa0", "F"), "\xe4\xbd\xa0");
}

TEST(TextFile, NamesOtherFormatsAndTheFix) {
  EXPECT_TRUE(says(text_refused("\x1f\x8b\x08\0\0"sv), "F: is compressed with gzip",
                   "decompress it first: gunzip -k F"));
  EXPECT_TRUE(says(text_refused("\xfd"
                                "7zXZ\0\0"sv),
                   "compressed with xz", "xz -dk F"));
  EXPECT_TRUE(says(text_refused("\x28\xb5\x2f\xfd\x04"), "compressed with zstd", "unzstd F"));
  EXPECT_TRUE(says(text_refused("BZh91AY&SY\x01"), "compressed with bzip2", "bunzip2 -k F"));
  EXPECT_TRUE(says(text_refused("PK\x03\x04\x14"), "zip archive", "unzip F"));
  EXPECT_TRUE(says(text_refused("\xff\xfeT\0h\0"sv), "F: is UTF-16", "iconv -f UTF-16 -t UTF-8 F"));
  EXPECT_TRUE(says(text_refused("\xfe\xff\0T\0h"sv), "is UTF-16"));
  EXPECT_TRUE(says(text_refused("\xff\xfe\0\0T\0\0\0"sv), "is UTF-32"));
  EXPECT_TRUE(
      says(text_refused("version https://git-lfs.github.com/spec/v1\noid sha256:01\nsize 9\n"),
           "Git LFS pointer", "git lfs pull"));
  EXPECT_TRUE(says(text_refused("GGUF\x03\0\0\0"sv), "GGUF"));
  EXPECT_TRUE(says(text_refused("\x93NUMPY\x01\0"sv), ".npy"));
  EXPECT_TRUE(says(text_refused("PAR1\x15\x04"), "Parquet"));
}

TEST(TextFile, TextThatSpeaksOfAFormatIsText) {
  for (const char* text :
       {"GGUF is a format", "BZh is no word", "PAR1 and PAR2", "PK is short",
        "version https://git-lfs.github.com/spec/v1 is what a pointer begins with"})
    EXPECT_EQ(check_text(text, "F"), text);
}

TEST(TextFile, SaysWhereTextIsNotUtf8) {
  EXPECT_TRUE(
      says(text_refused("one\ntw\xf6\n"), "F:2: byte 0xf6 at offset 6 is not UTF-8", "iconv"));
  EXPECT_TRUE(says(text_refused("\xef\xbb\xbfone\ntw\xf6\n"), "F:2: byte 0xf6 at offset 9"));
  EXPECT_TRUE(says(text_refused("T\0h\0"sv), "F:1: NUL byte at offset 1", "UTF-16LE"));
  EXPECT_TRUE(says(text_refused("\xed\xa0\x80"), "F:1: byte 0xed at offset 0")) << "a surrogate";
  EXPECT_TRUE(says(text_refused(""), "F: is empty: expected text"));
  EXPECT_TRUE(says(text_refused("\xef\xbb\xbf"), "F: is empty: expected text"));
}

TEST(TextFile, LinesEndInLfOrCrlf) {
  const auto lines = [](std::string_view text) { return text_lines(text, "F"); };
  using Lines = std::vector<std::string>;
  EXPECT_EQ(lines("a\r\nb\n\nc\rd\r\n\r\n\n"), (Lines{"a", "b", "", "c\rd"}));
  EXPECT_EQ(lines("a"), Lines{"a"});
  EXPECT_EQ(lines("a\r"), Lines{"a"});
  EXPECT_EQ(lines("\n\n"), Lines{});
  EXPECT_TRUE(says(error_of([&] { lines("a\rb\r"); }), "F: its lines end in CR alone"));
}

TEST(TextFile, ReadsAFileOrSaysWhyNot) {
  const TempFolder folder;
  EXPECT_EQ(read_text(folder.write("a.txt", "\xef\xbb\xbfThe keys").string()), "The keys");
  EXPECT_TRUE(says(error_of([&] { read_text((folder / "b.txt").string()); }),
                   "b.txt: cannot be read: No such file"));
  EXPECT_TRUE(says(error_of([&] { read_text(folder.path().string()); }),
                   "is a directory: expected a file"));
}

TEST(TextFile, ABinaryReaderNamesWhatItGot) {
  const auto got = [](std::string_view bytes) {
    return error_of([&] { refuse_other_format(bytes, "F", "a safetensors file"); });
  };
  EXPECT_TRUE(says(got("Entry not found"), "F: is text that begins with 'Entry not found'",
                   "expected a safetensors file"));
  EXPECT_TRUE(says(got("\x89HDF\r\n\x1a\n"), "F: is an HDF5 file"));
  EXPECT_EQ(got("\x01\x02\x03"), "(no error)");
}

}  // namespace
}  // namespace vitrine
