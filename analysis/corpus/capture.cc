// SPDX-License-Identifier: MIT
#include <algorithm>
#include <memory>
#include <utility>

#include "analysis/corpus/identity.h"
#include "analysis/corpus/manifest.h"
#include "analysis/corpus/shard.h"
#include "analysis/corpus/shard_writer.h"
#include "analysis/corpus/statistics.h"
#include "analysis/corpus/window_batches.h"
#include "base/check.h"
#include "base/file_lock.h"
#include "base/quote.h"
#include "base/system_error.h"
#include "base/xxhash64.h"
#include "vitrine/corpus/corpus_capture.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;

/// A folder may hold ranks of one world only.
void check_world(const fs::path& folder, int64_t world) {
  const std::string ending = rank_folder_name(0, world).substr(10);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("rank-") && !name.ends_with(ending)) {
      user_error(
          "{}: contains {} of a world of a different size: expected {}; choose another folder",
          folder.string(), name, world);
    }
  }
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) system_failure(error.value(), folder.string(), "cannot be created as a folder");
  if (!fs::is_directory(folder, error))
    user_error("{}: cannot be created as a folder: a file exists", folder.string());
}

/// Removes temporary files left by a killed process.
void remove_temporaries(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".vitrine-") && name.ends_with(".tmp")) found.push_back(entry.path());
  }
  std::error_code ignored;
  for (const fs::path& path : found) fs::remove(path, ignored);
}

enum class Purpose { kCapture, kRepair };

/// The manifest to go on with; one without shards where nothing is there.
CorpusManifest find_manifest(const fs::path& folder, const Json& identity, Purpose purpose) {
  const fs::path path = folder / "manifest.json";
  CorpusManifest manifest;
  manifest.identity = identity;
  if (!fs::exists(path)) {
    if (purpose == Purpose::kRepair)
      user_error("{}: missing manifest.json: expected a capture with a complete shard",
                 folder.string());
    for (const auto& entry : fs::directory_iterator(folder)) {
      // The first shard may be there without a manifest, where a process was killed between the
      // two.
      const std::string name = entry.path().filename().string();
      if (name != "lock" && name != shard_name(0) && name != kStatisticsFile)
        user_error("{}: contains {}, but manifest.json is missing; choose another folder",
                   folder.string(), quote(name));
    }
    return manifest;
  }
  manifest = CorpusManifest::read(path);
  check_same_identity(identity, manifest.identity, folder.string());
  if (purpose == Purpose::kRepair) return manifest;
  for (size_t i = 0; i < manifest.shards.size(); ++i) {
    const std::string problem = shard_problem(folder / shard_name(i), manifest.shards[i], false);
    if (!problem.empty())
      user_error("{}; restore the shard, or make it again with `vitrine corpus --repair`", problem);
  }
  return manifest;
}

/// One run of one rank.
class CorpusCapture {
 public:
  CorpusCapture(const Model& model, WindowReader& windows, const Hooks& hooks,
                const fs::path& folder, const CorpusCaptureOptions& options, Purpose purpose)
      : options_(options), windows_(windows), batches_(model, hooks, options.batch_tokens) {
    const CorpusOptions& corpus = windows.documents().options();
    if (options.int8) batches_.store_int8();
    sparse_ = has_sparse_rows(batches_.sites(), windows.options());
    summary_.shard_tokens = shard_limit(batches_.sites(), windows.options(), options.shard_tokens);
    summary_.buffer_bytes =
        2 * CorpusShard::bytes(batches_.sites(), sparse_, summary_.shard_tokens);
    Json identity = corpus_identity(model, windows, hooks, options.weights_digest);
    identity["plan"]["shard_tokens"] = summary_.shard_tokens;
    if (options.covariance) identity["plan"]["covariance"] = true;
    if (options.int8) identity["plan"]["int8"] = true;
    statistics_ = std::make_unique<RowStatistics>(identity, batches_.sites(), options.covariance);
    summary_.folder = folder / rank_folder_name(corpus.rank, corpus.world);
    check_world(folder, corpus.world);
    if (purpose == Purpose::kCapture)
      make_folder(summary_.folder);
    else if (!fs::is_directory(summary_.folder))
      user_error("{}: missing: expected the capture to repair", summary_.folder.string());
    lock_ = std::make_unique<FileLock>(summary_.folder / "lock", summary_.folder);
    remove_temporaries(summary_.folder);
    manifest_ = find_manifest(summary_.folder, identity, purpose);
    reported_ = manifest_.shards.size();
    summary_.resumed_shards = static_cast<int64_t>(reported_);
  }

  CorpusCaptureSummary run() {
    if (!manifest_.complete) {
      if (!manifest_.shards.empty())
        go_on_behind(windows_, manifest_.shards.back().last, summary_.folder.string());
      done_ = manifest_.total(&ShardEntry::tokens);
      ShardWriter writer(summary_.folder, manifest_,
                         statistics_up_to(summary_.folder, *statistics_, manifest_.ends()));
      const bool at_end = fill(writer);
      manifest_ = writer.drain();
      report_shards(manifest_.shards.size());
      writer.statistics().write(summary_.folder / kStatisticsFile, at_end);
      if (at_end) finish(writer.statistics());
    }
    summary_.complete = manifest_.complete;
    summary_.shards = static_cast<int64_t>(manifest_.shards.size());
    summary_.windows = manifest_.total(&ShardEntry::windows);
    summary_.documents = manifest_.total(&ShardEntry::documents);
    summary_.tokens = manifest_.total(&ShardEntry::tokens);
    summary_.skipped = manifest_.skipped;
    summary_.first_skipped = windows_.documents().first_skipped();
    NonFiniteTally tally;
    for (const ShardEntry& shard : manifest_.shards) {
      summary_.bytes += shard.bytes;
      for (const NonFiniteSite& site : shard.non_finite) tally.add(site);
    }
    summary_.non_finite = tally.sites();
    return summary_;
  }

  CorpusRepair repair() {
    CorpusRepair result;
    result.folder = summary_.folder;
    const std::vector<std::string> problems = find_problems();
    size_t at = 0;  // the shard that the reader is at
    for (size_t i = 0; i < problems.size(); ++i) {
      if (problems[i].empty()) continue;
      pass_over(at, i);
      make_again(i);
      at = i + 1;
      result.repaired.push_back(problems[i]);
    }
    repair_statistics(result);
    result.complete = manifest_.complete;
    result.shards = static_cast<int64_t>(manifest_.shards.size());
    result.windows = manifest_.total(&ShardEntry::windows);
    result.tokens = manifest_.total(&ShardEntry::tokens);
    for (const ShardEntry& shard : manifest_.shards) result.bytes += shard.bytes;
    return result;
  }

 private:
  std::unique_ptr<CorpusShard> new_shard() const {
    return std::make_unique<CorpusShard>(batches_.sites(), sparse_, summary_.shard_tokens);
  }

  void report_shards(size_t on_disk) {
    for (; reported_ < on_disk; ++reported_) {
      if (options_.progress) options_.progress->finished(shard_name(reported_));
    }
  }

  /// Returns true at the end of the corpus, false if it was told to stop.
  bool fill(ShardWriter& writer) {
    auto shard = new_shard();
    bool stopping = false;
    const auto pass_on = [&] {
      shard = writer.put(std::move(shard), windows_.documents().skipped());
      if (!shard) shard = new_shard();
      report_shards(writer.shards());
    };
    for (;;) {
      stopping = stopping || (options_.keep_going && !options_.keep_going());
      if (stopping && shard->windows() == 0) return false;
      const WindowBatch batch = batches_.next(windows_);
      if (batch.windows.empty()) break;
      for (size_t s = 0; s < batch.windows.size(); ++s) {
        if (!shard->takes(batch.windows[s])) {
          pass_on();
          if (stopping) return false;
        }
        shard->add(batch, s);
        done_ += batch.windows[s].new_tokens();
      }
      const auto done = static_cast<uint64_t>(done_);
      if (options_.progress)
        options_.progress->update(done, estimated_tokens(windows_.documents(), done), "Capturing");
    }
    if (shard->windows() > 0) pass_on();
    return true;
  }

  // --- repair

  std::vector<std::string> find_problems() const {
    std::vector<std::string> problems;
    uint64_t total = 0, done = 0;
    for (const ShardEntry& shard : manifest_.shards) total += shard.bytes;
    for (size_t i = 0; i < manifest_.shards.size(); ++i) {
      problems.push_back(shard_problem(
          summary_.folder / shard_name(i), manifest_.shards[i], true, [&](size_t bytes) {
            if (options_.progress) options_.progress->update(done += bytes, total, "Checking");
          }));
    }
    return problems;
  }

  [[noreturn]] void refuse_changed(size_t index) const {
    user_error(
        "{}: cannot be made again: the documents of its windows have changed; expected the files "
        "of "
        "the capture",
        (summary_.folder / shard_name(index)).string());
  }

  /// Moves the reader from the beginning of shard `from` to that of shard `to`.
  void pass_over(size_t from, size_t to) {
    if (from == to) return;
    const CorpusPosition& end = manifest_.shards[to - 1].last;
    if (from == 0) return go_on_behind(windows_, end, summary_.folder.string());
    Window window;
    for (size_t i = from; i < to; ++i) {
      for (int64_t w = 0; w < manifest_.shards[i].windows; ++w) {
        if (!windows_.next(window)) refuse_changed(i);
      }
    }
    if (windows_.digest() != end.digest) refuse_changed(to - 1);
  }

  /// The reader is at the shard's beginning.
  void make_again(size_t index) {
    const ShardEntry& entry = manifest_.shards[index];
    const fs::path path = summary_.folder / shard_name(index);
    const auto shard = new_shard();
    while (shard->windows() < entry.windows) {
      const WindowBatch batch = batches_.next(windows_, entry.windows - shard->windows());
      if (batch.windows.empty()) refuse_changed(index);
      for (size_t s = 0; s < batch.windows.size(); ++s) shard->add(batch, s);
      if (options_.progress)
        options_.progress->update(static_cast<uint64_t>(shard->new_tokens()),
                                  static_cast<uint64_t>(entry.tokens), shard_name(index));
    }
    const int64_t last = shard->windows() - 1;
    if (shard->document(last) != entry.last.document || shard->begin(last) != entry.last.begin ||
        shard->digest() != entry.last.digest)
      refuse_changed(index);
    const fs::path made = summary_.folder / ".vitrine-repair.tmp";
    shard->write(made);
    replace(made, path, entry.checksum);
    if (options_.progress) options_.progress->finished(shard_name(index));
  }

  /// From all shards, which are whole now.
  void repair_statistics(CorpusRepair& result) {
    if (manifest_.statistics.is_null()) return;
    const std::string problem = statistics_problem(summary_.folder, manifest_.statistics, nullptr);
    if (problem.empty()) return;
    const fs::path path = summary_.folder / kStatisticsFile,
                   made = summary_.folder / ".vitrine-repair.tmp";
    RowStatistics again = *statistics_;
    for (size_t i = 0; i < manifest_.shards.size(); ++i)
      again.add_shard(SafetensorsFile(summary_.folder / shard_name(i)), manifest_.shards[i].last);
    again.write(made, true);
    replace(made, path, JsonFields(manifest_.statistics, path.string()).text("xxh64").value_or(""));
    result.repaired.push_back(problem);
  }

  /// By what was made again, if it has the bytes of the manifest.
  static void replace(const fs::path& made, const fs::path& path, const std::string& checksum) {
    if (hex64(xxh64_of_file(made)) != checksum) {
      fs::remove(made);
      user_error(
          "{}: cannot be made again: the bytes differ from the manifest's checksum {}; expected "
          "the device, build and options of the capture",
          path.string(), checksum);
    }
    fs::rename(made, path);
  }

  void finish(const RowStatistics& statistics) {
    // One rank of several may have no documents; this is valid.
    if (manifest_.shards.empty() && windows_.documents().options().world == 1) {
      user_error("the corpus has no valid document; the first bad one: {}",
                 windows_.documents().first_skipped());
    }
    manifest_.complete = true;
    manifest_.skipped = windows_.documents().skipped();
    manifest_.statistics = {{"file", kStatisticsFile},
                            {"xxh64", hex64(xxh64_of_file(summary_.folder / kStatisticsFile))},
                            {"sites", statistics.summary()}};
    manifest_.write(summary_.folder / "manifest.json");
  }

  const CorpusCaptureOptions& options_;
  WindowReader& windows_;
  WindowBatches batches_;
  bool sparse_ = false;  // whether some token may have no row
  CorpusCaptureSummary summary_;
  std::unique_ptr<FileLock> lock_;
  CorpusManifest manifest_;
  std::unique_ptr<RowStatistics> statistics_;  // of no shard
  int64_t done_ = 0;
  size_t reported_ = 0;  // shards
};

}  // namespace

CorpusCaptureSummary capture_corpus(const Model& model, WindowReader windows, const Hooks& hooks,
                                    const fs::path& folder, const CorpusCaptureOptions& options) {
  return CorpusCapture(model, windows, hooks, folder, options, Purpose::kCapture).run();
}

CorpusRepair repair_corpus(const Model& model, WindowReader windows, const Hooks& hooks,
                           const fs::path& folder, const CorpusCaptureOptions& options) {
  return CorpusCapture(model, windows, hooks, folder, options, Purpose::kRepair).repair();
}

}  // namespace vitrine
