// SPDX-License-Identifier: MIT
#include "hooks/apply_edit.h"

#include <algorithm>

#include "base/check.h"
#include "hooks/selection.h"

namespace vitrine::internal {
namespace {

void check_source_width(const PlannedEdit& edit, int64_t found, int64_t width) {
  if (width == 0 || found == width) return;
  user_error(
      "replace_from: the other run has {} values per row of '{}', this edit selects {}; use the "
      "same selection for both",
      found, edit.name, width);
}

std::vector<float> source_row(const PlannedEdit& edit, int sequence, int64_t position,
                              int64_t width) {
  auto values = edit.edit.source()->row(edit.site, edit.layer, sequence, position);
  if (!values)
    user_error(
        "replace_from: missing '{}' at position {} of sequence {} in the other run; capture it "
        "there",
        edit.name, position, sequence);
  check_source_width(edit, std::ssize(*values), width);
  return *values;
}

/// The other run's row as it lies in the backend's memory; null where it has to be brought there.
const float* source_row_in_place(const PlannedEdit& edit, const Backend& backend, int sequence,
                                 int64_t position) {
  const ActivationSource& source = *edit.edit.source();
  const auto row = source.row_view(edit.site, edit.layer, sequence, position);
  if (!row || row->dtype() != DType::kF32) return nullptr;
  const bool here =
      row->residence() == Residence::kHost ? backend.host_memory() : source.device() == &backend;
  if (!here) return nullptr;
  check_source_width(edit, row->elements(), edit.where.width);
  return static_cast<const float*>(row->data());
}

/// Values that the host reads or writes on their way to or from the backend's memory; one and the
/// same memory where the host can.
class Staging {
 public:
  Staging(const EditContext& context, size_t count)
      : backend_(context.backend),
        bytes_(count * sizeof(float)),
        there_(context.pool.take(bytes_)),
        here_(backend_.host_memory() ? there_ : context.host_pool.take(bytes_)) {}

  std::span<float> values() const { return {here_.f32(), bytes_ / sizeof(float)}; }
  const Buffer& there() const { return there_; }
  void fetch() const {
    if (!backend_.host_memory()) backend_.download(here_.data(), there_.data(), bytes_);
  }
  void send() const {
    if (!backend_.host_memory()) backend_.upload(there_.data(), here_.data(), bytes_);
  }

 private:
  Backend& backend_;
  size_t bytes_;
  Buffer there_, here_;
};

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

/// Replaces the picked rows [begin, begin + count) by rows that are `stride` elements apart.
void replace_rows(const PlannedEdit& edit, Backend& backend, const Picked& picked, size_t begin,
                  size_t count, const float* rows, int64_t stride, Mat x) {
  backend.edit({.x = x,
                .where = {std::span(picked.rows).subspan(begin, count), edit.where.cols},
                .kind = EditKind::kReplace,
                // An operand is only read.
                .operand = Mat(const_cast<float*>(rows), static_cast<int64_t>(count),
                               edit.where.width, stride)});
}

/// In elements. Rows may be of different memory.
int64_t distance(const float* from, const float* to) {
  return (reinterpret_cast<intptr_t>(to) - reinterpret_cast<intptr_t>(from)) /
         static_cast<int64_t>(sizeof(float));
}

/// Whether the other run's rows were all in the backend's memory: then they were used from there.
bool replace_in_place(const PlannedEdit& edit, Backend& backend, const Picked& picked, int sequence,
                      Mat x) {
  std::vector<const float*> rows;
  for (const int64_t position : picked.positions) {
    rows.push_back(source_row_in_place(edit, backend, sequence, position));
    if (rows.back() == nullptr) return false;
  }
  for (size_t i = 0, next; i < rows.size(); i = next) {  // those at one distance go together
    next = i + 1;
    const int64_t stride = next < rows.size() ? distance(rows[i], rows[next]) : edit.where.width;
    if (stride >= edit.where.width) {
      while (next < rows.size() && distance(rows[next - 1], rows[next]) == stride) ++next;
    }
    replace_rows(edit, backend, picked, i, next - i, rows[i], stride, x);
  }
  return true;
}

void replace_from_source(const PlannedEdit& edit, const EditContext& context, const Picked& picked,
                         int sequence, Mat x) {
  if (replace_in_place(edit, context.backend, picked, sequence, x)) return;
  const auto width = static_cast<size_t>(edit.where.width);
  const Staging staging(context, picked.rows.size() * width);
  for (size_t i = 0; i < picked.rows.size(); ++i) {
    const std::vector<float> row =
        source_row(edit, sequence, picked.positions[i], edit.where.width);
    std::ranges::copy(row, staging.values().subspan(i * width).begin());
  }
  staging.send();
  replace_rows(edit, context.backend, picked, 0, picked.rows.size(), staging.there().f32(),
               edit.where.width, x);
}

void apply_rows(const PlannedEdit& edit, const EditContext& context, const Picked& picked,
                int sequence, Mat x) {
  Backend& backend = context.backend;
  const Selection selection{picked.rows, edit.where.cols};
  switch (edit.edit.kind()) {
    case Edit::Kind::kCallback:
      return call(edit, context, selection, x, sequence, picked.positions);
    case Edit::Kind::kSource:
      return replace_from_source(edit, context, picked, sequence, x);
    case Edit::Kind::kProject:
      return project(edit, backend, picked.rows, x);
    default:
      break;
  }
  EditArgs args{.x = x,
                .where = selection,
                .kind = backend_kind(edit.edit.kind()),
                .factor = edit.edit.factor(),
                .operand = edit.operand};
  if (edit.operand.rows <= 1) return backend.edit(args);
  for (size_t i = 0, next; i < picked.rows.size();
       i = next) {  // each position has an operand of its own: those side by side go together
    for (next = i + 1;
         next < picked.rows.size() && picked.asked[next] == picked.asked[next - 1] + 1;)
      ++next;
    args.where.rows = {&picked.rows[i], next - i};
    args.operand = edit.operand.row_range(picked.asked[i], static_cast<int64_t>(next - i));
    backend.edit(args);
  }
}

/// The rows of a sequence's map block that an edit touches, head by head, and how many keys each of
/// their queries sees, but for those before its window.
struct MapRows {
  std::vector<int64_t> rows, visible, hidden;

  MapRows(const PlannedEdit& edit, const SequenceSlice& slice, const Picked& picked) {
    for (int head : edit.where.heads) {
      for (size_t i = 0; i < picked.rows.size(); ++i) {
        rows.push_back(head * slice.rows + picked.rows[i] - slice.row);
        visible.push_back(picked.positions[i] + 1);
        if (edit.window > 0) hidden.push_back(std::max<int64_t>(visible.back() - edit.window, 0));
      }
    }
  }
};

/// Writes the other run's rows to `map` in the order of MapRows, each `keys` long: as many of them
/// as its query sees.
void read_source_map(const PlannedEdit& edit, const Picked& picked, int sequence, int64_t keys,
                     std::span<float> map) {
  const size_t heads = edit.where.heads.size(), rows = picked.rows.size();
  const auto captured = edit.edit.source()->map_heads(edit.site, edit.layer);
  if (captured && *captured != std::ssize(edit.where.heads))
    user_error(
        "replace_from: the other run has {} heads of '{}', this edit selects {}; use the same "
        "selection for both",
        *captured, edit.name, heads);
  for (size_t i = 0; i < rows; ++i) {
    const std::vector<float> source = source_row(edit, sequence, picked.positions[i], 0);
    const auto source_keys = static_cast<int64_t>(source.size() / heads),
               visible = picked.positions[i] + 1;
    if (source_keys < visible) {
      user_error(
          "replace_from: '{}' of the other run has {} keys at position {}: expected {} per head",
          edit.name, source_keys, picked.positions[i], visible);
    }
    for (size_t h = 0; h < heads; ++h) {
      const auto from = source.begin() + static_cast<std::ptrdiff_t>(h) * source_keys;
      std::copy(from, from + visible,
                map.begin() + static_cast<std::ptrdiff_t>(h * rows + i) * keys);
    }
  }
}

void edit_map(const PlannedEdit& edit, Backend& backend, const MapRows& map_rows, Mat block) {
  const Selection::Range all_keys{0, block.cols};
  backend.edit({.x = block,
                .where = {map_rows.rows, {&all_keys, 1}},
                .kind = backend_kind(edit.edit.kind()),
                .factor = edit.edit.factor(),
                .operand = edit.operand ? edit.operand.columns(0, block.cols) : Mat{},
                .limits = map_rows.visible,
                .starts = map_rows.hidden});
}

void replace_map(const PlannedEdit& edit, const EditContext& context, const Picked& picked,
                 const MapRows& map_rows, int sequence, Mat block) {
  const Selection::Range all_keys{0, block.cols};
  const Staging staging(context, map_rows.rows.size() * static_cast<size_t>(block.cols));
  read_source_map(edit, picked, sequence, block.cols, staging.values());
  staging.send();
  context.backend.edit(
      {.x = block,
       .where = {map_rows.rows, {&all_keys, 1}},
       .kind = EditKind::kReplace,
       .operand = Mat(staging.there().f32(), std::ssize(map_rows.rows), block.cols),
       .limits = map_rows.visible,
       .starts = map_rows.hidden});
}

}  // namespace

void apply_edit(const PlannedEdit& edit, const EditContext& context, Mat x) {
  for (size_t s = 0; s < context.slices.size(); ++s) {
    const Picked picked = pick(edit, context.slices, s);
    if (!picked.rows.empty()) apply_rows(edit, context, picked, static_cast<int>(s), x);
  }
}

void apply_map_edit(const PlannedEdit& edit, const EditContext& context, float* map) {
  for (size_t s = 0; s < context.slices.size(); ++s) {
    const SequenceSlice& slice = context.slices[s];
    const int sequence = static_cast<int>(s);
    const Picked picked = pick(edit, context.slices, s);
    if (picked.rows.empty()) continue;
    const MapRows map_rows(edit, slice, picked);
    const Mat block(map + slice.map, slice.rows * (edit.where.heads.back() + 1),
                    slice.past + slice.rows);
    switch (edit.edit.kind()) {
      case Edit::Kind::kCallback: {
        const Selection::Range all_keys{0, block.cols};
        call(edit, context, {map_rows.rows, {&all_keys, 1}}, block, sequence, picked.positions);
        break;
      }
      case Edit::Kind::kSource:
        replace_map(edit, context, picked, map_rows, sequence, block);
        break;
      default:
        edit_map(edit, context.backend, map_rows, block);
    }
  }
}

}  // namespace vitrine::internal
