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

/// Moments at one site.
struct SiteMoments {
  std::string site;  ///< "blocks.3.hook_resid_post"
  /// "17", or "3.17" (head 3, element 17) for sites with heads
  std::vector<std::string> variables;
  Moments moments;  ///< one observation per token
};

/// Moments of some sites over a corpus, or over one rank's part of it.
struct CorpusMoments {
  std::vector<SiteMoments> sites;  ///< in the order of the forward pass
  bool complete = false;           ///< false: keep_going returned false
  int64_t windows = 0, documents = 0, tokens = 0, skipped = 0;
  std::string first_skipped;  ///< error message of the first document skipped in this run
  bool resumed = false;
  /// JSON with one object per run: model, tokenizer, plan, corpus, rank, world.
  std::string parts;
};

struct CorpusMomentsOptions {
  /// State file (.safetensors), written every `save_tokens` tokens and at the end; an existing
  /// state is resumed. FILE.lock excludes other processes. Empty: no state is saved.
  std::filesystem::path state = {};
  int64_t save_tokens = 1 << 20;
  /// See CaptureFileOptions::batch_tokens; results do not depend on it.
  int64_t batch_tokens = 512;
  std::string weights_digest = {};  ///< see CorpusCaptureOptions::weights_digest
  /// Maximum bytes of all sites' matrices, on the model's device and again on the host.
  uint64_t max_bytes = uint64_t{4} << 30;
  /// Called between batches; returning false saves the state and stops the run.
  std::function<bool()> keep_going = {};
  /// Optional progress callback (counts tokens, of an estimated total); null disables reporting.
  Progress* progress = nullptr;
};

/// Computes moments over all windows, or resumes an interrupted run. Sums are accumulated on the
/// model's device (RunningMoments). Every new token of a window (see Window::repeated) is an
/// observation; its activations are the variables. Positions in `hooks` count within a window. A
/// run that was stopped or killed and then resumed gives the same bits as an uninterrupted run. An
/// exception between two batches saves the state and passes through.
/// Throws Error (user) as capture_corpus does, with the state instead of the folder; for NaN or
/// infinity; and for matrices of more than `max_bytes`.
CorpusMoments corpus_moments(const Model& model, WindowReader windows, const Hooks& hooks,
                             const CorpusMomentsOptions& options = {});

/// Reads a state file. Throws Error (user) for a file that is not a state or is damaged.
CorpusMoments read_moments(const std::filesystem::path& path);
/// Merges the parts of a corpus in the order of `paths`. Equals one run over the whole corpus up to
/// rounding. Throws Error (user) for incomplete states, different models or sites, a duplicate
/// rank, and a missing rank.
CorpusMoments merge_moments(const std::vector<std::filesystem::path>& paths);
/// Writes a state file for read_moments, so that merged moments can be merged again.
void write_moments(const CorpusMoments& moments, const std::filesystem::path& path);

}  // namespace vitrine
