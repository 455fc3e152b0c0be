// SPDX-License-Identifier: MIT
// Hooks compiled once: the same bits as hooks given to each pass, shapes known without a pass,
// and values that stay on the device.

#include "vitrine/hook_plan.h"

#include <gtest/gtest.h>

#include <concepts>
#include <optional>
#include <thread>
#include <vector>

#include "engine/compiled_hooks.h"
#include "engine/kept_generation.h"
#include "engine/model_state.h"
#include "tests/engine/odd_model.h"
#include "tests/engine/test_device.h"
#include "tests/support.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

using testing_support::on_cpu;
using testing_support::same_bits;
using testing_support::test_options;
using testing_support::tokens;

// A view of a run that is gone cannot be had.
template <typename R>
concept GivesViews = requires(R run) {
  std::forward<R>(run).logits();
}
|| requires(R run) { std::forward<R>(run)["hook_embed"]; }
|| requires(R run) { std::forward<R>(run).view(Site::kEmbed); }
|| requires(R run) { std::forward<R>(run).captures(); }
|| requires(R run) { std::forward<R>(run).sequence(0); };
static_assert(GivesViews<vitrine::Run&> && GivesViews<const vitrine::Run&>);
static_assert(!GivesViews<vitrine::Run> && !GivesViews<const vitrine::Run>);

Config config() {
  Config config;
  config.layers = 3;
  config.heads = 2;
  config.width = 16;
  config.inner = 24;
  config.vocab = 61;
  config.context = 32;
  return config;
}

Tensor constant(int64_t size, float value) {
  return Tensor::from(std::vector<float>(static_cast<size_t>(size), value));
}

class HookPlanTest : public ::testing::Test {
 protected:
  /// One of each kind of edit but those from another run, and captures after them.
  static Hooks some_hooks() {
    Hooks hooks;
    hooks.edit(Site::kResidPre, add(constant(16, 0.25f)), {.layers = {1}})
        .edit("blocks.0.attn.hook_z", zero(), {.heads = {1}})
        .edit("blocks.*.mlp.hook_post", scale(0.5f), {.neurons = {3, 4}})
        .edit(Site::kResidMid, project_out(constant(16, 1.0f)), {.layers = {2}})
        .edit(Site::kAttnScores, add(constant(1, 0.5f)), {.layers = {1}})
        .capture(Site::kResidPost)
        .capture("blocks.1.attn.hook_pattern", {.heads = {0}})
        .capture("blocks.0.attn.hook_{q,k}", {.heads = {1}}, DType::kF16);
    return hooks;
  }

  static void expect_same(const Captures& a, const Captures& b) {
    ASSERT_EQ(a.entries().size(), b.entries().size());
    for (size_t i = 0; i < a.entries().size(); ++i) {
      const Captures::Entry &x = a.entries()[i], &y = b.entries()[i];
      ASSERT_EQ(x.name, y.name);
      ASSERT_EQ(x.sequences.size(), y.sequences.size());
      for (size_t s = 0; s < x.sequences.size(); ++s) {
        EXPECT_EQ(x.sequences[s].positions, y.sequences[s].positions) << x.name;
        EXPECT_TRUE(same_bits(x.sequences[s].values, y.sequences[s].values)) << x.name;
      }
    }
  }

  Model model_ = Model::random(config(), 5, test_options({.threads = 2}));
  Batch batch_ = {tokens(7, 1, config()), tokens(4, 2, config())};
};

TEST_F(HookPlanTest, GivesTheBitsOfItsHooks) {
  const Hooks hooks = some_hooks();
  const HookPlan plan = model_.compile(hooks);
  const vitrine::Run a = model_.forward(batch_, hooks);
  for (int pass = 0; pass < 2; ++pass) {
    const vitrine::Run b = model_.forward(batch_, plan);
    for (int s = 0; s < 2; ++s) EXPECT_TRUE(same_bits(a.logits(s), b.logits(s)));
    expect_same(a.captures(), b.captures());
  }
  Session by_hooks = model_.session(2), by_plan = model_.session(2);
  for (const Batch& part : {batch_, Batch{tokens(1, 3, config()), tokens(2, 4, config())}}) {
    const vitrine::Run x = by_hooks.forward(part, hooks), y = by_plan.forward(part, plan);
    expect_same(x.captures(), y.captures());
  }
}

TEST_F(HookPlanTest, OperandsBelongToTheirEdits) {
  const HookPlan plan = model_.compile(Hooks()
                                           .edit(Site::kMlpOut, replace(constant(16, -2.0f)))
                                           .edit(Site::kEmbed, replace(constant(16, 1.5f)))
                                           .edit(Site::kZ, replace(constant(8, 0.75f)))
                                           .capture("{hook_embed,blocks.*.hook_mlp_out,*.hook_z}"));
  const vitrine::Run run = model_.forward(batch_[0], plan);
  for (const Captures::Entry& entry : run.captures().entries()) {
    const float wanted = entry.site == Site::kEmbed ? 1.5f : entry.site == Site::kZ ? 0.75f : -2.0f;
    for (const float value : entry.rows().to_f32()) EXPECT_EQ(value, wanted) << entry.name;
  }
}

// Memory of the caller, with guards on both sides that no pass may touch.
class GivenMemory {
 public:
  /// Begins `offset` bytes after a multiple of 64.
  GivenMemory(DType dtype, Shape shape, size_t offset = 0)
      : bytes_(static_cast<size_t>(shape.elements()) * dtype_size(dtype)),
        guarded_(bytes_ + 3 * kGuard, kPattern) {
    const auto begin = reinterpret_cast<uintptr_t>(guarded_.data()) + kGuard;
    first_ = guarded_.data() + kGuard + (kGuard - begin % kGuard) % kGuard + offset;
    memory_ = {first_, dtype, shape};
  }

  operator TensorMemory() const { return memory_; }
  TensorView view() const { return {first_, memory_.dtype, memory_.shape}; }
  bool untouched_outside() const {
    const auto untouched = [](const std::byte* a, const std::byte* b) {
      return std::all_of(a, b, [](std::byte byte) { return byte == kPattern; });
    };
    return untouched(guarded_.data(), first_) &&
           untouched(first_ + bytes_, guarded_.data() + guarded_.size());
  }

 private:
  static constexpr size_t kGuard = 64;
  static constexpr std::byte kPattern{0x5a};
  size_t bytes_;
  std::vector<std::byte> guarded_;
  std::byte* first_;
  TensorMemory memory_;
};

struct Wanted {
  const char* sites;
  Where where;
  DType dtype;
  Shape shape;  ///< for HookPlanTest's batch, or its first sequence for a map
};

TEST_F(HookPlanTest, CapturesIntoGivenMemory) {
  const Wanted cases[] = {
      {"blocks.1.hook_resid_post", {}, DType::kF32, {11, 16}},
      {"blocks.*.hook_resid_pre", {}, DType::kF32, {3, 11, 16}},
      {"blocks.{0,2}.attn.hook_z", {.heads = {1}}, DType::kF16, {2, 11, 1, 8}},
      {"blocks.0.mlp.hook_post", {.positions = {1, -1}, .neurons = {5}}, DType::kF32, {4, 1}},
      {"blocks.2.attn.hook_pattern", {.sequences = {0}}, DType::kF32, {2, 7, 7}},
      {"blocks.*.attn.hook_attn_scores",
       {.heads = {1}, .sequences = {1}},
       DType::kBF16,
       {3, 1, 4, 4}},
      {"ln_final.hook_scale", {}, DType::kF32, {11, 1}},
  };
  for (const Wanted& wanted : cases) {
    for (const size_t offset : {size_t{0}, dtype_size(wanted.dtype)}) {
      SCOPED_TRACE(::testing::Message() << wanted.sites << " + " << offset);
      const GivenMemory memory(wanted.dtype, wanted.shape, offset);
      const vitrine::Run plain =
          model_.forward(batch_, Hooks().capture(wanted.sites, wanted.where, wanted.dtype));
      const vitrine::Run given =
          model_.forward(batch_, Hooks().capture_into(wanted.sites, memory, wanted.where));
      for (int s = 0; s < 2; ++s) EXPECT_TRUE(same_bits(plain.logits(s), given.logits(s)));
      expect_same(plain.captures(), given.captures());
      EXPECT_TRUE(memory.untouched_outside());
      const auto* next = static_cast<const std::byte*>(memory.view().data());
      for (const Captures::Entry& entry : given.captures().entries()) {
        for (const Captures::Entry::Sequence& sequence : entry.sequences) {
          EXPECT_EQ(sequence.values.data(), next) << entry.name;
          next += sequence.values.bytes();
        }
      }
      EXPECT_EQ(next, static_cast<const std::byte*>(memory.view().data()) + memory.view().bytes());
    }
  }
}

TEST_F(HookPlanTest, CapturesIntoMemoryOfTheDevice) {
  if (on_cpu()) GTEST_SKIP() << "a CPU's memory is the host's";
  const ModelState& state = state_of(model_);
  const vitrine::Run plain = model_.forward(batch_, Hooks().capture(Site::kResidPost));
  const size_t bytes = 3 * 11 * 16 * sizeof(float);
  for (const size_t offset : {size_t{0}, sizeof(float)}) {
    const Buffer memory = state.backend->allocate(bytes + offset);
    const TensorMemory given{memory.data() + offset, DType::kF32, {3, 11, 16}, Residence::kDevice};
    const HookPlan plan = model_.compile(Hooks().capture_into(Site::kResidPost, given));
    const vitrine::Run run = model_.forward(batch_, plan);
    for (int layer = 0; layer < 3; ++layer) {
      const TensorView rows = run.captures().entry(Site::kResidPost, layer).rows();
      EXPECT_EQ(rows.residence(), Residence::kDevice);
      EXPECT_EQ(rows.data(), memory.data() + offset + static_cast<size_t>(layer) * bytes / 3);
      EXPECT_TRUE(
          same_bits(model_.to_host(rows), plain.captures().entry(Site::kResidPost, layer).rows()));
    }
  }
}

TEST_F(HookPlanTest, KernelsWriteToGivenMemoryOnlyWhereTheyCan) {
  const auto direct = [&](const TensorMemory& memory) {
    const HookPlan plan = model_.compile(Hooks().capture_into("blocks.1.hook_resid_post", memory));
    return forward_plan(plan, state_of(model_)).captures()[0].direct;
  };
  const GivenMemory aligned(DType::kF32, Shape{11, 16}), inside(DType::kF32, Shape{11, 16}, 4);
  EXPECT_EQ(direct(aligned), on_cpu());
  EXPECT_FALSE(direct(inside));
  TensorMemory device = aligned;
  device.residence = Residence::kDevice;
  if (on_cpu()) {
    EXPECT_EQ(test::user_error_of([&] { direct(device); }),
              "the memory for 'blocks.1.hook_resid_post' is a GPU's: expected host memory, the "
              "model runs on the CPU");
  } else {
    EXPECT_TRUE(direct(device));
  }
}

TEST_F(HookPlanTest, GivenMemoryIsFilledAnewByEachPass) {
  const GivenMemory memory(DType::kF32, Shape{3, 11, 16});
  const HookPlan plan = model_.compile(Hooks().capture_into(Site::kResidPost, memory));
  const Batch other = {tokens(7, 8, config()), tokens(4, 9, config())};
  for (const Batch& batch : {batch_, other}) {
    const vitrine::Run plain = model_.forward(batch, Hooks().capture(Site::kResidPost));
    model_.forward(batch, plan);
    for (int layer = 0; layer < 3; ++layer)
      EXPECT_TRUE(same_bits(plain.captures().entry(Site::kResidPost, layer).rows(),
                            memory.view().slice(layer)));
  }
}

TEST_F(HookPlanTest, RefusesMemoryThatDoesNotFit) {
  const auto refusal = [&](const Hooks& hooks) {
    return test::user_error_of([&] { model_.forward(batch_, hooks); });
  };
  const GivenMemory rows(DType::kF32, Shape{11, 16}), small(DType::kF32, Shape{10, 16}),
      integers(DType::kI32, Shape{11, 16}), maps(DType::kF32, Shape{2, 7, 7});
  const char* site = "blocks.1.hook_resid_post";
  EXPECT_EQ(refusal(Hooks().capture_into(site, small)),
            "the memory for 'blocks.1.hook_resid_post' has shape [10, 16]: expected [11, 16]");
  EXPECT_EQ(refusal(Hooks().capture_into(Site::kResidPost, rows)),
            "the memory for 'blocks.*.hook_resid_post' has shape [11, 16]: expected 3 sites along "
            "the first axis");
  EXPECT_EQ(refusal(Hooks().capture_into(site, rows).capture_into("hook_embed", rows)),
            "the memory for 'hook_embed' overlaps that for 'blocks.1.hook_resid_post'");
  EXPECT_EQ(refusal(Hooks().capture_into("blocks.0.attn.hook_pattern", maps)),
            "cannot capture the maps of several sequences into the memory for "
            "'blocks.0.attn.hook_pattern': select one");
  EXPECT_EQ(refusal(Hooks().capture_into(site, {nullptr, DType::kF32, Shape{11, 16}})),
            "missing memory for 'blocks.1.hook_resid_post': the pointer is null");
  const GivenMemory inside(DType::kF32, Shape{11, 16}, 2);
  EXPECT_EQ(refusal(Hooks().capture_into(site, inside)),
            "the memory for 'blocks.1.hook_resid_post' begins inside an element: expected a "
            "multiple of 4 bytes");
  EXPECT_EQ(test::user_error_of([&] { Hooks().capture_into(site, integers); }),
            "captures of 'blocks.1.hook_resid_post' cannot be stored as i32: expected f32, f16 or "
            "bf16");
  const Hooks hooks = Hooks().capture_into(site, rows);
  EXPECT_EQ(test::user_error_of([&] { generate(model_, batch_, {.max_new_tokens = 2}, hooks); }),
            "cannot capture 'blocks.1.hook_resid_post' into given memory in a generation: use "
            "capture()");
  EXPECT_EQ(test::user_error_of([&] {
              backward(model_, batch_, {target::logit(3)}, Hooks(hooks).gradient("hook_embed"));
            }),
            "cannot capture 'blocks.1.hook_resid_post' into given memory in backward(): use "
            "capture()");
  EXPECT_TRUE(rows.untouched_outside());
}

TEST_F(HookPlanTest, ServesGenerationsAndGradients) {
  const Hooks hooks = Hooks()
                          .edit(Site::kResidPre, add(constant(16, 0.25f)), {.layers = {1}})
                          .capture(Site::kResidPost, {.positions = {-1}});
  const HookPlan plan = model_.compile(hooks);
  const GenerateOptions options{.max_new_tokens = 9};
  const Generation first = generate(model_, batch_, options, hooks);
  for (int run = 0; run < 3; ++run) {
    const Generation again = generate(model_, batch_, options, plan);
    for (size_t s = 0; s < 2; ++s) EXPECT_EQ(first.sequences[s].ids, again.sequences[s].ids);
    expect_same(*first.captures, *again.captures);
  }
  Hooks asking = hooks;
  asking.gradient(Site::kEmbed).gradient(Site::kZ, {.layers = {2}});
  const HookPlan both = model_.compile(asking);
  for (const std::vector<Target>& targets :
       {std::vector<Target>{target::logit(7)},
        std::vector<Target>{target::norm("blocks.2.hook_mlp_out") + target::log_prob(3)}}) {
    const Backward a = backward(model_, batch_, targets, asking),
                   b = backward(model_, batch_, targets, both);
    EXPECT_EQ(a.values, b.values);
    expect_same(*a.gradients, *b.gradients);
    expect_same(a.run.captures(), b.run.captures());
    EXPECT_TRUE(same_bits(b.gradient(Site::kZ, 2, 1), b.gradient("blocks.2.attn.hook_z", 1)));
  }
}

TEST_F(HookPlanTest, IsRefusedWhereItDoesNotBelong) {
  const Model other = Model::random(config(), 6, test_options({.threads = 1}));
  const HookPlan plan = other.compile(Hooks().capture(Site::kEmbed));
  EXPECT_USER_ERROR(model_.forward(batch_, plan), "another", "compile them again");
  EXPECT_USER_ERROR(model_.session(2).forward(batch_, plan), "another");
  EXPECT_USER_ERROR(generate(model_, batch_, {}, plan), "another");
  EXPECT_USER_ERROR(backward(model_, batch_, {target::logit(1)}, plan), "another");
  const HookPlan gradients = model_.compile(Hooks().gradient(Site::kEmbed));
  EXPECT_USER_ERROR(model_.forward(batch_, gradients), "hook_embed", "backward()");
  EXPECT_USER_ERROR(generate(model_, batch_, {}, gradients), "hook_embed", "backward()");
  EXPECT_USER_ERROR(
      backward(model_, batch_, {target::logit(1)}, model_.compile(Hooks().capture(Site::kEmbed))),
      "no gradient is requested");
  EXPECT_USER_ERROR(model_.compile(Hooks().capture("blocks.3.hook_resid_pre")), "unknown site");
  EXPECT_USER_ERROR(model_.compile(Hooks().capture(Site::kZ, {.layers = {3}})), "layer 3",
                    "blocks.*.attn.hook_z");
}

TEST_F(HookPlanTest, DescribesWhatAPassCaptures) {
  Hooks hooks = some_hooks();
  hooks.capture("hook_embed", {.positions = {-1, 0}, .neurons = {2, 5, 6}}, DType::kBF16)
      .capture(Site::kResult, {.heads = {1}, .sequences = {1}})
      .capture(Site::kLogits, {.positions = {1}});
  const HookPlan plan = model_.compile(hooks);
  const std::vector<int64_t> lengths = {7, 4};
  const std::vector<CaptureSpec> specs = plan.describe(lengths);
  const vitrine::Run run = model_.forward(batch_, plan);
  ASSERT_EQ(specs.size(), run.captures().entries().size());
  for (size_t i = 0; i < specs.size(); ++i) {
    const Captures::Entry& entry = run.captures().entries()[i];
    EXPECT_EQ(specs[i].name, entry.name);
    EXPECT_EQ(specs[i].site, entry.site);
    EXPECT_EQ(specs[i].layer, entry.layer);
    EXPECT_EQ(specs[i].dtype, entry.dtype);
    EXPECT_EQ(specs[i].heads, entry.heads);
    size_t bytes = 0;
    ASSERT_EQ(specs[i].shapes.size(), entry.sequences.size());
    for (size_t s = 0; s < entry.sequences.size(); ++s) {
      EXPECT_EQ(specs[i].shapes[s], entry.sequences[s].values.shape()) << entry.name;
      bytes += entry.sequences[s].values.bytes();
    }
    EXPECT_EQ(specs[i].bytes, bytes) << entry.name;
  }
  const std::vector<int64_t> short_one = {1}, none = {0}, endless = {33};
  const HookPlan second = model_.compile(Hooks().capture(Site::kLogits, {.positions = {1}}));
  EXPECT_USER_ERROR(second.describe(short_one), "position 1", "logits");
  EXPECT_USER_ERROR(plan.describe(short_one), "sequence 1", "batch of 1");
  EXPECT_USER_ERROR(plan.describe(none), "length", "1..32");
  EXPECT_USER_ERROR(plan.describe(endless), "33", "1..32");
}

TEST_F(HookPlanTest, SitesCanBeGivenWithoutNames) {
  const vitrine::Run a = model_.forward(batch_[0], Hooks().capture("blocks.*.hook_resid_post"));
  const vitrine::Run b = model_.forward(batch_[0], Hooks().capture(Site::kResidPost));
  expect_same(a.captures(), b.captures());
  for (int layer = 0; layer < 3; ++layer)
    EXPECT_TRUE(same_bits(b.view(Site::kResidPost, layer), a[site_name(Site::kResidPost, layer)]));
  EXPECT_TRUE(b.captures().has(Site::kResidPost, 2));
  EXPECT_FALSE(b.captures().has(Site::kResidPost, 3));
  EXPECT_USER_ERROR(b.view(Site::kZ, 1), "blocks.1.attn.hook_z", "not captured",
                    "blocks.0.hook_resid_post");
}

TEST_F(HookPlanTest, RowsOfABatchAreOneMatrix) {
  const auto check = [](const Captures& captures) {
    for (const Captures::Entry& entry : captures.entries()) {
      const std::vector<int64_t> offsets = entry.offsets();
      const std::vector<float> rows = entry.rows().to_f32();
      ASSERT_EQ(offsets.size(), entry.sequences.size() + 1);
      ASSERT_EQ(entry.rows().shape()[0], offsets.back());
      std::vector<float> apart;
      for (size_t s = 0; s < entry.sequences.size(); ++s) {
        EXPECT_EQ(offsets[s + 1] - offsets[s], std::ssize(entry.sequences[s].positions));
        const std::vector<float> part = entry.sequences[s].values.to_f32();
        apart.insert(apart.end(), part.begin(), part.end());
      }
      EXPECT_EQ(rows, apart) << entry.name;
    }
  };
  const Hooks hooks = Hooks()
                          .capture(Site::kZ, {.positions = {0, -1}}, DType::kF16)
                          .capture(Site::kResidPost, {.sequences = {1}})
                          .capture(Site::kMlpOut);
  check(*model_.forward(batch_, hooks).shared_captures());
  const vitrine::Run device = model_.forward(batch_, hooks, {.residence = Residence::kDevice});
  check(*model_.to_host(device.shared_captures()));
  check(*generate(model_, batch_, {.max_new_tokens = 4}, hooks).captures);
  Hooks asking;
  asking.gradient(Site::kMlpPost, {.neurons = {1, 2}});
  check(*backward(model_, batch_, {target::logit(3)}, asking).gradients);
  const vitrine::Run run = model_.forward(batch_, Hooks().capture(Site::kPattern));
  EXPECT_USER_ERROR(run.captures().entry(Site::kPattern, 1).rows(), "blocks.1.attn.hook_pattern",
                    "map");
}

TEST_F(HookPlanTest, ValuesOfAnotherRunStayOnTheDevice) {
  const ForwardOptions on_device{.residence = Residence::kDevice};
  const Hooks captures = Hooks().capture(Site::kResidPre).capture(Site::kMlpOut);
  const vitrine::Run host = model_.forward(tokens(7, 3, config()), captures);
  const vitrine::Run device = model_.forward(tokens(7, 3, config()), captures, on_device);
  const auto patched = [&](const vitrine::Run& from) {
    return model_.forward(batch_[0], Hooks()
                                         .edit(Site::kMlpOut, replace_from(from.shared_captures()),
                                               {.layers = {1}, .positions = {5, 1, 2}})
                                         .capture(Site::kResidPost));
  };
  const vitrine::Run a = patched(host), b = patched(device), plain = model_.forward(batch_[0]);
  expect_same(a.captures(), b.captures());
  EXPECT_TRUE(same_bits(a.logits(), b.logits()));
  EXPECT_FALSE(same_bits(a.logits(), plain.logits()));
  std::vector<float> rows;  // written out by hand
  for (const int64_t position : {5, 1, 2}) {
    const std::vector<float> row = host.view(Site::kMlpOut, 1).slice(position).to_f32();
    rows.insert(rows.end(), row.begin(), row.end());
  }
  const vitrine::Run by_hand =
      model_.forward(batch_[0], Hooks().edit(Site::kMlpOut, replace(Tensor::from(rows)),
                                             {.layers = {1}, .positions = {5, 1, 2}}));
  EXPECT_TRUE(same_bits(a.logits(), by_hand.logits()));

  Session one = model_.session(1), other = model_.session(1);
  const vitrine::Run from_host = one.forward_from(1, {host.view(Site::kResidPre, 1)}),
                     from_device = other.forward_from(1, {device.view(Site::kResidPre, 1)});
  EXPECT_TRUE(same_bits(from_host.logits(), from_device.logits()));
  EXPECT_TRUE(same_bits(from_host.logits(), host.logits()));
  const TensorView narrow(host.view(Site::kResidPre, 1).data(), DType::kF16, Shape{7, 16});
  EXPECT_USER_ERROR(one.forward_from(1, {narrow}), "sequence 0", "f16", "expected f32");
}

TEST_F(HookPlanTest, IsSharedByThreadsAndOutlivesTheModel) {
  std::optional<HookPlan> plan;
  std::vector<std::vector<float>> found(2);
  {
    const Model model = Model::random(config(), 5, test_options({.threads = 1}));
    plan = model.compile(some_hooks());
    std::vector<std::thread> threads;
    for (std::vector<float>& logits : found) {
      threads.emplace_back([&] {
        for (int pass = 0; pass < 10; ++pass) {
          const vitrine::Run run = model.forward(batch_, *plan);
          logits = run.logits(1).to_f32();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(found[0], found[1]);
  EXPECT_EQ(plan->hooks().captures().size(), some_hooks().captures().size());
  const std::vector<int64_t> lengths = {3};
  EXPECT_EQ(plan->describe(lengths)[0].shapes[0], (Shape{3, 16}));
}

TEST_F(HookPlanTest, KeepsARecordedStepWithEdits) {
  if (on_cpu()) GTEST_SKIP() << "a CPU records no steps";
  const KeptGeneration& kept = *state_of(model_).kept;
  const Hooks hooks = Hooks().edit(Site::kResidPre, add(constant(16, 0.25f)), {.layers = {1}});
  const HookPlan plan = model_.compile(hooks);
  const Generation first = generate(model_, batch_, {.max_new_tokens = 9}, plan);
  const size_t bytes = kept.bytes();
  EXPECT_GT(bytes, 0u);
  const Generation again = generate(model_, batch_, {.max_new_tokens = 9}, plan);
  EXPECT_EQ(first.sequences[1].ids, again.sequences[1].ids);
  EXPECT_EQ(kept.bytes(), bytes);
  // Other edits are another step, even where the captures are equal.
  const Generation plain = generate(model_, batch_, {.max_new_tokens = 9});
  const Generation by_hooks = generate(model_, batch_, {.max_new_tokens = 9}, hooks);
  EXPECT_EQ(first.sequences[1].ids, by_hooks.sequences[1].ids);
  EXPECT_EQ(plain.sequences[1].ids,
            generate(model_, batch_, {.max_new_tokens = 9}).sequences[1].ids);
}

}  // namespace
}  // namespace vitrine
