// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "vitrine/analysis/covariance.h"
#include "vitrine/corpus/corpus.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Moments of activations over a corpus: accumulated in one pass, resumable, and merged over ranks.

/// What was found at one site.
struct SiteMoments {
  std::string site;  ///< "blocks.3.hook_resid_post"
  std::vector<std::string>
      variables;    ///< "17", or "3.17" where the site has heads: head 3, element 17
  Moments moments;  ///< an observation is a token
};

/// Moments of some sites over a corpus, or over one rank's part of it.
struct CorpusMoments {
  std::vector<SiteMoments> sites;  ///< in the order of the pass
  bool complete = false;           ///< false: keep_going said no
  int64_t windows = 0, documents = 0, tokens = 0, skipped = 0;
  std::string
      first_skipped;  ///< what was wrong with the first document that was skipped in this run
  bool resumed = false;
  /// JSON, an object for each run that is in here: model, tokenizer, plan, corpus, rank, world.
  std::string parts;
};

struct CorpusMomentsOptions {
  /// Where the state is kept, a .safetensors file: written every `save_tokens` tokens and at the
  /// end, and gone on with where it is there already; FILE.lock beside it keeps other processes
  /// out. Empty: nowhere.
  std::filesystem::path state = {};
  int64_t save_tokens = 1 << 20;
  int64_t batch_tokens = 512;  ///< as CaptureFileOptions::batch_tokens; results do not depend on it
  std::string weights_digest = {};         ///< as CorpusCaptureOptions::weights_digest
  uint64_t max_bytes = uint64_t{4} << 30;  ///< that all sites' matrices may take together, where
                                           ///< the model is and once more on the host
  std::function<bool()> keep_going =
      {};  ///< asked between batches; false saves the state and ends the run
  Progress* progress =
      nullptr;  ///< counts tokens, of an estimated total; null: nobody wants to know
};

/// Goes over all windows, or on with it; sums are added up where the model is (RunningMoments).
/// Every new token of a window (Window::repeated) is an observation, its activations the variables;
/// positions that `hooks` narrow to count within a window. A run that was stopped, or killed, and
/// went on gives the same bits as one that was not. Throws Error (user) as capture_corpus does,
/// with a state in place of a folder; for a NaN or an infinity; and for matrices of more than
/// `max_bytes`.
CorpusMoments corpus_moments(const Model& model, WindowReader windows, const Hooks& hooks,
                             const CorpusMomentsOptions& options = {});

/// Reads what a run has left in its state. Throws Error (user) for a file that is no such state, or
/// is damaged.
CorpusMoments read_moments(const std::filesystem::path& path);
/// Joins the parts of a corpus, in the order of `paths`. Equal to one run over all of it up to
/// rounding. Throws Error (user) for states that are not complete, of different models or sites, a
/// rank that is there twice, and one that is missing.
CorpusMoments merge_moments(const std::vector<std::filesystem::path>& paths);
/// Writes them as a state that read_moments reads: for merges of merges.
void write_moments(const CorpusMoments& moments, const std::filesystem::path& path);

}  // namespace vitrine
