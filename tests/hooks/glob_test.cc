// SPDX-License-Identifier: MIT
#include "hooks/glob.h"

#include "base/nearest_names.h"
#include "tests/support.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr int kLayers = 12;

TEST(Glob, LiteralMatchesItselfOnly) {
  const Glob glob("blocks.0.hook_resid_pre", kLayers);
  EXPECT_TRUE(glob.matches("blocks.0.hook_resid_pre"));
  EXPECT_FALSE(glob.matches("blocks.0.hook_resid_pr"));
  EXPECT_FALSE(glob.matches("blocks.0.hook_resid_pre2"));
  EXPECT_FALSE(glob.matches("blocks.00.hook_resid_pre"));
}

TEST(Glob, StarMatchesAnyRunAndQuestionMarkOneCharacter) {
  EXPECT_TRUE(Glob("*", kLayers).matches(""));
  EXPECT_TRUE(Glob("*hook_z", kLayers).matches("blocks.11.attn.hook_z"));
  EXPECT_TRUE(Glob("blocks.*.hook_*", kLayers).matches("blocks.3.hook_mlp_out"));
  EXPECT_TRUE(Glob("a*b*c", kLayers).matches("a--b-b--c"));
  EXPECT_FALSE(Glob("a*b*c", kLayers).matches("a--c--b"));
  EXPECT_TRUE(Glob("blocks.?.hook_resid_pre", kLayers).matches("blocks.7.hook_resid_pre"));
  EXPECT_FALSE(Glob("blocks.?.hook_resid_pre", kLayers).matches("blocks.10.hook_resid_pre"));
  EXPECT_TRUE(Glob("**a**", kLayers).matches("bab"));
}

TEST(Glob, BracesGiveAlternativesAndRanges) {
  const Glob glob("blocks.{0,3..5,11}.attn.hook_{q,k}", kLayers);
  for (const char* name : {"blocks.0.attn.hook_q", "blocks.3.attn.hook_k", "blocks.5.attn.hook_q",
                           "blocks.11.attn.hook_k"}) {
    EXPECT_TRUE(glob.matches(name)) << name;
  }
  for (const char* name : {"blocks.1.attn.hook_q", "blocks.6.attn.hook_k", "blocks.0.attn.hook_v",
                           "blocks.1.attn.hook_k"}) {
    EXPECT_FALSE(glob.matches(name)) << name;
  }
}

TEST(Glob, OpenRangesEndAtTheLastLayer) {
  const Glob from("blocks.{10..}.hook_resid_pre", kLayers);
  EXPECT_FALSE(from.matches("blocks.9.hook_resid_pre"));
  EXPECT_TRUE(from.matches("blocks.10.hook_resid_pre"));
  EXPECT_TRUE(from.matches("blocks.11.hook_resid_pre"));
  const Glob to("blocks.{..1,5}.hook_resid_pre", kLayers);
  EXPECT_TRUE(to.matches("blocks.0.hook_resid_pre"));
  EXPECT_TRUE(to.matches("blocks.1.hook_resid_pre"));
  EXPECT_FALSE(to.matches("blocks.2.hook_resid_pre"));
  EXPECT_TRUE(to.matches("blocks.5.hook_resid_pre"));
  EXPECT_USER_ERROR(Glob("{12..}", kLayers), "12..", "0..11");
  EXPECT_USER_ERROR(Glob("{..}", kLayers), "integers");
}

TEST(Glob, RangesEndAtTheLastInteger) {
  const Glob glob("blocks.{2147483646..2147483647}", kLayers);
  EXPECT_TRUE(glob.matches("blocks.2147483646"));
  EXPECT_TRUE(glob.matches("blocks.2147483647"));
  EXPECT_FALSE(glob.matches("blocks.2147483645"));
}

TEST(Glob, LongPatternsOfStarsStayFast) {
  // Backtracking over every star would take longer than the age of the universe here.
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "a*";
  EXPECT_FALSE(Glob(pattern + "b", kLayers).matches(std::string(500, 'a')));
}

TEST(Glob, MalformedPatternsAreRefusedByName) {
  EXPECT_USER_ERROR(Glob("", kLayers), "empty");
  EXPECT_USER_ERROR(Glob("blocks.{1,2", kLayers), "blocks.{1,2", "missing closing brace");
  EXPECT_USER_ERROR(Glob("blocks.1}", kLayers), "unexpected closing brace");
  EXPECT_USER_ERROR(Glob("{a{b}}", kLayers), "nested braces");
  EXPECT_USER_ERROR(Glob("{5..3}", kLayers), "5..3", "ascend");
  EXPECT_USER_ERROR(Glob("{a..3}", kLayers), "a..3", "integers");
  EXPECT_USER_ERROR(Glob("{0..2000000000}", kLayers), "4096");
  EXPECT_USER_ERROR(Glob("{0..999}{0..999}", kLayers), "4096");
  EXPECT_USER_ERROR(Glob("{0..4000,0..4000}", kLayers), "4096");
}

TEST(NearestNames, AreOrderedByStartAndEditDistance) {
  const std::vector<std::string> names = {"hook_embed", "blocks.0.hook_resid_pre",
                                          "blocks.0.hook_resid_post"};
  EXPECT_EQ(nearest_names("blocks.0.hook_resid_pos", names, 2),
            (std::vector<std::string>{"blocks.0.hook_resid_post", "blocks.0.hook_resid_pre"}));
  EXPECT_EQ(nearest_names("x", names, 9).size(), 3u);
  EXPECT_EQ(nearest_names("--top", {"--of", "--top-k"}, 1), std::vector<std::string>{"--top-k"});
}

}  // namespace
}  // namespace vitrine
