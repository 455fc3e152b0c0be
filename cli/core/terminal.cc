// SPDX-License-Identifier: MIT
#include "cli/core/terminal.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cwchar>
#include <limits>

#include "base/check.h"

namespace vitrine::cli {
using namespace internal;
namespace {

// 256-colour codes in the middle of the brightness scale, so that they show on dark and on light
// backgrounds.
const char* code(Style style) {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kTitle:
      return "1";
    case Style::kDim:
      return "38;5;244";
    case Style::kBest:
      return "1;38;5;35";
    case Style::kGood:
      return "38;5;71";
    case Style::kFair:
      return "38;5;142";
    case Style::kPoor:
      return "38;5;172";
    case Style::kBad:
      return "38;5;167";
    case Style::kNothing:
      return "38;5;240";
    case Style::kLeast:
      return "1;38;5;202";
    case Style::kLess:
      return "38;5;172";
    case Style::kLower:
      return "38;5;137";
    case Style::kLevel:
      return "38;5;244";
    case Style::kHigher:
      return "38;5;103";
    case Style::kMore:
      return "38;5;68";
    case Style::kMost:
      return "1;38;5;33";
  }
  return "";
}

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value && *value != '\0';
}

size_t find_width(int asked) {
  if (asked == 0) return std::numeric_limits<size_t>::max() / 4;
  if (asked > 0) return static_cast<size_t>(asked);
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  if (const char* columns = std::getenv("COLUMNS")) {
    const int value = std::atoi(columns);
    if (value > 0) return static_cast<size_t>(value);
  }
  return 120;
}

struct Step {
  size_t bytes;
  size_t columns;
};

/// The next character of non-empty text.
Step next(std::string_view text) {
  wchar_t wide = 0;
  std::mbstate_t state{};
  const size_t bytes = std::mbrtowc(&wide, text.data(), text.size(), &state);
  if (bytes == 0 || bytes > text.size()) return {1, 1};
  const int columns = wcwidth(wide);
  return {bytes, columns < 0 ? size_t{1} : static_cast<size_t>(columns)};
}

}  // namespace

Style rank_style(int64_t rank) {
  if (rank <= 1) return Style::kBest;
  if (rank <= 3) return Style::kGood;
  if (rank <= 10) return Style::kFair;
  if (rank <= 100) return Style::kPoor;
  return rank <= 1000 ? Style::kBad : Style::kNothing;
}

Style loss_style(double bits) {
  if (bits <= 1) return Style::kBest;
  if (bits <= 3) return Style::kGood;
  if (bits <= 6) return Style::kFair;
  return bits <= 10 ? Style::kPoor : Style::kBad;
}

Style heat_style(double value) {
  const double size = std::abs(value);
  if (size < 0.05) return Style::kLevel;
  if (size < 0.25) return value < 0 ? Style::kLower : Style::kHigher;
  if (size < 0.6) return value < 0 ? Style::kLess : Style::kMore;
  return value < 0 ? Style::kLeast : Style::kMost;
}

Terminal::Terminal(const std::string& color, int width)
    : interactive_(isatty(STDOUT_FILENO) == 1), width_(find_width(width)) {
  const char* kind = std::getenv("TERM");
  const bool wanted =
      interactive_ && !is_set("NO_COLOR") && !(kind && std::string_view(kind) == "dumb");
  color_ = color == "always" || (color == "auto" && wanted);
}

std::string Terminal::paint(Style style, std::string_view text) const {
  if (!color_ || style == Style::kPlain || text.empty()) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", code(style), text);
}

size_t display_width(std::string_view text) {
  size_t columns = 0;
  while (!text.empty()) {
    const Step step = next(text);
    columns += step.columns;
    text.remove_prefix(step.bytes);
  }
  return columns;
}

std::string clip(std::string_view text, size_t columns) {
  if (display_width(text) <= columns) return std::string(text);
  if (columns == 0) return "";
  std::string out;
  size_t used = 0;
  for (;;) {
    const Step step = next(text);
    if (used + step.columns > columns - 1) return out + "…";
    out += text.substr(0, step.bytes);
    used += step.columns;
    text.remove_prefix(step.bytes);
  }
}

std::string left(std::string_view text, size_t columns) {
  const std::string shown = clip(text, columns);
  return shown + std::string(columns - display_width(shown), ' ');
}

std::string right(std::string_view text, size_t columns) {
  const std::string shown = clip(text, columns);
  return std::string(columns - display_width(shown), ' ') + shown;
}

Columns fit_columns(const Terminal& out, size_t wanted, size_t label_width, size_t width,
                    bool keep_last) {
  const size_t room = out.width() > label_width ? (out.width() - label_width) / width : 0;
  Columns columns;
  columns.count = std::clamp<size_t>(room, 1, std::max<size_t>(wanted, 1));
  columns.hidden = wanted - std::min(wanted, columns.count);
  columns.first = keep_last ? columns.hidden : 0;
  return columns;
}

std::string bar(double part, size_t columns) {
  static constexpr std::array<const char*, 8> kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  if (std::isnan(part)) return std::string(columns, ' ');
  const auto eighths = static_cast<size_t>(
      std::lround(std::clamp(part, 0.0, 1.0) * 8 * static_cast<double>(columns)));
  std::string out;
  for (size_t i = 0; i < eighths / 8; ++i) out += "█";
  out += kEighths[eighths % 8];
  const size_t used = (eighths + 7) / 8;
  return out + std::string(columns - used, ' ');
}

std::string open_bar(double part, size_t columns) {
  std::string text = bar(part, columns);
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

}  // namespace vitrine::cli
