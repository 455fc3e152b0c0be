// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vitrine::internal {

/// Walks the fields of one protocol buffer message. Each function throws Error (user) for bytes
/// that are none.
class ProtoMessage {
 public:
  struct Field {
    uint64_t number;
    uint64_t value;          ///< of a varint
    std::string_view bytes;  ///< of a string or message
  };

  /// `kind` is what the file should be, as errors say it: "a SentencePiece model". The arguments
  /// must outlive this.
  ProtoMessage(std::string_view rest, const std::string& file, const char* kind)
      : rest_(rest), file_(file), kind_(kind) {}

  /// The next field; nothing at the end.
  std::optional<Field> next();
  /// The message inside a field.
  ProtoMessage inside(const Field& field) const { return {field.bytes, file_, kind_}; }

  uint64_t varint();
  std::string_view take(uint64_t count);
  bool at_end() const { return rest_.empty(); }

 private:
  [[noreturn]] void broken() const;

  std::string_view rest_;
  const std::string& file_;
  const char* kind_;
};

}  // namespace vitrine::internal
