// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// JSON to be written. No templates and nothing inline that takes long to compile: most files that
// include this only list fields. JSON that is read is base/json.h's.

namespace vitrine::internal {

/// A JSON value. Lists of numbers are kept as such, 8 bytes each.
class JsonValue {
 public:
  JsonValue() noexcept = default;  ///< null
  JsonValue(std::nullptr_t) noexcept {}
  JsonValue(bool value) noexcept;
  JsonValue(int value) noexcept;
  JsonValue(long value) noexcept;
  JsonValue(long long value) noexcept;
  JsonValue(unsigned value) noexcept;
  JsonValue(unsigned long value) noexcept;
  JsonValue(unsigned long long value) noexcept;
  JsonValue(float value) noexcept;
  JsonValue(double value) noexcept;  ///< NaN and infinities are written as null
  JsonValue(const char* text);
  JsonValue(std::string_view text);
  JsonValue(std::string text);
  JsonValue(const std::filesystem::path& path) = delete;  // say path.string()
  JsonValue(std::span<const int32_t> values);
  JsonValue(std::span<const int64_t> values);
  JsonValue(std::span<const float> values);
  JsonValue(std::span<const double> values);
  JsonValue(const std::vector<int32_t>& values);
  JsonValue(const std::vector<int64_t>& values);
  JsonValue(const std::vector<uint64_t>& values);
  JsonValue(const std::vector<float>& values);
  JsonValue(const std::vector<double>& values);
  JsonValue(const std::vector<std::string>& texts);
  JsonValue(const std::vector<std::vector<double>>& rows);
  JsonValue(std::vector<JsonValue> values);
  JsonValue(const std::map<std::string, std::string>& texts);
  JsonValue(const std::optional<double>& value);  ///< nothing: null
  /// An object if each element is a list of two that begins with a string, otherwise an array.
  JsonValue(std::initializer_list<JsonValue> values);
  template <typename T>
  JsonValue(const T*) = delete;  // would become a bool

  JsonValue(const JsonValue& other);
  JsonValue(JsonValue&& other) noexcept;
  JsonValue& operator=(JsonValue other) noexcept;
  ~JsonValue();

  /// An empty list.
  static JsonValue array();
  static JsonValue array(std::initializer_list<JsonValue> values);
  static JsonValue object();

  bool is_null() const { return kind_ == Kind::kNull; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_object() const { return kind_ == Kind::kObject; }
  bool is_array() const { return kind_ >= Kind::kArray; }
  /// Elements of a list, fields of an object; 0 of null, 1 of anything else.
  size_t size() const;
  bool empty() const { return size() == 0; }

  /// An object's field, added as null if there is none; null becomes an object.
  JsonValue& operator[](std::string_view name);
  /// Null if this is not an object or the field is missing.
  const JsonValue* find(std::string_view name) const;
  /// First and last of a list that has one at least and is not of numbers alone.
  JsonValue& front();
  JsonValue& back();
  /// Of a string.
  const std::string& text() const;
  /// Appends to a list; null becomes one.
  void push_back(JsonValue value);
  /// Adds an object's fields to this object; a field of both gets the new value.
  void update(JsonValue object);

  /// As text. Names of an object are sorted; doubles have the digits they need to be read back the
  /// same; bytes that are not UTF-8 become U+FFFD. `indent`: spaces a level, or -1 for one line.
  std::string dump(int indent = -1) const;

 private:
  enum class Kind : uint8_t {
    kNull,
    kBool,
    kInteger,
    kUnsigned,
    kNumber,
    kString,
    kObject,
    kArray,  // this and what follows are lists
    kIntegers,
    kNumbers,
  };
  using Array = std::vector<JsonValue>;
  using Object = std::map<std::string, JsonValue, std::less<>>;
  union Data {
    bool boolean;
    int64_t integer;
    uint64_t natural;
    double number;
    std::string* text;
    Object* object;
    Array* array;
    std::vector<int64_t>* integers;
    std::vector<double>* numbers;
  };

  static Array taken_from(std::initializer_list<JsonValue> values);
  bool is_field() const;
  [[noreturn]] static void wrong_kind(const char* wanted);
  friend class JsonWriter;

  // Mutable because an initializer list's elements are const: moving out of them saves a copy of
  // every branch at every level.
  mutable Kind kind_ = Kind::kNull;
  mutable Data data_ = {};
};

}  // namespace vitrine::internal
