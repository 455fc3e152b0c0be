// SPDX-License-Identifier: MIT
#include "hooks/glob.h"

#include "tests/support.h"

namespace vitrine {
using namespace internal;
namespace {

TEST(Glob, LiteralMatchesItselfOnly) {
  const Glob glob("blocks.0.hook_resid_pre");
  EXPECT_TRUE(glob.matches("blocks.0.hook_resid_pre"));
  EXPECT_FALSE(glob.matches("blocks.0.hook_resid_pr"));
  EXPECT_FALSE(glob.matches("blocks.0.hook_resid_pre2"));
  EXPECT_FALSE(glob.matches("blocks.00.hook_resid_pre"));
}

TEST(Glob, StarMatchesAnyRunAndQuestionMarkOneCharacter) {
  EXPECT_TRUE(Glob("*").matches(""));
  EXPECT_TRUE(Glob("*hook_z").matches("blocks.11.attn.hook_z"));
  EXPECT_TRUE(Glob("blocks.*.hook_*").matches("blocks.3.hook_mlp_out"));
  EXPECT_TRUE(Glob("a*b*c").matches("a--b-b--c"));
  EXPECT_FALSE(Glob("a*b*c").matches("a--c--b"));
  EXPECT_TRUE(Glob("blocks.?.hook_resid_pre").matches("blocks.7.hook_resid_pre"));
  EXPECT_FALSE(Glob("blocks.?.hook_resid_pre").matches("blocks.10.hook_resid_pre"));
  EXPECT_TRUE(Glob("**a**").matches("bab"));
}

TEST(Glob, BracesGiveAlternativesAndRanges) {
  const Glob glob("blocks.{0,3..5,11}.attn.hook_{q,k}");
  for (const char* name : {"blocks.0.attn.hook_q", "blocks.3.attn.hook_k", "blocks.5.attn.hook_q",
                           "blocks.11.attn.hook_k"}) {
    EXPECT_TRUE(glob.matches(name)) << name;
  }
  for (const char* name : {"blocks.1.attn.hook_q", "blocks.6.attn.hook_k", "blocks.0.attn.hook_v",
                           "blocks.1.attn.hook_k"}) {
    EXPECT_FALSE(glob.matches(name)) << name;
  }
}

TEST(Glob, RangesEndAtTheLastInteger) {
  const Glob glob("blocks.{2147483646..2147483647}");
  EXPECT_TRUE(glob.matches("blocks.2147483646"));
  EXPECT_TRUE(glob.matches("blocks.2147483647"));
  EXPECT_FALSE(glob.matches("blocks.2147483645"));
}

TEST(Glob, LongPatternsOfStarsStayFast) {
  // Backtracking over every star would take longer than the age of the universe here.
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "a*";
  EXPECT_FALSE(Glob(pattern + "b").matches(std::string(500, 'a')));
}

TEST(Glob, MalformedPatternsAreRefusedByName) {
  EXPECT_USER_ERROR(Glob(""), "empty");
  EXPECT_USER_ERROR(Glob("blocks.{1,2"), "blocks.{1,2", "missing closing brace");
  EXPECT_USER_ERROR(Glob("blocks.1}"), "unexpected closing brace");
  EXPECT_USER_ERROR(Glob("{a{b}}"), "nested braces");
  EXPECT_USER_ERROR(Glob("{5..3}"), "5..3", "ascend");
  EXPECT_USER_ERROR(Glob("{a..3}"), "a..3", "two integers");
  EXPECT_USER_ERROR(Glob("{0..2000000000}"), "4096");
  EXPECT_USER_ERROR(Glob("{0..999}{0..999}"), "4096");
  EXPECT_USER_ERROR(Glob("{0..4000,0..4000}"), "4096");
}

TEST(NearestNames, AreOrderedByEditDistance) {
  const std::vector<std::string> names = {"hook_embed", "blocks.0.hook_resid_pre",
                                          "blocks.0.hook_resid_post"};
  EXPECT_EQ(nearest_names("blocks.0.hook_resid_pos", names, 2),
            (std::vector<std::string>{"blocks.0.hook_resid_post", "blocks.0.hook_resid_pre"}));
  EXPECT_EQ(nearest_names("x", names, 9).size(), 3u);
}

}  // namespace
}  // namespace vitrine
