// SPDX-License-Identifier: MIT
#include "base/json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/mapped_file.h"
#include "base/quote.h"
#include "base/text_file.h"

namespace vitrine::internal {
namespace {

constexpr size_t kMaxDepth = 64;

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

/// Builds the tree. The library's own parser with a callback looks through all of a container's
/// elements at the end of each: an hour for 10 MB of "[],".
class TreeBuilder : public nlohmann::json_sax<Json> {
 public:
  TreeBuilder(std::string_view text, const std::string& file, bool last_counts)
      : text_(text), file_(file), last_counts_(last_counts) {}

  Json take() { return std::move(root_); }

  bool null() override { return place(nullptr) != nullptr; }
  bool boolean(bool value) override { return place(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return place(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return place(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override {
    return place(value) != nullptr;
  }
  bool string(string_t& value) override { return place(std::move(value)) != nullptr; }
  bool binary(binary_t& value) override { return place(std::move(value)) != nullptr; }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override {
    fill(open_.back());
    return close();
  }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    open_.back().fields.emplace_back(std::move(name), Json());
    return true;
  }
  bool parse_error(size_t, const std::string&, const Json::exception& error) override {
    if (const auto* syntax = dynamic_cast<const Json::parse_error*>(&error)) {
      user_error("{}: invalid JSON: {}", position(text_, syntax->byte, file_),
                 reason(error.what()));
    }
    // A number outside the range of double.
    user_error("{}: invalid JSON: {}", file_, reason(error.what()));
  }

 private:
  using Field = std::pair<std::string, Json>;
  struct Open {
    Json* container = nullptr;
    std::vector<Field> fields;  // of an object, in the text's order, until its end
  };

  Json* place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back().container->is_array()) {
      auto& list = open_.back().container->get_ref<Json::array_t&>();
      list.push_back(std::move(value));
      return &list.back();
    }
    Json& last = open_.back().fields.back().second;
    last = std::move(value);
    return &last;
  }
  /// An object's fields are put into its tree in order. In the text's order each would be looked
  /// for along a path of its own through memory: half of the time that a vocabulary took.
  void fill(Open& open) {
    std::vector<Field*> order;
    order.reserve(open.fields.size());
    for (Field& field : open.fields) order.push_back(&field);
    std::sort(order.begin(), order.end(), [](const Field* a, const Field* b) {
      const int names = a->first.compare(b->first);
      return names < 0 || (names == 0 && a < b);
    });
    auto& object = open.container->get_ref<Json::object_t&>();
    const Field* repeated = nullptr;  // the first one that repeats a name
    for (size_t i = 0; i < order.size(); ++i) {
      if (i + 1 < order.size() && order[i]->first == order[i + 1]->first) {
        if (repeated == nullptr || order[i + 1] < repeated) repeated = order[i + 1];
      } else if (repeated == nullptr || last_counts_) {
        object.emplace_hint(object.end(), std::move(order[i]->first), std::move(order[i]->second));
      }
    }
    if (repeated != nullptr && !last_counts_)
      user_error("{}: duplicate key {} in JSON object", file_, quote(repeated->first));
  }
  bool open(Json container) {
    if (open_.size() > kMaxDepth)
      user_error("{}: JSON is nested too deeply: expected at most {} levels", file_, kMaxDepth);
    open_.push_back({place(std::move(container)), {}});
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  const std::string& file_;
  bool last_counts_;
  Json root_;
  std::vector<Open> open_;  // from the outermost
};

/// `text` with quotes around NaN, Infinity and -Infinity outside of strings.
std::string with_texts_for_numbers(std::string_view text) {
  constexpr std::string_view kWords[] = {"NaN", "-Infinity", "Infinity"};
  std::string result;
  bool in_string = false;
  for (size_t i = 0; i < text.size();) {
    const std::string_view rest = text.substr(i);
    const auto* word = std::find_if(std::begin(kWords), std::end(kWords),
                                    [&](std::string_view w) { return rest.starts_with(w); });
    if (!in_string && word != std::end(kWords)) {
      result.append(1, '"').append(*word).append(1, '"');
      i += word->size();
      continue;
    }
    const bool escape = in_string && rest[0] == '\\' && rest.size() > 1;
    if (rest[0] == '"') in_string = !in_string;
    result.append(rest.substr(0, escape ? 2 : 1));
    i += escape ? 2 : 1;
  }
  return result;
}

/// `last_counts`: of a repeated name, instead of refusing it.
Json build(std::string_view text, const std::string& file, bool last_counts) {
  TreeBuilder tree(text, file, last_counts);
  Json::sax_parse(text.begin(), text.end(), &tree);
  return tree.take();
}

template <typename Parse>
Json parse_file(const std::filesystem::path& path, size_t max_bytes, const Parse& parse) {
  const MappedFile file(path);
  if (file.size() > max_bytes)
    user_error("{}: is {} bytes of JSON: expected at most {}", path.string(), file.size(),
               max_bytes);
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  return parse(check_text(bytes, path.string()), path.string());
}

}  // namespace

Json parse_json(std::string_view text, const std::string& file) { return build(text, file, false); }

Json parse_python_json(std::string_view text, const std::string& file) {
  return build(with_texts_for_numbers(text), file, true);
}

Json read_json(const std::filesystem::path& path, size_t max_bytes) {
  return parse_file(path, max_bytes, parse_json);
}

Json read_python_json(const std::filesystem::path& path) {
  return parse_file(path, kMaxJsonBytes, parse_python_json);
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
