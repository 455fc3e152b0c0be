// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "vitrine/config.h"
#include "vitrine/dtype.h"
#include "vitrine/tensor.h"

// What the readers of the three checkpoint formats hand to Checkpoint. Private to
// engine/checkpoint*.cc.

namespace vitrine::internal {

/// A tensor as a file holds it. Element (i, j, ...) lies at byte offset + (i * strides[0] + j *
/// strides[1] + ...) * size of the dtype; the readers have checked that all of them lie inside the
/// file.
struct StoredTensor {
  std::shared_ptr<const MappedFile> file;
  DType dtype = DType::kF32;
  Shape shape;
  std::array<int64_t, Shape::kMaxRank> strides{};
  size_t offset = 0;
  size_t span_bytes = 0;  ///< from the first byte of the first element to the last byte of the last

  /// Row-major strides and the span that goes with them.
  static StoredTensor dense(std::shared_ptr<const MappedFile> file, size_t offset, DType dtype,
                            const Shape& shape);
};

/// The index of a NaN or infinity among the elements of a tensor of rank 1 or 2 and floating dtype,
/// as an error line shows it: "[3]", "[2, 7]"; nothing if all are finite. `data` is where the
/// tensor's first element is.
std::optional<std::string> first_non_finite(const StoredTensor& tensor, const std::byte* data);

/// What copies of tensors take. Torch's tensors may share a file's bytes, or repeat them by a
/// stride of 0, so that a small file may say to be any number of elements.
class CopyBudget {
 public:
  /// Throws Error (user) for a tensor whose elements share bytes, and once the tensors of a file
  /// add up to many times its size. `where` is the tensor's name in errors.
  void take(const StoredTensor& tensor, const std::string& where);

 private:
  std::map<const MappedFile*, size_t> taken_;
};

/// The whole numbers and truth values (0, 1) of nanoGPT's "model_args", by name.
using ModelArguments = std::map<std::string, int64_t, std::less<>>;

struct CheckpointFiles {
  std::map<std::string, StoredTensor, std::less<>> tensors;  ///< by the names in the files
  /// Of tensors that the file does not hold as such (quantised): makes their values, float32 and
  /// row-major. Their entries in `tensors` have the shape; the bytes are others.
  std::map<std::string, std::function<std::vector<float>()>, std::less<>> made;
  /// Tensors of types that are none of DType's, with the files' names of these types.
  std::map<std::string, std::string, std::less<>> other_types;
  std::vector<std::string> other;  ///< names of things in the files that are no tensors
  std::optional<ModelArguments> model_arguments;  ///< of a checkpoint of nanoGPT
};

/// Each throws Error (user) for a file that is not of its format, or is damaged.
CheckpointFiles read_safetensors_file(const std::filesystem::path& path);
CheckpointFiles read_torch_file(const std::filesystem::path& path);
/// One of the two, by content.
CheckpointFiles read_checkpoint_file(const std::filesystem::path& path);
/// The files that an index (model.safetensors.index.json) names for the tensors, each beside it or
/// in a folder below.
CheckpointFiles read_shards(const std::filesystem::path& index);

struct LlmcCheckpoint {
  Config config;
  CheckpointFiles files;
};
LlmcCheckpoint read_llmc_file(const std::filesystem::path& path);
/// llm.c's magic number, the first four bytes of its files.
inline constexpr int32_t kLlmcMagic = 20240326;

}  // namespace vitrine::internal
