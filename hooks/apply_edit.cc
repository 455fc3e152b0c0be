#include "hooks/apply_edit.h"

#include <algorithm>

#include "base/check.h"
#include "hooks/selection.h"

namespace vitrine {
namespace {

/// Runs a backend edit whose operand is one float32 row that lives on the host.
void replace_with_host_row(Backend& backend, Mat x, int64_t row, std::span<const Selection::Range> cols, std::span<const float> values) {
  const Buffer staging = backend.allocate(values.size_bytes());
  backend.upload(staging.data(), values.data(), values.size_bytes());
  backend.edit({.x = x, .where = {{&row, 1}, cols}, .kind = EditKind::kReplace, .operand = Mat(staging.f32(), 1, static_cast<int64_t>(values.size()))});
}

std::vector<float> source_row(const PlannedEdit& edit, int sequence, int64_t position, int64_t width) {
  auto values = edit.edit.source()->row(edit.site, edit.layer, sequence, position);
  if (!values) user_error("replace_from: the other run holds no '{}' at position {} of sequence {}; capture it there", edit.name, position, sequence);
  if (width > 0 && static_cast<int64_t>(values->size()) != width) {
    user_error("replace_from: the other run holds {} values a row of '{}', this edit selects {}; narrow both alike", values->size(), edit.name, width);
  }
  return *values;
}

void call(const PlannedEdit& edit, Backend& backend, const Selection& selection, Mat x, int sequence, std::span<const int64_t> positions) {
  const int64_t width = selection.width();
  std::vector<float> values(selection.rows.size() * static_cast<size_t>(width));
  const size_t bytes = values.size() * sizeof(float);
  const Buffer staging = backend.allocate(bytes);
  backend.gather(x, selection, DType::kF32, staging.data());
  backend.download(values.data(), staging.data(), bytes);
  EditView view{edit.name, edit.site, edit.layer, sequence, positions, values, width};
  edit.edit.function()(view);
  backend.upload(staging.data(), values.data(), bytes);
  backend.scatter(staging.f32(), selection, x);
}

EditKind backend_kind(Edit::Kind kind) {
  switch (kind) {
    case Edit::Kind::kAdd: return EditKind::kAdd;
    case Edit::Kind::kScale: return EditKind::kScale;
    case Edit::Kind::kReplace: return EditKind::kReplace;
    case Edit::Kind::kProject: return EditKind::kProject;
    default: internal_error("an edit of kind {} has no kernel", static_cast<int>(kind));
  }
}

/// Rows picked from one sequence, as rows of the packed batch, with what picked them.
struct Picked {
  std::vector<int64_t> rows;
  std::vector<int64_t> positions;  ///< absolute
  std::vector<int64_t> asked;      ///< index into the request's positions
};

Picked pick(const PlannedEdit& edit, std::span<const SequenceSlice> slices, size_t s) {
  Picked picked;
  for (const SelectedRow& row : select_rows(edit.where, static_cast<int>(s), slices, edit.name)) {
    picked.rows.push_back(slices[s].row + row.index);
    picked.positions.push_back(slices[s].past + row.index);
    picked.asked.push_back(row.position);
  }
  return picked;
}

/// A direction of one head's width is projected out of each selected head; any other one out of the whole selected row.
void project(const PlannedEdit& edit, Backend& backend, std::span<const int64_t> rows, Mat x) {
  EditArgs args{.x = x, .where = {rows, edit.where.cols}, .kind = EditKind::kProject, .operand = edit.operand};
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

void apply_rows(const PlannedEdit& edit, Backend& backend, const Picked& picked, int sequence, Mat x) {
  const Selection selection{picked.rows, edit.where.cols};
  switch (edit.edit.kind()) {
    case Edit::Kind::kCallback:
      return call(edit, backend, selection, x, sequence, picked.positions);
    case Edit::Kind::kSource:
      for (size_t i = 0; i < picked.rows.size(); ++i) {
        replace_with_host_row(backend, x, picked.rows[i], edit.where.cols, source_row(edit, sequence, picked.positions[i], edit.where.width));
      }
      return;
    case Edit::Kind::kProject:
      return project(edit, backend, picked.rows, x);
    default:
      break;
  }
  EditArgs args{.x = x, .where = selection, .kind = backend_kind(edit.edit.kind()), .factor = edit.edit.factor(), .operand = edit.operand};
  if (edit.operand.rows <= 1) return backend.edit(args);
  for (size_t i = 0; i < picked.rows.size(); ++i) {  // each position has an operand of its own
    args.where.rows = {&picked.rows[i], 1};
    args.operand = edit.operand.row_range(picked.asked[i], 1);
    backend.edit(args);
  }
}

/// One query's row of one head's map, keys beyond `visible` left out.
void apply_map_row(const PlannedEdit& edit, Backend& backend, Mat block, int64_t row, int64_t visible, std::span<const float> source) {
  const Selection::Range keys{0, visible};
  if (edit.edit.kind() == Edit::Kind::kSource) {
    return replace_with_host_row(backend, block, row, {&keys, 1}, source.subspan(0, static_cast<size_t>(visible)));
  }
  backend.edit({.x = block,
                .where = {{&row, 1}, {&keys, 1}},
                .kind = backend_kind(edit.edit.kind()),
                .factor = edit.edit.factor(),
                .operand = edit.operand ? edit.operand.columns(0, visible) : Mat{}});
}

}  // namespace

void apply_edit(const PlannedEdit& edit, Backend& backend, std::span<const SequenceSlice> slices, Mat x) {
  for (size_t s = 0; s < slices.size(); ++s) {
    const Picked picked = pick(edit, slices, s);
    if (!picked.rows.empty()) apply_rows(edit, backend, picked, static_cast<int>(s), x);
  }
}

void apply_map_edit(const PlannedEdit& edit, Backend& backend, std::span<const SequenceSlice> slices, float* map) {
  for (size_t s = 0; s < slices.size(); ++s) {
    const SequenceSlice& slice = slices[s];
    const int64_t keys = slice.past + slice.rows;
    const Mat block(map + slice.map, slice.rows * (edit.where.heads.back() + 1), keys);
    const Picked picked = pick(edit, slices, s);
    if (picked.rows.empty()) continue;
    if (edit.edit.kind() == Edit::Kind::kCallback) {
      std::vector<int64_t> rows;
      for (int head : edit.where.heads) {
        for (int64_t row : picked.rows) rows.push_back(head * slice.rows + row - slice.row);
      }
      const Selection::Range all_keys{0, keys};
      call(edit, backend, {rows, {&all_keys, 1}}, block, static_cast<int>(s), picked.positions);
      continue;
    }
    for (size_t i = 0; i < picked.rows.size(); ++i) {
      std::vector<float> source;
      if (edit.edit.kind() == Edit::Kind::kSource) source = source_row(edit, static_cast<int>(s), picked.positions[i], 0);
      const size_t source_keys = source.size() / edit.where.heads.size();
      const int64_t visible = picked.positions[i] + 1;
      if (edit.edit.kind() == Edit::Kind::kSource && static_cast<int64_t>(source_keys) < visible) {
        user_error("replace_from: the other run's '{}' has {} keys at position {}; it needs {} for each head", edit.name, source_keys, picked.positions[i], visible);
      }
      for (size_t h = 0; h < edit.where.heads.size(); ++h) {
        const int64_t row = edit.where.heads[h] * slice.rows + picked.rows[i] - slice.row;
        apply_map_row(edit, backend, block, row, visible, std::span<const float>(source).subspan(h * source_keys, source_keys));
      }
    }
  }
}

}  // namespace vitrine
