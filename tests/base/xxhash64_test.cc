// SPDX-License-Identifier: MIT
#include "base/xxhash64.h"

#include <gtest/gtest.h>

#include "tests/base/test_files.h"

namespace vitrine {
using namespace internal;
namespace {

std::string pattern(size_t length) {
  std::string text;
  for (size_t i = 0; i < length; ++i) text += static_cast<char>(i * 7 % 251);
  return text;
}

// Expected values: python-xxhash's xxh64(...).hexdigest().
struct Known {
  size_t length;
  uint64_t plain, seeded;
};
constexpr Known kKnown[] = {
    {0, 0xef46db3751d8e999u, 0x6ec6d05f61c7e7a7u},
    {1, 0xe934a84adb052768u, 0x60508b0ced72c717u},
    {4, 0xae5acdc00a55ac41u, 0x83827d3dd32ee39cu},
    {8, 0x87116b3365b924ebu, 0x2447bd242467a7e4u},
    {12, 0x14b8433b9a14e611u, 0x47daba564a66ea2bu},
    {31, 0x0f187c62b1e722b7u, 0x0683ec96c3276482u},
    {32, 0x91b0cb0931a8c629u, 0xd291ca18230d9589u},
    {33, 0x931b043cf8d65b94u, 0xd87ae9b6167dc27du},
    {63, 0x575186c12dcebcfdu, 0x847a85416b0114cdu},
    {64, 0xab64977b5af9d022u, 0xa636a20421d76c14u},
    {100, 0xb7fe1d84b2f23a05u, 0xe1ef60ee7111761au},
    {1000, 0x023fd2ed1ff957d5u, 0xeb8022cdca5375d9u},
};

TEST(Xxh64, IsTheOneOfOtherPrograms) {
  const testing::TempFolder folder;
  for (const auto& [length, plain, seeded] : kKnown) {
    const std::string text = pattern(length);
    EXPECT_EQ(xxh64(text), plain) << length;
    EXPECT_EQ(xxh64(text, 0x9E3779B185EBCA87u), seeded) << length;
    EXPECT_EQ(xxh64_of_file(folder.write("f", text)), plain) << length;
  }
}

TEST(Xxh64, DoesNotDependOnThePieces) {
  const std::string text = pattern(1000);
  for (const size_t piece : {1, 7, 31, 32, 33, 100}) {
    Xxh64 hash;
    for (size_t at = 0; at < text.size(); at += piece) {
      hash.update(std::string_view(text).substr(at, piece));
      EXPECT_EQ(hash.digest(), xxh64(text.substr(0, at + piece))) << "it may be asked in between";
    }
  }
}

TEST(Xxh64, IsWrittenWithAllItsDigits) {
  EXPECT_EQ(hex64(0x023fd2ed1ff957d5u), "023fd2ed1ff957d5");
}

}  // namespace
}  // namespace vitrine
