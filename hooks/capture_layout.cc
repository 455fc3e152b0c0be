// SPDX-License-Identifier: MIT
#include <algorithm>

#include "base/check.h"
#include "hooks/hook_run.h"
#include "hooks/selection.h"

namespace vitrine {
using namespace internal;
namespace {

/// Throws Error (user) if the caller's memory does not have the shape of what is captured.
void check_memory(const PlannedCapture& capture, const CaptureLayout::Item& item) {
  const bool is_map = site_info(capture.site).shape == SiteShape::kMap;
  const auto with_rows = [](const CaptureLayout::Sequence& s) { return !s.rows.empty(); };
  if (is_map && std::ranges::count_if(item.sequences, with_rows) > 1)
    user_error("cannot capture the maps of several sequences into the memory for '{}': select one",
               capture.name);
  const auto keys = std::ranges::find_if(item.sequences, with_rows);
  const Shape wanted =
      captured_shape(capture, std::ssize(item.rows), keys == item.sequences.end() ? 0 : keys->keys);
  if (capture.into->shape != wanted)
    user_error("the memory for '{}' has shape {}: expected {}", capture.name,
               capture.into->shape.to_string(), wanted.to_string());
}

}  // namespace

CaptureLayout::CaptureLayout(const Plan& plan, std::span<const SequenceSlice> slices,
                             const Config& config) {
  for (const PlannedCapture& capture : plan.captures()) {
    const bool is_map = site_info(capture.site).shape == SiteShape::kMap;
    Item item;
    item.sequences.resize(slices.size());
    int64_t all_rows = 0;
    for (size_t s = 0; s < slices.size(); ++s) {
      Sequence& sequence = item.sequences[s];
      const SequenceSlice& slice = slices[s];
      all_rows += slice.rows;
      sequence.offset = item.bytes;
      sequence.keys = is_map ? slice.past + slice.rows : 0;
      for (const SelectedRow& row :
           select_rows(capture.where, static_cast<int>(s), slices, capture.name)) {
        sequence.positions.push_back(slice.past + row.index);
        sequence.rows.push_back(is_map ? row.index : slice.row + row.index);
      }
      const size_t count = sequence.rows.size();
      const size_t width = is_map ? capture.where.heads.size() * static_cast<size_t>(sequence.keys)
                                  : static_cast<size_t>(capture.where.width);
      item.bytes += count * width * dtype_size(capture.store);
      if (!is_map)
        item.rows.insert(item.rows.end(), sequence.rows.begin(), sequence.rows.end());
      else
        item.rows.resize(item.rows.size() + count);
    }
    if (capture.into) check_memory(capture, item);
    if (capture.direct) {
      item.given = static_cast<std::byte*>(capture.into->data);
    } else {
      item.offset = whole_lines(bytes);
      bytes = item.offset + item.bytes;
    }
    const bool all_columns =
        is_map ? static_cast<int>(capture.where.heads.size()) == config.heads
               : capture.where.width == site_width(site_info(capture.site).shape, config);
    item.in_place = capture.store == DType::kF32 && all_columns &&
                    static_cast<int64_t>(item.rows.size()) == all_rows;
    items.push_back(std::move(item));
  }
}

std::string CaptureLayout::largest_sites(const Plan& plan, size_t count) const {
  std::vector<size_t> order(items.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return items[a].bytes > items[b].bytes; });
  std::string text;
  for (size_t i = 0; i < std::min(count, order.size()); ++i) {
    text += fmt::format("{}{} {:.1f} MB", i == 0 ? "" : ", ", plan.captures()[order[i]].name,
                        static_cast<double>(items[order[i]].bytes) / 1e6);
  }
  return text + (order.size() > count ? ", ..." : "");
}

}  // namespace vitrine
