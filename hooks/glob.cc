// SPDX-License-Identifier: MIT
#include "hooks/glob.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/check.h"

namespace vitrine::internal {
namespace {

// Far above any use (48 layers x 23 sites is 1,104), far below what would exhaust memory.
constexpr size_t kMaxAlternatives = 4096;

std::optional<int> parse_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Writes one comma-separated item of a brace to `out`: itself, or each number of a range.
void expand_item(std::string_view item, std::string_view pattern, int layers,
                 std::vector<std::string>& out) {
  const size_t dots = item.find("..");
  if (dots == std::string_view::npos) {
    out.emplace_back(item);
    return;
  }
  const std::string_view head = item.substr(0, dots), tail = item.substr(dots + 2);
  const auto first = head.empty() ? 0 : parse_number(head);
  const auto last = tail.empty() ? layers - 1 : parse_number(tail);
  if (!first || !last || item == "..")
    user_error("pattern '{}': invalid range '{}': expected integers, such as 3..5 or 3..", pattern,
               item);
  if (tail.empty() && *first >= layers) {
    user_error("pattern '{}': range '{}' is empty: expected a start in 0..{}", pattern, item,
               layers - 1);
  }
  if (*first < 0 || *last < *first)
    user_error("pattern '{}': invalid range '{}': expected ascending integers >= 0", pattern, item);
  if (static_cast<size_t>(*last - *first) >= kMaxAlternatives) {
    user_error("pattern '{}': range '{}' is too large: expected at most {} numbers", pattern, item,
               kMaxAlternatives);
  }
  for (int i = 0; i <= *last - *first; ++i) out.push_back(std::to_string(*first + i));
}

std::vector<std::string> expand_braces(std::string_view pattern, int layers) {
  std::vector<std::string> done = {""};
  size_t at = 0;
  while (at < pattern.size()) {
    const size_t open = pattern.find('{', at);
    const std::string_view literal =
        pattern.substr(at, open == std::string_view::npos ? open : open - at);
    if (literal.find('}') != std::string_view::npos)
      user_error("pattern '{}': unexpected closing brace", pattern);
    for (std::string& text : done) text += literal;
    if (open == std::string_view::npos) break;
    const size_t close = pattern.find('}', open);
    if (close == std::string_view::npos) user_error("pattern '{}': missing closing brace", pattern);
    std::string_view body = pattern.substr(open + 1, close - open - 1);
    if (body.find('{') != std::string_view::npos)
      user_error("pattern '{}': nested braces are not supported", pattern);

    std::vector<std::string> items;
    for (;;) {
      const size_t comma = body.find(',');
      expand_item(body.substr(0, comma), pattern, layers, items);
      if (done.size() * items.size() > kMaxAlternatives)
        user_error("pattern '{}' expands to too many names: expected at most {}", pattern,
                   kMaxAlternatives);
      if (comma == std::string_view::npos) break;
      body.remove_prefix(comma + 1);
    }
    std::vector<std::string> next;
    for (const std::string& prefix : done) {
      for (const std::string& item : items) next.push_back(prefix + item);
    }
    done = std::move(next);
    at = close + 1;
  }
  return done;
}

/// Wildcard match in linear space and O(pattern x name) time: on a mismatch, the last `*` takes one
/// character more.
bool wildcard_match(std::string_view pattern, std::string_view name) {
  size_t p = 0, n = 0, star = std::string_view::npos, star_name = 0;
  while (n < name.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n]) && pattern[p] != '*') {
      ++p;
      ++n;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_name = n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++star_name;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

}  // namespace

Glob::Glob(std::string_view pattern, int layers) {
  if (pattern.empty())
    user_error(
        "a site pattern is empty: expected a site name or a glob such as blocks.*.hook_resid_post");
  alternatives_ = expand_braces(pattern, layers);
}

bool Glob::matches(std::string_view name) const {
  return std::any_of(alternatives_.begin(), alternatives_.end(),
                     [&](const std::string& p) { return wildcard_match(p, name); });
}

}  // namespace vitrine::internal
