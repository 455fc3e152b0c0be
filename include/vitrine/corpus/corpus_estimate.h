// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "vitrine/corpus/corpus.h"
#include "vitrine/corpus/corpus_capture.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"

namespace vitrine {

// Size and time of a capture before it starts: passes over a sample of the corpus are measured, and
// nothing is written.

struct CorpusEstimateOptions {
  double seconds = 1;  ///< of passes that are measured, above 0
  /// Bytes per second that the disk is assumed to write and to read, above 0.
  double disk_rate = 5e8;
};

struct CorpusEstimate {
  /// true: all documents were read, and the counts are those of the capture. false: the counts are
  /// those of a sample, scaled by bytes of text.
  bool counted = false;
  int64_t sampled_documents = 0;
  int64_t bad_documents = 0;  ///< in the sample; see CorpusOptions::skip_bad
  std::string first_bad;      ///< error message of the first of them

  // Of all ranks together.
  int64_t documents = 0, windows = 0;
  int64_t tokens = 0;  ///< with results
  uint64_t bytes = 0;  ///< of all shards
  struct Site {
    std::string name;
    DType dtype = DType::kF32;
    std::vector<int64_t> shape;  ///< of a row
    int64_t rows = 0;
    uint64_t bytes = 0;
  };
  std::vector<Site> sites;  ///< in the order of the shards' tensors

  // Of this rank where `counted`, else of one rank on average.
  int64_t rank_tokens = 0, shards = 0;
  uint64_t rank_bytes = 0;
  int64_t shard_tokens = 0;      ///< see CorpusCaptureSummary
  uint64_t buffer_bytes = 0;     ///< see CorpusCaptureSummary
  double tokens_per_second = 0;  ///< computed and put into a shard, text included
  double compute_seconds = 0;    ///< of the rank's tokens at that speed
  double write_seconds = 0;      ///< of its bytes at `disk_rate`
  double seconds = 0;            ///< the larger of the two, as shards are written during passes
  double read_seconds = 0;       ///< of reading its bytes back at `disk_rate`
  double disk_rate = 0;

  uint64_t free_bytes = 0;  ///< on the file system of the folder
  bool exceeds_disk() const { return bytes > free_bytes; }
  /// Whether computing activations again takes less time than reading them back.
  bool recomputing_is_faster() const { return compute_seconds < read_seconds; }
};

/// Estimates what capture_corpus with the same arguments writes and how long it takes. A corpus of
/// up to 4 MB is read whole, of a larger one some documents at each of many places. Writes nothing
/// and creates no folder. Throws Error (user) as capture_corpus does for model, hooks and sizes;
/// for a corpus of unknown size (standard input, a pipe); without a good document; and for options
/// that are not above 0.
CorpusEstimate estimate_corpus_capture(const Model& model, WindowReader windows, const Hooks& hooks,
                                       const std::filesystem::path& folder,
                                       const CorpusCaptureOptions& capture = {},
                                       const CorpusEstimateOptions& options = {});

}  // namespace vitrine
