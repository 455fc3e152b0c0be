// SPDX-License-Identifier: MIT
#include "kernels/cuda/linear/hopper_form.h"

#include <gtest/gtest.h>

#include <algorithm>

// What is expected of the choice on an H200, counted here anew.

namespace vitrine::internal::cuda {
namespace {

constexpr int kProcessors = 132;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t tiles(const HopperForm& form, int64_t rows, int64_t out) {
  return form.down(rows) * form.across(out) * form.high * form.wide;
}
/// Of x and of weights from L2, a byte for each element along K.
int64_t read(const HopperForm& form, int64_t rows, int64_t out) {
  return tiles(form, rows, out) * (kHopperRows / form.wide + form.columns / form.high);
}

constexpr int64_t kWidths[] = {768, 1024, 1280, 1600};

TEST(HopperForm, ManyRowsFillTheLastWaveAndReadLittle) {
  constexpr int64_t kRows = 8192;
  constexpr HopperForm kAlone{192, 1, 1};
  for (const int64_t width : kWidths) {
    for (const int64_t out : {width, 3 * width, 4 * width, int64_t{50257}}) {
      SCOPED_TRACE(out);
      const HopperForm form = hopper_form(kRows, out, kProcessors);
      const int64_t blocks = form.high * form.wide,
                    waves = ceil_div(tiles(form, kRows, out) / blocks, kProcessors / blocks);
      const double least = static_cast<double>(kRows * out) / kHopperRows / kProcessors;
      EXPECT_LE(static_cast<double>(waves * form.columns), 1.08 * least);
      EXPECT_LE(read(form, kRows, out), read(kAlone, kRows, out) * 4 / 5);
    }
  }
}

TEST(HopperForm, SharesOnlyWhatTwoTilesHave) {
  EXPECT_EQ(hopper_form(128, 64, kProcessors).name(), "hopper 128x64");
  for (const int64_t width : kWidths) {
    EXPECT_EQ(hopper_form(128, width, kProcessors).high, 1);
    const HopperForm few = hopper_form(1024, width, kProcessors);
    EXPECT_EQ(few.high * few.wide, 2);
  }
  EXPECT_EQ(hopper_form(8192, 50257, 1).high * hopper_form(8192, 50257, 1).wide, 1);
}

}  // namespace
}  // namespace vitrine::internal::cuda
