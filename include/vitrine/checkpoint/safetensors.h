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

/// Reads a safetensors file. The file is mapped, not read: opening one of many gigabytes costs its
/// header.
///
/// Copies share the mapping; views stay valid while one of them lives. Any number of threads may
/// read.
class SafetensorsFile {
 public:
  /// Checks the whole header against the file. Throws Error (user) with one line: file, tensor,
  /// what is wrong.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const;
  /// In the order in which the tensors lie in the file.
  const std::vector<std::string>& names() const;
  bool has(std::string_view name) const;
  /// The tensor's elements. Throws Error (user) if there is none of this name.
  TensorView tensor(std::string_view name) const;
  /// The tensor will not be read again soon: gives its memory back. Views of it stay valid where
  /// the file's layout is aligned (they are read again from the file), and dangle where it is not.
  void release(std::string_view name) const;
  /// The file's __metadata__.
  const std::map<std::string, std::string>& metadata() const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

/// Writes a safetensors file in one pass: what it will hold is declared first, then the elements
/// follow in that order. The file appears under its name only when finish() has returned; until
/// then, and after any error, nothing is there that was not there before. The same declarations and
/// elements give the same bytes.
class SafetensorsWriter {
 public:
  struct Declaration {
    std::string name;
    DType dtype = DType::kF32;
    Shape shape;
  };

  /// Throws Error (user) for a name that is empty, repeated, reserved or not UTF-8, for a path that
  /// cannot be written, and for a disk that has not the room.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<Declaration> tensors,
                    const std::map<std::string, std::string>& metadata = {});
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  /// The next bytes of the data, wherever tensors begin and end. Throws Error (user) for more than
  /// was declared.
  void append(std::span<const std::byte> bytes);
  /// The next whole tensor. Throws Error (user) if it is not of the dtype and shape declared next.
  void append(const TensorView& tensor);
  /// Bytes of a tensor, by its place in the declarations and theirs in it: for data that come in
  /// another order than the file's. Takes the place of append(). Each byte is to be put once.
  /// Throws Error (user) for bytes outside the tensor.
  void put(size_t tensor, uint64_t offset, std::span<const std::byte> bytes);
  /// Makes the file appear. Throws Error (user) if fewer bytes were given than declared.
  void finish();

  /// Declares and writes all at once.
  static void write(const std::filesystem::path& path,
                    const std::vector<std::pair<std::string, TensorView>>& tensors,
                    const std::map<std::string, std::string>& metadata = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vitrine
