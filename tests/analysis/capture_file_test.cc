// SPDX-License-Identifier: MIT
#include "vitrine/corpus/capture_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <optional>

#include "base/json.h"
#include "base/npy.h"
#include "support.h"
#include "tests/run_values.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/generate.h"
#include "vitrine/gradients.h"

namespace vitrine::testing {
using namespace internal;
namespace {

Batch some_prompts() { return {some_ids(5, 1), some_ids(1, 2), some_ids(12, 3), some_ids(3, 4)}; }

std::vector<float> floats(const TensorView& view) { return view.to_f32(); }

template <typename T>
std::vector<T> integers(const TensorView& view) {
  std::vector<T> values(static_cast<size_t>(view.elements()));
  std::memcpy(values.data(), view.data(), view.bytes());
  return values;
}

/// Each prompt alone, captured in memory, the rows one after the other.
std::vector<float> expected_rows(const Model& model, const Batch& prompts, const Hooks& hooks,
                                 const std::string& site) {
  std::vector<float> all;
  for (const auto& prompt : prompts) {
    const auto values =
        testing_support::site_of(model.forward(prompt, hooks), site).view().to_f32();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

TEST(CaptureFile, SafetensorsHoldsWhatEachPromptGivesAlone) {
  const Model model = small_model();
  const Batch prompts = some_prompts();
  Hooks hooks;
  hooks.capture("blocks.{0,2}.hook_resid_post")
      .capture("blocks.1.attn.hook_z", {.positions = {-1, 0}, .heads = {1}});
  hooks.capture("blocks.0.attn.hook_pattern")
      .capture("blocks.1.attn.hook_attn_scores", {.positions = {0}});
  hooks.edit("blocks.0.hook_mlp_out", scale(0.5f));
  const TempFolder folder;
  for (const int64_t batch_tokens : {1, 7, 1000}) {
    const auto path = folder.path() / "all.safetensors";
    const auto summary = capture_to_file(
        model, prompts, hooks, path, {.batch_tokens = batch_tokens, .metadata = {{"by", "test"}}});
    EXPECT_TRUE(summary.complete);
    EXPECT_EQ(summary.tokens, 21);
    const SafetensorsFile file(path);
    EXPECT_EQ(file.metadata().at("by"), "test");
    EXPECT_EQ(integers<int64_t>(file.tensor("offsets")), (std::vector<int64_t>{0, 5, 6, 18, 21}));
    const auto ids = integers<int32_t>(file.tensor("ids"));
    EXPECT_TRUE(std::equal(prompts[2].begin(), prompts[2].end(), ids.begin() + 6));
    for (const char* site : {"blocks.0.hook_resid_post", "blocks.2.hook_resid_post"}) {
      EXPECT_EQ(file.tensor(site).shape(), (Shape{21, 24}));
      EXPECT_EQ(floats(file.tensor(site)), expected_rows(model, prompts, hooks, site)) << site;
      EXPECT_FALSE(file.has(std::string(site) + ".positions"));
    }
    EXPECT_EQ(file.tensor("blocks.1.attn.hook_z").shape(), (Shape{7, 1, 12}));
    EXPECT_EQ(floats(file.tensor("blocks.1.attn.hook_z")),
              expected_rows(model, prompts, hooks, "blocks.1.attn.hook_z"));
    EXPECT_EQ(integers<int64_t>(file.tensor("blocks.1.attn.hook_z.positions")),
              (std::vector<int64_t>{0, 4, 0, 0, 11, 0, 2}));
    EXPECT_EQ(integers<int64_t>(file.tensor("blocks.1.attn.hook_z.offsets")),
              (std::vector<int64_t>{0, 2, 3, 5, 7}));
    for (size_t i = 0; i < prompts.size(); ++i) {
      const std::string pattern = "blocks.0.attn.hook_pattern." + std::to_string(i),
                        scores = "blocks.1.attn.hook_attn_scores." + std::to_string(i);
      const auto alone = model.forward(prompts[i], hooks);
      EXPECT_EQ(file.tensor(pattern).shape(), alone["blocks.0.attn.hook_pattern"].shape());
      EXPECT_EQ(floats(file.tensor(pattern)), floats(alone["blocks.0.attn.hook_pattern"]));
      EXPECT_EQ(floats(file.tensor(scores)), floats(alone["blocks.1.attn.hook_attn_scores"]));
    }
  }
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"all.safetensors"}));
}

TEST(CaptureFile, NpyFolderAndSingleNpyHoldTheSame) {
  const Model model = small_model();
  const Batch prompts = some_prompts();
  Hooks hooks;
  hooks.capture("blocks.1.mlp.hook_post", {.positions = {-1}, .neurons = {0, 39}}, DType::kBF16);
  const TempFolder folder;
  capture_to_file(model, prompts, hooks, folder.path() / "one.npy");
  capture_to_file(model, prompts, hooks, folder.path() / "many/");
  const auto expected = expected_rows(model, prompts, hooks, "blocks.1.mlp.hook_post");
  const Tensor single = read_npy(folder.path() / "one.npy"),
               inside = read_npy(folder.path() / "many" / "blocks.1.mlp.hook_post.npy");
  EXPECT_EQ(single.shape(), (Shape{4, 2}));
  EXPECT_EQ(floats(single), expected) << "bfloat16, widened";
  EXPECT_EQ(floats(inside), expected);

  const Json index = read_json(folder.path() / "one.npy.json");
  EXPECT_EQ(index["site"], "blocks.1.mlp.hook_post");
  EXPECT_EQ(index["offsets"], Json({0, 5, 6, 18, 21}));
  EXPECT_EQ(index["blocks.1.mlp.hook_post.positions"], Json({4, 0, 11, 2}));
  EXPECT_EQ(index["ids"].size(), 21u);
  const Json listing = read_json(folder.path() / "many" / "index.json");
  EXPECT_EQ(listing["tensors"]["offsets"]["shape"], Json({5}));
  EXPECT_EQ(listing["tensors"]["blocks.1.mlp.hook_post"]["file"], "blocks.1.mlp.hook_post.npy");
  EXPECT_EQ(names_in(folder.path()).size(), 3u);
}

TEST(CaptureFile, KeepsWhatAGenerationCaptured) {
  const Model model = small_model();
  const Batch prompts = {some_ids(4, 1), some_ids(2, 2)};
  Hooks hooks;
  hooks.capture("blocks.*.hook_resid_pre")
      .capture("blocks.2.attn.hook_pattern")
      .capture("hook_embed", {.positions = {-1}});
  const Generation generation = generate(model, prompts, {.max_new_tokens = 3}, hooks);
  Batch ran = prompts;
  for (size_t s = 0; s < 2; ++s)
    ran[s].insert(ran[s].end(), generation.sequences[s].ids.begin(),
                  generation.sequences[s].ids.end() - 1);
  const TempFolder folder;
  save_captures(*generation.captures, ran, folder.path() / "g.safetensors");
  const SafetensorsFile file(folder.path() / "g.safetensors");
  EXPECT_EQ(integers<int64_t>(file.tensor("offsets")), (std::vector<int64_t>{0, 6, 10}));
  EXPECT_EQ(file.tensor("blocks.2.hook_resid_pre").shape(), (Shape{10, 24}));
  EXPECT_EQ(file.tensor("blocks.2.attn.hook_pattern.1").shape(), (Shape{2, 4, 4}));
  EXPECT_EQ(integers<int64_t>(file.tensor("hook_embed.positions")),
            (std::vector<int64_t>{3, 4, 5, 1, 2, 3}));
  const auto rows = floats(file.tensor("blocks.2.hook_resid_pre")),
             second = floats(generation.captures->view("blocks.2.hook_resid_pre", 1));
  EXPECT_TRUE(std::equal(second.begin(), second.end(), rows.begin() + 6 * 24));
}

TEST(CaptureFile, StopsWithoutATrace) {
  const Model model = small_model();
  Hooks hooks;
  hooks.capture("blocks.*.hook_resid_post");
  const TempFolder folder;
  for (const char* name : {"a.safetensors", "many/"}) {
    int asked = 0;
    const auto summary =
        capture_to_file(model, some_prompts(), hooks, folder.path() / name,
                        {.batch_tokens = 1, .keep_going = [&] { return ++asked < 3; }});
    EXPECT_FALSE(summary.complete);
    EXPECT_TRUE(names_in(folder.path()).empty()) << name;
  }
}

/// Makes every file end at `bytes`, as a full disk would.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST(CaptureFile, AFullDiskLeavesNothing) {
  const Model model = small_model();
  Hooks hooks;
  hooks.capture("blocks.*.hook_resid_post");
  const TempFolder folder;
  for (const char* name : {"a.safetensors", "many/"}) {
    std::string message;
    {
      const FileSizeLimit limit(1000);
      try {
        capture_to_file(model, some_prompts(), hooks, folder.path() / name);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), Error::Kind::kInternal) << "the machine's failure";
        message = error.what();
      }
    }
    EXPECT_NE(message.find("cannot be written"), std::string::npos) << message;
    EXPECT_NE(message.find("no file was left"), std::string::npos) << message;
    EXPECT_TRUE(names_in(folder.path()).empty()) << name;
  }
}

/// Of logit 3 less logit 17 after a position.
Target contrast_after(int64_t position) {
  return target::logit(3, position) - target::logit(17, position);
}

/// The same number in a pass where `direction` times `h` is added at a place.
double moved(const Model& model, const std::vector<int32_t>& prompt, int64_t after,
             const std::string& site, int64_t position, std::span<const float> direction, float h) {
  std::vector<float> step(direction.begin(), direction.end());
  for (float& x : step) x *= h;
  const auto size = static_cast<int64_t>(step.size());
  const Hooks edits =
      Hooks().edit(site, add(Tensor::from(step, {size})), {.positions = {position}});
  const Run run = model.forward(prompt, edits, {.logits = LogitRows::kAll});
  const std::span<const float> logits = run.logits().slice(after).f32();
  return static_cast<double>(logits[3]) - static_cast<double>(logits[17]);
}

TEST(CaptureFile, GradientsAreCentralDifferences) {
  const Model model = Model::load(golden_folder("plain").string(), {.threads = 1});
  const Batch prompts = {some_ids(4, 1), some_ids(3, 2)};
  constexpr int64_t kAfter = 2;
  Hooks hooks;
  const std::vector<std::string> sites = {"hook_embed", "blocks.0.hook_resid_mid",
                                          "blocks.1.mlp.hook_post", "blocks.2.hook_attn_out"};
  for (const std::string& site : sites) hooks.gradient(site);
  hooks.capture("blocks.1.hook_resid_post");
  const TempFolder folder;
  const auto path = folder.path() / "g.safetensors";
  CaptureFileOptions options;
  options.target = contrast_after(kAfter);
  const CaptureFileSummary summary = capture_to_file(model, prompts, hooks, path, options);
  EXPECT_EQ(summary.sites.size(), 5u);
  const SafetensorsFile file(path);
  EXPECT_EQ(floats(file.tensor("blocks.1.hook_resid_post")),
            expected_rows(model, prompts, Hooks().capture("blocks.1.hook_resid_post"),
                          "blocks.1.hook_resid_post"));
  uint64_t draw = 0;
  double largest = 0;
  for (const std::string& site : sites) {
    const TensorView gradient = file.tensor("grad." + site);
    ASSERT_EQ(gradient.shape()[0], 7) << site;
    const auto width = static_cast<size_t>(gradient.shape()[1]);
    for (size_t row = 0; row < 7; ++row) {
      const size_t prompt = row < 4 ? 0 : 1;
      const auto position = static_cast<int64_t>(row < 4 ? row : row - 4);
      std::vector<float> direction(width);
      double expected = 0;
      for (size_t d = 0; d < width; ++d) {
        direction[d] = static_cast<float>(mix64(draw++) >> 40) * 0x1p-24f - 0.5f;
        expected += double{direction[d]} * double{gradient.f32()[row * width + d]};
      }
      constexpr float kStep = 0.02f;
      const auto f = [&](float h) {
        return moved(model, prompts[prompt], kAfter, site, position, direction, h);
      };
      const double difference = (f(kStep) - f(-kStep)) / (2 * double{kStep});
      // Two logits' rounding over the step, and the cubic term of a smooth function.
      EXPECT_NEAR(expected, difference, 2e-3 + 5e-3 * std::abs(difference)) << site << " " << row;
      largest = std::max(largest, std::abs(difference));
      if (position > kAfter) {
        EXPECT_EQ(difference, 0);
      }
    }
  }
  EXPECT_GT(largest, 0.1) << "the differences would say nothing";
}

TEST(CaptureFile, GradientsArePromptByPrompt) {
  const Model model = small_model();
  const Batch prompts = some_prompts();
  Hooks hooks;
  hooks.gradient("blocks.1.attn.hook_z", {.positions = {-1, 0}, .heads = {1}})
      .gradient("blocks.0.attn.hook_pattern");
  const TempFolder folder;
  CaptureFileOptions options;
  options.target = contrast_after(-1);
  for (const int64_t batch_tokens : {1, 7, 1000}) {
    options.batch_tokens = batch_tokens;
    const auto path = folder.path() / "g.safetensors";
    capture_to_file(model, prompts, hooks, path, options);
    const SafetensorsFile file(path);
    std::vector<float> z;
    for (size_t i = 0; i < prompts.size(); ++i) {
      const Backward alone = backward(model, {prompts[i]}, {*options.target}, hooks);
      const std::vector<float> rows = alone.gradient("blocks.1.attn.hook_z").to_f32();
      z.insert(z.end(), rows.begin(), rows.end());
      EXPECT_EQ(floats(file.tensor("grad.blocks.0.attn.hook_pattern." + std::to_string(i))),
                floats(alone.gradient("blocks.0.attn.hook_pattern")));
    }
    EXPECT_EQ(floats(file.tensor("grad.blocks.1.attn.hook_z")), z) << "to the bit";
    EXPECT_EQ(integers<int64_t>(file.tensor("grad.blocks.1.attn.hook_z.positions")),
              (std::vector<int64_t>{0, 4, 0, 0, 11, 0, 2}));
  }
}

TEST(CaptureFile, RefusesGradientsWithoutATarget) {
  const Model model = small_model();
  const TempFolder folder;
  const auto refuse = [&](const Hooks& hooks, std::optional<Target> target) {
    CaptureFileOptions options;
    options.target = std::move(target);
    return user_error_of([&] {
      capture_to_file(model, {{1, 2}, {3}}, hooks, folder.path() / "g.safetensors", options);
    });
  };
  const Hooks gradient = Hooks().gradient("hook_embed"), capture = Hooks().capture("hook_embed");
  EXPECT_EQ(refuse(gradient, {}), "missing target of the gradient at 'hook_embed'");
  EXPECT_EQ(refuse(capture, target::logit(1)),
            "missing gradient of the target: expected a site such as hook_embed");
  EXPECT_EQ(refuse(gradient, target::logit(1, 1)),
            "the target's position 1 is out of range of prompt 1, which has 1 tokens: expected a "
            "position that every prompt has");
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(CaptureFile, RefusesBeforeTheWork) {
  const Model model = small_model();
  const TempFolder folder;
  const auto path = folder.path() / "a.safetensors";
  Hooks hooks;
  hooks.capture("blocks.0.hook_resid_post");
  const auto refuse = [&](const Batch& prompts, const Hooks& with,
                          const std::filesystem::path& to) {
    return user_error_of([&] { capture_to_file(model, prompts, with, to); });
  };
  EXPECT_EQ(refuse({}, hooks, path), "missing prompts to capture: expected at least one");
  EXPECT_EQ(refuse({{1}, {}}, hooks, path), "prompt 1 is empty: expected at least one token");
  EXPECT_EQ(refuse({some_ids(13)}, hooks, path),
            "prompt 0 has 13 tokens: expected at most 12, the model's context; shorten it");
  EXPECT_EQ(refuse({{1, 61}}, hooks, path),
            "token id 61 of prompt 0 is out of range: expected 0..60");
  EXPECT_EQ(refuse({{1}}, {}, path),
            "missing site to capture: expected a name such as blocks.*.hook_resid_post");
  Hooks far, by_sequence;
  far.capture("blocks.0.hook_resid_post", {.positions = {2}});
  EXPECT_EQ(refuse({{1, 2, 3}, {4, 5}}, far, path),
            "position 2 requested of 'blocks.0.hook_resid_post' is out of range of prompt 1, which "
            "has 2 tokens");
  by_sequence.capture("hook_embed", {.sequences = {0}});
  EXPECT_EQ(refuse({{1}}, by_sequence, path),
            "invalid selection of sequences for 'hook_embed': not supported for a file of prompts");
  EXPECT_NE(refuse({{1}}, hooks, folder.path() / "a.txt").find("unknown capture format '.txt'"),
            std::string::npos);
  EXPECT_NE(refuse({{1}}, hooks, folder.path() / "no" / "a.npy").find("missing folder"),
            std::string::npos);
  EXPECT_NE(refuse({{1}}, hooks, folder.path() / "no" / "many/").find("missing folder"),
            std::string::npos);
  Hooks two;
  two.capture("blocks.*.hook_resid_post");
  EXPECT_NE(refuse({{1}}, two, folder.path() / "a.npy").find("a .npy file holds one tensor"),
            std::string::npos);
  EXPECT_TRUE(names_in(folder.path()).empty());
  std::filesystem::create_directories(folder.path() / "full" / "x");
  EXPECT_NE(refuse({{1}}, hooks, folder.path() / "full").find("is a non-empty folder"),
            std::string::npos);
}

}  // namespace
}  // namespace vitrine::testing
