// SPDX-License-Identifier: MIT
// A build without Cairo, SentencePiece and libcurl rejects by name what it cannot do.

#include <gtest/gtest.h>

#include "cli/pull/pull.h"
#include "tests/base/test_files.h"
#include "vitrine/report.h"
#include "vitrine/tokenizer.h"

namespace vitrine::testing {
namespace {

TEST(AbsentLibraries, AFigureIsRejectedByName) {
  EXPECT_FALSE(can_draw_figures());
  Similarity result;
  result.rows = result.columns = {"a", "b"};
  result.values = {1, 0.5, 0.5, 1};
  EXPECT_TRUE(says(error_of([&] { similarity_figure(result, FigureFormat::kSvg); }),
                   "draws no figures", "-DVITRINE_CAIRO=ON"));
}

TEST(AbsentLibraries, ASentencePieceModelIsRejectedByName) {
  const TempFolder folder;
  folder.write("tokenizer.model", "x");
  EXPECT_TRUE(says(error_of([&] { Tokenizer::load(folder.path()); }), "tokenizer.model",
                   "no SentencePiece models", "-DVITRINE_SENTENCEPIECE=ON"));
}

TEST(AbsentLibraries, APullIsRejectedByName) {
  struct : Progress {
    void update(uint64_t, uint64_t, std::string_view) override {}
  } progress;
  EXPECT_TRUE(says(error_of([&] { cli::pull({.model = "gpt2"}, progress); }), "downloads nothing",
                   "-DVITRINE_PULL=ON"));
}

}  // namespace
}  // namespace vitrine::testing
