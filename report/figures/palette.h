// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <string_view>

#include "base/json_value.h"

namespace vitrine::internal {

/// The colours that mean something, on pages and in figures, for eyes of every kind: lightness
/// alone carries each scale. Eight stops each, RRGGBB, from the empty end, which is nearly the page
/// itself, to the full one.
struct Scale {
  std::string_view name, light, dark;
};

inline constexpr std::array kScales = {
    Scale{"amount", "f6f8fa dde9f1 b9d4e6 8bb8d8 5a98c5 3377ac 17568c 0b3a66",
          "1d2227 1f3342 22485f 286380 3382a5 56a5c6 8fc8e0 cdeaf6"},
    Scale{"rank", "f7f6fa e9e2f0 d5c5e3 bda2d3 a47dc0 8a57aa 71418f 552a73",
          "211f27 322a41 4a3a63 674d88 8765ab a985c8 c9abe0 ead8f5"},
    Scale{"minus", "f7f7f5 fbe9d6 f9d6b0 f6c391 ea9c55 d27422 a9530b 7d3a05",
          "24262a 34291f 43301f 6a431b 985a18 c47a2c e4a161 fbd3a6"},
    Scale{"plus", "f7f7f5 e4eef4 d0e2ef aacbe5 74a8d3 4383bb 22609a 0f4274",
          "24262a 222d38 213446 23506f 2f719b 4e95c2 85bbdf c5e1f4"},
};

/// {"light": {name: stops}, "dark": {...}}: for pages.
inline JsonValue palette_json() {
  JsonValue palette;
  for (const Scale& scale : kScales) {
    palette["light"][std::string(scale.name)] = scale.light;
    palette["dark"][std::string(scale.name)] = scale.dark;
  }
  return palette;
}

}  // namespace vitrine::internal
