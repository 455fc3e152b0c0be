// SPDX-License-Identifier: MIT
#include "engine/checkpoint/model_path.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <string>

#include "tests/base/test_files.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::says;
using testing::TempFolder;

// Each test has a home of its own, and none of the machine's settings.
class ModelPath : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME",
                             "VITRINE_DEMO_MODEL", "HOME"}) {
      const char* value = std::getenv(name);
      saved_[name] = value ? std::optional<std::string>(value) : std::nullopt;
      unsetenv(name);
    }
    setenv("HOME", home_.path().c_str(), 1);
    fs::create_directory(home_ / "elsewhere");
    fs::current_path(home_ / "elsewhere");  // where nothing has the name of a model
  }
  void TearDown() override {
    fs::current_path(before_);
    for (const auto& [name, value] : saved_)
      value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
  }

  fs::path add_snapshot(const fs::path& cache, const std::string& repository,
                        const std::string& revision, bool current = true) {
    const fs::path folder = cache / ("models--" + repository);
    fs::create_directories(folder / "snapshots" / revision);
    fs::create_directories(folder / "refs");
    if (current) std::ofstream(folder / "refs" / "main") << revision;
    return folder / "snapshots" / revision;
  }

  const fs::path before_ = fs::current_path();
  TempFolder home_;
  std::map<std::string, std::optional<std::string>> saved_;
};

TEST_F(ModelPath, TakesWhatExists) {
  EXPECT_EQ(resolve_model(home_.path().string()), home_.path());
  const fs::path file = home_.write("model.safetensors", "x");
  EXPECT_EQ(resolve_model(file.string()), file);
}

TEST_F(ModelPath, FindsTheCacheByHuggingFacesRules) {
  EXPECT_EQ(hub_cache(), home_ / ".cache/huggingface/hub");
  setenv("XDG_CACHE_HOME", "/xdg", 1);
  EXPECT_EQ(hub_cache(), "/xdg/huggingface/hub");
  setenv("HF_HOME", "/home-of-hf", 1);
  EXPECT_EQ(hub_cache(), "/home-of-hf/hub");
  setenv("HUGGINGFACE_HUB_CACHE", "/old", 1);
  EXPECT_EQ(hub_cache(), "/old");
  setenv("HF_HUB_CACHE", "/cache", 1);
  EXPECT_EQ(hub_cache(), "/cache");
  setenv("HF_HUB_CACHE", "", 1);
  EXPECT_EQ(hub_cache(), "/old") << "empty counts as unset";
}

TEST_F(ModelPath, ListsTheGpt2ModelsOfTheCache) {
  EXPECT_TRUE(cached_models().empty()) << "there is no cache";
  const auto add = [&](const std::string& repository, const std::string& config,
                       const char* weights) {
    const fs::path folder = add_snapshot(hub_cache(), repository, "aaa");
    std::ofstream(folder / "config.json") << config;
    if (weights) std::ofstream(folder / weights) << "12345";
    return folder;
  };
  const std::string gpt2 = R"({"model_type": "gpt2"})";
  const fs::path second = add("openai-community--gpt2", gpt2, "model.safetensors"),
                 first = add("distilgpt2", gpt2, "pytorch_model.bin");
  add("google--bert", R"({"model_type": "bert"})", "model.safetensors");
  add("someone--configured", gpt2, nullptr);
  add("someone--broken", "{", "model.safetensors");
  add("someone--odd", R"({"model_type": 3})", "model.safetensors");
  add("someone--list", "[]", "model.safetensors");
  std::ofstream(hub_cache() / "version.txt") << "1";
  const auto found = cached_models();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].name, "distilgpt2");
  EXPECT_EQ(found[0].path, first);
  EXPECT_EQ(found[0].bytes, gpt2.size() + 5);
  EXPECT_EQ(found[1].name, "openai-community/gpt2");
  EXPECT_EQ(resolve_model(found[1].name), second) << "the name is one that a model is found by";
}

TEST_F(ModelPath, TakesTheCurrentSnapshot) {
  add_snapshot(hub_cache(), "gpt2", "aaa", false);
  const fs::path current = add_snapshot(hub_cache(), "gpt2", "bbb");
  EXPECT_EQ(resolve_model("gpt2"), current);
  const fs::path only = add_snapshot(hub_cache(), "someone--thing", "ccc", false);
  EXPECT_EQ(resolve_model("someone/thing"), only) << "without refs/main, the only snapshot";
}

TEST_F(ModelPath, OldAndNewNamesFindEachOther) {
  const fs::path moved = add_snapshot(hub_cache(), "openai-community--gpt2", "aaa");
  EXPECT_EQ(resolve_model("gpt2"), moved);
  EXPECT_EQ(resolve_model("openai-community/gpt2"), moved);
  const fs::path bare = add_snapshot(hub_cache(), "distilgpt2", "bbb");
  EXPECT_EQ(resolve_model("distilbert/distilgpt2"), bare);
  EXPECT_EQ(resolve_model("distilgpt2"), bare);
}

TEST_F(ModelPath, SaysWhereItLooked) {
  EXPECT_TRUE(says(error_of([] { resolve_model("gpt2"); }), "model 'gpt2'",
                   (hub_cache() / "models--gpt2").string(),
                   (hub_cache() / "models--openai-community--gpt2").string()));
  EXPECT_TRUE(
      says(error_of([] { resolve_model("a/b/c"); }), "'a/b/c'", "no such file or directory"));
  EXPECT_TRUE(says(error_of([] { resolve_model("../up"); }), "'../up'", "not a model name"));
  EXPECT_TRUE(says(error_of([] { resolve_model(""); }), "model ''"));
  EXPECT_TRUE(says(error_of([] { resolve_model("a\nb"); }), "'a\\x0ab'"));
}

TEST_F(ModelPath, ARevisionIsNamedAfterAnAt) {
  const fs::path a = add_snapshot(hub_cache(), "o--x", "aaaa1111", false),
                 b = add_snapshot(hub_cache(), "o--x", "aaaa2222", false);
  EXPECT_TRUE(says(error_of([] { resolve_model("o/x"); }), "several revisions",
                   "aaaa1111, aaaa2222", "o/x@aaaa1111"))
      << "nothing says which is current";
  EXPECT_EQ(resolve_model("o/x@aaaa2222"), b);
  EXPECT_EQ(resolve_model("o/x@aaaa1"), a);
  EXPECT_TRUE(says(error_of([] { resolve_model("o/x@aaaa"); }), "unknown revision", "aaaa1111"));
  fs::create_directories(hub_cache() / "models--o--x" / "refs" / "refs" / "pr");
  std::ofstream(hub_cache() / "models--o--x" / "refs" / "refs" / "pr" / "1") << "aaaa2222";
  std::ofstream(hub_cache() / "models--o--x" / "refs" / "v1.0") << "aaaa1111";
  EXPECT_EQ(resolve_model("o/x@refs/pr/1"), b);
  EXPECT_EQ(resolve_model("o/x@v1.0"), a);
  EXPECT_TRUE(says(error_of([] { resolve_model("o/x@../../etc"); }), "not a model name"));
  EXPECT_TRUE(says(error_of([] { resolve_model("o/y@aaaa1111"); }), "not in the Hugging Face"));
}

TEST_F(ModelPath, ARepositorysFolderIsItsCurrentRevision) {
  const fs::path current = add_snapshot(hub_cache(), "x", "aaa");
  fs::create_directories(hub_cache() / "models--x" / "blobs");
  EXPECT_EQ(resolve_model((hub_cache() / "models--x").string()), current);
}

TEST_F(ModelPath, NamesADanglingLink) {
  fs::create_symlink(home_ / "nowhere", home_ / "link");
  EXPECT_TRUE(says(error_of([&] { resolve_model((home_ / "link").string()); }), "is a link to",
                   "nowhere", "unfinished"));
}

TEST_F(ModelPath, ReferencesCannotLeadOutOfTheCache) {
  const fs::path folder = hub_cache() / "models--x";
  fs::create_directories(folder / "snapshots");
  fs::create_directories(folder / "refs");
  std::ofstream(folder / "refs" / "main") << "../../../../..";
  EXPECT_TRUE(says(error_of([] { resolve_model("x"); }), "model 'x'"));
}

TEST_F(ModelPath, DemoCanBeChosen) {
  setenv("VITRINE_DEMO_MODEL", home_.path().c_str(), 1);
  EXPECT_EQ(resolve_model("demo"), home_.path());
  setenv("VITRINE_DEMO_MODEL", "/nowhere/demo", 1);
  EXPECT_TRUE(says(error_of([] { resolve_model("demo"); }), "VITRINE_DEMO_MODEL is /nowhere/demo"));
}

}  // namespace
}  // namespace vitrine
