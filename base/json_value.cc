// SPDX-License-Identifier: MIT
#include "base/json_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/detail/conversions/to_chars.hpp>
#include <utility>

#include "base/check.h"
#include "base/utf8.h"

namespace vitrine::internal {

JsonValue::JsonValue(bool value) noexcept : kind_(Kind::kBool) { data_.boolean = value; }
JsonValue::JsonValue(int value) noexcept : JsonValue(static_cast<long long>(value)) {}
JsonValue::JsonValue(long value) noexcept : JsonValue(static_cast<long long>(value)) {}
JsonValue::JsonValue(long long value) noexcept : kind_(Kind::kInteger) { data_.integer = value; }
JsonValue::JsonValue(unsigned value) noexcept : JsonValue(static_cast<unsigned long long>(value)) {}
JsonValue::JsonValue(unsigned long value) noexcept
    : JsonValue(static_cast<unsigned long long>(value)) {}
JsonValue::JsonValue(unsigned long long value) noexcept : kind_(Kind::kUnsigned) {
  data_.natural = value;
}
JsonValue::JsonValue(float value) noexcept : JsonValue(static_cast<double>(value)) {}
JsonValue::JsonValue(double value) noexcept : kind_(Kind::kNumber) { data_.number = value; }

JsonValue::JsonValue(const char* text) : JsonValue(std::string(text)) {}
JsonValue::JsonValue(std::string_view text) : JsonValue(std::string(text)) {}
JsonValue::JsonValue(std::string text) : kind_(Kind::kString) {
  data_.text = new std::string(std::move(text));
}

JsonValue::JsonValue(std::span<const int32_t> values) : kind_(Kind::kIntegers) {
  data_.integers = new std::vector<int64_t>(values.begin(), values.end());
}
JsonValue::JsonValue(std::span<const int64_t> values) : kind_(Kind::kIntegers) {
  data_.integers = new std::vector<int64_t>(values.begin(), values.end());
}
JsonValue::JsonValue(std::span<const float> values) : kind_(Kind::kNumbers) {
  data_.numbers = new std::vector<double>(values.begin(), values.end());
}
JsonValue::JsonValue(std::span<const double> values) : kind_(Kind::kNumbers) {
  data_.numbers = new std::vector<double>(values.begin(), values.end());
}
JsonValue::JsonValue(const std::vector<int32_t>& values) : JsonValue(std::span(values)) {}
JsonValue::JsonValue(const std::vector<int64_t>& values) : JsonValue(std::span(values)) {}
JsonValue::JsonValue(const std::vector<uint64_t>& values)
    : JsonValue(Array(values.begin(), values.end())) {}
JsonValue::JsonValue(const std::vector<float>& values) : JsonValue(std::span(values)) {}
JsonValue::JsonValue(const std::vector<double>& values) : JsonValue(std::span(values)) {}
JsonValue::JsonValue(const std::vector<std::string>& texts)
    : JsonValue(Array(texts.begin(), texts.end())) {}
JsonValue::JsonValue(const std::vector<std::vector<double>>& rows)
    : JsonValue(Array(rows.begin(), rows.end())) {}
JsonValue::JsonValue(std::vector<JsonValue> values) : kind_(Kind::kArray) {
  data_.array = new Array(std::move(values));
}
JsonValue::JsonValue(const std::map<std::string, std::string>& texts) : kind_(Kind::kObject) {
  data_.object = new Object(texts.begin(), texts.end());
}
JsonValue::JsonValue(const std::optional<double>& value) {
  if (value) *this = JsonValue(*value);
}

bool JsonValue::is_field() const {
  return kind_ == Kind::kArray && data_.array->size() == 2 && data_.array->front().is_string();
}

JsonValue::Array JsonValue::taken_from(std::initializer_list<JsonValue> values) {
  Array taken(values.size());
  size_t i = 0;
  for (const JsonValue& value : values) {
    taken[i].kind_ = std::exchange(value.kind_, Kind::kNull);
    taken[i++].data_ = value.data_;
  }
  return taken;
}

JsonValue::JsonValue(std::initializer_list<JsonValue> values) {
  bool fields = true;
  for (const JsonValue& value : values) fields = fields && value.is_field();
  if (!fields) {
    *this = JsonValue(taken_from(values));
    return;
  }
  *this = object();
  // As for nlohmann::json, the first of several fields of one name is kept.
  for (const JsonValue& value : values)
    data_.object->try_emplace(std::move(*value.data_.array->front().data_.text),
                              std::move(value.data_.array->back()));
}

JsonValue::JsonValue(const JsonValue& other) : kind_(other.kind_), data_(other.data_) {
  switch (kind_) {
    case Kind::kString:
      data_.text = new std::string(*other.data_.text);
      break;
    case Kind::kObject:
      data_.object = new Object(*other.data_.object);
      break;
    case Kind::kArray:
      data_.array = new Array(*other.data_.array);
      break;
    case Kind::kIntegers:
      data_.integers = new std::vector<int64_t>(*other.data_.integers);
      break;
    case Kind::kNumbers:
      data_.numbers = new std::vector<double>(*other.data_.numbers);
      break;
    default:
      break;
  }
}

JsonValue::JsonValue(JsonValue&& other) noexcept
    : kind_(std::exchange(other.kind_, Kind::kNull)), data_(other.data_) {}

JsonValue& JsonValue::operator=(JsonValue other) noexcept {
  std::swap(kind_, other.kind_);
  std::swap(data_, other.data_);
  return *this;
}

JsonValue::~JsonValue() {
  switch (kind_) {
    case Kind::kString:
      delete data_.text;
      break;
    case Kind::kObject:
      delete data_.object;
      break;
    case Kind::kArray:
      delete data_.array;
      break;
    case Kind::kIntegers:
      delete data_.integers;
      break;
    case Kind::kNumbers:
      delete data_.numbers;
      break;
    default:
      break;
  }
}

JsonValue JsonValue::array() { return JsonValue(Array()); }
JsonValue JsonValue::array(std::initializer_list<JsonValue> values) {
  return JsonValue(taken_from(values));
}
JsonValue JsonValue::object() {
  JsonValue value;
  value.data_.object = new Object();
  value.kind_ = Kind::kObject;
  return value;
}

size_t JsonValue::size() const {
  switch (kind_) {
    case Kind::kNull:
      return 0;
    case Kind::kObject:
      return data_.object->size();
    case Kind::kArray:
      return data_.array->size();
    case Kind::kIntegers:
      return data_.integers->size();
    case Kind::kNumbers:
      return data_.numbers->size();
    default:
      return 1;
  }
}

void JsonValue::wrong_kind(const char* wanted) {
  internal_error("a JSON value is used as {}, which it is not", wanted);
}

JsonValue& JsonValue::operator[](std::string_view name) {
  if (is_null()) *this = object();
  if (!is_object()) wrong_kind("an object");
  const auto found = data_.object->find(name);
  if (found != data_.object->end()) return found->second;
  return data_.object->try_emplace(std::string(name)).first->second;
}

const JsonValue* JsonValue::find(std::string_view name) const {
  if (!is_object()) return nullptr;
  const auto found = data_.object->find(name);
  return found == data_.object->end() ? nullptr : &found->second;
}

JsonValue& JsonValue::front() {
  if (kind_ != Kind::kArray || data_.array->empty()) wrong_kind("a list");
  return data_.array->front();
}

JsonValue& JsonValue::back() {
  if (kind_ != Kind::kArray || data_.array->empty()) wrong_kind("a list");
  return data_.array->back();
}

const std::string& JsonValue::text() const {
  if (kind_ != Kind::kString) wrong_kind("a string");
  return *data_.text;
}

void JsonValue::push_back(JsonValue value) {
  if (is_null()) *this = array();
  if (kind_ == Kind::kIntegers) *this = Array(data_.integers->begin(), data_.integers->end());
  if (kind_ == Kind::kNumbers) *this = Array(data_.numbers->begin(), data_.numbers->end());
  if (kind_ != Kind::kArray) wrong_kind("a list");
  data_.array->push_back(std::move(value));
}

void JsonValue::update(JsonValue object) {
  if (is_null()) *this = JsonValue::object();
  if (!is_object() || !object.is_object()) wrong_kind("an object");
  for (auto& [name, value] : *object.data_.object)
    data_.object->insert_or_assign(name, std::move(value));
}

class JsonWriter {
 public:
  explicit JsonWriter(int indent) : indent_(indent) {}

  void write(const JsonValue& value) {
    using Kind = JsonValue::Kind;
    const JsonValue::Data& data = value.data_;
    switch (value.kind_) {
      case Kind::kNull:
        text_ += "null";
        break;
      case Kind::kBool:
        text_ += data.boolean ? "true" : "false";
        break;
      case Kind::kInteger:
        integer(data.integer);
        break;
      case Kind::kUnsigned:
        integer(data.natural);
        break;
      case Kind::kNumber:
        number(data.number);
        break;
      case Kind::kString:
        string(*data.text);
        break;
      case Kind::kObject:
        list('{', '}', *data.object, [this](const auto& field) {
          string(field.first);
          text_ += indent_ < 0 ? ":" : ": ";
          write(field.second);
        });
        break;
      case Kind::kArray:
        list('[', ']', *data.array, [this](const JsonValue& element) { write(element); });
        break;
      case Kind::kIntegers:
        list('[', ']', *data.integers, [this](int64_t element) { integer(element); });
        break;
      case Kind::kNumbers:
        list('[', ']', *data.numbers, [this](double element) { number(element); });
        break;
    }
  }

  std::string take() { return std::move(text_); }

 private:
  template <typename Elements, typename Write>
  void list(char open, char close, const Elements& elements, const Write& write_element) {
    text_ += open;
    ++depth_;
    bool first = true;
    for (const auto& element : elements) {
      if (!first) text_ += ',';
      first = false;
      new_line();
      write_element(element);
    }
    --depth_;
    if (!first) new_line();
    text_ += close;
  }

  void new_line() {
    if (indent_ < 0) return;
    text_ += '\n';
    text_.append(static_cast<size_t>(indent_) * depth_, ' ');
  }

  template <typename Integer>
  void integer(Integer value) {
    char digits[24];
    text_.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  }

  /// The digits are nlohmann::json's, so that a value is written alike on both ways.
  void number(double value) {
    char digits[64];
    if (!std::isfinite(value))
      text_ += "null";
    else
      text_.append(digits, nlohmann::detail::to_chars(digits, digits + sizeof digits, value));
  }

  void string(std::string_view bytes) {
    text_ += '"';
    while (!bytes.empty()) {
      size_t length = plain_prefix(bytes);
      text_ += bytes.substr(0, length);
      if (length == 0) length = special(bytes);
      bytes.remove_prefix(length);
    }
    text_ += '"';
  }

  /// Number of leading ASCII bytes that need no escape.
  static size_t plain_prefix(std::string_view bytes) {
    const auto plain = [](unsigned char c) {
      return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
    };
    return static_cast<size_t>(std::find_if_not(bytes.begin(), bytes.end(), plain) - bytes.begin());
  }

  /// Writes what is at the front, which is not plain; returns how many bytes that was.
  size_t special(std::string_view bytes) {
    constexpr std::string_view kEscaped = "\b\t\n\f\r\"\\", kLetters = "btnfr\"\\";
    const Utf8Step step = utf8_step(bytes);
    if (!step.valid) {
      text_ += "\xEF\xBF\xBD";
      return std::max(1u, utf8_prefix(bytes));  // one for all of a character that is cut off
    }
    if (step.length > 1)
      text_ += bytes.substr(0, step.length);
    else if (const size_t at = kEscaped.find(bytes.front()); at != std::string_view::npos)
      text_ += {'\\', kLetters[at]};
    else
      text_ += fmt::format("\\u{:04x}", static_cast<int>(bytes.front()));
    return step.length;
  }

  int indent_;
  size_t depth_ = 0;
  std::string text_;
};

std::string JsonValue::dump(int indent) const {
  JsonWriter writer(indent);
  writer.write(*this);
  return writer.take();
}

}  // namespace vitrine::internal
