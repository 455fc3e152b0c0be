// SPDX-License-Identifier: MIT
#include "cli/core/help.h"

#include <algorithm>

namespace vitrine::cli {
namespace {

constexpr size_t kColumn = 26, kWidth = 100;

}  // namespace

std::string help_entry(const std::string& name, std::string_view text) {
  std::string out = "  " + name;
  size_t at = out.size();
  if (at + 2 > kColumn) {
    out += '\n';
    at = 0;
  }
  out.append(kColumn - at, ' ');
  at = kColumn;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (at > kColumn && at + 1 + end > kWidth) {
      out += '\n' + std::string(kColumn, ' ');
      at = kColumn;
    }
    if (at > kColumn) {
      out += ' ';
      ++at;
    }
    out += text.substr(0, end);
    at += end;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out + '\n';
}

}  // namespace vitrine::cli
