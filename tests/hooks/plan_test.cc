// SPDX-License-Identifier: MIT
#include "hooks/plan.h"

#include <limits>
#include <set>

#include "hooks/hook_run.h"
#include "tests/support.h"

namespace vitrine {
using namespace internal;
namespace {

Config small() {
  Config config;
  config.layers = 3;
  config.heads = 2;
  config.width = 8;
  config.inner = 12;
  config.vocab = 20;
  config.context = 16;
  return config;
}

class PlanTest : public ::testing::Test {
 protected:
  Plan plan(const Hooks& hooks) { return {hooks, small(), *backend_, pool_}; }
  std::unique_ptr<Backend> backend_ = make_cpu_backend({.threads = 1});
  BufferPool pool_{[this](size_t bytes) { return backend_->allocate(bytes); }};
};

TEST_F(PlanTest, StarMatchesEverySiteOfTheTableOnce) {
  const Plan all = plan(Hooks().capture("*"));
  size_t per_layer = 0;
  for (const SiteInfo& info : kSites) per_layer += info.per_layer ? 1 : 0;
  EXPECT_EQ(all.captures().size(), per_layer * 3 + (kSiteCount - per_layer));
  std::set<std::string> names;
  for (const PlannedCapture& capture : all.captures()) names.insert(capture.name);
  EXPECT_EQ(names.size(), all.captures().size());
  EXPECT_TRUE(names.contains("blocks.2.attn.hook_pattern"));
  EXPECT_TRUE(names.contains("ln_final.hook_scale"));
}

TEST_F(PlanTest, TableKnowsWhatIsWatchedWhere) {
  const Plan p = plan(Hooks()
                          .capture("blocks.1.hook_resid_post")
                          .edit("blocks.{0,1}.attn.hook_z", zero(), {.heads = {1}})
                          .edit("blocks.1.attn.hook_z", scale(2)));
  EXPECT_FALSE(p.at(Site::kResidPost, 0).watched());
  EXPECT_TRUE(p.at(Site::kResidPost, 1).watched());
  EXPECT_FALSE(p.at(Site::kResidPost, 1).edited());
  EXPECT_EQ(p.at(Site::kZ, 0).edit_end - p.at(Site::kZ, 0).edit_begin, 1);
  const Plan::Entry both = p.at(Site::kZ, 1);
  ASSERT_EQ(both.edit_end - both.edit_begin, 2);
  EXPECT_EQ(p.edits()[static_cast<size_t>(both.edit_begin)].edit.kind(), Edit::Kind::kReplace)
      << "in the order in which they were added";
  EXPECT_FALSE(p.at(Site::kZ, 2).watched());
}

TEST_F(PlanTest, NarrowingGivesTheColumnsOfTheSite) {
  const Plan p = plan(Hooks()
                          .capture("blocks.0.attn.hook_z", {.heads = {1}})
                          .capture("blocks.1.attn.hook_z", {.heads = {-1, 0}, .neurons = {3, 0}})
                          .capture("blocks.2.mlp.hook_post", {.neurons = {5, 6, 1}})
                          .capture("blocks.0.attn.hook_result", {.heads = {1}}));
  const auto columns = [&](size_t i) {
    std::vector<std::pair<int64_t, int64_t>> list;
    for (const Selection::Range& range : p.captures()[i].where.cols)
      list.emplace_back(range.begin, range.count);
    return list;
  };
  using List = std::vector<std::pair<int64_t, int64_t>>;
  EXPECT_EQ(columns(0), (List{{4, 4}}));
  EXPECT_EQ(columns(1),
            (List{{0, 1}, {3, 2}, {7, 1}}));  // 0 and 3 of each head of 4; neighbours join
  EXPECT_EQ(columns(2), (List{{1, 1}, {5, 2}}));
  EXPECT_EQ(columns(3), (List{{8, 8}}));
  EXPECT_EQ(p.captures()[1].where.width, 4);
  EXPECT_EQ(p.captures()[1].where.head_width, 2);
}

TEST_F(PlanTest, WhatDoesNotFitTheModelIsRefusedByName) {
  EXPECT_USER_ERROR(plan(Hooks().capture("blocks.0.hook_resid")), "blocks.0.hook_resid", "3 layers",
                    "blocks.0.hook_resid_pre");
  EXPECT_USER_ERROR(plan(Hooks().capture("blocks.3.hook_resid_pre")), "blocks.3.hook_resid_pre",
                    "unknown site");
  EXPECT_USER_ERROR(plan(Hooks().capture("*", {.layers = {3}})), "layer 3", "0..2");
  EXPECT_USER_ERROR(plan(Hooks().capture("hook_embed", {.layers = {1}})), "hook_embed", "layers");
  EXPECT_USER_ERROR(plan(Hooks().capture("blocks.0.attn.hook_z", {.heads = {2}})), "head 2",
                    "blocks.0.attn.hook_z", "0..1");
  EXPECT_USER_ERROR(plan(Hooks().capture("blocks.0.hook_mlp_out", {.heads = {0}})),
                    "blocks.0.hook_mlp_out", "cannot select heads");
  EXPECT_USER_ERROR(plan(Hooks().capture("blocks.0.mlp.hook_pre", {.neurons = {12}})), "neuron 12",
                    "0..11");
  EXPECT_USER_ERROR(plan(Hooks().capture("blocks.0.attn.hook_pattern", {.neurons = {0}})), "map");
  EXPECT_USER_ERROR(plan(Hooks().capture("hook_embed", {.sequences = {-1}})), "sequence -1");
  EXPECT_USER_ERROR(plan(Hooks().capture("*.hook_z").capture("blocks.1.attn.hook_z")),
                    "blocks.1.attn.hook_z", "two patterns");
  EXPECT_USER_ERROR(Hooks().capture("hook_embed", {}, DType::kI32), "i32", "f32, f16 or bf16");
}

TEST_F(PlanTest, OperandsOfAWrongSizeAreRefusedWithTheSizesThatFit) {
  const auto values = [](int64_t n) {
    return Tensor::from(std::vector<float>(static_cast<size_t>(n), 1.0f));
  };
  EXPECT_USER_ERROR(plan(Hooks().edit("blocks.0.hook_resid_pre", add(values(7)))), "7 values",
                    "expected 8");
  EXPECT_USER_ERROR(plan(Hooks().edit("blocks.0.attn.hook_z", add(values(3)))),
                    "expected 8, 4 (one head)");
  EXPECT_USER_ERROR(plan(Hooks().edit("hook_embed", replace(values(9)), {.positions = {0, 2}})),
                    "16 (2 positions)");
  EXPECT_USER_ERROR(plan(Hooks().edit("blocks.0.attn.hook_pattern", replace(values(8)))), "map",
                    "single number");
  EXPECT_USER_ERROR(plan(Hooks().edit("blocks.0.attn.hook_pattern", project_out(values(8)))),
                    "map");
  EXPECT_USER_ERROR(plan(Hooks().edit("hook_embed", project_out(values(4)))), "direction",
                    "expected 8");
  EXPECT_USER_ERROR(project_out(Tensor::from(std::vector<float>(8, 0.0f))), "direction",
                    "non-zero");
  EXPECT_USER_ERROR(add(Tensor()), "add", "empty");
}

TEST_F(PlanTest, PositionsAndSequencesOutsideTheBatchAreRefused) {
  const std::vector<SequenceSlice> slices = {{.row = 0, .rows = 5, .past = 0, .capacity = 5}};
  const auto layout = [&](const Where& where) {
    return CaptureLayout(plan(Hooks().capture("hook_embed", where)), slices, small());
  };
  EXPECT_USER_ERROR(layout({.positions = {5}}), "position 5", "hook_embed", "5 positions");
  EXPECT_USER_ERROR(layout({.positions = {-6}}), "position -6");
  EXPECT_USER_ERROR(layout({.sequences = {1}}), "sequence 1", "batch of 1");
  EXPECT_EQ(layout({.positions = {-1, 0, 4}}).items[0].rows, (std::vector<int64_t>{0, 4}));
}

TEST_F(PlanTest, OpenRangesEndWithTheSequence) {
  const std::vector<SequenceSlice> slices = {{.row = 0, .rows = 5, .past = 0, .capacity = 5},
                                             {.row = 5, .rows = 2, .past = 0, .capacity = 2}};
  Where where;
  where.positions.add_range(1, -1);
  const CaptureLayout layout(plan(Hooks().capture("hook_embed", where)), slices, small());
  EXPECT_EQ(layout.items[0].rows, (std::vector<int64_t>{1, 2, 3, 4, 6}));
  EXPECT_EQ(layout.items[0].sequences[1].positions, (std::vector<int64_t>{1}));
  // A number of rows that depends on the sequence takes no operand of a row each.
  EXPECT_USER_ERROR(
      plan(Hooks().edit("hook_embed", replace(Tensor::from(std::vector<float>(16, 1.0f))), where)),
      "16 values", "expected 8");
}

TEST_F(PlanTest, OperandsOfRangesBelongToTheirPositions) {
  // Two positions of a list, then a range: the operand has a row for each in that order.
  Where where{.positions = {4}};
  where.positions.add_range(1, 2);
  std::vector<float> rows;
  for (const float value : {4.0f, 1.0f, 2.0f}) rows.insert(rows.end(), 8, value);
  const Plan edits = plan(Hooks().edit("hook_embed", replace(Tensor::from(rows)), where));
  const std::vector<SequenceSlice> slices = {{.row = 0, .rows = 5, .past = 0, .capacity = 5}};
  const CaptureLayout nothing(edits, slices, small());
  HookRun run(edits, nothing, {}, {*backend_, pool_, pool_, slices});
  std::vector<float> x(5 * 8, 0.0f);
  run.visit(Site::kEmbed, 0, Mat(x.data(), 5, 8));
  const float wanted[] = {0, 1, 2, 0, 4};
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(x[i], wanted[i / 8]) << i;
}

TEST_F(PlanTest, PositionsOfOtherPassesAreLeftToThem) {
  // Five tokens are in the cache, two are new: of 0, 5 and -1 this pass computes 5 and 6.
  const std::vector<SequenceSlice> slices = {{.row = 0, .rows = 2, .past = 5, .capacity = 16}};
  const CaptureLayout layout(plan(Hooks().capture("hook_embed", {.positions = {0, 5, -1}})), slices,
                             small());
  EXPECT_EQ(layout.items[0].sequences[0].positions, (std::vector<int64_t>{5, 6}));
  EXPECT_EQ(layout.bytes, 2u * 8 * sizeof(float));
}

}  // namespace
}  // namespace vitrine
