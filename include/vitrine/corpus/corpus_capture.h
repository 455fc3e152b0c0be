// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "vitrine/corpus/corpus.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Activations over a whole corpus, in shards on disk.
//
// A folder has one subfolder a rank, rank-RRRRR-of-WWWWW/, with manifest.json and
// shard-NNNNNN.safetensors. A shard holds the windows that follow those of the shard before, as
// many whole ones as have at most `shard_tokens` tokens (one at least). W being its windows, T
// their tokens:
//   ids            [T] i32      the tokens, window after window
//   offsets        [W+1] i64    window w is ids[offsets[w] .. offsets[w+1])
//   documents      [W] i64      the index in the corpus of the document that the window is of
//   begins         [W] i64      the position in the document of the window's first token
//   repeated       [W] i64      so many of its tokens were in the window before; they have no rows
//   SITE           [R, ...]     a captured site, a row for each token that is new
//   SITE.positions [R] i64      where not every token has a row: of each row, within its window
//   SITE.offsets   [W+1] i64    likewise: window w has the rows offsets[w] .. offsets[w+1]
// A map (scores, pattern) has another size in every window and is refused here; capture_file.h
// writes maps.
//
// A shard appears whole or not at all, and then the manifest, which has its name, bytes and
// checksum (XXH64 of the file), the range of documents and windows, and what all shards depend on:
// model, tokenizer, what is captured, corpus, rank. A run that was killed goes on behind the last
// shard of the manifest; its shards are the same bytes as without the interruption.

struct CorpusCaptureOptions {
  int64_t shard_tokens = 0;    ///< 0: as many as make a shard of about 128 MB
  int64_t batch_tokens = 512;  ///< as CaptureFileOptions::batch_tokens; results do not depend on it
  /// Identifies the weights, beside name and configuration: see checkpoint_digest. Empty: those two
  /// alone do.
  std::string weights_digest = {};
  /// Asked between batches; false ends the run when the shard in hand is complete.
  std::function<bool()> keep_going = {};
  Progress* progress =
      nullptr;  ///< counts tokens, of an estimated total; null: nobody wants to know
};

struct CorpusCaptureSummary {
  bool complete = false;  ///< false: keep_going said no
  int64_t shards = 0, windows = 0, documents = 0,
          tokens = 0;          ///< of all shards of this rank; tokens are those with results
  int64_t resumed_shards = 0;  ///< of these, found in the folder
  int64_t skipped = 0;         ///< bad documents; see CorpusOptions::skip_bad
  std::string first_skipped;   ///< what was wrong with the first of them in this run
  uint64_t bytes = 0;          ///< of the shards' files
  int64_t shard_tokens = 0;    ///< as used
  /// The most that shards in memory took: one being filled while another is written.
  uint64_t buffer_bytes = 0;
  std::filesystem::path folder;  ///< the rank's
};

/// Captures over all windows, or goes on with it. Beyond `buffer_bytes` it holds the captures of
/// one batch. Positions that `hooks` narrow to count within a window; a window that is too short
/// for one has no row for it. Throws Error (user) as Model::forward does; for a map, a narrowing by
/// sequence, and an edit whose effect cannot be written down (a callback, another run's
/// activations); for a folder that holds another model's, plan's, corpus's or world's capture,
/// naming what differs, that another process is writing to, or whose manifest or shards are
/// damaged; for a full disk. What is in the folder then stays as it was.
CorpusCaptureSummary capture_corpus(const Model& model, WindowReader windows, const Hooks& hooks,
                                    const std::filesystem::path& folder,
                                    const CorpusCaptureOptions& options = {});

struct CorpusCheck {
  int64_t ranks = 0, world = 0, shards = 0, windows = 0, tokens = 0;
  uint64_t bytes = 0;
  bool complete =
      false;  ///< every rank of the world is there and has come to the end of its documents
  std::vector<std::string>
      problems;  ///< a line each, naming the file; empty: every shard is what its manifest says
};

/// Reads every shard of a folder and compares it with its manifest. Throws Error (user) for a
/// folder without a capture and for a manifest that cannot be read.
CorpusCheck check_corpus_capture(const std::filesystem::path& folder, Progress* progress = nullptr);

/// XXH64 over the files that make a checkpoint (configuration and weights), by name and bytes:
/// "xxh64:0123456789abcdef". `path` as Model::locate gives it. Throws Error (user) for a file that
/// cannot be read.
std::string checkpoint_digest(const std::filesystem::path& path, Progress* progress = nullptr);

}  // namespace vitrine
