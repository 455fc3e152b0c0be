// SPDX-License-Identifier: MIT
#include "report/figures/figure_text.h"

#include <fmt/core.h>

#include <array>

#ifdef __SANITIZE_ADDRESS__
// Fontconfig keeps what it knows of fonts until a process ends, where the leak checker does not
// look for it.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libfontconfig\n"; }
#endif

namespace vitrine::internal {
namespace {

constexpr std::array kFamilies = {"sans-serif",       "DejaVu Sans",       "Noto Sans",
                                  "Noto Sans CJK JP", "Noto Sans Symbols", "Unifont"};

void choose(cairo_t* cairo, const char* family, double size, bool bold) {
  cairo_select_font_face(cairo, family, CAIRO_FONT_SLANT_NORMAL,
                         bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size(cairo, size);
}

/// Bytes of the UTF-8 sequence that begins here. The texts of figures are valid: they come from
/// printable().
size_t letter_bytes(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

double advance(cairo_t* cairo, const std::string& text) {
  cairo_text_extents_t extents;
  cairo_text_extents(cairo, text.c_str(), &extents);
  return extents.x_advance;
}

}  // namespace

bool FigureText::has(const std::string& letter) const {
  cairo_glyph_t* glyphs = nullptr;
  int count = 0;
  const cairo_status_t status = cairo_scaled_font_text_to_glyphs(
      cairo_get_scaled_font(cairo_), 0, 0, letter.data(), static_cast<int>(letter.size()), &glyphs,
      &count, nullptr, nullptr, nullptr);
  const bool found = status == CAIRO_STATUS_SUCCESS && count > 0 && glyphs[0].index != 0;
  cairo_glyph_free(glyphs);
  return found;
}

std::string FigureText::spelled(const std::string& letter) const {
  uint32_t code = static_cast<unsigned char>(letter[0]) & (letter.size() == 2   ? 0x1fu
                                                           : letter.size() == 3 ? 0x0fu
                                                                                : 0x07u);
  for (size_t i = 1; i < letter.size(); ++i)
    code = code << 6 | (static_cast<unsigned char>(letter[i]) & 0x3fu);
  return fmt::format("\\u{{{:x}}}", code);
}

template <typename Piece>
void FigureText::each_piece(std::string_view text, double size, bool bold,
                            const Piece& piece) const {
  std::string run;
  const char* run_family = kFamilies[0];
  const auto finish = [&] {
    choose(cairo_, run_family, size, bold);
    if (!run.empty()) piece(run);
    run.clear();
  };
  for (size_t at = 0; at < text.size();) {
    std::string letter(text.substr(at, letter_bytes(text[at])));
    at += letter.size();
    const char* family = kFamilies[0];
    if (letter.size() > 1) {  // every font has ASCII
      bool found = false;
      for (const char* each : kFamilies) {
        choose(cairo_, family = each, size, bold);
        if ((found = has(letter))) break;
      }
      if (!found) {
        letter = spelled(letter);
        family = kFamilies[0];
      }
    }
    if (family != run_family) finish();
    run_family = family;
    run += letter;
  }
  finish();
}

double FigureText::width(std::string_view text, double size, bool bold) const {
  double sum = 0;
  each_piece(text, size, bold, [&](const std::string& piece) { sum += advance(cairo_, piece); });
  return sum;
}

void FigureText::draw(std::string_view text, double x, double y, double size, Align align,
                      bool bold) const {
  if (align != Align::kLeft) x -= width(text, size, bold) * (align == Align::kMiddle ? 0.5 : 1.0);
  each_piece(text, size, bold, [&](const std::string& piece) {
    cairo_move_to(cairo_, x, y + 0.35 * size);
    cairo_show_text(cairo_, piece.c_str());
    x += advance(cairo_, piece);
  });
}

std::string FigureText::clip(std::string_view text, double limit, double size, bool bold) const {
  if (width(text, size, bold) <= limit) return std::string(text);
  std::string kept;
  for (size_t at = 0; at < text.size();) {
    const std::string_view letter = text.substr(at, letter_bytes(text[at]));
    at += letter.size();
    if (width(kept + std::string(letter) + "…", size, bold) > limit) break;
    kept += letter;
  }
  return kept.empty() ? "" : kept + "…";
}

}  // namespace vitrine::internal
