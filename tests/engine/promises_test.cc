// SPDX-License-Identifier: MIT
// "Watching changes nothing": with any set of captures, in any batch, with any number of threads,
// in one pass or token by token, the numbers are the same bits.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/engine/odd_model.h"
#include "tests/engine/test_device.h"
#include "tests/run_values.h"
#include "tests/support.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

using testing_support::odd_config;
using testing_support::same_bits;
using testing_support::tokens;

/// How far apart the fused and the composed form of attention may be, as a share of the values'
/// spread: nothing on the CPU. On a GPU the fused form works through tiles of keys and rounds the
/// pattern tile by tile, in the type of the weights.
float composed_attention_tolerance(DType dtype) {
  if (testing_support::on_cpu()) return 0.0f;
  switch (dtype) {
    case DType::kF32:
      return 5e-6f;
    case DType::kF16:
      return 8 * 0x1p-11f;
    default:
      return 8 * 0x1p-8f;
  }
}

::testing::AssertionResult agree(TensorView a, TensorView b, float tolerance) {
  if (tolerance == 0.0f)
    return same_bits(a, b) ? ::testing::AssertionSuccess()
                           : ::testing::AssertionFailure() << "other bits";
  const std::vector<float> x = a.to_f32(), y = b.to_f32();
  if (x.size() != y.size())
    return ::testing::AssertionFailure() << x.size() << " values and " << y.size();
  float low = INFINITY, high = -INFINITY, worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i]) continue;
    worst = std::max(worst, std::abs(x[i] - y[i]));
  }
  for (float value : x) {
    if (std::isfinite(value)) low = std::min(low, value), high = std::max(high, value);
  }
  if (worst <= tolerance * (high - low)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << worst << " apart, of a spread of " << high - low;
}

/// A copy that does not depend on the run it came from.
std::vector<float> copy(TensorView view) { return view.to_f32(); }

class Promises : public ::testing::TestWithParam<testing_support::Mode> {
 protected:
  Model model(int threads = 2) {
    ModelOptions options = GetParam().options();
    options.threads = threads;
    return Model::random(odd_config(), 7, testing_support::test_options(options));
  }
};

TEST_P(Promises, CapturesDoNotChangeLogits) {
  const Model m = model();
  const std::vector<int32_t> ids = tokens(37, 1, m.config());
  const std::vector<float> plain = copy(testing_support::logits_of(m.forward(ids)));
  for (const SiteInfo& info : kSites) {
    const std::string pattern = (info.per_layer ? "blocks.*." : "") + std::string(info.name);
    const vitrine::Run watched = m.forward(ids, Hooks().capture(pattern));
    EXPECT_EQ(copy(watched.logits()), plain) << pattern;
  }
  EXPECT_EQ(copy(testing_support::logits_of(m.forward(ids, Hooks().capture("*")))), plain);
  EXPECT_EQ(copy(testing_support::logits_of(m.forward(ids, Hooks().capture("*", {}, DType::kF16)))),
            plain);
}

TEST_P(Promises, WhatIsCapturedDoesNotDependOnWhatElseIs) {
  const Model m = model();
  const std::vector<int32_t> ids = tokens(21, 2, m.config());
  const vitrine::Run all = m.forward(ids, Hooks().capture("*"));
  for (const Captures::Entry& entry : all.captures().entries()) {
    const vitrine::Run alone = m.forward(ids, Hooks().capture(entry.name));
    EXPECT_TRUE(same_bits(alone[entry.name], all[entry.name])) << entry.name;
  }
}

TEST_P(Promises, NarrowedCapturesAreSlicesOfWholeOnes) {
  const Model m = model();
  const std::vector<int32_t> ids = tokens(19, 3, m.config());
  const vitrine::Run whole = m.forward(ids, Hooks().capture("*"));
  const vitrine::Run slice =
      m.forward(ids, Hooks()
                         .capture("blocks.1.attn.hook_z", {.positions = {-1, 4}, .heads = {2, 0}})
                         .capture("blocks.2.attn.hook_pattern", {.positions = {7}, .heads = {1}})
                         .capture("blocks.0.mlp.hook_pre", {.neurons = {99, 3}})
                         .capture("blocks.1.mlp.hook_pre", {.positions = {2}})
                         .capture("blocks.1.attn.hook_pattern", {.positions = {3}}));
  const TensorView z = slice["blocks.1.attn.hook_z"], pattern = slice["blocks.2.attn.hook_pattern"],
                   pre = slice["blocks.0.mlp.hook_pre"];
  ASSERT_EQ(z.shape(), (Shape{2, 2, 20}));
  ASSERT_EQ(pattern.shape(), (Shape{1, 1, 19}));
  ASSERT_EQ(pre.shape(), (Shape{19, 2}));
  const TensorView whole_z = whole["blocks.1.attn.hook_z"];
  EXPECT_TRUE(same_bits(z.slice(0).slice(0), whole_z.slice(4).slice(0)));
  EXPECT_TRUE(same_bits(z.slice(1).slice(1), whole_z.slice(18).slice(2)));
  EXPECT_TRUE(
      same_bits(pattern.slice(0).slice(0), whole["blocks.2.attn.hook_pattern"].slice(1).slice(7)));
  // Whole rows, but not all of them: these may not be written in place.
  EXPECT_TRUE(
      same_bits(slice["blocks.1.mlp.hook_pre"].slice(0), whole["blocks.1.mlp.hook_pre"].slice(2)));
  EXPECT_TRUE(same_bits(slice["blocks.1.attn.hook_pattern"].slice(2).slice(0),
                        whole["blocks.1.attn.hook_pattern"].slice(2).slice(3)));
  EXPECT_EQ(pre.f32()[2 * 5], whole["blocks.0.mlp.hook_pre"].slice(5).f32()[3]);
  EXPECT_EQ(pre.f32()[2 * 5 + 1], whole["blocks.0.mlp.hook_pre"].slice(5).f32()[99]);
}

TEST_P(Promises, ASequenceIsTheSameAloneAsInABatch) {
  const Model m = model();
  const Batch batch = {tokens(5, 4, m.config()), tokens(33, 5, m.config()),
                       tokens(1, 6, m.config()), tokens(80, 7, m.config())};
  const vitrine::Run together = m.forward(batch, Hooks().capture("*"));
  for (int s = 0; s < together.sequences(); ++s) {
    const vitrine::Run alone = m.forward(batch[static_cast<size_t>(s)], Hooks().capture("*"));
    EXPECT_TRUE(same_bits(alone.logits(), together.logits(s))) << "sequence " << s;
    for (const Captures::Entry& entry : alone.captures().entries()) {
      EXPECT_TRUE(same_bits(alone[entry.name], together.captures().view(entry.name, s)))
          << entry.name << ", sequence " << s;
    }
  }
}

TEST_P(Promises, ASequenceIsEditedAloneAsInABatch) {
  const Model m = model();
  const Batch batch = {tokens(6, 15, m.config()), tokens(9, 16, m.config())};
  const auto flip_last_row = [](EditView& view) {
    for (float& x : view.values.last(static_cast<size_t>(view.width))) x = x > -1e30f ? -x : x;
  };
  for (const SiteInfo& info : kSites) {
    const std::string pattern = (info.per_layer ? "blocks.*." : "") + std::string(info.name);
    for (const Edit& edit : {scale(0.5f), callback(flip_last_row)}) {
      const Hooks hooks = Hooks().edit(pattern, edit, {.positions = {1, -2}});
      const vitrine::Run together = m.forward(batch, hooks);
      for (int s = 0; s < 2; ++s) {
        EXPECT_TRUE(
            same_bits(testing_support::logits_of(m.forward(batch[static_cast<size_t>(s)], hooks)),
                      together.logits(s)))
            << pattern << ", sequence " << s;
      }
    }
  }
}

TEST_P(Promises, CachedDecodeIsTheSameAsRecomputing) {
  const Model m = model();
  const std::vector<int32_t> ids = tokens(41, 8, m.config());
  const vitrine::Run whole = m.forward(ids, Hooks().capture("*"));
  // One at a time, in one chunk and then one at a time, in uneven chunks.
  for (const std::vector<size_t>& chunks :
       {std::vector<size_t>(41, 1), std::vector<size_t>{30, 1, 1, 1, 8},
        std::vector<size_t>{7, 17, 16, 1}}) {
    Session session = m.session(1, 41);
    size_t at = 0;
    for (size_t chunk : chunks) {
      const vitrine::Run part = session.forward({{ids.begin() + static_cast<int64_t>(at),
                                                  ids.begin() + static_cast<int64_t>(at + chunk)}},
                                                Hooks().capture("*"));
      for (size_t i = 0; i < chunk; ++i) {
        EXPECT_TRUE(same_bits(part.logits().slice(static_cast<int64_t>(i)),
                              whole.logits().slice(static_cast<int64_t>(at + i))))
            << at + i;
        for (const Captures::Entry& entry : part.captures().entries()) {
          if (site_info(entry.site).shape == SiteShape::kMap)
            continue;  // their rows are longer in the whole pass
          EXPECT_TRUE(same_bits(part[entry.name].slice(static_cast<int64_t>(i)),
                                whole[entry.name].slice(static_cast<int64_t>(at + i))))
              << entry.name;
        }
      }
      at += chunk;
    }
    EXPECT_EQ(session.length(0), 41);
  }
}

TEST_P(Promises, APassFromABlockOnIsTheRestOfAWholePass) {
  const Model model = this->model();
  const Config& config = model.config();
  constexpr int64_t kLength = 19;
  const std::vector<int32_t> ids = tokens(kLength, 3, config);
  const vitrine::Run whole = model.forward(ids, Hooks().capture("blocks.*.hook_resid_{pre,post}"));
  Session read = model.session(1, kLength);
  read.forward({ids});
  for (int layer = 0; layer < config.layers; ++layer) {
    const std::string last = site_name(Site::kResidPost, config.layers - 1);
    const TensorView residual = whole[site_name(Site::kResidPre, layer)];
    for (int64_t past : {0, 1, 8, 18}) {
      Session session = read.fork(0, 2);
      session.truncate(1, past);
      const TensorView none(residual.data(), DType::kF32, Shape{0, config.width});
      const TensorView rows(residual.slice(past).data(), DType::kF32,
                            Shape{kLength - past, config.width});
      const vitrine::Run rest = session.forward_from(layer, {none, rows}, Hooks().capture(last));
      for (int64_t t = past; t < kLength; ++t) {
        ASSERT_TRUE(same_bits(rest.logits(1).slice(t - past), whole.logits().slice(t)))
            << "layer " << layer << ", after " << past << ", token " << t;
        ASSERT_TRUE(same_bits(rest.captures().view(last, 1).slice(t - past), whole[last].slice(t)))
            << "layer " << layer;
      }
      EXPECT_EQ(session.length(0), kLength);
      EXPECT_EQ(session.length(1), kLength);
    }
  }
}

TEST_P(Promises, ThreadsDoNotChangeBits) {
  const std::vector<int32_t> ids = tokens(50, 9, odd_config());
  const vitrine::Run one = model(1).forward(ids, Hooks().capture("*"));
  for (int threads : {2, 3, 5}) {
    const vitrine::Run many = model(threads).forward(ids, Hooks().capture("*"));
    EXPECT_TRUE(same_bits(one.logits(), many.logits())) << threads;
    for (const Captures::Entry& entry : one.captures().entries()) {
      EXPECT_TRUE(same_bits(one[entry.name], many[entry.name]))
          << entry.name << ", threads " << threads;
    }
  }
}

TEST_P(Promises, RunsRepeatToTheBit) {
  const Model m = model();
  const std::vector<int32_t> ids = tokens(64, 10, m.config());
  const std::vector<float> first = copy(testing_support::logits_of(m.forward(ids)));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(copy(testing_support::logits_of(m.forward(ids))), first);
}

TEST_P(Promises, LogitsOfChosenRowsAreThoseOfAllRows) {
  const Model m = model();
  const Batch batch = {tokens(5, 11, m.config()), tokens(12, 12, m.config())};
  const vitrine::Run all = m.forward(batch);
  const vitrine::Run last = m.forward(batch, {}, {.logits = LogitRows::kLast});
  const vitrine::Run last_watched =
      m.forward(batch, Hooks().capture("ln_final.*"), {.logits = LogitRows::kLast});
  const vitrine::Run none =
      m.forward(batch, Hooks().capture("ln_final.hook_normalized"), {.logits = LogitRows::kNone});
  for (int s = 0; s < 2; ++s) {
    const int64_t rows = all.logits(s).shape()[0];
    EXPECT_EQ(last.logits(s).shape(), (Shape{1, 301}));
    EXPECT_TRUE(same_bits(last.logits(s).slice(0), all.logits(s).slice(rows - 1)));
    EXPECT_TRUE(same_bits(last_watched.logits(s).slice(0), all.logits(s).slice(rows - 1)));
    EXPECT_EQ(none.logits(s).elements(), 0);
    EXPECT_TRUE(same_bits(none.captures().view("ln_final.hook_normalized", s),
                          last_watched.captures().view("ln_final.hook_normalized", s)));
  }
}

TEST_P(Promises, EditsThatChangeNothingGiveTheSameBits) {
  // Each of these takes the composed path at its site, which must round where the fused one does.
  // hook_result is left out: its composed form sums head by head, in another order than the
  // projection (the next test has its tolerance).
  const Model m = model();
  const std::vector<int32_t> ids = tokens(23, 13, m.config());
  const vitrine::Run plain = m.forward(ids, Hooks().capture("*"));
  for (const SiteInfo& info : kSites) {
    if (info.site == Site::kResult) continue;
    const std::string pattern = (info.per_layer ? "blocks.*." : "") + std::string(info.name);
    const float tolerance =
        info.shape == SiteShape::kMap ? composed_attention_tolerance(GetParam().dtype) : 0.0f;
    const vitrine::Run scaled = m.forward(ids, Hooks().edit(pattern, scale(1.0f)).capture("*"));
    const vitrine::Run seen = m.forward(ids, Hooks().edit(pattern, callback([](EditView&) {})));
    EXPECT_TRUE(agree(plain.logits(), scaled.logits(), tolerance)) << pattern;
    EXPECT_TRUE(agree(plain.logits(), seen.logits(), tolerance)) << pattern;
    for (const Captures::Entry& entry : plain.captures().entries()) {
      EXPECT_TRUE(agree(plain[entry.name], scaled[entry.name], tolerance))
          << entry.name << " under an edit of " << pattern;
    }
    const vitrine::Run replaced =
        m.forward(ids, Hooks().edit(pattern, replace_from(plain.shared_captures())));
    EXPECT_TRUE(agree(plain.logits(), replaced.logits(), tolerance)) << pattern;
  }
}

TEST_P(Promises, AnEditedHeadResultOnlyChangesTheOrderOfSummation) {
  const Model m = model();
  const std::vector<int32_t> ids = tokens(23, 14, m.config());
  const std::vector<float> plain = copy(testing_support::logits_of(m.forward(ids)));
  const std::vector<float> edited = copy(testing_support::logits_of(
      m.forward(ids, Hooks().edit("blocks.*.attn.hook_result", scale(1.0f)))));
  const auto [low, high] = std::minmax_element(plain.begin(), plain.end());
  float worst = 0;
  for (size_t i = 0; i < plain.size(); ++i) worst = std::max(worst, std::abs(plain[i] - edited[i]));
  // D = 60 products are added in two orders in each of three layers: a few units in the last place
  // of the spread. On a GPU, and in bf16 arithmetic, what that changes may cross a rounding of the
  // activations to the weights' type.
  const float rounded = GetParam().arithmetic == "bf16"
                            ? 8 * 0x1p-8f
                            : composed_attention_tolerance(GetParam().dtype);
  const float tolerance = std::max(2e-6f, rounded);
  EXPECT_LE(worst, tolerance * (*high - *low));
}

INSTANTIATE_TEST_SUITE_P(Storage, Promises, ::testing::ValuesIn(testing_support::modes()),
                         [](const auto& mode) { return testing_support::mode_name(mode.param); });

TEST(Promises, SixteenBitWeightsGiveTheBitsOfTheirFloat32Values) {
  if (!testing_support::on_cpu()) GTEST_SKIP() << "a GPU multiplies 16-bit weights as such";
  // Storage changes no arithmetic: f16 weights widened to float32 in memory are the same model.
  const std::string folder = std::string(VITRINE_SOURCE_DIR) + "/tests/goldens/stored_f16";
  const std::vector<int32_t> ids = {1, 5, 3, 2, 9};
  const Model narrow = Model::load(folder), wide = Model::load(folder, {.dtype = DType::kF32});
  EXPECT_EQ(narrow.dtype(), DType::kF16);
  EXPECT_EQ(copy(testing_support::logits_of(narrow.forward(ids))),
            copy(testing_support::logits_of(wide.forward(ids))));
}

// What stays on the device is what would have come to the host; reading it there is refused, not a
// crash.
TEST(Promises, ABiasOfTheUnembeddingIsInAllLogits) {
  Config config = odd_config();
  config.layers = 1;
  const Model plain = Model::random(config, 3, testing_support::test_options());
  config.unembedding_bias = true;
  const Model model = Model::random(config, 3, testing_support::test_options());
  std::vector<int32_t> all(static_cast<size_t>(config.vocab));
  std::iota(all.begin(), all.end(), 0);
  const Tensor bias = model.unembedding_bias(all);
  EXPECT_NE(bias.f32()[7], 0.0f);
  EXPECT_EQ(plain.unembedding_bias(all).f32()[7], 0.0f);
  const std::vector<int32_t> ids = tokens(5, 1);
  const vitrine::Run run = model.forward(ids, Hooks().capture("ln_final.hook_normalized"));
  const vitrine::Run other = plain.forward(ids);
  const std::vector<float> with = run.logits().to_f32(), without = other.logits().to_f32();
  for (size_t i = 0; i < with.size(); ++i)
    ASSERT_NEAR(with[i], without[i] + bias.f32()[i % all.size()], 1e-6 * (1 + std::abs(with[i])));
  const LogitStats stats =
      model.unembed(run["ln_final.hook_normalized"],
                    {.final_layernorm = false, .top_k = 1, .targets = {7, 7, 7, 7, 7}});
  visit_logits(model, run["ln_final.hook_normalized"], false,
               [&](int64_t r, std::span<const float> row) {
                 const auto logits = run.logits().slice(r).f32();
                 EXPECT_TRUE(std::ranges::equal(row, logits));
                 EXPECT_EQ(stats.target_logits[static_cast<size_t>(r)], logits[7]);
                 EXPECT_EQ(stats.top_ids[static_cast<size_t>(r)],
                           std::ranges::max_element(logits) - logits.begin());
               });
}

TEST(Promises, ResultsStayWhereTheyWereAskedToStay) {
  const Model m = Model::random(odd_config(), 3, testing_support::test_options());
  const std::vector<int32_t> ids = tokens(9, 1, m.config());
  const Hooks hooks = Hooks().capture("blocks.*.hook_resid_post");
  const vitrine::Run here = m.forward(ids, hooks),
                     there = m.forward(ids, hooks, {.residence = Residence::kDevice});
  EXPECT_EQ(here.logits().residence(), Residence::kHost);
  EXPECT_EQ(there.logits().residence(),
            testing_support::on_cpu() ? Residence::kHost : Residence::kDevice);
  EXPECT_TRUE(same_bits(m.to_host(there.logits()), here.logits()));
  const TensorView last = there["blocks.2.hook_resid_post"];
  EXPECT_TRUE(same_bits(m.to_host(last), here["blocks.2.hook_resid_post"]));
  const LogitStats from_here = m.unembed(here["blocks.2.hook_resid_post"], {.top_k = 3}),
                   from_there = m.unembed(last, {.top_k = 3});
  EXPECT_EQ(from_here.top_ids, from_there.top_ids);
  EXPECT_EQ(from_here.lse, from_there.lse);
  if (!testing_support::on_cpu()) EXPECT_USER_ERROR(last.to_f32(), "[9, 60]", "to_host");
}

TEST(Promises, EmbeddingsAreWhatThePassBeginsWith) {
  const Model m = Model::random(odd_config(), 3, testing_support::test_options());
  const std::vector<int32_t> ids = tokens(9, 1, m.config());
  EXPECT_TRUE(same_bits(
      m.embed(ids),
      testing_support::site_of(m.forward(ids, Hooks().capture("hook_embed")), "hook_embed")));
  EXPECT_EQ(m.embed({}).elements(), 0);
  EXPECT_USER_ERROR(m.embed(std::vector<int32_t>{1, 301}), "token id 301", "0..300");
}

TEST(Promises, EverySiteOfTheTableFires) {
  const Model m = Model::random(odd_config(), 3, testing_support::test_options());
  int calls = 0;
  m.forward(tokens(4, 1, m.config()), Hooks().edit("*", callback([&](EditView&) { ++calls; })));
  int expected = 0;
  for (const SiteInfo& info : kSites) expected += info.per_layer ? m.config().layers : 1;
  EXPECT_EQ(calls, expected);
}

}  // namespace
}  // namespace vitrine
