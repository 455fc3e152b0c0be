// SPDX-License-Identifier: MIT
#pragma once

#include <cairo.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "report/figures/palette.h"

namespace vitrine::testing {
using namespace internal;

constexpr size_t kCell = 1800;  ///< pixels of one colour in a cell of 30 x 18 points, at least

/// A PNG file as the pixels that it decodes to.
struct Picture {
  int width = 0, height = 0;
  std::vector<std::array<int, 3>> pixels;
  bool has(std::array<int, 3> color) const {
    return std::find(pixels.begin(), pixels.end(), color) != pixels.end();
  }
  size_t count(std::array<int, 3> color) const {
    return static_cast<size_t>(std::count(pixels.begin(), pixels.end(), color));
  }
};

inline Picture decoded(const std::string& png) {
  struct Reading {
    const std::string& bytes;
    size_t at = 0;
  } reading{png};
  const auto read = [](void* from, unsigned char* to, unsigned int count) {
    auto& r = *static_cast<Reading*>(from);
    if (r.bytes.size() - r.at < count) return CAIRO_STATUS_READ_ERROR;
    std::copy_n(r.bytes.begin() + static_cast<std::ptrdiff_t>(r.at), count, to);
    r.at += count;
    return CAIRO_STATUS_SUCCESS;
  };
  cairo_surface_t* surface = cairo_image_surface_create_from_png_stream(read, &reading);
  EXPECT_EQ(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS);
  Picture picture{
      cairo_image_surface_get_width(surface), cairo_image_surface_get_height(surface), {}};
  const unsigned char* bytes = cairo_image_surface_get_data(surface);
  for (int y = 0; bytes && y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const unsigned char* pixel =
          bytes + static_cast<std::ptrdiff_t>(y) * cairo_image_surface_get_stride(surface) + 4 * x;
      picture.pixels.push_back({pixel[2], pixel[1], pixel[0]});  // little-endian: blue first
    }
  }
  cairo_surface_destroy(surface);
  return picture;
}

/// The colour at a scale's end, as the palette writes it.
inline std::array<int, 3> stop_of(std::string_view name, bool full) {
  const auto scale = std::find_if(kScales.begin(), kScales.end(),
                                  [&](const Scale& each) { return each.name == name; });
  const std::string hex(full ? scale->light.substr(scale->light.size() - 6)
                             : scale->light.substr(0, 6));
  const int number = std::stoi(hex, nullptr, 16);
  return {number >> 16, number >> 8 & 255, number & 255};
}

}  // namespace vitrine::testing
