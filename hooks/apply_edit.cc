// SPDX-License-Identifier: MIT
#include "hooks/apply_edit.h"

#include <algorithm>

#include "base/check.h"
#include "hooks/replace_from.h"
#include "hooks/selection.h"

namespace vitrine::internal {
namespace {

void call(const PlannedEdit& edit, const EditContext& context, const Selection& selection, Mat x,
          int sequence, std::span<const int64_t> positions) {
  const int64_t width = selection.width();
  const Staging staging(context, selection.rows.size() * static_cast<size_t>(width));
  context.backend.gather(x, selection, DType::kF32, staging.there().data());
  staging.fetch();
  EditView view{edit.name, edit.site, edit.layer, sequence, positions, staging.values(), width};
  edit.edit.function()(view);
  staging.send();
  context.backend.scatter(staging.there().f32(), selection, x);
}

EditKind backend_kind(Edit::Kind kind) {
  switch (kind) {
    case Edit::Kind::kAdd:
      return EditKind::kAdd;
    case Edit::Kind::kScale:
      return EditKind::kScale;
    case Edit::Kind::kReplace:
      return EditKind::kReplace;
    case Edit::Kind::kProject:
      return EditKind::kProject;
    default:
      internal_error("missing kernel for an edit of kind {}", static_cast<int>(kind));
  }
}

EditedRows pick(const PlannedEdit& edit, std::span<const SequenceSlice> slices, size_t s) {
  EditedRows edited;
  for (const SelectedRow& row : select_rows(edit.where, static_cast<int>(s), slices, edit.name)) {
    edited.rows.push_back(slices[s].row + row.index);
    edited.positions.push_back(slices[s].past + row.index);
    edited.requested.push_back(row.position);
  }
  return edited;
}

/// A direction of one head's width is projected out of each selected head; any other one out of the
/// whole selected row.
void project(const PlannedEdit& edit, Backend& backend, std::span<const int64_t> rows, Mat x) {
  EditArgs args{.x = x,
                .where = {rows, edit.where.cols},
                .kind = EditKind::kProject,
                .operand = edit.operand};
  if (edit.edit.operand().elements() == edit.where.width) return backend.edit(args);
  // Walk the ranges head by head; a range may span several whole heads.
  std::vector<Selection::Range> head;
  int64_t filled = 0;
  for (const Selection::Range& range : edit.where.cols) {
    for (int64_t at = 0; at < range.count;) {
      const int64_t take = std::min(range.count - at, edit.where.head_width - filled);
      head.push_back({range.begin + at, take});
      at += take;
      filled += take;
      if (filled < edit.where.head_width) continue;
      args.where.cols = head;
      args.operand = edit.operand.columns(0, edit.where.head_width);
      backend.edit(args);
      head.clear();
      filled = 0;
    }
  }
}

void apply_rows(const PlannedEdit& edit, const EditContext& context, const EditedRows& edited,
                int sequence, Mat x) {
  Backend& backend = context.backend;
  const Selection selection{edited.rows, edit.where.cols};
  switch (edit.edit.kind()) {
    case Edit::Kind::kCallback:
      return call(edit, context, selection, x, sequence, edited.positions);
    case Edit::Kind::kSource:
      return replace_from_source(edit, context, edited, sequence, x);
    case Edit::Kind::kProject:
      return project(edit, backend, edited.rows, x);
    default:
      break;
  }
  EditArgs args{.x = x,
                .where = selection,
                .kind = backend_kind(edit.edit.kind()),
                .factor = edit.edit.factor(),
                .operand = edit.operand};
  if (edit.operand.rows <= 1) return backend.edit(args);
  for (size_t i = 0, next; i < edited.rows.size();
       i = next) {  // each position has an operand of its own: those side by side go together
    for (next = i + 1;
         next < edited.rows.size() && edited.requested[next] == edited.requested[next - 1] + 1;)
      ++next;
    args.where.rows = {&edited.rows[i], next - i};
    args.operand = edit.operand.row_range(edited.requested[i], static_cast<int64_t>(next - i));
    backend.edit(args);
  }
}

void edit_map(const PlannedEdit& edit, Backend& backend, const EditedMapRows& map_rows, Mat block) {
  const Selection::Range all_keys{0, block.cols};
  backend.edit({.x = block,
                .where = {map_rows.rows, {&all_keys, 1}},
                .kind = backend_kind(edit.edit.kind()),
                .factor = edit.edit.factor(),
                .operand = edit.operand ? edit.operand.columns(0, block.cols) : Mat{},
                .limits = map_rows.visible,
                .starts = map_rows.hidden});
}

}  // namespace

void apply_edit(const PlannedEdit& edit, const EditContext& context, Mat x) {
  for (size_t s = 0; s < context.slices.size(); ++s) {
    const EditedRows edited = pick(edit, context.slices, s);
    if (!edited.rows.empty()) apply_rows(edit, context, edited, static_cast<int>(s), x);
  }
}

void apply_map_edit(const PlannedEdit& edit, const EditContext& context, float* map) {
  for (size_t s = 0; s < context.slices.size(); ++s) {
    const SequenceSlice& slice = context.slices[s];
    const int sequence = static_cast<int>(s);
    const EditedRows edited = pick(edit, context.slices, s);
    if (edited.rows.empty()) continue;
    const EditedMapRows map_rows(edit, slice, edited);
    const Mat block(map + slice.map, slice.rows * (edit.where.heads.back() + 1),
                    slice.past + slice.rows);
    switch (edit.edit.kind()) {
      case Edit::Kind::kCallback: {
        const Selection::Range all_keys{0, block.cols};
        call(edit, context, {map_rows.rows, {&all_keys, 1}}, block, sequence, edited.positions);
        break;
      }
      case Edit::Kind::kSource:
        replace_map_from_source(edit, context, edited, map_rows, sequence, block);
        break;
      default:
        edit_map(edit, context.backend, map_rows, block);
    }
  }
}

}  // namespace vitrine::internal
