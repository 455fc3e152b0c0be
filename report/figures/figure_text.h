// SPDX-License-Identifier: MIT
#pragma once

#include <cairo.h>

#include <string>
#include <string_view>

namespace vitrine::internal {

/// Text on a Cairo surface. Letters that the first font has not are taken from the next that has
/// them, and what no font has is written as its number, \u{65e5}: a figure has no empty boxes.
class FigureText {
 public:
  explicit FigureText(cairo_t* cairo) : cairo_(cairo) {}

  enum class Align { kLeft, kMiddle, kRight };
  double width(std::string_view text, double size, bool bold = false) const;
  /// `y` is the middle of the small letters. Colour is the surface's.
  void draw(std::string_view text, double x, double y, double size, Align align = Align::kLeft,
            bool bold = false) const;
  /// Truncates to a width, with an ellipsis at the end.
  std::string clip(std::string_view text, double width, double size, bool bold = false) const;

 private:
  /// Calls back with pieces of one font each, the font being set.
  template <typename Piece>
  void each_piece(std::string_view text, double size, bool bold, const Piece& piece) const;
  bool has(const std::string& letter) const;
  std::string spelled(const std::string& letter) const;

  cairo_t* cairo_;
};

}  // namespace vitrine::internal
