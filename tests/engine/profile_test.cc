// SPDX-License-Identifier: MIT
// A profile changes no bit, counts every operation of a pass, and knows what each has to move.

#include "base/profile.h"

#include <cstdlib>
#include <set>

#include "tests/engine/odd_model.h"
#include "tests/engine/test_device.h"
#include "tests/support.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

using testing_support::odd_config;
using testing_support::on_cpu;
using testing_support::same_bits;
using testing_support::tokens;

constexpr uint64_t kLayers = 3;
constexpr int kTokens = 11;

class ProfileTest : public ::testing::Test {
 protected:
  void TearDown() override {
    set_profiling(false);
    clear_profiles();
    unsetenv("VITRINE_PROFILE");
  }

  static Model model(bool profiled) {
    set_profiling(profiled);
    return Model::random(odd_config(), 7, testing_support::test_options({.threads = 1}));
  }
  /// What `work` cost, by operation.
  template <typename F>
  static std::map<std::string, OperationCost, std::less<>> costs_of(const Model& m, const F& work) {
    clear_profiles();
    work();
    return profile_of(m.device_description(), ProfileTimes::kOperations)->operations();
  }
};

TEST_F(ProfileTest, CountsEveryOperationOfAPass) {
  const Model m = model(true);
  auto costs = costs_of(m, [&] { m.forward(tokens(kTokens, 1)); });
  EXPECT_EQ(costs["embed"].calls, 1u);
  EXPECT_EQ(costs["layernorm"].calls, 2 * kLayers + 1);
  EXPECT_EQ(costs["linear"].calls, 4 * kLayers + 1);
  EXPECT_EQ(costs["append_kv"].calls, kLayers);
  EXPECT_EQ(costs["attention"].calls, kLayers);
  std::set<std::string> others;
  for (const auto& [name, cost] : costs) {
    if (cost.calls > 0) others.insert(name);
    EXPECT_GE(cost.seconds, 0) << name;
  }
  for (const char* known :
       {"embed", "layernorm", "linear", "append_kv", "attention", "allocate", "allocate_host",
        "place", "clear", "copy", "upload", "download", "synchronize"})
    others.erase(known);
  EXPECT_EQ(others, std::set<std::string>()) << "a plain pass has no other operation";
}

TEST_F(ProfileTest, CountsEveryOperationOfAGradient) {
  const Model m = model(true);
  auto costs = costs_of(m, [&] {
    backward(m, {tokens(kTokens, 1)}, {target::logit(5)}, Hooks().gradient("hook_embed"));
  });
  EXPECT_EQ(costs["layernorm"].calls, 2 * kLayers + 1);
  EXPECT_EQ(costs["layernorm_backward"].calls, 2 * kLayers + 1);
  EXPECT_EQ(costs["linear_backward"].calls, 4 * kLayers + 1);
  EXPECT_EQ(costs["attention_backward"].calls, kLayers);
  EXPECT_EQ(costs["logit_targets"].calls, 1u);
}

TEST_F(ProfileTest, KnowsWhatAPassHasToMoveAndToMultiply) {
  const Model m = model(true);
  auto costs = costs_of(m, [&] { m.forward(tokens(kTokens, 1)); });
  const Config c = m.config();
  const double rows = kTokens, d = static_cast<double>(c.width),
               inner = static_cast<double>(c.inner), v = static_cast<double>(c.vocab),
               layers = kLayers;
  const double pairs = rows * (rows + 1) / 2;
  EXPECT_EQ(costs["linear"].flops, 2 * rows * (layers * (4 * d * d + 2 * d * inner) + d * v));
  EXPECT_EQ(costs["attention"].flops, layers * 4 * pairs * d);
  EXPECT_EQ(costs["layernorm"].bytes, (2 * layers + 1) * 4 * (2 * rows * d + 2 * d));
  EXPECT_EQ(costs["append_kv"].bytes, layers * 4 * (4 * rows * d));
  EXPECT_EQ(costs["embed"].bytes, 4 * 3 * rows * d);
  EXPECT_EQ(costs["attention"].bytes, layers * 4 * (2 * rows * d + 2 * rows * d));
  const double weights = layers * (4 * d * d + 2 * d * inner + 9 * d + inner - 4 * d) + d * v;
  const double in = layers * (d + d + d + inner) + d, out = layers * (3 * d + d + inner + d) + v,
               residuals = layers * 2 * d;
  EXPECT_EQ(costs["linear"].bytes, 4 * (weights + rows * (in + out + residuals)));
}

TEST_F(ProfileTest, ChangesNoBits) {
  const Model off = model(false), on = model(true);
  const auto ids = tokens(kTokens, 3);
  const Hooks hooks = Hooks().capture("*").edit("blocks.1.hook_resid_post", scale(0.5f));
  const vitrine::Run a = off.forward(ids, hooks), b = on.forward(ids, hooks);
  EXPECT_TRUE(same_bits(a.logits(), b.logits()));
  for (const auto& entry : a.captures().entries())
    EXPECT_TRUE(same_bits(a.captures().view(entry.name), b.captures().view(entry.name)))
        << entry.name;
  const Hooks gradients = Hooks().gradient("*");
  const Backward back = backward(off, {ids}, {target::logit(5)}, gradients),
                 profiled = backward(on, {ids}, {target::logit(5)}, gradients);
  EXPECT_TRUE(same_bits(back.gradient("hook_embed"), profiled.gradient("hook_embed")));
  const GenerateOptions options{.max_new_tokens = 9};
  EXPECT_EQ(generate(off, {ids}, options).sequences.front().ids,
            generate(on, {ids}, options).sequences.front().ids);
  EXPECT_EQ(off.device_description(), on.device_description());
}

TEST_F(ProfileTest, ARecordedStepCountsWhenItRuns) {
  const Model m = model(true);
  constexpr uint64_t kNew = 9;
  Generation made;
  auto costs = costs_of(m, [&] {
    made = generate(m, {tokens(kTokens, 3)}, {.max_new_tokens = static_cast<int>(kNew)});
  });
  ASSERT_EQ(made.sequences.front().ids.size(), kNew);
  if (on_cpu()) {
    EXPECT_EQ(costs.count("recorded step"), 0u);
    EXPECT_EQ(costs["attention"].calls, kNew * kLayers);
    return;
  }
  EXPECT_GT(costs["recorded step"].calls, 0u);
  EXPECT_GT(costs["recorded step"].flops, 0);
  EXPECT_EQ(costs["attention"].calls % kLayers, 0u);
  EXPECT_EQ(costs["recorded step"].calls + costs["attention"].calls / kLayers, kNew);
}

TEST_F(ProfileTest, IsOffUnlessRequested) {
  for (const char* value : {"", "0"}) {
    setenv("VITRINE_PROFILE", value, 1);
    const Model m = model(false);
    EXPECT_TRUE(costs_of(m, [&] { m.forward(tokens(kTokens, 1)); }).empty());
  }
  EXPECT_EQ(profile_tables(), "");
  setenv("VITRINE_PROFILE", "1", 1);
  const Model m = model(false);
  EXPECT_FALSE(costs_of(m, [&] { m.forward(tokens(kTokens, 1)); }).empty());
}

TEST_F(ProfileTest, RefusesAnUnknownValue) {
  for (const char* value : {"yes", "2", "01", " 1"}) {
    setenv("VITRINE_PROFILE", value, 1);
    EXPECT_USER_ERROR(model(false), "VITRINE_PROFILE", value, "0 or 1");
  }
}

TEST_F(ProfileTest, TheTableIsSortedByTimeAndEndsWithTheSum) {
  Profile profile("a device", ProfileTimes::kOperations);
  EXPECT_EQ(profile.table(), "");
  profile.add("short", {1, 0.25, 1e9, 0});
  profile.add("long", {1, 0.5, 2e9, 4e9});
  profile.add("long", {1, 0.25, 1e9, 2e9});
  const std::string table = profile.table();
  const size_t first = table.find("\nlong"), second = table.find("\nshort"),
               sum = table.find("\ntotal");
  ASSERT_NE(sum, std::string::npos) << table;
  EXPECT_LT(first, second);
  EXPECT_LT(second, sum);
  for (const char* word : {"a device", "750.000", "75.0 %", "8.0", "25.0 %", "1000.000", "100.0 %"})
    EXPECT_NE(table.find(word), std::string::npos) << word << "\n" << table;
  Profile launches("a GPU", ProfileTimes::kLaunches);
  launches.add("linear", {1, 0.5, 2e9, 4e9});
  EXPECT_NE(launches.table().find("host ms"), std::string::npos);
  EXPECT_EQ(launches.table().find("GFLOP/s"), std::string::npos) << "no rate of a launch";
}

}  // namespace
}  // namespace vitrine
