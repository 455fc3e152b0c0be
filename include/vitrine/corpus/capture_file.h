// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/captures.h"
#include "vitrine/gradients.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Captured activations on disk, in formats for other programs.
//
// Tensors, with T the total number of tokens of all prompts and N the number of prompts:
//   ids                [T] i32    tokens that the model read, prompt by prompt
//   offsets            [N+1] i64  prompt i is ids[offsets[i] .. offsets[i+1])
//   SITE               [T, ...]   captured site, one row per token, prompt by prompt
// A site with selected positions has fewer rows and two more tensors:
//   SITE               [R, ...]
//   SITE.positions     [R] i64    position of each row within its prompt
//   SITE.offsets       [N+1] i64  prompt i has rows [offsets[i], offsets[i+1])
// A map (scores, pattern) has a different size for every prompt, so each prompt has its own tensor,
// [H, P, T_i] for its P captured positions (with SITE.i.positions if positions were selected):
//   SITE.i             i = 0..N-1
// Gradients (CaptureFileOptions::target) have the shapes of captures and the names grad.SITE.
//
// .safetensors: one file. .npy, for one site: PATH, and PATH.json with ids, offsets and positions.
// npy folder: a directory with NAME.npy for each of the tensors above, and index.json, which lists
// them. The .npy format lacks bfloat16; such sites are widened to float32. Output is written
// atomically.

enum class CaptureFormat : uint8_t { kSafetensors, kNpy, kNpyFolder };

/// Format of a path: ".safetensors", ".npy", or a folder (a path that ends in '/', is a directory,
/// or has no extension). Throws Error (user) for any other extension.
CaptureFormat capture_format(const std::filesystem::path& path);

struct CaptureFileOptions {
  /// Maximum tokens per forward pass, which runs whole prompts and at least one. Results do not
  /// depend on it. With edits that are callbacks or read another run, each pass has one prompt, as
  /// sequence 0.
  int64_t batch_tokens = 512;
  /// Scalar of each prompt whose gradients at the sites of Hooks::gradient() are written. Terms of
  /// sites (norm, linear) and of logits, as in backward().
  std::optional<Target> target = {};
  /// Metadata stored in the file, or in the index of .npy files.
  std::map<std::string, std::string> metadata = {};
  /// Called between batches; returning false stops, and no files are left.
  std::function<bool()> keep_going = {};
  /// Optional progress callback (counts tokens); null disables reporting.
  Progress* progress = nullptr;
};

/// NaN and infinite values among the captures of a site, as stored: those of the run, and numbers
/// too large for a 16-bit store.
struct NonFiniteSite {
  std::string name;
  int64_t count = 0;
  int64_t text = 0;      ///< prompt (or document) of the first
  int64_t position = 0;  ///< its token there
};

struct CaptureFileSummary {
  bool complete = false;  ///< false: keep_going returned false, and no file was written
  int64_t prompts = 0, tokens = 0;
  uint64_t bytes = 0;  ///< approximate size of the files, without headers
  struct Tensor {
    std::string name;
    DType dtype;
    Shape shape;
  };
  std::vector<Tensor> sites;  ///< captured tensors, without ids and offsets
  std::vector<NonFiniteSite>
      non_finite;  ///< sites with NaN or infinities; they are written as such
};

/// Runs every prompt and writes the captures of `hooks`, and the gradients of `options.target`.
/// Holds the captures of one batch at a time. Throws Error (user) as Model::forward and backward()
/// do, naming the prompt; for hooks without a capture or gradient; for gradients without a target,
/// a target without gradients, or a position of it that a prompt does not have; for a selection of
/// sequences; and for a path that cannot be written, is a non-empty folder, or is on a full disk.
CaptureFileSummary capture_to_file(const Model& model, const Batch& prompts, const Hooks& hooks,
                                   const std::filesystem::path& path,
                                   const CaptureFileOptions& options = {});

/// Writes the captures of a run or a generation. `ids` are the tokens of each sequence that the
/// model read (for a generation: the prompt and all new tokens except the last).
CaptureFileSummary save_captures(const Captures& captures, const Batch& ids,
                                 const std::filesystem::path& path,
                                 const std::map<std::string, std::string>& metadata = {});

}  // namespace vitrine
