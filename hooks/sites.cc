// SPDX-License-Identifier: MIT
#include "vitrine/sites.h"

#include <fmt/format.h>

namespace vitrine {

std::string site_name(Site site, int layer) {
  const SiteInfo& info = site_info(site);
  return info.per_layer ? fmt::format("blocks.{}.{}", layer, info.name) : std::string(info.name);
}

std::string_view site_shape_text(SiteShape shape) {
  switch (shape) {
    case SiteShape::kScalar:
      return "[T, 1]";
    case SiteShape::kModel:
      return "[T, D]";
    case SiteShape::kHeads:
      return "[T, H, K]";
    case SiteShape::kResults:
      return "[T, H, D]";
    case SiteShape::kInner:
      return "[T, M]";
    case SiteShape::kVocab:
      return "[T, V]";
    case SiteShape::kMap:
      return "[H, T, T]";
  }
  return "";
}

int64_t site_width(SiteShape shape, const Config& config) {
  switch (shape) {
    case SiteShape::kScalar:
      return 1;
    case SiteShape::kModel:
      return config.width;
    case SiteShape::kHeads:
      return config.width;
    case SiteShape::kResults:
      return config.heads * config.width;
    case SiteShape::kInner:
      return config.inner;
    case SiteShape::kVocab:
      return config.vocab;
    case SiteShape::kMap:
      return 0;
  }
  return 0;
}

int64_t site_head_width(SiteShape shape, const Config& config) {
  if (shape == SiteShape::kHeads) return config.head_width();
  if (shape == SiteShape::kResults) return config.width;
  return 0;
}

}  // namespace vitrine
