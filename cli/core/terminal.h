// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "report/names.h"

namespace vitrine::cli {
using namespace internal;

/// Colours that mean something. On a terminal that has none they are nothing, and every picture
/// reads without them.
enum class Style : uint8_t {
  kPlain,
  kTitle,  ///< what the reader looks for first
  kDim,    ///< what may be skipped
  kBest,   ///< from here on: a scale from good ...
  kGood,
  kFair,
  kPoor,
  kBad,      ///< ... to bad
  kNothing,  ///< off the scale
  /// From here on: a scale with two ends and nothing in the middle, orange below zero and blue
  /// above, as on pages and in figures: from much below ...
  kLeast,
  kLess,
  kLower,
  kLevel,
  kHigher,
  kMore,
  kMost,  ///< ... to much above
};

/// The scale for a rank: 1, to 3, to 10, to 100, to 1000, beyond.
Style rank_style(int64_t rank);
/// The scale for a loss in bits: to 1, 3, 6, 9, 13, beyond.
Style loss_style(double bits);
/// The scale with two ends, for a value from -1 to 1.
Style heat_style(double value);

/// What stdout is, and how to write to it.
class Terminal {
 public:
  Terminal() = default;
  /// `color`: "auto" (on a terminal, unless NO_COLOR is set or TERM is dumb), "always", "never".
  /// `width`: columns; 0: as many as a line needs; negative: the terminal's, or COLUMNS, or 120.
  Terminal(const std::string& color, int width);

  bool color() const { return color_; }
  /// True if somebody watches.
  bool interactive() const { return interactive_; }
  /// Columns that a line may take.
  size_t width() const { return width_; }
  /// Columns after which text is broken: width() on a terminal or if it was chosen. Elsewhere lines
  /// stay whole, because programs read them.
  size_t break_after() const { return break_after_; }
  std::string paint(Style style, std::string_view text) const;

 private:
  bool color_ = false, interactive_ = false;
  size_t width_ = 120, break_after_ = 120;
};

/// Columns that UTF-8 text takes on a terminal: 0 for combining marks and colours, 2 for wide
/// characters. Bytes that are not UTF-8 and controls count 1.
size_t display_width(std::string_view text);
/// At most `columns` wide; what was cut off is marked by an ellipsis.
std::string clip(std::string_view text, size_t columns);
/// Pads with spaces after (or before) to `columns`; longer text is clipped.
std::string left(std::string_view text, size_t columns);
std::string right(std::string_view text, size_t columns);

/// Which of a picture's columns are shown.
struct Columns {
  size_t first = 0, count = 0, hidden = 0;
};
/// The columns, each `width` wide, that fit after a label, at least one; `keep_last`: the last ones
/// are shown, else the first.
Columns fit_columns(const Terminal& out, size_t wanted, size_t label_width, size_t width,
                    bool keep_last);

/// A bar of `columns` columns, filled by eighths to `part` of them, 0..1.
std::string bar(double part, size_t columns);
/// The same without trailing spaces, for the end of a line.
std::string open_bar(double part, size_t columns);

/// Lines of more columns are broken between words. What continues a line begins below its second
/// column, if it has a label.
std::string fit_lines(std::string_view text, size_t columns);
}  // namespace vitrine::cli
