// SPDX-License-Identifier: MIT
#include "cli/core/help.h"

#include <algorithm>

#include "cli/core/terminal.h"

namespace vitrine::cli {
namespace {

constexpr size_t kColumn = 26, kMaxWidth = 100;

}  // namespace

size_t help_width() { return std::min(kMaxWidth, Terminal("never", -1).width()); }

std::string help_entry(const std::string& name, std::string_view text) {
  const size_t width = help_width(), room = width > 2 * kColumn ? width - kColumn : kColumn;
  const std::string next_line = '\n' + std::string(kColumn, ' ');
  std::string out = "  " + name;
  size_t at = out.size();
  if (at + 2 > kColumn) {
    out += '\n';
    at = 0;
  }
  out.append(kColumn - at, ' ');
  at = kColumn;
  while (!text.empty()) {
    size_t end = std::min(text.find(' '), text.size());
    const size_t comma = text.substr(0, room).rfind(',');
    const bool cut = end > room && comma != std::string_view::npos;  // a list without blanks
    if (cut) end = comma + 1;
    if (at > kColumn && at + 1 + end > kColumn + room) {
      out += next_line;
      at = kColumn;
    }
    if (at > kColumn) {
      out += ' ';
      ++at;
    }
    out += text.substr(0, end);
    at += end;
    text.remove_prefix(std::min(end + (cut ? 0 : 1), text.size()));
    if (cut) {
      out += next_line;
      at = kColumn;
    }
  }
  return out + '\n';
}

}  // namespace vitrine::cli
