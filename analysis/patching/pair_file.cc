// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/json.h"
#include "base/quote.h"
#include "base/text_file.h"
#include "vitrine/analysis/pairs.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr std::array<std::string_view, 6> kFields = {"clean",   "corrupt", "answer",
                                                     "answers", "wrong",   "wrongs"};

/// One line of a file of pairs.
class PairLine {
 public:
  PairLine(std::string_view line, std::string where, const Model& model)
      : where_(std::move(where)),
        json_(parse_json(line, where_)),
        fields_(json_, where_),
        model_(model) {}

  PatchPair read() const {
    for (const auto& [name, value] : json_.items()) {
      if (std::ranges::find(kFields, name) == kFields.end())
        user_error("{}: unknown field {}: expected clean, corrupt, answer or wrong", where_,
                   quote(name));
    }
    PatchPair pair{.clean = prompt("clean"), .corrupt = prompt("corrupt"), .name = where_};
    if (pair.clean.empty())
      user_error("{}: missing \"clean\": expected a prompt as text or a list of ids", where_);
    pair.answer = tokens("answer");
    pair.wrong = tokens("wrong");
    return pair;
  }

 private:
  /// What `read` gives; its errors begin with the line.
  template <typename Read>
  auto placed(const Read& read) const {
    try {
      return read();
    } catch (const Error& error) {
      user_error("{}: {}", where_, error.what());
    }
  }

  int32_t id(const Json& value) const {
    if (!value.is_number_integer() || value < 0 || value > 0x7fffffff)
      user_error("{}: invalid token id {}", where_, describe_json(value));
    return value.get<int32_t>();
  }

  /// Empty if there is none.
  std::vector<int32_t> prompt(const char* name) const {
    const Json* value = fields_.find(name);
    if (!value) return {};
    std::vector<int32_t> ids;
    if (value->is_string())
      ids = placed([&] { return model_.encode(value->get<std::string>()); });
    else if (value->is_array())
      for (const Json& each : *value) ids.push_back(id(each));
    else
      fields_.refuse(name, "expected text or a list of token ids");
    if (ids.empty()) user_error("{}: the {} prompt is empty: expected a token", where_, name);
    return ids;
  }

  int32_t token(const Json& value) const {
    if (!value.is_string()) return id(value);
    return placed([&] { return model_.tokenizer().single_token(value.get<std::string>()); });
  }

  /// `name` or, with an s, its plural.
  std::vector<int32_t> tokens(const std::string& name) const {
    const Json *one = fields_.find(name), *several = fields_.find(name + "s");
    if (one && several)
      user_error("{}: both \"{}\" and \"{}s\": expected one of them", where_, name, name);
    if (!one && !several) return {};
    const Json& value = one ? *one : *several;
    std::vector<int32_t> ids;
    if (!value.is_array()) return {token(value)};
    for (const Json& each : value) ids.push_back(token(each));
    if (ids.empty()) user_error("{}: the list of \"{}\" is empty: expected a token", where_, name);
    return ids;
  }

  std::string where_;
  Json json_;
  JsonFields fields_;
  const Model& model_;
};

}  // namespace

PatchPair parse_pair(std::string_view line, const std::string& where, const Model& model) {
  return PairLine(line, where, model).read();
}

std::vector<PatchPair> read_pairs(const std::string& path, const Model& model) {
  const std::vector<std::string> lines = text_lines(read_text(path), path);
  if (lines.empty()) user_error("{}: missing pairs: expected one per line", path);
  std::vector<PatchPair> pairs;
  for (size_t i = 0; i < lines.size(); ++i)
    pairs.push_back(parse_pair(lines[i], fmt::format("{}:{}", path, i + 1), model));
  return pairs;
}

}  // namespace vitrine
