// SPDX-License-Identifier: MIT
#include "hooks/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/nearest_names.h"
#include "hooks/given_memory.h"
#include "hooks/glob.h"

namespace vitrine::internal {
namespace {

void append_places(std::vector<SiteRef>& places, Site site, const Config& config) {
  for (int layer = 0; layer < (site_info(site).per_layer ? config.layers : 1); ++layer)
    places.push_back({site, layer, site_name(site, layer)});
}

std::vector<SiteRef> all_places(const Config& config) {
  std::vector<SiteRef> places;
  for (const SiteInfo& info : kSites) append_places(places, info.site, config);
  return places;
}

/// Ascending, without repeats.
template <typename T>
std::vector<T> narrowed(const Indices<T>& requested, int64_t size, std::string_view what,
                        std::string_view pattern, bool from_end = true) {
  const auto refuse = [&](T index) {
    user_error("{} {} of '{}' is out of range: expected 0..{}", what, index, pattern, size - 1);
  };
  return requested.resolve(0, size, refuse, from_end);
}

[[noreturn]] void fail_no_match(const std::string& pattern, const Where& where,
                                const Config& config) {
  if (!where.layers.empty())
    user_error("site pattern '{}' matches no site in the selected layers", pattern);
  std::vector<std::string> names;
  for (const SiteRef& place : all_places(config)) names.push_back(place.name);
  user_error("unknown site '{}' in this model of {} layers: expected a name such as {}", pattern,
             config.layers, fmt::join(nearest_names(pattern, names, 3), ", "));
}

void append_range(std::vector<Selection::Range>& ranges, int64_t begin, int64_t count) {
  if (!ranges.empty() && ranges.back().begin + ranges.back().count == begin) {
    ranges.back().count += count;
  } else {
    ranges.push_back({begin, count});
  }
}

PlannedSelection resolve(const SiteRef& place, const Where& where, const Config& config) {
  const SiteShape shape = site_info(place.site).shape;
  const bool is_map = shape == SiteShape::kMap;
  const bool has_heads = is_map || site_head_width(shape, config) > 0;
  if (where.tokens != Where::Tokens::kAll) {
    user_error(
        "'{}' is limited to tokens of the prompt or to generated ones: expected an edit of a "
        "generation",
        place.name);
  }
  PlannedSelection planned;
  planned.positions = where.positions;
  planned.sequences = where.sequences;
  for (const auto& range : where.sequences.ranges()) {
    if (range.first < 0) user_error("sequence {} is out of range: expected 0 or more", range.first);
  }

  if (!has_heads && !where.heads.empty())
    user_error("cannot select heads of site '{}': its shape is {}", place.name,
               site_shape_text(shape));
  if (has_heads) {
    planned.heads = narrowed(where.heads, config.heads, "head", place.name);
    if (planned.heads.empty()) {
      planned.heads.resize(static_cast<size_t>(config.heads));
      std::iota(planned.heads.begin(), planned.heads.end(), 0);
    }
  }
  if (is_map) {
    if (!where.neurons.empty())
      user_error("cannot select neurons of site '{}', which is a map", place.name);
    return planned;
  }

  const int64_t unit = has_heads ? site_head_width(shape, config) : site_width(shape, config);
  planned.neurons = narrowed(where.neurons, unit, "neuron", place.name, false);
  const std::vector<int64_t>& neurons = planned.neurons;
  for (size_t block = 0; block < std::max<size_t>(planned.heads.size(), 1); ++block) {
    const int64_t base = has_heads ? planned.heads[block] * unit : 0;
    if (neurons.empty()) append_range(planned.cols, base, unit);
    for (int64_t neuron : neurons) append_range(planned.cols, base + neuron, 1);
  }
  const int64_t selected = neurons.empty() ? unit : static_cast<int64_t>(neurons.size());
  planned.width = selected * static_cast<int64_t>(std::max<size_t>(planned.heads.size(), 1));
  planned.head_width = has_heads ? selected : 0;
  return planned;
}

/// The operand written out to full rows, as hooks.h promises to read it.
std::vector<float> expand_operand(const PlannedEdit& planned, int64_t context) {
  const std::span<const float> given = planned.edit.operand().f32();
  const int64_t size = static_cast<int64_t>(given.size());
  const int64_t positions = planned.where.positions.count().value_or(0);
  if (site_info(planned.site).shape == SiteShape::kMap) {
    if (size != 1)
      user_error(
          "an edit of the map '{}' has {} values: expected a single number, replace_from or a "
          "callback",
          planned.name, size);
    return std::vector<float>(static_cast<size_t>(context), given[0]);
  }
  const int64_t width = planned.where.width, head_width = planned.where.head_width;
  std::vector<float> row(given.begin(), given.end());
  if (size == width || (positions > 0 && size == positions * width)) return row;
  if (size != 1 && size != head_width) {
    user_error(
        "an edit of '{}' has {} values: expected {}{}{} or 1", planned.name, size, width,
        head_width > 0 ? fmt::format(", {} (one head)", head_width) : "",
        positions > 0 ? fmt::format(", {} ({} positions)", positions * width, positions) : "");
  }
  row.resize(static_cast<size_t>(width));
  for (int64_t i = 0; i < width; ++i)
    row[static_cast<size_t>(i)] = given[static_cast<size_t>(i % size)];
  return row;
}

void check_projection(const PlannedEdit& planned) {
  if (site_info(planned.site).shape == SiteShape::kMap)
    user_error("cannot project a direction out of '{}', which is a map", planned.name);
  const int64_t size = planned.edit.operand().elements();
  if (size != planned.where.width && size != planned.where.head_width) {
    user_error("the direction for '{}' has {} elements: expected {}{}", planned.name, size,
               planned.where.width,
               planned.where.head_width > 0
                   ? fmt::format(" or {} (one head)", planned.where.head_width)
                   : "");
  }
}

}  // namespace
}  // namespace vitrine::internal

namespace vitrine {

std::vector<SiteRef> find_sites(const SiteSelector& sites, const Config& config,
                                const Where& where) {
  const std::string& pattern = sites.pattern();
  const std::vector<int> layers = internal::narrowed(where.layers, config.layers, "layer", pattern);
  const auto wanted = [&](const SiteRef& place) {
    return layers.empty() || (site_info(place.site).per_layer &&
                              std::binary_search(layers.begin(), layers.end(), place.layer));
  };
  std::vector<SiteRef> matches;
  if (const std::optional<Site> site = sites.site()) {
    internal::append_places(matches, *site, config);
  } else {
    const internal::Glob glob(pattern, config.layers);
    matches = internal::all_places(config);
    std::erase_if(matches, [&](const SiteRef& place) { return !glob.matches(place.name); });
  }
  std::erase_if(matches, [&](const SiteRef& place) { return !wanted(place); });
  if (matches.empty()) internal::fail_no_match(pattern, where, config);
  return matches;
}

}  // namespace vitrine

namespace vitrine::internal {

Plan::Plan(const Hooks& hooks, const Config& config, Backend& backend, BufferPool& pool)
    : layers_(static_cast<size_t>(config.layers)) {
  if (hooks.empty()) return;
  for (const Hooks::Capture& request : hooks.captures())
    add_capture(request, config, backend.host_memory());
  check_overlap(captures_);
  std::vector<float> operands;
  for (const Hooks::Change& request : hooks.edits()) add_edit(request, config, operands);
  place_operands(operands, backend, pool);
  build_table();
}

void Plan::add_capture(const Hooks::Capture& request, const Config& config, bool host_memory) {
  const std::vector<SiteRef> places = find_sites(request.sites, config, request.where);
  for (size_t i = 0; i < places.size(); ++i) {
    const SiteRef& place = places[i];
    PlannedCapture planned{
        place.site, place.layer, place.name, request.store, resolve(place, request.where, config),
        {}};
    if (request.into) {
      planned.into = given_memory(request, i, places.size(), host_memory);
      planned.direct = kernels_may_write(*planned.into, host_memory);
    }
    const bool twice = std::any_of(captures_.begin(), captures_.end(),
                                   [&](const PlannedCapture& c) { return c.name == place.name; });
    if (twice)
      user_error("site '{}' is captured by two patterns, the second is '{}': restrict one of them",
                 place.name, request.sites.pattern());
    captures_.push_back(std::move(planned));
  }
}

void Plan::add_edit(const Hooks::Change& request, const Config& config,
                    std::vector<float>& operands) {
  for (SiteRef& place : find_sites(request.sites, config, request.where)) {
    PlannedEdit planned{place.site,
                        place.layer,
                        place.name,
                        request.edit,
                        resolve(place, request.where, config),
                        {},
                        config.window(std::max(place.layer, 0))};
    const Edit::Kind kind = request.edit.kind();
    if (kind == Edit::Kind::kProject) check_projection(planned);
    if (kind == Edit::Kind::kAdd || kind == Edit::Kind::kReplace || kind == Edit::Kind::kProject) {
      const std::vector<float> values = expand_operand(planned, config.context);
      const int64_t width = planned.where.width > 0 ? planned.where.width : config.context;
      planned.operand = Mat(static_cast<float*>(nullptr), std::ssize(values) / width, width);
      operands.insert(operands.end(), values.begin(), values.end());
      operands.resize(whole_lines(operands.size() * sizeof(float)) / sizeof(float));
    }
    edits_.push_back(std::move(planned));
  }
}

void Plan::place_operands(const std::vector<float>& operands, Backend& backend, BufferPool& pool) {
  if (operands.empty()) return;
  const auto lock = backend.exclusive();
  operands_ = pool.take(operands.size() * sizeof(float));
  backend.upload(operands_.data(), operands.data(), operands.size() * sizeof(float));
  std::byte* next = operands_.data();
  for (PlannedEdit& edit : edits_) {  // in the order in which they were appended
    if (edit.operand.rows == 0) continue;
    edit.operand.data = next;
    next += whole_lines(static_cast<size_t>(edit.operand.rows * edit.operand.cols) * sizeof(float));
  }
}

void Plan::build_table() {
  // Stable: edits of one site keep the order in which they were added.
  std::stable_sort(edits_.begin(), edits_.end(), [](const PlannedEdit& a, const PlannedEdit& b) {
    return std::pair(a.site, a.layer) < std::pair(b.site, b.layer);
  });
  table_.assign(kSiteCount * layers_, Entry{});
  const auto entry = [this](Site site, int layer) -> Entry& {
    return table_[static_cast<size_t>(site) * layers_ + static_cast<size_t>(layer)];
  };
  for (size_t i = 0; i < captures_.size(); ++i)
    entry(captures_[i].site, captures_[i].layer).capture = static_cast<int>(i);
  for (size_t i = 0; i < edits_.size(); ++i) {
    Entry& e = entry(edits_[i].site, edits_[i].layer);
    if (!e.edited()) e.edit_begin = static_cast<int>(i);
    e.edit_end = static_cast<int>(i) + 1;
  }
}

void Plan::refuse_memory(std::string_view what) const {
  for (const PlannedCapture& capture : captures_) {
    if (capture.into)
      user_error("cannot capture '{}' into given memory in {}: use capture()", capture.name, what);
  }
}

bool Plan::any_watched(Site site) const {
  if (empty()) return false;
  for (size_t layer = 0; layer < layers_; ++layer) {
    if (at(site, static_cast<int>(layer)).watched()) return true;
  }
  return false;
}

}  // namespace vitrine::internal
