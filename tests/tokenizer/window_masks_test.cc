// SPDX-License-Identifier: MIT
#include "tokenizer/window_masks.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#include <array>
#include <random>

namespace vitrine {
using namespace internal;
namespace {

// ASCII's classes, a byte at a time.
WindowMasks expected_masks(const std::array<char, kWordWindow>& window) {
  WindowMasks masks;
  for (size_t i = 0; i < kWordWindow; ++i) {
    const char c = window[i];
    const uint64_t bit = uint64_t{1} << i;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) masks.letter |= bit;
    if (c >= '0' && c <= '9') masks.number |= bit;
    if (c == ' ' || (c >= '\t' && c <= '\r')) masks.white |= bit;
    if (c == ' ') masks.space |= bit;
    if (c == '\'') masks.apostrophe |= bit;
    if (static_cast<unsigned char>(c) >= 0x80) masks.beyond_ascii |= bit;
  }
  return masks;
}

void expect_masks(const std::array<char, kWordWindow>& window) {
  const WindowMasks found = window_masks(window.data()), wanted = expected_masks(window);
  EXPECT_EQ(found.letter, wanted.letter);
  EXPECT_EQ(found.number, wanted.number);
  EXPECT_EQ(found.white, wanted.white);
  EXPECT_EQ(found.space, wanted.space);
  EXPECT_EQ(found.apostrophe, wanted.apostrophe);
  EXPECT_EQ(found.beyond_ascii, wanted.beyond_ascii);
}

// A CPU runs one instruction set's masks by default; its other sets are requested one after the
// other.
TEST(WindowMasks, SayOfEveryByteAtEveryPlaceWhatItIsWithEachInstructionSet) {
  std::mt19937_64 random(1);
  for (int64_t left = hwy::SupportedTargets() & HWY_TARGETS; left != 0; left &= left - 1) {
    const int64_t target = left & -left;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();
    for (int byte = 0; byte < 256; ++byte) {
      std::array<char, kWordWindow> window;
      window.fill(static_cast<char>(byte));
      expect_masks(window);
      for (char& c : window) c = static_cast<char>(random());
      expect_masks(window);
    }
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().DeInit();
  }
}

}  // namespace
}  // namespace vitrine
