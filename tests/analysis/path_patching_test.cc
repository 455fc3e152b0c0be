// SPDX-License-Identifier: MIT
#include "vitrine/analysis/path_patching.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <tuple>

#include "support.h"

namespace vitrine::testing {
using namespace internal;
namespace {

using Kind = PathNode::Kind;

const PatchMetric kPathMetric{.answer = 5, .wrong = 17};

struct PathPair {
  std::vector<int32_t> clean = some_ids(7, 3), corrupt = some_ids(7, 8);
};

TEST(PathPatching, ALastMlpHasOneWayOut) {
  // The last block's MLP is read by the final residual alone, so the path is the whole of it.
  const Model model = small_model();
  const PathPair pair;
  const PathPatching found = path_patch(model, pair.clean, pair.corrupt,
                                        {.metric = kPathMetric, .senders = {{Kind::kMlp, -1, 0}}});
  const auto source = model.forward(pair.clean, Hooks().capture("*")).shared_captures();
  const auto run =
      model.forward(pair.corrupt, Hooks().edit("blocks.2.hook_mlp_out", replace_from(source)),
                    {.logits = LogitRows::kLast});
  EXPECT_NEAR(found.values[0], kPathMetric.of(run.logits().f32()), 1e-5)
      << "the change is added to the stream, which rounds once more";
  EXPECT_EQ(found.senders[0], (PathNode{Kind::kMlp, 2, 0}));
}

TEST(PathPatching, EditsHoldInEveryRun) {
  const Model model = small_model();
  const PathPair pair;
  PathOptions options{.metric = kPathMetric,
                      .senders = {{.kind = Kind::kEmbedding}, {Kind::kMlp, 2, 0}}};
  options.edits.edit(Site::kResidPre, scale(0.5f), {.layers = {0}})
      .edit(Site::kZ, scale(2.0f), {.layers = {1}})
      .edit(Site::kMlpOut, zero(), {.layers = {0}, .positions = {-1}});
  const PathPatching found = path_patch(model, pair.clean, pair.corrupt, options);
  const auto captured = [&](const std::vector<int32_t>& ids) {
    return model.forward(ids, Hooks(options.edits).capture("*"));
  };
  const vitrine::Run clean = captured(pair.clean), corrupt = captured(pair.corrupt);
  EXPECT_DOUBLE_EQ(found.clean, kPathMetric.of(clean.logits().slice(6).f32()));
  // All else is held, so that a sender's difference arrives at the end as it left.
  for (const auto& [sender, site, layer] :
       {std::tuple(size_t{0}, Site::kResidPre, 0), std::tuple(size_t{1}, Site::kMlpOut, 2)}) {
    const auto row = [&, at = site, block = layer](const vitrine::Run& run) {
      return run.view(at, block).slice(6).to_f32();
    };
    std::vector<float> difference = row(clean);
    const std::vector<float> own = row(corrupt);
    for (size_t i = 0; i < own.size(); ++i) difference[i] -= own[i];
    const auto run = model.forward(pair.corrupt,
                                   Hooks(options.edits)
                                       .edit(Site::kResidPost, add(Tensor::from(difference)),
                                             {.layers = {2}, .positions = {6}}),
                                   {.logits = LogitRows::kLast});
    EXPECT_NEAR(found.values[sender], kPathMetric.of(run.logits().f32()), 1e-5);
  }
}

TEST(PathPatching, ReceiversHearTheSenderAloneAndAnswerTogether) {
  const Model model = small_model();
  const PathPair pair;
  PathOptions options{.metric = kPathMetric,
                      .senders = {{Kind::kMlp, 1, 0}},
                      .receivers = {{.kind = Kind::kFinalResidual}, {Kind::kMlp, 2, 0}}};
  for (int head = 0; head < 2; ++head) {
    for (const Kind kind : {Kind::kQuery, Kind::kKey, Kind::kValue})
      options.receivers.push_back({kind, 2, head});
  }
  const double direct = path_patch(model, pair.clean, pair.corrupt, options).values[0];
  const auto source = model.forward(pair.clean, Hooks().capture("*")).shared_captures();
  const auto own = model.forward(pair.corrupt, Hooks().capture("*")).shared_captures();
  // By hand: the MLP of the last block reads the stream with the sender's change, but with
  // attention as it was.
  const Hooks told = Hooks()
                         .edit("blocks.1.hook_mlp_out", replace_from(source))
                         .edit("blocks.2.attn.hook_z", replace_from(own))
                         .capture("blocks.2.{attn.hook_q,attn.hook_k,attn.hook_v,mlp.hook_pre}");
  const auto heard = model.forward(pair.corrupt, told).shared_captures();
  const Hooks edits =
      Hooks()
          .edit("blocks.2.{attn.hook_q,attn.hook_k,attn.hook_v,mlp.hook_pre}", replace_from(heard))
          .capture("blocks.2.{hook_attn_out,hook_mlp_out}");
  const auto last = model.forward(pair.corrupt, edits);
  const auto patched =
      model.forward(pair.corrupt, Hooks()
                                      .edit("blocks.1.hook_mlp_out", replace_from(source))
                                      .capture(Site::kResidPre, {.layers = {2}}));
  std::vector<float> final = patched.view(Site::kResidPre, 2).slice(6).to_f32();
  for (size_t i = 0; i < final.size(); ++i)
    final[i] += last["blocks.2.hook_attn_out"].slice(6).f32()[i] +
                last["blocks.2.hook_mlp_out"].slice(6).f32()[i];
  const auto whole = model.forward(
      pair.corrupt,
      Hooks().edit("blocks.2.hook_resid_post", replace(Tensor::from(final)), {.positions = {6}}),
      {.logits = LogitRows::kLast});
  EXPECT_NEAR(direct, kPathMetric.of(whole.logits().f32()), 1e-5);
}

TEST(PathPatching, NothingFlowsBackwards) {
  const Model model = small_model();
  const PathPair pair;
  PathOptions options{.metric = kPathMetric,
                      .receivers = {{Kind::kValue, 0, 1}, {Kind::kQuery, 0, 0}}};
  const PathPatching found = path_patch(model, pair.clean, pair.corrupt, options);
  ASSERT_EQ(found.senders.size(), 1u + 3 * (2 + 1));
  EXPECT_NE(found.effects[0], 0.0) << "embeddings are what the first block reads";
  for (size_t i = 1; i < found.effects.size(); ++i)
    EXPECT_EQ(found.effects[i], 0.0) << found.senders[i].name();
}

TEST(PathPatching, PositionsNarrowBothEnds) {
  const Model model = small_model();
  const PathPair pair;
  PathOptions options{.metric = kPathMetric,
                      .senders = {{Kind::kHead, 0, 1}},
                      .receivers = {{Kind::kValue, 2, 0}},
                      .sender_positions = {5},
                      .receiver_positions = {0, 1, 2, 3, 4}};
  EXPECT_EQ(path_patch(model, pair.clean, pair.corrupt, options).effects[0], 0.0)
      << "a head's output is read at its own position";
  options.receiver_positions = {5};
  EXPECT_NE(path_patch(model, pair.clean, pair.corrupt, options).effects[0], 0.0);
}

TEST(PathPatching, BatchesChangeNothing) {
  const Model model = small_model();
  const PathPair pair;
  PathOptions options{.metric = kPathMetric,
                      .receivers = {{Kind::kKey, 2, 0}, {.kind = Kind::kFinalResidual}}};
  const PathPatching whole = path_patch(model, pair.clean, pair.corrupt, options);
  options.batch_tokens = 1;
  EXPECT_EQ(path_patch(model, pair.clean, pair.corrupt, options).values, whole.values);
}

TEST(PathNode, NamesAndTheInverse) {
  for (const PathNode& node :
       {PathNode{.kind = Kind::kEmbedding}, PathNode{Kind::kHead, 3, 1},
        PathNode{Kind::kMlp, 11, 0}, PathNode{Kind::kQuery, 0, 2}, PathNode{Kind::kKey, -1, -2},
        PathNode{Kind::kValue, 10, 11}, PathNode{.kind = Kind::kFinalResidual}}) {
    EXPECT_EQ(PathNode::parse(node.name()), node) << node.name();
  }
  EXPECT_EQ(PathNode::parse("h3.1"), (PathNode{Kind::kHead, 3, 1}));
  EXPECT_EQ(PathNode::parse("m3"), (PathNode{Kind::kMlp, 3, 0}));
  for (const char* text : {"", "head", "head 3", "head 3.", "head 3.x", "mlp 3.1", "final 1",
                           "x 1.2", "head 3.1 ", "q 99999999999.1"}) {
    EXPECT_EQ(user_error_of([&] { PathNode::parse(text); }),
              fmt::format("unknown component '{}': expected embed, head L.H, mlp L, q L.H, k L.H, "
                          "v L.H or final, with L.H a layer and a head",
                          text));
  }
}

TEST(PathPatching, RefusesWhatMakesNoSense) {
  const Model model = small_model();
  const PathPair pair;
  const auto refuse = [&](PathOptions options) {
    options.metric = kPathMetric;
    return user_error_of([&] { path_patch(model, pair.clean, pair.corrupt, options); });
  };
  EXPECT_EQ(refuse({.senders = {{Kind::kQuery, 1, 0}}}),
            "'q 1.0' cannot be a sender: expected embed, head L.H or mlp L");
  EXPECT_EQ(refuse({.receivers = {{Kind::kHead, 1, 0}}}),
            "'head 1.0' cannot be a receiver: expected q L.H, k L.H, v L.H, mlp L or final");
  EXPECT_EQ(refuse({.receivers = {}}),
            "missing receiver of the paths: expected at least one, such as final");
  EXPECT_EQ(refuse({.senders = {{Kind::kHead, 3, 0}}}),
            "layer 3 of 'head 3.0' is out of range: expected 0..2");
  EXPECT_EQ(refuse({.senders = {{Kind::kHead, 0, -3}}}),
            "head -3 of 'head 0.-3' is out of range: expected 0..1");
  EXPECT_EQ(refuse({.receiver_positions = {7}}),
            "receiver position 7 is out of range: expected 0..6, the positions up to where the "
            "metric is read");
}

}  // namespace
}  // namespace vitrine::testing
