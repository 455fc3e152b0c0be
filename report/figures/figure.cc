// SPDX-License-Identifier: MIT
#include "report/figures/figure.h"

#include <cairo-svg.h>

#include <algorithm>
#include <cmath>
#include <regex>

#include "base/check.h"
#include "report/figures/figure_canvas.h"

namespace vitrine::internal {
namespace {

constexpr double kMargin = 14, kGap = 26;
constexpr double kMostPoints = 12000;  // to a side
constexpr double kPixels = 2;          // a point, in PNG
constexpr size_t kMaxWritten = 1200;   // cells that hold text
constexpr size_t kMaxColumns = 4000;   // upright bars

/// Rows in reverse, so that the last layer is on top.
void turn_over(HeatPanel& panel) {
  const auto columns = static_cast<std::ptrdiff_t>(panel.columns.size());
  std::reverse(panel.rows.begin(), panel.rows.end());
  const auto turn = [&](auto& cells) {
    auto turned = cells;
    for (auto row = cells.begin(), to = turned.end(); row != cells.end(); row += columns)
      std::copy(row, row + columns, to -= columns);
    cells = std::move(turned);
  };
  turn(panel.values);
  if (!panel.texts.empty()) turn(panel.texts);
}

cairo_status_t append(void* to, const unsigned char* bytes, unsigned int count) {
  static_cast<std::string*>(to)->append(reinterpret_cast<const char*>(bytes), count);
  return CAIRO_STATUS_SUCCESS;
}

/// An owner for a surface and what draws on it.
class Surface {
 public:
  explicit Surface(cairo_surface_t* surface) : surface_(surface), cairo_(cairo_create(surface)) {}
  ~Surface() {
    cairo_destroy(cairo_);
    cairo_surface_destroy(surface_);
  }
  Surface(const Surface&) = delete;
  Surface& operator=(const Surface&) = delete;
  cairo_t* cairo() const { return cairo_; }
  cairo_surface_t* surface() const { return surface_; }
  void finish() {
    const cairo_status_t drawn = cairo_status(cairo_);
    cairo_surface_finish(surface_);
    const cairo_status_t status =
        drawn != CAIRO_STATUS_SUCCESS ? drawn : cairo_surface_status(surface_);
    if (status != CAIRO_STATUS_SUCCESS)
      internal_error("cannot draw a figure: {}", cairo_status_to_string(status));
  }

 private:
  cairo_surface_t* surface_;
  cairo_t* cairo_;
};

Size draw_all(cairo_t* cairo, const std::vector<Panel>& panels) {
  FigureCanvas canvas(cairo);
  Size all{0, kMargin};
  for (const Panel& panel : panels) {
    cairo_save(cairo);
    cairo_translate(cairo, kMargin, all.height);
    const Size size = std::visit([&](const auto& each) { return canvas.draw(each); }, panel);
    cairo_restore(cairo);
    all = {std::max(all.width, size.width + 2 * kMargin), all.height + size.height + kGap};
  }
  all.height += kMargin - kGap;
  if (std::max(all.width, all.height) > kMostPoints) {
    user_error(
        "a figure of {:.0f} x {:.0f} points is too large: expected at most {:.0f} per side; use "
        "fewer positions, layers or texts",
        all.width, all.height, kMostPoints);
  }
  return all;
}

/// The size is known only once everything was drawn, so it is drawn twice: first onto nothing.
Size measure(const std::vector<Panel>& panels) {
  Surface nothing(cairo_recording_surface_create(CAIRO_CONTENT_COLOR_ALPHA, nullptr));
  return draw_all(nothing.cairo(), panels);
}

void paint(cairo_t* cairo, const std::vector<Panel>& panels) {
  cairo_set_source_rgb(cairo, 1, 1, 1);
  cairo_paint(cairo);
  draw_all(cairo, panels);
}

std::string draw_svg(const std::vector<Panel>& panels, Size size) {
  std::string bytes;
  {
    Surface svg(cairo_svg_surface_create_for_stream(append, &bytes, size.width, size.height));
    paint(svg.cairo(), panels);
    svg.finish();
  }
  // Cairo numbers the surfaces of a process; the same figure is to be the same bytes.
  static const std::regex kNumber("id=\"surface[0-9]+\"");
  return std::regex_replace(bytes, kNumber, "id=\"figure\"");
}

std::string draw_png(const std::vector<Panel>& panels, Size size) {
  Surface image(cairo_image_surface_create(CAIRO_FORMAT_RGB24,
                                           static_cast<int>(std::ceil(kPixels * size.width)),
                                           static_cast<int>(std::ceil(kPixels * size.height))));
  cairo_scale(image.cairo(), kPixels, kPixels);
  paint(image.cairo(), panels);
  std::string bytes;
  if (cairo_surface_write_to_png_stream(image.surface(), append, &bytes) != CAIRO_STATUS_SUCCESS)
    internal_error("cannot create a PNG file");
  image.finish();
  return bytes;
}

}  // namespace

/// Ranks of several texts are compared by eye: their axes have one scale.
static void share_ranks(std::vector<Panel>& panels) {
  double last = 0;
  const auto for_ranks = [&](auto each) {
    for (Panel& panel : panels) {
      auto* lines = std::get_if<LinesPanel>(&panel);
      if (lines && lines->ranks) each(*lines);
    }
  };
  for_ranks([&](const LinesPanel& lines) {
    for (const LinesPanel::Series& series : lines.series) {
      for (const double rank : series.values) last = std::max(last, std::isfinite(rank) ? rank : 0);
    }
  });
  for_ranks([&](LinesPanel& lines) { lines.limit = last; });
}

std::string draw_figure(std::vector<Panel> panels, FigureFormat format) {
  if (panels.empty()) user_error("missing result for a figure: expected at least one");
  size_t columns = 0;
  for (Panel& panel : panels) {
    if (const auto* bars = std::get_if<ColumnsPanel>(&panel)) columns += bars->names.size();
    if (columns > kMaxColumns)
      user_error("a figure is limited to {} bars, not {}: use a shorter text", kMaxColumns,
                 columns);
    auto* heat = std::get_if<HeatPanel>(&panel);
    if (heat && heat->values.size() > kMaxWritten) heat->texts.clear();
    if (heat && heat->layers) turn_over(*heat);
  }
  share_ranks(panels);
  const Size size = measure(panels);
  return format == FigureFormat::kSvg ? draw_svg(panels, size) : draw_png(panels, size);
}

}  // namespace vitrine::internal

namespace vitrine {

bool can_draw_figures() { return true; }

}  // namespace vitrine
