// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vitrine/corpus/capture_file.h"
#include "vitrine/dtype.h"
#include "vitrine/tensor.h"

namespace vitrine::internal {

/// One tensor of a capture file.
struct SinkTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  bool is_site = false;  ///< against ids, offsets and positions, which are small
};

/// Where the tensors of a capture go. Their bytes may come in any order, each once; nothing appears
/// before finish() returns, and no files are left without it.
class CaptureSink {
 public:
  virtual ~CaptureSink() = default;
  /// `offset` in bytes.
  virtual void put(size_t tensor, uint64_t offset, std::span<const std::byte> bytes) = 0;
  virtual void finish() = 0;
};

/// What the format stores a dtype as: .npy has no bfloat16.
DType stored_dtype(CaptureFormat format, DType dtype);

/// Throws Error (user) for a path that cannot be written, a full disk, and for more sites than the
/// format holds.
std::unique_ptr<CaptureSink> make_capture_sink(CaptureFormat format,
                                               const std::filesystem::path& path,
                                               const std::vector<SinkTensor>& tensors,
                                               const std::map<std::string, std::string>& metadata);

/// Throws Error (user) at once where make_capture_sink would only after the work: a folder that has
/// something in it.
void check_capture_path(CaptureFormat format, const std::filesystem::path& path);

}  // namespace vitrine::internal
