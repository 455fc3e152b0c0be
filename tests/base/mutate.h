// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>

#include "vitrine/error.h"

namespace vitrine::testing {

/// Damages files the same way on every machine: what the fuzzers do at length, for every test run.
class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  std::string operator()(std::string text) {
    for (size_t times = 1 + below(3); times > 0; --times) mutate(text);
    return text;
  }

 private:
  size_t below(size_t limit) { return limit == 0 ? 0 : static_cast<size_t>(random_() % limit); }

  void mutate(std::string& text) {
    const size_t at = below(text.size());
    switch (below(8)) {
      case 0:
        text.resize(at);
        break;
      case 1:
        if (!text.empty()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        break;
      case 2:
        if (!text.empty()) text[at] = static_cast<char>(random_());
        break;
      case 3:
        text.insert(at, 1 + below(4), static_cast<char>(random_()));
        break;
      case 4:
        text.erase(at, 1 + below(8));
        break;
      case 5: {  // a run of bytes from elsewhere
        const std::string piece = text.substr(below(text.size()), 1 + below(40));
        text.insert(at, piece);
        break;
      }
      case 6: {  // a number that overflows something
        constexpr std::array<uint64_t, 8> kNumbers = {
            0, 1, 0x7f, 0xff, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, 0xffffffffffffffff};
        const uint64_t number = kNumbers[below(kNumbers.size())];
        const size_t size = size_t{1} << below(4);
        if (at + size <= text.size()) std::memcpy(text.data() + at, &number, size);
        break;
      }
      default: {  // the same in digits, or a word of the formats
        constexpr std::array<std::string_view, 10> kWords = {"-1",
                                                             "0",
                                                             "18446744073709551616",
                                                             "9223372036854775807",
                                                             "1e999",
                                                             "null",
                                                             "[",
                                                             "{}",
                                                             "\"\"",
                                                             "4294967296"};
        text.insert(at, kWords[below(kWords.size())]);
        break;
      }
    }
  }

  std::mt19937_64 random_;
};

/// Runs `parse` on `count` damaged forms of `original`: it may throw vitrine::Error, and nothing
/// else may happen (under the sanitizers: no access outside, no overflow). At least some must be
/// refused, else nothing was damaged.
template <typename Parse>
void survives_mutations(const std::string& original, int count, const Parse& parse) {
  ASSERT_FALSE(original.empty());
  EXPECT_NO_THROW(parse(original)) << "the undamaged form";
  Mutator mutate(12345);
  int refused = 0;
  for (int i = 0; i < count; ++i) {
    const std::string damaged = mutate(original);
    try {
      parse(damaged);
    } catch (const Error& error) {
      ++refused;
      EXPECT_NE(std::string_view(error.what()), "");
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
    } catch (const std::exception& error) {
      FAIL() << "mutation " << i << " threw something else: " << error.what();
    }
  }
  EXPECT_GT(refused, count / 10);
}

}  // namespace vitrine::testing
