// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "vitrine/corpus/capture_file.h"
#include "vitrine/corpus/corpus.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Captures over a whole corpus, in shards on disk.
//
// A folder has one subfolder per rank, rank-RRRRR-of-WWWWW/, with manifest.json and
// shard-NNNNNN.safetensors. A shard holds consecutive whole windows with at most `shard_tokens`
// tokens together (at least one window). With W windows and T tokens:
//   ids            [T] i32      tokens, window by window
//   offsets        [W+1] i64    window w is ids[offsets[w] .. offsets[w+1])
//   documents      [W] i64      index in the corpus of the window's document
//   begins         [W] i64      position in the document of the window's first token
//   repeated       [W] i64      number of tokens repeated from the previous window, without rows
//   SITE           [R, ...]     captured site, one row per new token
//   SITE.scales    [R] f32      if rows are int8: a row is SITE times its scale
//   SITE.positions [R] i64      if positions were selected: position of each row in its window
//   SITE.offsets   [W+1] i64    likewise: window w has rows [offsets[w], offsets[w+1])
// Maps (scores, pattern) have a different size in every window and are invalid here; capture_file.h
// writes maps.
//
// Each shard is written atomically, followed by the manifest. The manifest lists each shard's name,
// size, checksum (XXH64 of the file) and range of documents and windows, and everything that all
// shards depend on: model, tokenizer, captures, corpus, rank. An interrupted run resumes after the
// last shard of the manifest; its shards have the same bytes as without the interruption.
//
// statistics.safetensors has mean and variance of each site's stored rows and of their norms; the
// manifest of a complete capture has its checksum. See corpus_statistics.h.

struct CorpusCaptureOptions {
  int64_t shard_tokens = 0;  ///< maximum tokens per shard; 0: shards of about 128 MB
  /// See CaptureFileOptions::batch_tokens; results do not depend on it.
  int64_t batch_tokens = 512;
  /// Digest of the weights (see checkpoint_digest), which identifies the model together with its
  /// name and configuration. Empty: only name and configuration are compared.
  std::string weights_digest = {};
  /// Stores rows as int8 with a scale for each, off by at most 1/254 of the row's largest magnitude
  /// (and all NaN if one element is not finite). Hooks must capture f32.
  bool int8 = false;
  /// Statistics (corpus_statistics) have covariances, too: 8 * D * D bytes a site, 4 GiB at most.
  bool covariance = false;
  /// Called between batches; returning false stops the run after the current shard.
  std::function<bool()> keep_going = {};
  /// Optional progress callback (counts tokens, of an estimated total; `finished` is called with
  /// the name of each shard on the disk); null disables reporting.
  Progress* progress = nullptr;
};

struct CorpusCaptureSummary {
  bool complete = false;  ///< false: keep_going returned false
  /// Totals over all shards of this rank; tokens counts those with results.
  int64_t shards = 0, windows = 0, documents = 0, tokens = 0;
  int64_t resumed_shards = 0;  ///< number of these shards that already existed
  int64_t skipped = 0;         ///< number of bad documents; see CorpusOptions::skip_bad
  std::string first_skipped;   ///< error message of the first of them in this run
  uint64_t bytes = 0;          ///< size of the shard files
  int64_t shard_tokens = 0;    ///< the value that was used
  /// Maximum bytes of shards in memory: one is filled while another is written.
  uint64_t buffer_bytes = 0;
  std::filesystem::path folder;  ///< subfolder of this rank
  /// Sites with NaN or infinities over all shards of this rank; the first by document.
  std::vector<NonFiniteSite> non_finite;
};

/// Captures over all windows, or resumes an interrupted run. Besides `buffer_bytes` it holds the
/// captures of one batch. Positions in `hooks` count within a window; a window that is too short
/// for a position has no row for it. Throws Error (user) as Model::forward does; for a map, a
/// selection of sequences, and an edit that cannot be serialised (a callback, another run's
/// activations); for a folder with a capture of a different model, plan, corpus or world, naming
/// the difference; for a folder that another process is writing; for a damaged manifest or shard.
/// Throws Error (internal) for a full disk. The folder's contents are unchanged after an error.
CorpusCaptureSummary capture_corpus(const Model& model, WindowReader windows, const Hooks& hooks,
                                    const std::filesystem::path& folder,
                                    const CorpusCaptureOptions& options = {});

/// What repair_corpus found and did, of one rank.
struct CorpusRepair {
  /// One line per shard, or file of statistics, that was made again, naming the file and what was
  /// wrong with it.
  std::vector<std::string> repaired;
  int64_t shards = 0, windows = 0, tokens = 0;  ///< in the manifest
  uint64_t bytes = 0;
  bool complete = false;         ///< false: the capture was interrupted; capture_corpus resumes it
  std::filesystem::path folder;  ///< subfolder of this rank
};

/// Compares every shard of this rank and its statistics with the manifest and makes those that are
/// missing or damaged again, with the same bytes. The arguments are those of the capture. Throws
/// Error (user) as capture_corpus does; for a rank without a manifest; for documents that have
/// changed; and where other bytes come out, as from a different device: the shard is then left as
/// it is.
CorpusRepair repair_corpus(const Model& model, WindowReader windows, const Hooks& hooks,
                           const std::filesystem::path& folder,
                           const CorpusCaptureOptions& options = {});

struct CorpusCheck {
  int64_t ranks = 0, world = 0, shards = 0, windows = 0, tokens = 0;
  uint64_t bytes = 0;
  bool complete = false;  ///< every rank of the world is present and complete
  /// One line per problem, naming the file; empty: every shard matches its manifest.
  std::vector<std::string> problems;
};

/// Reads every shard of a folder and compares it with its manifest, and the statistics with the
/// rows. Throws Error (user) for a
/// folder without a capture and for an unreadable manifest.
CorpusCheck check_corpus_capture(const std::filesystem::path& folder, Progress* progress = nullptr);

/// XXH64 over the names and bytes of a checkpoint's files (configuration and weights):
/// "xxh64:0123456789abcdef". `path` as returned by Model::locate. Throws Error (user) for a file
/// that cannot be read.
std::string checkpoint_digest(const std::filesystem::path& path, Progress* progress = nullptr);

}  // namespace vitrine
