// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vitrine/dtype.h"
#include "vitrine/tensor.h"

namespace vitrine {

/// Safetensors file, memory-mapped: opening a large file reads its header only.
///
/// Copies share the mapping; views are valid as long as one copy. Thread-safe.
class SafetensorsFile {
 public:
  /// Checks the whole header against the file. Throws Error (user) naming the file, the tensor and
  /// the defect.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const;
  /// Names in the order of the data in the file.
  const std::vector<std::string>& names() const;
  bool has(std::string_view name) const;
  /// View of a tensor. Throws Error (user) for an unknown name.
  TensorView tensor(std::string_view name) const;
  /// Releases the memory of a tensor that will not be read again soon. Its views stay valid if the
  /// file's layout is aligned (they are then read from the file again), and dangle otherwise.
  void release(std::string_view name) const;
  /// Entries of __metadata__.
  const std::map<std::string, std::string>& metadata() const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

/// Writes a safetensors file in one pass: tensors are declared first, then their elements follow in
/// the same order. finish() makes the file visible under its name; before that, and after any
/// error, the path is unchanged. Equal declarations and elements give equal bytes.
class SafetensorsWriter {
 public:
  struct Declaration {
    std::string name;
    DType dtype = DType::kF32;
    Shape shape;
  };

  /// Throws Error (user) for a name that is empty, duplicate, reserved or not UTF-8, for a path
  /// that cannot be written, and for insufficient disk space.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<Declaration> tensors,
                    const std::map<std::string, std::string>& metadata = {});
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  /// Appends bytes of the data, independently of tensor boundaries. Throws Error (user) for more
  /// bytes than declared.
  void append(std::span<const std::byte> bytes);
  /// Appends the next whole tensor. Throws Error (user) if its dtype or shape differs from the
  /// declaration.
  void append(const TensorView& tensor);
  /// Writes bytes at `offset` of the tensor with index `tensor` in the declarations, for data in
  /// another order than the file's. Use instead of append(); each byte must be written once. Throws
  /// Error (user) for bytes outside the tensor.
  void put(size_t tensor, uint64_t offset, std::span<const std::byte> bytes);
  /// Completes the file and makes it visible. Throws Error (user) for fewer bytes than declared.
  void finish();

  /// Declares and writes all tensors in one call. Returns the XXH64 of the file.
  static uint64_t write(const std::filesystem::path& path,
                        const std::vector<std::pair<std::string, TensorView>>& tensors,
                        const std::map<std::string, std::string>& metadata = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vitrine
