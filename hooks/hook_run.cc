// SPDX-License-Identifier: MIT
#include "hooks/hook_run.h"

#include "hooks/apply_edit.h"

namespace vitrine::internal {
namespace {

/// Rows of a map block [H * rows, keys] for the captured heads and the captured query rows.
std::vector<int64_t> map_rows(const std::vector<int>& heads, const std::vector<int64_t>& rows,
                              int64_t rows_per_head) {
  std::vector<int64_t> result;
  result.reserve(heads.size() * rows.size());
  for (int head : heads) {
    for (int64_t row : rows) result.push_back(head * rows_per_head + row);
  }
  return result;
}

}  // namespace

HookRun::HookRun(const Plan& plan, const CaptureLayout& layout, Buffer arena, EditContext context,
                 Order order)
    : plan_(plan), layout_(layout), arena_(std::move(arena)), context_(context), order_(order) {}

const CaptureLayout::Item* HookRun::in_place_item(Site site, int layer) const {
  const int capture = plan_.at(site, layer).capture;
  if (capture < 0) return nullptr;
  const CaptureLayout::Item& item = layout_.items[static_cast<size_t>(capture)];
  return item.in_place ? &item : nullptr;
}

Mat HookRun::tap(Site site, int layer, Mat scratch) const {
  if (!watched(site, layer)) return {};
  const CaptureLayout::Item* item = in_place_item(site, layer);
  if (item == nullptr) return scratch;
  return {reinterpret_cast<float*>(item->at(arena_.data())), scratch.rows, scratch.cols};
}

float* HookRun::tap_map(Site site, int layer, float* scratch) const {
  if (!watched(site, layer)) return nullptr;
  const CaptureLayout::Item* item = in_place_item(site, layer);
  return item == nullptr ? scratch : reinterpret_cast<float*>(item->at(arena_.data()));
}

void HookRun::visit_watched(Site site, int layer, Mat x) {
  const Plan::Entry& entry = plan_.at(site, layer);
  if (order_ == Order::kCapturesFirst) capture(entry, x);
  for (int i = entry.edit_begin; i < entry.edit_end; ++i)
    apply_edit(plan_.edits()[static_cast<size_t>(i)], context_, x);
  if (order_ == Order::kEditsFirst) capture(entry, x);
}

void HookRun::capture(const Plan::Entry& entry, Mat x) {
  if (entry.capture < 0) return;
  const PlannedCapture& capture = plan_.captures()[static_cast<size_t>(entry.capture)];
  const CaptureLayout::Item& item = layout_.items[static_cast<size_t>(entry.capture)];
  std::byte* destination = item.at(arena_.data());
  if (x.data == destination || item.rows.empty()) return;
  context_.backend.gather(x, {item.rows, capture.where.cols}, capture.store, destination);
}

void HookRun::visit_watched_map(Site site, int layer, float* map) {
  const Plan::Entry& entry = plan_.at(site, layer);
  if (order_ == Order::kCapturesFirst) capture_map(entry, map);
  for (int i = entry.edit_begin; i < entry.edit_end; ++i)
    apply_map_edit(plan_.edits()[static_cast<size_t>(i)], context_, map);
  if (order_ == Order::kEditsFirst) capture_map(entry, map);
}

void HookRun::capture_map(const Plan::Entry& entry, float* map) {
  if (entry.capture < 0) return;
  const PlannedCapture& capture = plan_.captures()[static_cast<size_t>(entry.capture)];
  const CaptureLayout::Item& item = layout_.items[static_cast<size_t>(entry.capture)];
  std::byte* destination = item.at(arena_.data());
  if (reinterpret_cast<std::byte*>(map) == destination) return;
  for (size_t s = 0; s < context_.slices.size(); ++s) {
    const CaptureLayout::Sequence& sequence = item.sequences[s];
    if (sequence.rows.empty()) continue;
    const SequenceSlice& slice = context_.slices[s];
    const int64_t block_rows = slice.rows * (capture.where.heads.back() + 1);
    const std::vector<int64_t> rows = map_rows(capture.where.heads, sequence.rows, slice.rows);
    const Selection::Range all_keys{0, sequence.keys};
    context_.backend.gather(Mat(map + slice.map, block_rows, sequence.keys), {rows, {&all_keys, 1}},
                            capture.store, destination + sequence.offset);
  }
}

}  // namespace vitrine::internal
