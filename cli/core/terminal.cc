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
#include <optional>

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

constexpr size_t kUnlimited = std::numeric_limits<size_t>::max() / 4;

/// The width that was requested, or that of a terminal; empty: none.
std::optional<size_t> find_width(int requested) {
  if (requested == 0) return kUnlimited;
  if (requested > 0) return static_cast<size_t>(requested);
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  if (const char* columns = std::getenv("COLUMNS")) {
    const int value = std::atoi(columns);
    if (value > 0) return static_cast<size_t>(value);
  }
  return std::nullopt;
}

struct Step {
  size_t bytes;
  size_t columns;
};

/// The next character of non-empty text.
Step next(std::string_view text) {
  if (text.starts_with("\x1b[")) {  // a colour
    const size_t end = text.find('m');
    if (end != std::string_view::npos) return {end + 1, 0};
  }
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

Terminal::Terminal(const std::string& color, int width) : interactive_(isatty(STDOUT_FILENO) == 1) {
  const auto found = find_width(width);
  width_ = found.value_or(120);
  break_after_ = found || interactive_ ? width_ : kUnlimited;
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

namespace {

/// Where a line's second column begins, after a label and its gap; else where its text begins.
size_t hanging_indent(std::string_view line) {
  constexpr size_t kMostLabel = 24;
  const size_t text = std::min(line.find_first_not_of(' '), line.size()),
               gap = line.find("  ", text);
  if (gap == std::string_view::npos) return text;
  const size_t column = display_width(line.substr(0, line.find_first_not_of(' ', gap)));
  return column <= kMostLabel ? column : text;
}

/// The beginning of a text without blanks, where tokens begin if possible; at least a character.
std::string_view first_columns(std::string_view text, size_t columns) {
  Step step = next(text);
  size_t bytes = step.bytes, used = step.columns;
  while (bytes < text.size() && used + (step = next(text.substr(bytes))).columns <= columns) {
    bytes += step.bytes;
    used += step.columns;
  }
  const size_t blank = bytes < text.size() ? text.rfind("␣", bytes) : 0;
  return text.substr(0, blank == 0 || blank == std::string_view::npos ? bytes : blank);
}

std::string fit_line(std::string_view line, size_t columns) {
  const size_t indent = std::min(hanging_indent(line), columns / 2);
  const std::string next_line = "\n" + std::string(indent, ' ');
  std::string text;
  size_t used = 0;
  bool empty = true;  // the line so far
  while (!line.empty()) {
    const size_t blanks = std::min(line.find_first_not_of(' '), line.size());
    std::string_view word = line.substr(blanks, line.find(' ', blanks) - blanks);
    line.remove_prefix(blanks + word.size());
    if (word.empty()) break;
    const size_t width = display_width(word);
    // Names of files are whole on any line.
    const bool cut = indent + width > columns && word.find('/') == std::string_view::npos;
    if (empty || used + blanks + (cut ? 1 : width) <= columns) {
      text += std::string(blanks, ' ');
      used += blanks;
    } else if (width > 0) {  // 0: the end of a colour, after padding
      text += next_line;
      used = indent;
    }
    while (cut && used + display_width(word) > columns) {
      const std::string_view piece = first_columns(word, columns - std::min(used, columns));
      text += piece;
      text += next_line;
      word.remove_prefix(piece.size());
      used = indent;
    }
    text += word;
    used += display_width(word);
    empty = false;
  }
  return text;
}

}  // namespace

std::string fit_lines(std::string_view text, size_t columns) {
  std::string fitted;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    fitted += display_width(line) <= columns ? std::string(line) : fit_line(line, columns);
    text.remove_prefix(line.size());
    if (text.empty()) break;
    fitted += '\n';
    text.remove_prefix(1);
  }
  return fitted;
}

}  // namespace vitrine::cli
