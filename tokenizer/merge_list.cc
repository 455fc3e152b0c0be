// SPDX-License-Identifier: MIT
#include "tokenizer/merge_list.h"

#include <algorithm>

#include "base/check.h"
#include "base/quote.h"

namespace vitrine::internal {

namespace {

/// The two halves of "a b".
std::pair<std::string_view, std::string_view> merge_halves(std::string_view line,
                                                           const MergePlace& place) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
      line.find(' ', space + 1) != std::string_view::npos) {
    user_error("{} is {}: expected two tokens with one space between them", place.text(),
               quote(line));
  }
  return {line.substr(0, space), line.substr(space + 1)};
}

}  // namespace

std::string MergePlace::text() const {
  return is_line ? fmt::format("{}:{}: merge {}", file, number, number)
                 : fmt::format("{}: merge {}", file, number);
}

void for_each_merge(
    const JsonFields& model, const std::string& file,
    const std::function<void(std::string_view left, std::string_view right, size_t number)>& take) {
  const Json* list = model.find("merges");
  if (!list || !list->is_array()) model.refuse("merges", "expected a list of merges");
  for (size_t i = 0; i < list->size(); ++i) {
    const Json& entry = (*list)[i];
    const size_t number = i + 1;
    if (entry.is_string()) {
      const auto [left, right] = merge_halves(entry.get_ref<const std::string&>(), {file, number});
      take(left, right, number);
    } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() &&
               entry[1].is_string()) {
      take(entry[0].get_ref<const std::string&>(), entry[1].get_ref<const std::string&>(), number);
    } else {
      user_error("{}: merge {} is {}: expected \"a b\" or [\"a\", \"b\"]", file, number,
                 describe_json(entry));
    }
  }
}

void for_each_merge_line(std::string_view text, const std::string& file,
                         const std::function<void(std::string_view left, std::string_view right,
                                                  const MergePlace& place)>& take) {
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with("#version") || (line.empty() && text.empty())) continue;
    const MergePlace place{file, number, true};
    const auto [left, right] = merge_halves(line, place);
    take(left, right, place);
  }
}

}  // namespace vitrine::internal
