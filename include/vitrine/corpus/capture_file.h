// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/captures.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Captured activations on disk, for other programs.
//
// Tensors, T being the number of tokens of all prompts together, N of prompts:
//   ids                [T] i32    the tokens that went through the model, prompt after prompt
//   offsets            [N+1] i64  prompt i is ids[offsets[i] .. offsets[i+1])
//   SITE               [T, ...]   a captured site, one row a token, prompt after prompt
// A site narrowed to some positions has fewer rows; two tensors more say which:
//   SITE               [R, ...]
//   SITE.positions     [R] i64    of each row, within its prompt
//   SITE.offsets       [N+1] i64  prompt i has the rows offsets[i] .. offsets[i+1]
// A map (scores, pattern) has another size for every prompt, so each has its own tensor, [H, P,
// T_i] for its P captured positions (with SITE.i.positions where they are not all):
//   SITE.i             i = 0..N-1
//
// .safetensors: one file. .npy, of one site: PATH and, beside it, PATH.json with ids, offsets,
// positions. npy folder: a directory with NAME.npy for each of the tensors above and index.json,
// which lists them. .npy has no bfloat16: such a site is widened to float32. What is written
// appears whole, or not at all.

enum class CaptureFormat : uint8_t { kSafetensors, kNpy, kNpyFolder };

/// From a path: ".safetensors", ".npy", or a folder (a path that ends in '/', is a directory, or
/// has no extension). Throws Error (user) for any other extension.
CaptureFormat capture_format(const std::filesystem::path& path);

struct CaptureFileOptions {
  /// Tokens that go through the model at once: whole prompts, as many as fit, one at least. Results
  /// do not depend on it. Edits that are callbacks or read another run see one prompt at a time, as
  /// sequence 0.
  int64_t batch_tokens = 512;
  /// Kept in the file, or in the index of .npy files: what a reader should know about where this
  /// comes from.
  std::map<std::string, std::string> metadata = {};
  /// Asked between batches; false gives up, and nothing is left behind.
  std::function<bool()> keep_going = {};
  Progress* progress = nullptr;  ///< counts tokens; null: nobody wants to know
};

struct CaptureFileSummary {
  bool complete = false;  ///< false: keep_going said no, and there is no file
  int64_t prompts = 0, tokens = 0;
  uint64_t bytes = 0;  ///< of the files, about: without their headers
  struct Tensor {
    std::string name;
    DType dtype;
    Shape shape;
  };
  std::vector<Tensor> sites;  ///< the captured ones, without ids and offsets
};

/// Runs every prompt and writes what `hooks` capture. Holds the captures of one batch at a time.
/// Throws Error (user) as Model::forward does, naming the prompt; for no capture; for a narrowing
/// by sequence, which has no meaning here; for a path that cannot be written, exists as a folder
/// with something in it, or is on a disk that is full.
CaptureFileSummary capture_to_file(const Model& model, const Batch& prompts, const Hooks& hooks,
                                   const std::filesystem::path& path,
                                   const CaptureFileOptions& options = {});

/// Writes what a run or a generation has kept. `ids` are each sequence's tokens that went through
/// the model (for a generation: the prompt and the new tokens but the last, which nothing has
/// read).
CaptureFileSummary save_captures(const Captures& captures, const Batch& ids,
                                 const std::filesystem::path& path,
                                 const std::map<std::string, std::string>& metadata = {});

}  // namespace vitrine
