// SPDX-License-Identifier: MIT
#include "vitrine/corpus/corpus_moments.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "base/file_lock.h"
#include "base/json.h"
#include "corpus_support.h"
#include "tests/run_values.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

Hooks some_sites() {
  Hooks hooks;
  hooks.capture("blocks.1.hook_resid_post", {.neurons = {0, 3, 23}})
      .capture("blocks.2.attn.hook_z", {.heads = {1}, .neurons = {2, 5}});
  return hooks;
}

CorpusMoments moments_of(const Model& model, const std::string& path,
                         const CorpusMomentsOptions& options = {},
                         const CorpusOptions& corpus = {}) {
  return corpus_moments(model, windows_of(model, path, {.window = 9, .overlap = 2}, corpus),
                        some_sites(), options);
}

/// Each window alone in memory, and numpy.cov's two passes over all rows of new tokens.
Covariance expected(const Model& model, const std::string& path, const std::string& site,
                    int64_t width) {
  std::vector<double> rows;
  WindowReader reader = windows_of(model, path, {.window = 9, .overlap = 2});
  for (Window window; reader.next(window);) {
    const auto values =
        testing_support::site_of(model.forward(window.ids, some_sites()), site).view().to_f32();
    rows.insert(rows.end(), values.begin() + window.repeated * width, values.end());
  }
  return covariance({rows, static_cast<int64_t>(rows.size()) / width, width}, {.rowvar = false});
}

void expect_close(const Covariance& found, const Covariance& wanted) {
  ASSERT_EQ(found.observations, wanted.observations);
  for (int64_t i = 0; i < wanted.variables; ++i) {
    EXPECT_NEAR(found.mean[static_cast<size_t>(i)], wanted.mean[static_cast<size_t>(i)],
                1e-12 * std::sqrt(wanted.at(i, i)));
    for (int64_t j = 0; j < wanted.variables; ++j)
      EXPECT_NEAR(found.at(i, j), wanted.at(i, j),
                  1e-10 * std::sqrt(wanted.at(i, i) * wanted.at(j, j)));
  }
}

void expect_same_bits(const CorpusMoments& found, const CorpusMoments& wanted) {
  ASSERT_EQ(found.sites.size(), wanted.sites.size());
  EXPECT_EQ(found.tokens, wanted.tokens);
  EXPECT_EQ(found.windows, wanted.windows);
  EXPECT_EQ(found.documents, wanted.documents);
  for (size_t i = 0; i < found.sites.size(); ++i) {
    EXPECT_EQ(found.sites[i].moments.covariance().values,
              wanted.sites[i].moments.covariance().values);
    EXPECT_EQ(found.sites[i].moments.covariance().mean, wanted.sites[i].moments.covariance().mean);
  }
}

TEST(CorpusMoments, OnePassAgreesWithTwoPassesOverAllWindows) {
  const Model model = small_model();
  const TempFolder folder;
  const std::string path = ids_corpus(folder, 30);
  const CorpusMoments found = moments_of(model, path);
  ASSERT_EQ(found.sites.size(), 2u);
  EXPECT_TRUE(found.complete);
  EXPECT_EQ(found.documents, 30);
  EXPECT_EQ(found.sites[0].site, "blocks.1.hook_resid_post");
  EXPECT_EQ(found.sites[0].variables, (std::vector<std::string>{"0", "3", "23"}));
  EXPECT_EQ(found.sites[1].variables, (std::vector<std::string>{"1.2", "1.5"}));
  EXPECT_GT(found.tokens, 512) << "several blocks";
  expect_close(found.sites[0].moments.covariance(),
               expected(model, path, "blocks.1.hook_resid_post", 3));
  expect_close(found.sites[1].moments.covariance(),
               expected(model, path, "blocks.2.attn.hook_z", 2));
  expect_same_bits(moments_of(model, path, {.batch_tokens = 1}), found);
}

// A name belongs to its column whatever the order in which neurons were requested.
TEST(CorpusMoments, VariablesAreNamedInTheOrderOfTheirColumns) {
  const Model model = small_model();
  const TempFolder folder;
  const std::string path = ids_corpus(folder, 5);
  const auto found = [&](std::vector<int64_t> neurons) {
    Hooks hooks;
    hooks.capture("blocks.1.hook_resid_post", {.neurons = std::move(neurons)});
    return corpus_moments(model, windows_of(model, path, {.window = 9}), hooks, {}).sites[0];
  };
  const SiteMoments one = found({7}), both = found({7, 2});
  ASSERT_EQ(both.variables, (std::vector<std::string>{"2", "7"}));
  EXPECT_EQ(both.moments.covariance().at(1, 1), one.moments.covariance().at(0, 0));
}

// Rows that count need not lie next to each other; a window that is too short has some of them.
TEST(CorpusMoments, PositionsWithinAWindowAreObservations) {
  const Model model = small_model();
  const TempFolder folder;
  const std::string path = ids_corpus(folder, 20);
  const std::string site = "blocks.1.hook_resid_post";
  const std::vector<int64_t> positions = {0, 3, 4, 7};
  const int64_t width = model.config().width;
  std::vector<double> rows;
  WindowReader reader = windows_of(model, path, {.window = 9});
  for (Window window; reader.next(window);) {
    const auto values =
        testing_support::site_of(model.forward(window.ids, Hooks().capture(site)), site)
            .view()
            .to_f32();
    for (const int64_t position : positions) {
      if (position >= static_cast<int64_t>(window.ids.size())) continue;
      rows.insert(rows.end(), values.begin() + position * width,
                  values.begin() + (position + 1) * width);
    }
  }
  const CorpusMoments found = corpus_moments(model, windows_of(model, path, {.window = 9}),
                                             Hooks().capture(site, {.positions = positions}));
  expect_close(
      found.sites[0].moments.covariance(),
      covariance({rows, static_cast<int64_t>(rows.size()) / width, width}, {.rowvar = false}));
}

TEST(CorpusMoments, GoOnWithTheSameBits) {
  const Model model = small_model();
  const TempFolder folder;
  const std::string path = ids_corpus(folder, 12);
  const CorpusMoments wanted = moments_of(model, path);
  const fs::path state = folder / "state.safetensors";
  int runs = 0;
  for (bool complete = false; !complete; ++runs) {
    int asked = 0;
    const CorpusMoments found = moments_of(
        model, path, {.state = state, .save_tokens = 1, .batch_tokens = 1, .keep_going = [&] {
                        return ++asked <= 7;
                      }});
    EXPECT_EQ(found.resumed, runs > 0);
    complete = found.complete;
    if (complete) expect_same_bits(found, wanted);
  }
  EXPECT_GT(runs, 3);
  expect_same_bits(read_moments(state), wanted);
  expect_same_bits(moments_of(model, path, {.state = state}), wanted);
}

TEST(CorpusMoments, RanksMergeToTheWhole) {
  const Model model = small_model();
  const TempFolder folder;
  const std::string path = ids_corpus(folder, 20);
  const CorpusMoments whole = moments_of(model, path);
  std::vector<fs::path> states;
  for (int64_t rank = 0; rank < 3; ++rank) {
    states.push_back(folder / ("rank" + std::to_string(rank) + ".safetensors"));
    moments_of(model, path, {.state = states.back()}, {.rank = rank, .world = 3});
  }
  const CorpusMoments merged = merge_moments(states);
  EXPECT_EQ(merged.tokens, whole.tokens);
  EXPECT_EQ(merged.documents, 20);
  for (size_t i = 0; i < 2; ++i)
    expect_close(merged.sites[i].moments.covariance(), whole.sites[i].moments.covariance());

  // Another corpus joins: a merge of a merge.
  write_moments(merged, folder / "merged.safetensors");
  const std::string other = ids_corpus(folder, 4, "other.jsonl", 8);
  moments_of(model, other, {.state = folder / "other.safetensors"});
  EXPECT_EQ(merge_moments({folder / "merged.safetensors", folder / "other.safetensors"}).documents,
            24);

  const auto refused = [&](const std::vector<fs::path>& paths) {
    return user_error_of([&] { merge_moments(paths); });
  };
  EXPECT_EQ(refused({states[0], states[2]}),
            "rank 1 of 3 is missing: expected every rank of a corpus once");
  EXPECT_EQ(refused({states[0], states[1], states[2], states[1]}),
            "rank 1 of 3 is present 2 times: expected every rank of a corpus once");
  EXPECT_TRUE(
      says(refused({folder / "merged.safetensors", states[0]}), "rank 0 of 3 is present 2 times"));
  moments_of(model, path, {.state = folder / "whole.safetensors"});
  EXPECT_TRUE(says(refused({states[0], states[1], states[2], folder / "whole.safetensors"}),
                   "different worlds of 1 and 3 ranks for one corpus"));
  moments_of(model, path,
             {.state = folder / "begun.safetensors", .keep_going = [] { return false; }});
  EXPECT_TRUE(says(refused({folder / "begun.safetensors"}), "begun.safetensors: incomplete run"));
  Hooks narrower;
  narrower.capture("blocks.1.hook_resid_post", {.neurons = {0, 3, 23}});
  corpus_moments(model, windows_of(model, other), narrower,
                 {.state = folder / "narrower.safetensors"});
  EXPECT_TRUE(says(refused({folder / "other.safetensors", folder / "narrower.safetensors"}),
                   "has 1 sites"));
  EXPECT_TRUE(says(refused({}), "missing states to merge"));
}

TEST(CorpusMoments, RefuseStatesOfOthersAndDamagedOnes) {
  const Model model = small_model();
  const TempFolder folder;
  const std::string path = ids_corpus(folder, 6);
  const fs::path state = folder / "state.safetensors";
  int asked = 0;
  moments_of(model, path,
             {.state = state, .batch_tokens = 1, .keep_going = [&] { return ++asked <= 3; }});
  const std::string good = read_bytes(state);
  const auto refused = [&](const std::string& bytes, const CorpusMomentsOptions& more = {},
                           const CorpusOptions& corpus = {}) {
    std::ofstream(state, std::ios::binary) << bytes;
    CorpusMomentsOptions options = more;
    options.state = state;
    const std::string line = user_error_of([&] { moments_of(model, path, options, corpus); });
    EXPECT_EQ(read_bytes(state), bytes) << "nothing is lost";
    EXPECT_EQ(line.find('\n'), std::string::npos);
    return line;
  };
  EXPECT_TRUE(says(
      refused(good, {.weights_digest = "other"}),
      "state.safetensors: belongs to a different run: model.weights is '' there and 'other' here"));
  EXPECT_TRUE(says(refused(good, {}, {.rank = 1, .world = 2}), "rank is 0 there and 1 here"));
  EXPECT_TRUE(says(refused(good.substr(0, good.size() - 8)), "state.safetensors"));
  std::string flipped = good;
  flipped[good.size() - 5] = static_cast<char>(flipped[good.size() - 5] ^ 1);
  EXPECT_TRUE(says(refused(flipped), "damaged: its values do not match their checksum"));
  std::string lying = good;
  const size_t at = lying.find("\\\"23\\\"");
  ASSERT_NE(at, std::string::npos);
  lying.replace(at, 6, "\\\"2\\\",");  // not JSON any more
  EXPECT_TRUE(says(refused(lying), "state.safetensors"));
  EXPECT_TRUE(says(user_error_of([&] {
                     read_moments(fs::path(VITRINE_SOURCE_DIR) / "tests" / "goldens" / "plain" /
                                  "model.safetensors");
                   }),
                   "is not the state of a covariance run"));
}

TEST(CorpusMoments, RefuseBeforeTheWork) {
  const Model model = small_model();
  const TempFolder folder;
  const std::string path = ids_corpus(folder, 2);
  {
    const FileLock lock(folder / "held.safetensors.lock", "");
    EXPECT_TRUE(says(
        user_error_of([&] { moments_of(model, path, {.state = folder / "held.safetensors"}); }),
        "held.safetensors: in use by another process"));
  }
  EXPECT_TRUE(says(user_error_of([&] { moments_of(model, path, {.max_bytes = 10}); }),
                   "the covariance matrices of 2 sites take 1.04e-07 GB"));
  EXPECT_TRUE(says(
      user_error_of([&] { moments_of(model, path, {.state = folder / "no" / "x.safetensors"}); }),
      "cannot be written"));
  EXPECT_TRUE(says(
      user_error_of([&] { moments_of(model, folder.write("bad.jsonl", "\n{\"ids\": [1]}\n")); }),
      "bad.jsonl:1: document 0 is empty"));
  EXPECT_TRUE(says(user_error_of([&] {
                     moments_of(model, folder.write("bad.jsonl", "nothing"), {},
                                {.skip_bad = true});
                   }),
                   "the corpus has no valid document; the first bad one: "));
}

}  // namespace
}  // namespace vitrine::testing
