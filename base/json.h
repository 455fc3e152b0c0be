// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

// JSON with errors fit for people. Private to the library: nlohmann's types stand in no public
// header.

namespace vitrine::internal {

using Json = nlohmann::json;

/// Parses `text`. `file` is what errors call it. Throws Error (user) "FILE:LINE:COLUMN: ..." for
/// text that is not JSON, repeats a name inside one object, or nests deeper than 64 levels.
Json parse_json(std::string_view text, const std::string& file);

/// The same as Python's json module reads it: bare NaN, Infinity and -Infinity are accepted, as the
/// texts "NaN", ..., so that a reader of a number refuses them by name; of a repeated name the last
/// value counts.
Json parse_python_json(std::string_view text, const std::string& file);

inline constexpr size_t kMaxJsonBytes = 64u << 20;

/// Reads and parses a file, at most `max_bytes` long, as text_file.h reads text.
Json read_json(const std::filesystem::path& path, size_t max_bytes = kMaxJsonBytes);
Json read_python_json(const std::filesystem::path& path);

/// A JSON value as an error line shows it: one line, at most about 60 characters.
std::string describe_json(const Json& value);

/// An object's fields with checks. A field that is absent or null gives nothing; one of another
/// type, or out of range, throws Error (user): FILE: FIELD is VALUE; wanted WHAT.
class JsonFields {
 public:
  /// Throws Error (user) if `object` is not an object. Both arguments must outlive this.
  JsonFields(const Json& object, const std::string& file);

  bool has(std::string_view name) const { return find(name) != nullptr; }
  /// Null if absent or null.
  const Json* find(std::string_view name) const;

  std::optional<int64_t> integer(std::string_view name, int64_t min, int64_t max) const;
  int64_t require_integer(std::string_view name, int64_t min, int64_t max) const;
  std::optional<double> number(std::string_view name) const;
  std::optional<bool> boolean(std::string_view name) const;
  std::optional<std::string> text(std::string_view name) const;

  /// Throws Error (user): FILE: NAME is VALUE; REASON.
  [[noreturn]] void refuse(std::string_view name, std::string_view reason) const;

 private:
  const Json& object_;
  const std::string& file_;
};

}  // namespace vitrine::internal
