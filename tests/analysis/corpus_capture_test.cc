// SPDX-License-Identifier: MIT
#include "vitrine/corpus/corpus_capture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>

#include "base/file_lock.h"
#include "base/json.h"
#include "base/xxhash64.h"
#include "corpus_support.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

template <typename T>
std::vector<T> values(const TensorView& view) {
  std::vector<T> found(static_cast<size_t>(view.elements()));
  if (!found.empty()) std::memcpy(found.data(), view.data(), view.bytes());
  return found;
}

Hooks residuals() {
  Hooks hooks;
  hooks.capture("blocks.{0,2}.hook_resid_post");
  return hooks;
}

/// Every file of a folder, by its path in it, but for the lock.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().filename() != "lock")
      found[fs::relative(entry.path(), folder).string()] = read_bytes(entry.path());
  }
  return found;
}

const fs::path kRank = "rank-00000-of-00001";

TEST(CorpusCapture, HoldsWhatEachWindowGivesAlone) {
  const Model model = small_model();
  const TempFolder folder;
  const std::string path = ids_corpus(folder, 9);
  Hooks hooks;
  hooks.capture("blocks.2.hook_resid_post")
      .capture("blocks.1.attn.hook_z", {.positions = {-1, 4}, .heads = {1}}, DType::kBF16);
  hooks.edit("blocks.0.hook_mlp_out", scale(0.5f));
  for (const WindowOptions& options :
       {WindowOptions{.window = 7}, {.window = 7, .overlap = 3, .prepend = 60}}) {
    const fs::path out = folder / ("out" + std::to_string(options.overlap));
    const auto summary = capture_corpus(model, windows_of(model, path, options), hooks, out,
                                        {.shard_tokens = 40, .batch_tokens = 16});
    EXPECT_TRUE(summary.complete);
    EXPECT_EQ(summary.documents, 9);
    WindowReader reader = windows_of(model, path, options);
    Window window;
    int64_t windows = 0, tokens = 0;
    for (int64_t shard = 0; shard < summary.shards; ++shard) {
      const SafetensorsFile file(out / kRank / fmt::format("shard-{:06}.safetensors", shard));
      const auto ids = values<int32_t>(file.tensor("ids"));
      const auto offsets = values<int64_t>(file.tensor("offsets")),
                 documents = values<int64_t>(file.tensor("documents"));
      EXPECT_LE(ids.size(), 40u);
      const auto z_offsets = values<int64_t>(file.tensor("blocks.1.attn.hook_z.offsets")),
                 z_positions = values<int64_t>(file.tensor("blocks.1.attn.hook_z.positions"));
      const auto rows = file.tensor("blocks.2.hook_resid_post").to_f32(),
                 z = file.tensor("blocks.1.attn.hook_z").to_f32();
      const auto row_offsets = values<int64_t>(file.tensor("blocks.2.hook_resid_post.offsets"));
      EXPECT_EQ(file.tensor("blocks.1.attn.hook_z").shape(), (Shape{z_offsets.back(), 1, 12}));
      for (size_t w = 0; w < documents.size(); ++w) {
        ASSERT_TRUE(reader.next(window));
        ++windows;
        tokens += window.new_tokens();
        EXPECT_EQ(documents[w], window.document);
        EXPECT_EQ(values<int64_t>(file.tensor("begins"))[w], window.begin);
        EXPECT_EQ(values<int64_t>(file.tensor("repeated"))[w], window.repeated);
        EXPECT_EQ(std::vector<int32_t>(ids.begin() + offsets[w], ids.begin() + offsets[w + 1]),
                  window.ids);
        // The window alone, the rows of repeated tokens left out.
        Hooks alone;
        alone.capture("blocks.2.hook_resid_post")
            .capture("blocks.1.attn.hook_z", {.heads = {1}}, DType::kBF16)
            .edit("blocks.0.hook_mlp_out", scale(0.5f));
        const auto run = model.forward(window.ids, alone);
        const auto all = run["blocks.2.hook_resid_post"].to_f32(),
                   all_z = run["blocks.1.attn.hook_z"].to_f32();
        EXPECT_EQ(std::vector<float>(rows.begin() + row_offsets[w] * 24,
                                     rows.begin() + row_offsets[w + 1] * 24),
                  std::vector<float>(all.begin() + window.repeated * 24, all.end()));
        std::vector<int64_t> wanted;
        const auto length = static_cast<int64_t>(window.ids.size());
        for (int64_t p = window.repeated; p < length; ++p) {
          if (p == 4 || p == length - 1) wanted.push_back(p);
        }
        EXPECT_EQ(std::vector<int64_t>(z_positions.begin() + z_offsets[w],
                                       z_positions.begin() + z_offsets[w + 1]),
                  wanted);
        for (size_t i = 0; i < wanted.size(); ++i) {
          EXPECT_TRUE(std::equal(all_z.begin() + wanted[i] * 12,
                                 all_z.begin() + (wanted[i] + 1) * 12,
                                 z.begin() + (z_offsets[w] + static_cast<int64_t>(i)) * 12));
        }
      }
    }
    EXPECT_FALSE(reader.next(window)) << "no window is missing";
    EXPECT_EQ(summary.windows, windows);
    EXPECT_EQ(summary.tokens, tokens);
    const CorpusCheck check = check_corpus_capture(out);
    EXPECT_TRUE(check.complete && check.problems.empty());
    EXPECT_EQ(check.bytes, summary.bytes);
  }
}

TEST(CorpusCapture, DoesNotDependOnBatchesOrStops) {
  const Model model = small_model();
  const TempFolder folder;
  const std::string path = ids_corpus(folder, 12);
  const auto run = [&](const std::string& name, int64_t batch_tokens, int stop_after) {
    int64_t runs = 0,
            resumed = fs::exists(folder / name) ? check_corpus_capture(folder / name).shards : 0;
    for (;;) {
      int asked = 0;
      const auto summary =
          capture_corpus(model, windows_of(model, path), residuals(), folder / name,
                         {.shard_tokens = 30, .batch_tokens = batch_tokens, .keep_going = [&] {
                            return ++asked <= stop_after;
                          }});
      EXPECT_EQ(summary.resumed_shards, resumed);
      resumed = summary.shards;
      ++runs;
      if (summary.complete) return runs;
    }
  };
  EXPECT_EQ(run("whole", 512, 1000), 1);
  const auto wanted = contents(folder / "whole");
  EXPECT_GT(wanted.size(), 6u);
  EXPECT_EQ(run("one", 1, 1000), 1);
  EXPECT_EQ(contents(folder / "one"), wanted);
  EXPECT_GT(run("stops", 1, 1), 4) << "a run ends after the current shard";
  EXPECT_EQ(contents(folder / "stops"), wanted);
  EXPECT_EQ(run("stops", 1, 1), 1) << "a complete one has nothing left to do";
}

TEST(CorpusCapture, GoesOnAfterAKillAtAnyMoment) {
  const Model model =
      Model::random({.layers = 1, .heads = 2, .width = 24, .inner = 40, .vocab = 61, .context = 12},
                    5, {.threads = 1});
  const TempFolder folder;
  const std::string path = ids_corpus(folder, 30);
  Hooks hooks;
  hooks.capture("blocks.0.hook_resid_post");
  const auto capture = [&](const fs::path& out, const std::function<bool()>& keep_going) {
    return capture_corpus(model, windows_of(model, path), hooks, out,
                          {.shard_tokens = 60, .batch_tokens = 12, .keep_going = keep_going});
  };
  capture(folder / "whole", {});
  const auto wanted = contents(folder / "whole");
  ASSERT_GT(wanted.size(), 8u);
  int killed = 0;
  // Each child dies a little later after its first batches: while a shard is filled, written, or
  // entered into the manifest.
  for (int i = 0; i < 60; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      int asked = 0;
      capture(folder / "killed", [&] {
        if (++asked == 2 + i % 9) {
          usleep(static_cast<useconds_t>(i * 37 % 400));
          kill(getpid(), SIGKILL);
        }
        return true;
      });
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status)) break;
    ++killed;
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    for (const auto& [name, bytes] : contents(folder / "killed")) {
      if (name.ends_with("manifest.json") || name.ends_with("statistics.safetensors")) continue;
      EXPECT_TRUE(name.ends_with(".tmp") || bytes == wanted.at(name))
          << name << ": a shard is whole as soon as it is there";
    }
  }
  EXPECT_GT(killed, 4);
  EXPECT_TRUE(capture(folder / "killed", {}).complete);
  EXPECT_EQ(contents(folder / "killed"), wanted);
}

/// Shards of windows of long and short documents, some of which go on in the next shard.
class Repair : public ::testing::Test {
 protected:
  Repair() : path_(ids_corpus(folder_, 14)) {
    capture_corpus(model_, reader(path_), residuals(), out(), options());
    wanted_ = contents(out());
    EXPECT_GT(wanted_.size(), 6u);
  }
  fs::path out() const { return folder_ / "out"; }
  static CorpusCaptureOptions options(int64_t batch_tokens = 512) {
    return {.shard_tokens = 30, .batch_tokens = batch_tokens};
  }
  WindowReader reader(const std::string& path) const {
    return windows_of(model_, path, {.window = 10, .overlap = 3});
  }
  CorpusRepair repair(int64_t batch_tokens = 512) const {
    return repair_corpus(model_, reader(path_), residuals(), out(), options(batch_tokens));
  }
  fs::path shard(int index) const {
    return out() / kRank / fmt::format("shard-{:06}.safetensors", index);
  }
  void damage(int index) const {
    std::string bytes = read_bytes(shard(index));
    bytes[bytes.size() / 2] ^= 4;
    std::ofstream(shard(index), std::ios::binary) << bytes;
  }

  TempFolder folder_;
  const Model model_ = small_model();
  std::string path_;
  std::map<std::string, std::string> wanted_;
};

TEST_F(Repair, MakesAnyShardsAgainWithTheSameBytes) {
  EXPECT_TRUE(repair().repaired.empty());
  const int shards = static_cast<int>(wanted_.size()) - 2;  // without manifest and statistics
  for (const std::vector<int>& bad : std::vector<std::vector<int>>{
           {0}, {1}, {shards - 1}, {0, 1}, {0, 2}, {1, 3, shards - 1}, {2, 5}}) {
    for (const int64_t batch_tokens : {1, 37, 512}) {
      for (size_t i = 0; i < bad.size(); ++i) {
        if (i % 2 == 0)
          fs::remove(shard(bad[i]));
        else
          damage(bad[i]);
      }
      const CorpusRepair done = repair(batch_tokens);
      EXPECT_EQ(done.repaired.size(), bad.size());
      EXPECT_TRUE(says(done.repaired.front(), shard(bad[0]).string(), "but not there"));
      EXPECT_EQ(done.shards, shards);
      EXPECT_TRUE(done.complete);
      EXPECT_EQ(contents(out()), wanted_);
    }
  }
  fs::resize_file(shard(2), 10);
  EXPECT_TRUE(says(repair().repaired.at(0), "has 10 bytes"));
  EXPECT_EQ(contents(out()), wanted_);
}

TEST_F(Repair, NamesDocumentsThatHaveChanged) {
  damage(2);
  const auto before = contents(out());
  const TempFolder others;
  std::string text = read_bytes(path_);
  const size_t digit = text.find('[') + 1;
  text[digit] = text[digit] == '1' ? '2' : '1';
  const std::string other = others.write("corpus.jsonl", text);
  const auto refused = [&](WindowReader windows, const Hooks& hooks,
                           const CorpusCaptureOptions& how) {
    const std::string line =
        user_error_of([&] { repair_corpus(model_, std::move(windows), hooks, out(), how); });
    EXPECT_EQ(contents(out()), before) << line;
    return line;
  };
  EXPECT_TRUE(says(refused(reader(other), residuals(), options()), "have changed"));
  Hooks more = residuals();
  more.capture("blocks.1.hook_resid_post");
  EXPECT_TRUE(
      says(refused(reader(path_), more, options()), "belongs to a different run", "plan.captures"));
  EXPECT_TRUE(says(refused(reader(path_), residuals(), {.shard_tokens = 31}), "plan.shard_tokens"));
  EXPECT_TRUE(says(refused(reader(path_), residuals(), {.shard_tokens = 30, .weights_digest = "x"}),
                   "model.weights"));
  EXPECT_TRUE(says(user_error_of([&] {
                     repair_corpus(model_, reader(path_), residuals(), folder_ / "no", options());
                   }),
                   "missing: expected the capture to repair"));
  EXPECT_FALSE(fs::exists(folder_ / "no"));
}

TEST_F(Repair, WritesNothingWhereTheBytesDiffer) {
  fs::remove(shard(1));
  const fs::path manifest = out() / kRank / "manifest.json";
  Json json = read_json(manifest);
  json["shards"][1]["xxh64"] = "0123456789abcdef";
  std::ofstream(manifest) << json.dump(1) << "\n";
  const auto before = contents(out());
  EXPECT_TRUE(says(user_error_of([&] { repair(); }), shard(1).string(),
                   "the bytes differ from the manifest's checksum 0123456789abcdef"));
  EXPECT_EQ(contents(out()), before);
}

TEST(CorpusCapture, RanksAreTheirOwn) {
  const Model model = small_model();
  const TempFolder folder;
  const std::string path = ids_corpus(folder, 10);
  int64_t tokens = 0;
  for (int64_t rank = 0; rank < 3; ++rank) {
    const auto summary =
        capture_corpus(model, windows_of(model, path, {}, {.rank = rank, .world = 3}), residuals(),
                       folder / "out", {.shard_tokens = 50});
    EXPECT_EQ(summary.folder.filename(), "rank-0000" + std::to_string(rank) + "-of-00003");
    tokens += summary.tokens;
    EXPECT_EQ(check_corpus_capture(folder / "out").complete, rank == 2);
  }
  EXPECT_EQ(tokens,
            capture_corpus(model, windows_of(model, path), residuals(), folder / "one").tokens);
  EXPECT_NE(user_error_of([&] {
              capture_corpus(model, windows_of(model, path), residuals(), folder / "out");
            }).find("of a world of a different size: expected 1"),
            std::string::npos);
}

/// A finished capture, to be gone on with wrongly.
class SpoiltCapture : public ::testing::Test {
 protected:
  SpoiltCapture() : model_(small_model()), path_(ids_corpus(folder_, 12)) {
    int asked = 0;
    const auto summary = capture_corpus(
        model_, windows_of(model_, path_), residuals(), out(),
        {.shard_tokens = 30, .batch_tokens = 1, .keep_going = [&] { return ++asked < 12; }});
    EXPECT_FALSE(summary.complete);
    EXPECT_GE(summary.shards, 2);
    before_ = contents(out());
  }
  fs::path out() const { return folder_ / "out"; }
  fs::path manifest() const { return out() / kRank / "manifest.json"; }

  struct Change {
    const Model* model = nullptr;
    std::string path = {};
    WindowOptions windows = {};
    CorpusOptions corpus = {};
    const Hooks* hooks = nullptr;
    int64_t shard_tokens = 30;
    std::string digest = {};
  };
  /// The refusal; the folder is as it was.
  std::string refused(const Change& change) {
    const Model& model = change.model ? *change.model : model_;
    const std::string line = user_error_of([&] {
      capture_corpus(model,
                     windows_of(model, change.path.empty() ? path_ : change.path, change.windows,
                                change.corpus),
                     change.hooks ? *change.hooks : residuals(), out(),
                     {.shard_tokens = change.shard_tokens, .weights_digest = change.digest});
    });
    EXPECT_EQ(contents(out()), before_);
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
    return line;
  }
  void spoil(const fs::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
    before_ = contents(out());
  }

  TempFolder folder_;
  Model model_;
  std::string path_;
  std::map<std::string, std::string> before_;
};

TEST_F(SpoiltCapture, OfAnotherRunIsRefused) {
  Config config = model_.config();
  config.layers = 4;
  const Model deeper = Model::random(config, 5);
  EXPECT_TRUE(says(refused({.model = &deeper}),
                   (out() / kRank).string() +
                       ": belongs to a different run: model.config.layers is 3 there and 4 here"));
  EXPECT_TRUE(says(refused({.digest = "xxh64:0"}), "model.weights is '' there and 'xxh64:0' here"));
  Hooks others, narrowed = residuals();
  others.capture("blocks.{0,1}.hook_resid_post");
  EXPECT_TRUE(says(refused({.hooks = &others}),
                   "plan.captures[0].pattern is 'blocks.{0,2}.hook_resid_post' there and "
                   "'blocks.{0,1}.hook_resid_post' here"));
  narrowed.edit("blocks.0.hook_mlp_out", add(Tensor::from(std::vector<float>{1.0f})));
  EXPECT_TRUE(says(refused({.hooks = &narrowed}),
                   "plan.edits is a list of 0 values there and a list of 1 values here"));
  EXPECT_TRUE(says(refused({.windows = {.window = 6}}), "plan.window is 12 there and 6 here"));
  EXPECT_TRUE(says(refused({.shard_tokens = 31}), "plan.shard_tokens is 30 there and 31 here"));
  EXPECT_TRUE(says(refused({.path = ids_corpus(folder_, 12, "other.jsonl")}),
                   "corpus.files[0].name is 'corpus.jsonl' there and 'other.jsonl' here"));
  EXPECT_TRUE(says(refused({.corpus = {.field = "story"}}),
                   "corpus.field is 'text' there and 'story' here"));
}

TEST_F(SpoiltCapture, MayGoOnAndSkipWhatIsBad) {
  const auto summary = capture_corpus(model_, windows_of(model_, path_, {}, {.skip_bad = true}),
                                      residuals(), out(), {.shard_tokens = 30});
  EXPECT_TRUE(summary.complete);
  EXPECT_EQ(summary.documents, 12);
}

TEST_F(SpoiltCapture, OfAProcessAtWorkIsLeftAlone) {
  const FileLock lock(out() / kRank / "lock", out());
  EXPECT_TRUE(says(refused({}), ": in use by another process"));
}

TEST_F(SpoiltCapture, AChangedCorpusIsFoundByItsContents) {
  std::string text = read_bytes(path_);
  const size_t at = text.find_first_of("0123456789", 10);
  text[at] = text[at] == '1' ? '2' : '1';
  folder_.write("corpus.jsonl", text);
  EXPECT_TRUE(says(refused({}), "belongs to a different corpus: the documents up to document"));
}

TEST_F(SpoiltCapture, DamagedManifestsAreRefused) {
  const std::string good = read_bytes(manifest());
  const auto with = [&](const std::function<void(Json&)>& change) {
    Json json = Json::parse(good);
    change(json);
    spoil(manifest(), json.dump());
    return refused({});
  };
  spoil(manifest(), good.substr(0, good.size() / 2));
  EXPECT_TRUE(says(refused({}), "manifest.json", "invalid JSON"));
  spoil(manifest(), "");
  EXPECT_TRUE(says(refused({}), "manifest.json"));
  EXPECT_TRUE(says(with([](Json& json) { json["format"] = "other"; }), "format is 'other'"));
  EXPECT_TRUE(says(with([](Json& json) { json["shards"][1]["bytes"] = 17; }),
                   "shard-000001.safetensors: has ", "the manifest says 17"));
  EXPECT_TRUE(says(with([](Json& json) { json["shards"][1]["bytes"] = -17; }),
                   "manifest.json: shard 1: bytes is -17"));
  EXPECT_TRUE(
      says(with([](Json& json) { json["shards"][1]["windows"] = 1e30; }), "windows is 1e+30"));
  EXPECT_TRUE(says(with([](Json& json) { json["shards"][0]["file"] = "../../x"; }),
                   "file is '../../x': expected shard-000000.safetensors"));
  EXPECT_TRUE(says(
      with([](Json& json) { json["shards"].back()["last"]["digest"] = "xxh64:0123456789abcdef"; }),
      "belongs to a different corpus"));
  EXPECT_TRUE(says(with([](Json& json) { json["shards"].back()["last"]["begin"] = 7; }),
                   "belongs to a different corpus"));
  EXPECT_TRUE(says(with([](Json& json) { json["shards"].push_back(json["shards"][1]); }),
                   "expected shard-00000"));
  EXPECT_TRUE(says(with([](Json& json) { json.erase("identity"); }), "identity is missing"));
  fs::remove(manifest());
  before_ = contents(out());
  EXPECT_TRUE(says(refused({}), "but manifest.json is missing"));
}

TEST_F(SpoiltCapture, DamagedShardsAreFound) {
  const fs::path shard = out() / kRank / "shard-000001.safetensors";
  std::string bytes = read_bytes(shard);
  EXPECT_TRUE(check_corpus_capture(out()).problems.empty());
  EXPECT_FALSE(check_corpus_capture(out()).complete);
  bytes[bytes.size() - 3] ^= 1;
  spoil(shard, bytes);
  const CorpusCheck check = check_corpus_capture(out());
  ASSERT_EQ(check.problems.size(), 1u);
  EXPECT_TRUE(says(check.problems[0], shard.string(), "has the checksum " + hex64(xxh64(bytes)),
                   "the manifest says"));
  spoil(shard, bytes.substr(0, bytes.size() - 1));
  EXPECT_TRUE(says(check_corpus_capture(out()).problems.at(0), "bytes; the manifest says"));
  fs::remove(shard);
  before_ = contents(out());
  EXPECT_TRUE(
      says(check_corpus_capture(out()).problems.at(0), "is in the manifest, but not there"));
  EXPECT_TRUE(says(refused({}),
                   "is in the manifest, but not there; restore the shard, or make it again with"));
}

TEST(CorpusCaptureRefuses, BeforeTheWork) {
  const Model model = small_model();
  const TempFolder folder;
  const std::string path = ids_corpus(folder, 2);
  const auto refuse = [&](const Hooks& hooks, const CorpusCaptureOptions& options = {}) {
    return user_error_of(
        [&] { capture_corpus(model, windows_of(model, path), hooks, folder / "out", options); });
  };
  Hooks maps, sequences, misspelt, callbacks = residuals();
  maps.capture("blocks.0.attn.hook_pattern");
  sequences.capture("hook_embed", {.sequences = {0}});
  misspelt.capture("hook_embde");
  callbacks.edit("hook_embed", callback([](EditView&) {}, {}));
  EXPECT_TRUE(says(refuse({}), "missing site to capture"));
  EXPECT_TRUE(says(refuse(maps), "invalid site 'blocks.0.attn.hook_pattern'",
                   "different size in every window"));
  EXPECT_TRUE(says(refuse(sequences), "invalid selection of sequences for 'hook_embed'"));
  EXPECT_TRUE(says(refuse(misspelt), "'hook_embde'"));
  EXPECT_TRUE(says(refuse(callbacks), "the edit of 'hook_embed' cannot be saved"));
  EXPECT_TRUE(says(refuse(residuals(), {.shard_tokens = -1}), "invalid shard size of -1 tokens"));
  EXPECT_TRUE(says(refuse(residuals(), {.shard_tokens = int64_t{1} << 62}),
                   "a shard of 4611686018427387904 tokens takes",
                   "expected at most 326530612 tokens"));
  EXPECT_FALSE(fs::exists(folder / "out"));
  folder.write("out", "a file");
  EXPECT_TRUE(says(refuse(residuals()), "cannot be created as a folder"));
  EXPECT_TRUE(says(user_error_of([&] { check_corpus_capture(folder / "gone"); }),
                   "gone: cannot be read as a folder"));
  EXPECT_TRUE(says(user_error_of([&] { check_corpus_capture(folder.path()); }),
                   "contains no capture of a corpus"));
}

TEST(CheckpointDigest, IsOfNamesAndBytes) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  folder.write("model.safetensors", "abc");
  folder.write("notes.txt", "1");
  const std::string before = checkpoint_digest(folder.path());
  folder.write("notes.txt", "2");
  EXPECT_EQ(checkpoint_digest(folder.path()), before);
  folder.write("model.safetensors", "abd");
  EXPECT_NE(checkpoint_digest(folder.path()), before);
  EXPECT_NE(checkpoint_digest(folder / "model.safetensors"), checkpoint_digest(folder.path()));
}

}  // namespace
}  // namespace vitrine::testing
