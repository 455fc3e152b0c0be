// SPDX-License-Identifier: MIT
#include "report/pages/concept_layout.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

namespace vitrine::internal {
namespace {

/// Places along the depth: 0 is what enters the first block, l + 1 belongs to block l.
constexpr int kFinal = std::numeric_limits<int>::max();

struct Place {
  std::string kind;
  int depth = kFinal;
};

/// "blocks.3.attn.hook_z" as {"attn.z", 4}. What enters the first block begins the line of what
/// leaves the blocks, if there is one.
Place place_of(std::string_view site, bool has_outputs) {
  constexpr std::string_view kBlocks = "blocks.";
  Place place{.kind = std::string(site)};
  if (site == "hook_embed" || site == "hook_pos_embed") place.depth = 0;
  if (site.starts_with(kBlocks)) {
    int block = 0;
    const auto [end, error] =
        std::from_chars(site.data() + kBlocks.size(), site.data() + site.size(), block);
    if (error == std::errc() && block >= 0 && block < kFinal - 1 &&
        end != site.data() + site.size()) {
      place = {.kind = end + 1, .depth = block + 1};
      place.kind.resize(static_cast<size_t>(site.data() + site.size() - end - 1));
    }
  }
  if (has_outputs && place.kind == "hook_resid_pre" && place.depth == 1)
    place = {.kind = "hook_resid_post", .depth = 0};
  constexpr std::string_view kHook = "hook_";
  if (const size_t at = place.kind.find(kHook); at != std::string::npos)
    place.kind.erase(at, kHook.size());
  return place;
}

size_t best_of(std::span<const ConceptDirection> results) {
  size_t best = 0;
  // Not-a-number is below everything.
  const auto key = [](const ConceptDirection& d) {
    return std::isnan(d.auc) ? std::pair{-1.0, 0.0} : std::pair{d.auc, d.cohens_d};
  };
  for (size_t i = 1; i < results.size(); ++i) {
    if (key(results[i]) > key(results[best])) best = i;
  }
  return best;
}

}  // namespace

ConceptLayout concept_layout(std::span<const ConceptDirection> results) {
  const bool has_outputs = std::ranges::any_of(
      results, [](const ConceptDirection& d) { return d.site.ends_with(".hook_resid_post"); });
  std::vector<std::string> lines;
  std::map<int, std::map<std::string, int32_t>> columns;
  for (size_t i = 0; i < results.size(); ++i) {
    const Place place = place_of(results[i].site, has_outputs);
    std::string line = place.kind;
    // The same site again, as found in another way, has a line of its own.
    for (int again = 2; columns[place.depth].contains(line); ++again)
      line = fmt::format("{} ({})", place.kind, again);
    columns[place.depth][line] = static_cast<int32_t>(i);
    if (std::ranges::find(lines, line) == lines.end()) lines.push_back(line);
  }
  ConceptLayout layout{.x = {}, .lines = lines, .sites = {}, .best = best_of(results)};
  for (const auto& [depth, sites] : columns)
    layout.x.push_back(depth == 0        ? "embed"
                       : depth == kFinal ? "final"
                                         : std::to_string(depth - 1));
  for (const std::string& line : lines) {
    for (const auto& [depth, sites] : columns) {
      const auto found = sites.find(line);
      layout.sites.push_back(found == sites.end() ? -1 : found->second);
    }
  }
  return layout;
}

bool is_in_stream(std::string_view site) {
  constexpr std::array<std::string_view, 7> kNames = {
      "hook_embed",      "hook_pos_embed", "hook_resid_pre", "hook_resid_mid",
      "hook_resid_post", "hook_attn_out",  "hook_mlp_out"};
  return std::ranges::find(kNames, site.substr(site.rfind('.') + 1)) != kNames.end();
}

}  // namespace vitrine::internal
