// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend/weights.h"
#include "vitrine/config.h"
#include "vitrine/dtype.h"
#include "vitrine/load_report.h"
#include "vitrine/tensor.h"

namespace vitrine::internal {

/// The files that hold a directory's weights, in the order in which they are looked for; the last
/// is nanoGPT's.
inline constexpr std::array<const char*, 5> kCheckpointFiles = {
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
    "pytorch_model.bin.index.json", "ckpt.pt"};

/// A GPT-2 checkpoint on disk, whatever its format: safetensors (one file or sharded),
/// pytorch_model.bin (one file or sharded), training checkpoints that hold such a dictionary of
/// tensors (nanoGPT, Lightning), llm.c's .bin. Its files are mapped, not read, and every
/// tensor was checked against the configuration.
///
/// Parameters have Hugging Face's names without a prefix that all share: "wte.weight",
/// "wpe.weight", "h.3.ln_1.weight", "h.3.attn.c_attn.weight", "h.3.mlp.c_proj.bias", "ln_f.bias",
/// "lm_head.weight". Any number of threads may read.
class Checkpoint {
 public:
  /// `path` is a model directory or a file of one of the formats (its config.json beside it, except
  /// for llm.c, whose header says all, and nanoGPT, whose model_args do). In a directory the first
  /// of kCheckpointFiles is taken.
  ///
  /// `adapter`: the folder of a LoRA adapter that is merged into the weights; empty: none.
  ///
  /// Throws Error (user), one line that names file, tensor or field, value found and value wanted.
  static Checkpoint open(const std::filesystem::path& path,
                         const std::filesystem::path& adapter = {});

  /// `tied_unembedding` is what holds for the tensors: an lm_head.weight that is wte.weight, if
  /// need be in another type, is tied, whatever config.json says; one that differs is the
  /// unembedding, as in transformers 5, with a warning if config.json does not say untied.
  const Config& config() const;
  /// What was opened, as given.
  const std::filesystem::path& path() const;
  /// Dtype of most of the weights' bytes: the default storage type.
  DType dominant_dtype() const;

  bool has(std::string_view name) const;
  /// Of the elements that weight() and vector() give: float32 for float64, the dominant one for
  /// what the files leave out; of what is made (merged) the one that the files have.
  DType dtype(std::string_view name) const;
  /// A matrix in place, for packing; one that no file holds as such (float64, merged) as a float32
  /// copy until release(). wte, wpe and lm_head are given as unembeddings: `in` is the model width
  /// and `out` the vocabulary or the context. "lm_head.weight" of a tied model gives wte. The
  /// memory is the checkpoint's. Scans the elements: throws Error (user) naming the first that is
  /// NaN or infinite; of wte, wpe and lm_head see non_finite_rows(). Throws Error (internal) for an
  /// unknown name.
  HostWeight weight(std::string_view name) const;
  /// The same, but in place at any address, as WeightPacker::pack() takes it: files align nothing.
  HostWeight packable(std::string_view name) const;
  /// A bias or a layernorm's parameters as float32; the same check.
  std::vector<float> vector(std::string_view name) const;
  /// The rows of wte, wpe or lm_head in which weight() found a NaN or infinity; they are refused
  /// only where they are read.
  std::vector<int32_t> non_finite_rows(std::string_view name) const;
  /// "FILE: tensor 'NAME'" of a parameter, for errors.
  std::string described(std::string_view name) const;
  /// To be called when a tensor has been packed: its pages and copies leave memory. weight() may be
  /// called again.
  void release(std::string_view name) const;

  /// Rows `ids` of a table (wte, wpe or lm_head; of a tied model lm_head.weight is wte): [ids,
  /// width] float32. Throws Error (internal) for an unknown name or a row out of range.
  Tensor rows(std::string_view name, std::span<const int32_t> ids) const;

  /// What there is and is not read; `warning` is set as well.
  const LoadReport& report() const;
  /// Where texts end: eos_token_id of generation_config.json if that has one, else of config.json;
  /// ids of the model's. A note tells of others.
  const std::vector<int32_t>& end_ids() const;

 private:
  struct Impl;
  explicit Checkpoint(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace vitrine::internal
