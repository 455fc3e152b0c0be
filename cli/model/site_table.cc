// SPDX-License-Identifier: MIT
#include "cli/model/site_table.h"

#include <fmt/core.h>

#include "base/check.h"
#include "vitrine/hooks.h"

namespace vitrine::cli {
using namespace internal;
namespace {

/// "[T, 4, 64]"
std::string numbers(SiteShape shape, const Config& c) {
  switch (shape) {
    case SiteShape::kScalar:
      return "[T, 1]";
    case SiteShape::kModel:
      return fmt::format("[T, {}]", c.width);
    case SiteShape::kHeads:
      return fmt::format("[T, {}, {}]", c.heads, c.head_width());
    case SiteShape::kResults:
      return fmt::format("[T, {}, {}]", c.heads, c.width);
    case SiteShape::kInner:
      return fmt::format("[T, {}]", c.inner);
    case SiteShape::kVocab:
      return fmt::format("[T, {}]", c.vocab);
    case SiteShape::kMap:
      return fmt::format("[{}, T, T]", c.heads);
  }
  return "";
}

/// "blocks.{0..5}.hook_q" for the layers of one site: what the pattern syntax would take.
std::string group_name(const std::vector<SiteRef>& group) {
  const SiteInfo& info = site_info(group.front().site);
  if (!info.per_layer || group.size() == 1) return group.front().name;
  const int first = group.front().layer, last = group.back().layer;
  if (last - first + 1 == static_cast<int>(group.size()))
    return fmt::format("blocks.{{{}..{}}}.{}", first, last, info.name);
  std::string layers;
  for (const SiteRef& site : group)
    layers += (layers.empty() ? "" : ",") + std::to_string(site.layer);
  return fmt::format("blocks.{{{}}}.{}", layers, info.name);
}

}  // namespace

std::vector<SiteRef> all_sites(const Config& config) { return find_sites("*", config); }

std::string site_table(const Terminal& out, const Config& config,
                       const std::vector<SiteRef>& sites) {
  std::vector<std::vector<SiteRef>> groups;
  for (const SiteRef& site : sites) {
    if (groups.empty() || groups.back().front().site != site.site) groups.emplace_back();
    groups.back().push_back(site);
  }
  size_t name_width = 0;
  for (const auto& group : groups)
    name_width = std::max(name_width, display_width(group_name(group)));
  std::string text;
  for (const auto& group : groups) {
    const SiteInfo& info = site_info(group.front().site);
    const std::string head =
        fmt::format("{}  {}  {}  ", left(group_name(group), name_width),
                    left(site_shape_text(info.shape), 9), left(numbers(info.shape, config), 14));
    const size_t used = display_width(head);
    text +=
        head +
        out.paint(Style::kDim, out.width() > used + 10 ? clip(info.note, out.width() - used) : "") +
        "\n";
  }
  return text;
}

JsonValue sites_json(const Config& config, const std::vector<SiteRef>& sites) {
  JsonValue list = JsonValue::array();
  for (const SiteRef& site : sites) {
    const SiteInfo& info = site_info(site.site);
    list.push_back({{"name", site.name},
                    {"layer", info.per_layer ? JsonValue(site.layer) : JsonValue(nullptr)},
                    {"shape", site_shape_text(info.shape)},
                    {"shape_here", numbers(info.shape, config)},
                    {"note", info.note}});
  }
  return list;
}

}  // namespace vitrine::cli
