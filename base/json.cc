// SPDX-License-Identifier: MIT
#include "base/json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/mapped_file.h"
#include "base/quote.h"
#include "base/text_file.h"

namespace vitrine::internal {
namespace {

constexpr int kMaxDepth = 64;

std::string position(std::string_view text, size_t byte, const std::string& file) {
  const std::string_view before = text.substr(0, std::min(byte == 0 ? 0 : byte - 1, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t start = before.rfind('\n');
  const size_t column = start == std::string_view::npos ? before.size() + 1 : before.size() - start;
  return fmt::format("{}:{}:{}", file, line, column);
}

// nlohmann says "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error
// while parsing ... - what".
std::string reason(std::string_view message) {
  const size_t cut = message.rfind("; expected ");
  const std::string_view expected =
      cut == std::string_view::npos ? std::string_view{} : message.substr(cut + 2);
  message = message.substr(0, cut);
  const size_t colon = message.find(": ");
  if (colon != std::string_view::npos) message.remove_prefix(colon + 2);
  const std::string shown = quote(message, 160);
  const std::string body = shown.substr(1, shown.size() - 2);
  return expected.empty() ? body : fmt::format("{}; {}", body, expected);
}

// The first name that one of the text's objects has twice.
std::string repeated_name(std::string_view text) {
  std::vector<std::unordered_set<std::string>> names;  // of the objects that are open
  std::string repeated;
  const auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end) names.pop_back();
    if (event == Json::parse_event_t::key &&
        !names.back().insert(parsed.get<std::string>()).second && repeated.empty()) {
      repeated = parsed.get<std::string>();
    }
    return true;
  };
  std::ignore = Json::parse(text.begin(), text.end(), watch, false);
  return repeated;
}

}  // namespace

Json parse_json(std::string_view text, const std::string& file) {
  std::vector<size_t> names;  // of the objects that are open: how many stand in each
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    switch (event) {
      case Json::parse_event_t::object_start:
        names.push_back(0);
        [[fallthrough]];
      case Json::parse_event_t::array_start:
        if (depth > kMaxDepth)
          user_error("{}: JSON is nested too deeply: expected at most {} levels", file, kMaxDepth);
        break;
      case Json::parse_event_t::key:
        ++names.back();
        break;
      case Json::parse_event_t::object_end:
        if (names.back() != parsed.size())
          user_error("{}: duplicate key {} in JSON object", file, quote(repeated_name(text)));
        names.pop_back();
        break;
      default:
        break;
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::parse_error& error) {
    user_error("{}: invalid JSON: {}", position(text, error.byte, file), reason(error.what()));
  } catch (const Json::exception& error) {  // a number outside the range of double
    user_error("{}: invalid JSON: {}", file, reason(error.what()));
  }
}

Json read_json(const std::filesystem::path& path, size_t max_bytes) {
  const MappedFile file(path);
  if (file.size() > max_bytes)
    user_error("{}: is {} bytes of JSON: expected at most {}", path.string(), file.size(),
               max_bytes);
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  return parse_json(check_text(bytes, path.string()), path.string());
}

std::string describe_json(const Json& value) {
  if (value.is_object()) return fmt::format("an object of {} fields", value.size());
  if (value.is_array()) return fmt::format("a list of {} values", value.size());
  if (value.is_string()) return quote(value.get_ref<const std::string&>(), 60);
  return value.dump();
}

JsonFields::JsonFields(const Json& object, const std::string& file) : object_(object), file_(file) {
  if (!object.is_object())
    user_error("{}: is {}: expected a JSON object", file, describe_json(object));
}

const Json* JsonFields::find(std::string_view name) const {
  const auto it = object_.find(name);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

void JsonFields::refuse(std::string_view name, std::string_view reason) const {
  const auto it = object_.find(name);
  user_error("{}: {} is {}: {}", file_, name, it == object_.end() ? "missing" : describe_json(*it),
             reason);
}

std::optional<int64_t> JsonFields::integer(std::string_view name, int64_t min, int64_t max) const {
  const Json* value = find(name);
  if (!value) return std::nullopt;
  const bool fits = value->is_number_unsigned()
                        ? value->get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()}
                        : value->is_number_integer();
  if (!fits || value->get<int64_t>() < min || value->get<int64_t>() > max) {
    refuse(name, fmt::format("expected an integer from {} to {}", min, max));
  }
  return value->get<int64_t>();
}

int64_t JsonFields::require_integer(std::string_view name, int64_t min, int64_t max) const {
  const auto value = integer(name, min, max);
  if (!value) refuse(name, fmt::format("expected an integer from {} to {}", min, max));
  return *value;
}

std::optional<double> JsonFields::number(std::string_view name) const {
  const Json* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_number()) refuse(name, "expected a number");
  return value->get<double>();
}

std::optional<bool> JsonFields::boolean(std::string_view name) const {
  const Json* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_boolean()) refuse(name, "expected true or false");
  return value->get<bool>();
}

std::optional<std::string> JsonFields::text(std::string_view name) const {
  const Json* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_string()) refuse(name, "expected a string");
  return value->get<std::string>();
}

}  // namespace vitrine::internal
