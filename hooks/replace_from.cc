// SPDX-License-Identifier: MIT
#include "hooks/replace_from.h"

#include <algorithm>
#include <optional>

#include "base/check.h"

namespace vitrine::internal {
namespace {

/// Rows of a source in the backend's memory, in the order of the rows that they replace.
using RowsInPlace = std::vector<const float*>;

void check_source_width(const PlannedEdit& edit, int64_t found, int64_t width) {
  if (width == 0 || found == width) return;
  user_error(
      "replace_from: the other run has {} values per row of '{}', this edit selects {}; use the "
      "same selection for both",
      found, edit.name, width);
}

void check_source_heads(const PlannedEdit& edit) {
  const auto captured = edit.edit.source()->map_heads(edit.site, edit.layer);
  if (captured && *captured != std::ssize(edit.where.heads))
    user_error(
        "replace_from: the other run has {} heads of '{}', this edit selects {}; use the same "
        "selection for both",
        *captured, edit.name, edit.where.heads.size());
}

void check_source_keys(const PlannedEdit& edit, int64_t found, int64_t position) {
  if (found > position) return;
  user_error("replace_from: '{}' of the other run has {} keys at position {}: expected {} per head",
             edit.name, found, position, position + 1);
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

/// Null unless the kernels of the backend can read the row.
const float* readable(const PlannedEdit& edit, const Backend& backend,
                      const std::optional<TensorView>& row) {
  if (!row || row->dtype() != DType::kF32) return nullptr;
  const bool here = row->residence() == Residence::kHost ? backend.host_memory()
                                                         : edit.edit.source()->device() == &backend;
  return here ? static_cast<const float*>(row->data()) : nullptr;
}

/// Nothing unless all rows are in the backend's memory.
std::optional<RowsInPlace> rows_in_place(const PlannedEdit& edit, const Backend& backend,
                                         const EditedRows& edited, int sequence) {
  RowsInPlace rows;
  for (const int64_t position : edited.positions) {
    const auto row = edit.edit.source()->row_view(edit.site, edit.layer, sequence, position);
    rows.push_back(readable(edit, backend, row));
    if (rows.back() == nullptr) return std::nullopt;
    check_source_width(edit, row->elements(), edit.where.width);
  }
  return rows;
}

/// The same of a map, head by head.
std::optional<RowsInPlace> map_rows_in_place(const PlannedEdit& edit, const Backend& backend,
                                             const EditedRows& edited, int sequence) {
  RowsInPlace rows;
  for (int64_t head = 0; head < std::ssize(edit.where.heads); ++head) {
    for (const int64_t position : edited.positions) {
      const auto row =
          edit.edit.source()->map_row_view(edit.site, edit.layer, sequence, position, head);
      rows.push_back(readable(edit, backend, row));
      if (rows.back() == nullptr) return std::nullopt;
      check_source_keys(edit, row->elements(), position);
    }
  }
  return rows;
}

/// In elements. The rows may be of different memory.
int64_t distance(const float* from, const float* to) {
  return (reinterpret_cast<intptr_t>(to) - reinterpret_cast<intptr_t>(from)) /
         static_cast<int64_t>(sizeof(float));
}

/// Calls f(first, operand) for each part of the rows that lies at one distance: its first row, and
/// the rows as an operand of `width` columns.
template <typename F>
void for_each_part(const RowsInPlace& rows, int64_t width, const F& f) {
  for (size_t i = 0, next; i < rows.size(); i = next) {
    next = i + 1;
    const int64_t stride = next < rows.size() ? distance(rows[i], rows[next]) : width;
    if (stride > 0) {
      while (next < rows.size() && distance(rows[next - 1], rows[next]) == stride) ++next;
    }
    // An operand is only read.
    f(i, Mat(const_cast<float*>(rows[i]), static_cast<int64_t>(next - i), width, stride));
  }
}

void replace_rows(const PlannedEdit& edit, Backend& backend, std::span<const int64_t> rows,
                  Mat operand, Mat x) {
  backend.edit(
      {.x = x, .where = {rows, edit.where.cols}, .kind = EditKind::kReplace, .operand = operand});
}

/// The rows [first, first + operand.rows) of `map_rows`.
void replace_map_rows(Backend& backend, const EditedMapRows& map_rows, size_t first, Mat operand,
                      Mat block) {
  const Selection::Range all_keys{0, block.cols};
  const auto part = [&](const std::vector<int64_t>& list) {
    return list.empty() ? std::span<const int64_t>()
                        : std::span(list).subspan(first, static_cast<size_t>(operand.rows));
  };
  backend.edit({.x = block,
                .where = {part(map_rows.rows), {&all_keys, 1}},
                .kind = EditKind::kReplace,
                .operand = operand,
                .limits = part(map_rows.visible),
                .starts = part(map_rows.hidden)});
}

/// Writes the source's rows to `map` in the order of EditedMapRows, each `keys` long: as many of
/// them as its query sees.
void read_map(const PlannedEdit& edit, const EditedRows& edited, int sequence, int64_t keys,
              std::span<float> map) {
  const size_t heads = edit.where.heads.size(), rows = edited.rows.size();
  for (size_t i = 0; i < rows; ++i) {
    const int64_t position = edited.positions[i];
    const std::vector<float> source = source_row(edit, sequence, position, 0);
    const auto source_keys = static_cast<int64_t>(source.size() / heads);
    check_source_keys(edit, source_keys, position);
    for (size_t h = 0; h < heads; ++h) {
      const auto from = source.begin() + static_cast<std::ptrdiff_t>(h) * source_keys;
      std::copy(from, from + position + 1,
                map.begin() + static_cast<std::ptrdiff_t>(h * rows + i) * keys);
    }
  }
}

}  // namespace

void replace_from_source(const PlannedEdit& edit, const EditContext& context,
                         const EditedRows& edited, int sequence, Mat x) {
  const int64_t width = edit.where.width;
  const std::span<const int64_t> all = edited.rows;
  if (const auto rows = rows_in_place(edit, context.backend, edited, sequence)) {
    return for_each_part(*rows, width, [&](size_t first, Mat operand) {
      replace_rows(edit, context.backend, all.subspan(first, static_cast<size_t>(operand.rows)),
                   operand, x);
    });
  }
  const Staging staging(context, all.size() * static_cast<size_t>(width));
  auto to = staging.values().begin();
  for (const int64_t position : edited.positions)
    to = std::ranges::copy(source_row(edit, sequence, position, width), to).out;
  staging.send();
  replace_rows(edit, context.backend, all, Mat(staging.there().f32(), std::ssize(all), width), x);
}

void replace_map_from_source(const PlannedEdit& edit, const EditContext& context,
                             const EditedRows& edited, const EditedMapRows& map_rows, int sequence,
                             Mat block) {
  check_source_heads(edit);
  if (const auto rows = map_rows_in_place(edit, context.backend, edited, sequence)) {
    return for_each_part(*rows, block.cols, [&](size_t first, Mat operand) {
      replace_map_rows(context.backend, map_rows, first, operand, block);
    });
  }
  const size_t count = map_rows.rows.size();
  const Staging staging(context, count * static_cast<size_t>(block.cols));
  read_map(edit, edited, sequence, block.cols, staging.values());
  staging.send();
  replace_map_rows(context.backend, map_rows, 0,
                   Mat(staging.there().f32(), static_cast<int64_t>(count), block.cols), block);
}

}  // namespace vitrine::internal
