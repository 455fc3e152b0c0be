// SPDX-License-Identifier: MIT
// States whose checksum is right and whose parts do not fit each other.

#include <gtest/gtest.h>

#include "analysis/corpus/moments_state.h"
#include "corpus_support.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/corpus/corpus_moments.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

Hooks hooks_of(const std::string& pattern) {
  Hooks hooks;
  hooks.capture(pattern);
  return hooks;
}

class HostileState : public ::testing::Test {
 protected:
  /// The state of a complete run.
  fs::path state_of(const std::string& pattern, const std::string& name) {
    const fs::path path = folder_ / name;
    corpus_moments(model_, windows_of(model_, corpus_), hooks_of(pattern), {.state = path});
    return path;
  }
  /// The same tensors with other words.
  void change(const fs::path& path, const std::function<void(Json&)>& edit) {
    const SafetensorsFile file(path);
    Json json = Json::parse(file.metadata().at("vitrine moments"));
    edit(json);
    std::vector<std::pair<std::string, TensorView>> tensors;
    for (const std::string& name : file.names()) tensors.emplace_back(name, file.tensor(name));
    SafetensorsWriter::write(path, tensors, {{"vitrine moments", json.dump()}});
  }

  TempFolder folder_;
  Model model_ = small_model();
  std::string corpus_ = ids_corpus(folder_, 4);
};

// Each mention copies the site's matrix: a few bytes of names would take any amount of memory.
TEST_F(HostileState, ASiteOccursOnce) {
  const fs::path path = state_of("blocks.0.hook_resid_post", "s.safetensors");
  change(path, [](Json& json) { json["sites"].push_back(json["sites"][0]); });
  EXPECT_TRUE(says(user_error_of([&] { read_moments(path); }), "s.safetensors",
                   "duplicate site 'blocks.0.hook_resid_post'"));
  change(path, [](Json& json) { json["sites"] = Json::array(); });
  EXPECT_TRUE(says(user_error_of([&] { read_moments(path); }), "at least one site"));
}

TEST_F(HostileState, ARankIsLessThanItsWorld) {
  const fs::path path = state_of("blocks.0.hook_resid_post", "s.safetensors");
  change(path, [](Json& json) { json["parts"][0]["rank"] = 1; });
  EXPECT_TRUE(says(user_error_of([&] { read_moments(path); }), "rank is 1"));
}

TEST_F(HostileState, AStateIsResumedWithItsOwnSitesOnly) {
  const fs::path two = state_of("blocks.{0,1}.hook_resid_post", "two.safetensors"),
                 one = state_of("blocks.1.hook_resid_post", "one.safetensors");
  for (const bool more : {true, false}) {
    // What it says of the run is one run's, the sites are the other's.
    MomentsState state = read_moments_state(more ? two : one);
    state.moments.parts = read_moments_state(more ? one : two).moments.parts;
    state.moments.complete = false;
    const fs::path path = folder_ / "mixed.safetensors";
    write_moments_state(state, path);
    EXPECT_TRUE(says(user_error_of([&] {
                       corpus_moments(model_, windows_of(model_, corpus_),
                                      hooks_of(more ? "blocks.1.hook_resid_post"
                                                    : "blocks.{0,1}.hook_resid_post"),
                                      {.state = path});
                     }),
                     "mixed.safetensors: damaged", more ? "its 2 sites" : "its 1 sites"));
  }
}

// To compare every part with every other for every rank took hours.
TEST_F(HostileState, ManyRanksMergeInTheirOwnTime) {
  static constexpr int kRanks = 3000;
  const fs::path path = state_of("blocks.0.hook_resid_post", "s.safetensors");
  change(path, [](Json& json) {
    Json parts = Json::array();
    for (int rank = 0; rank < kRanks; ++rank) {
      Json part = json["parts"][0];
      part["rank"] = rank;
      part["world"] = kRanks;
      parts.push_back(part);
    }
    json["parts"] = parts;
  });
  EXPECT_EQ(merge_moments({path}).documents, 4);
  change(path, [](Json& json) { json["parts"].erase(7); });
  EXPECT_TRUE(says(user_error_of([&] { merge_moments({path}); }), "rank 7 of 3000 is missing"));
}

}  // namespace
}  // namespace vitrine::testing
