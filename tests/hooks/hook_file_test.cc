// SPDX-License-Identifier: MIT
// An experiment's hooks in a file: what is read, what is written back, what is rejected.

#include "vitrine/hook_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/npy.h"
#include "tests/base/test_files.h"
#include "vitrine/hook_text.h"

namespace vitrine {
using namespace internal;
namespace {

using testing::error_of;
using testing::says;
using testing::TempFolder;

void expect_same(const Where& one, const Where& other) {
  EXPECT_EQ(one.layers, other.layers);
  EXPECT_EQ(one.positions, other.positions);
  EXPECT_EQ(one.heads, other.heads);
  EXPECT_EQ(one.neurons, other.neurons);
  EXPECT_EQ(one.sequences, other.sequences);
}

void expect_same(const Hooks& one, const Hooks& other) {
  ASSERT_EQ(one.captures().size(), other.captures().size());
  for (size_t i = 0; i < one.captures().size(); ++i) {
    EXPECT_EQ(one.captures()[i].sites.pattern(), other.captures()[i].sites.pattern());
    EXPECT_EQ(one.captures()[i].store, other.captures()[i].store);
    expect_same(one.captures()[i].where, other.captures()[i].where);
  }
  ASSERT_EQ(one.edits().size(), other.edits().size());
  for (size_t i = 0; i < one.edits().size(); ++i) {
    const Edit &a = one.edits()[i].edit, &b = other.edits()[i].edit;
    EXPECT_EQ(one.edits()[i].sites.pattern(), other.edits()[i].sites.pattern());
    expect_same(one.edits()[i].where, other.edits()[i].where);
    EXPECT_EQ(a.kind(), b.kind());
    EXPECT_EQ(a.factor(), b.factor());
    ASSERT_EQ(a.operand().empty(), b.operand().empty());
    if (a.operand().empty()) continue;
    ASSERT_EQ(a.operand().elements(), b.operand().elements());
    EXPECT_EQ(std::memcmp(a.operand().data(), b.operand().data(), a.operand().view().bytes()), 0)
        << "edit " << i;
  }
}

TEST(HookFile, AnObjectIsTheSameAsItsText) {
  const HookFile objects = parse_hook_file(R"({
      "captures": [{"site": "blocks.*.attn.hook_z", "layers": [0, 2], "positions": "1..,-1", "heads": 3}],
      "gradients": [{"site": "blocks.0.hook_resid_pre", "neurons": "0..9"}],
      "edits": [{"site": "blocks.1.hook_mlp_out", "sequences": 1, "change": "scale:0.5"},
                {"site": "hook_embed", "change": "add", "values": [1, -0.5, 2e-3]}],
      "store": "f16", "seed": 18446744073709551615})",
                                           "plan.json");
  const HookFile texts = parse_hook_file(R"({
      "captures": ["blocks.*.attn.hook_z[layers=0,2 positions=1..,-1 heads=3]"],
      "gradients": ["blocks.0.hook_resid_pre[neurons=0..9]"],
      "edits": ["blocks.1.hook_mlp_out[sequences=1]=scale:0.5", "hook_embed=add:[1, -0.5, 2e-3]"],
      "store": "f16", "seed": 18446744073709551615})",
                                         "plan.json");
  expect_same(objects.hooks(), texts.hooks());
  EXPECT_EQ(objects.seed, texts.seed);
  EXPECT_EQ(objects.seed, 18446744073709551615u);
  const Hooks hooks = texts.hooks();
  EXPECT_EQ(hooks.captures()[0].store, DType::kF16);
  EXPECT_EQ(hooks.gradients()[0].where.neurons.count(), 10);
  EXPECT_EQ(hooks.edits()[1].edit.operand().elements(), 3);
  EXPECT_EQ(hooks.edits()[1].edit.operand().f32()[1], -0.5f);
}

TEST(HookFile, WhatIsWrittenIsReadAsTheSame) {
  const TempFolder folder;
  // Numbers that few decimals do not give, and one that a second normalisation would change.
  const std::vector<float> values = {0.1f, -1.0f / 3, 1e-38f, 16777217.0f, 3.14159274f};
  write_npy(folder / "v.npy", Tensor::from(values).view());
  const std::string file = (folder / "v.npy").string();
  const HookFile before{.captures = {"blocks.{0..1}.hook_resid_post[positions=..3,7,-2..]"},
                        .edits = {"blocks.0.hook_mlp_out=add:" + file, "hook_embed=zero",
                                  "blocks.*.attn.hook_z[heads=1 layers=..1]=project:" + file + "*3",
                                  "blocks.1.hook_resid_pre=set:0.1", "hook_embed=scale:-1e-3"},
                        .store = DType::kBF16,
                        .seed = 7};
  const std::string json = before.json();
  const HookFile after = parse_hook_file(json, "saved.json");
  expect_same(before.hooks(), after.hooks());
  EXPECT_EQ(after.seed, 7u);
  EXPECT_EQ(json.find(file), std::string::npos) << "the numbers are in it, not the file's name";
  EXPECT_EQ(after.json(), json);
}

TEST(HookFile, WhatIsNotUnderstoodIsNamedWithItsPlace) {
  const auto refusal = [](const std::string& text) {
    return error_of([&] { parse_hook_file(text, "plan.json"); });
  };
  EXPECT_TRUE(says(refusal("[]"), "plan.json", "expected an object"));
  EXPECT_TRUE(says(refusal(R"({"capture": []})"), "unknown field 'capture'", "captures"));
  EXPECT_TRUE(says(refusal(R"({"captures": "x"})"), "captures is", "expected a list"));
  EXPECT_TRUE(says(refusal(R"({"captures": ["hook_embed", 3]})"), "captures[1] is 3"));
  EXPECT_TRUE(says(refusal(R"({"captures": [{"site": "hook_embed", "postions": 1}]})"),
                   "captures[0]: unknown field 'postions'", "positions"));
  EXPECT_TRUE(says(refusal(R"({"captures": [{"site": "hook_embed", "change": "zero"}]})"),
                   "unknown field 'change'"));
  EXPECT_TRUE(says(refusal(R"({"captures": [{"heads": 1}]})"), "captures[0]: missing site"));
  EXPECT_TRUE(says(refusal(R"({"captures": [{"site": "a[heads=1]"}]})"), "fields of its own"));
  for (const char* bad : {"\"1 heads=2\"", "\"\"", "1.5", "{}", "[[\"x\"]]", "\"one\""}) {
    EXPECT_TRUE(says(
        refusal(R"({"captures": [{"site": "hook_embed", "heads": )" + std::string(bad) + "}]}"),
        "captures[0]: heads", "expected an index"))
        << bad;
  }
  EXPECT_TRUE(says(refusal(R"({"captures": ["hook_embed[heads=4..2]"]})"), "captures[0]", "4..2"));
  EXPECT_TRUE(says(refusal(R"({"edits": ["hook_embed"]})"), "edits[0]", "invalid edit"));
  EXPECT_TRUE(says(refusal(R"({"edits": [{"site": "hook_embed"}]})"), "edits[0]: missing change"));
  EXPECT_TRUE(says(refusal(R"({"edits": [{"site": "hook_embed", "change": "double"}]})"),
                   "edits[0]", "unknown change 'double'"));
  EXPECT_TRUE(
      says(refusal(R"({"edits": [{"site": "hook_embed", "change": "add", "values": [1, "a"]}]})"),
           "edits[0]: values", "expected a list of numbers"));
  EXPECT_TRUE(
      says(refusal(R"({"edits": [{"site": "hook_embed", "change": "add", "values": [1e39]}]})"),
           "edits[0]", "invalid number"));
  EXPECT_TRUE(says(refusal(R"({"store": "i8"})"), "store"));
  for (const char* bad : {"-1", "1.5", "\"7\"", "18446744073709551616"})
    EXPECT_TRUE(says(refusal(R"({"seed": )" + std::string(bad) + "}"), "seed is")) << bad;
}

TEST(HookText, AListMayStandForAnOperand) {
  EXPECT_EQ(parse_edit("hook_embed[neurons=0..1]=set:[3,-4]").edit.operand().f32()[1], -4.0f);
  for (const char* bad : {"hook_embed=add:[]", "hook_embed=add:[1,]", "hook_embed=add:[1;2]",
                          "hook_embed=add:[nan]", "hook_embed=add:[1"})
    EXPECT_NE(error_of([&] { parse_edit(bad); }), "(no error)") << bad;
}

}  // namespace
}  // namespace vitrine
