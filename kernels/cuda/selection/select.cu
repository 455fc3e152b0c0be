// SPDX-License-Identifier: MIT
#include "kernels/cuda/runtime/cuda_backend.h"
#include "kernels/cuda/selection/hooks_selection.cuh"

// Captures and edits: the operations that touch a selection of a site. A thread takes a quad of
// selected columns of one selected row; four that lie side by side and aligned are one access.

namespace vitrine::internal {
namespace cuda {

void NumberLists::add(Numbers& to, std::span<const int64_t> values) {
  if (values.empty()) return;
  to.first = static_cast<int32_t>(values[0]);
  to.step = values.size() > 1 ? static_cast<int32_t>(values[1] - values[0]) : 0;
  for (size_t i = 1; i < values.size(); ++i)
    to.listed = to.listed || values[i] - values[i - 1] != to.step;
  if (!to.listed) return;
  if (values.size() > Numbers::kFew) long_.push_back({&to, uploaded_.size()});
  for (size_t i = 0; i < values.size(); ++i) {
    if (values.size() > Numbers::kFew)
      uploaded_.push_back(static_cast<int32_t>(values[i]));
    else
      to.few[i] = static_cast<int32_t>(values[i]);
  }
}

void NumberLists::placed(const int32_t* memory) const {
  for (const Long& list : long_) list.numbers->many = memory + list.begin;
}

}  // namespace cuda

namespace {

using namespace cuda;

/// The thread's quad of a selection: where it lies in the matrix.
struct Place {
  int64_t row, selected, column;  ///< `selected` numbers its first column among the selected ones
  int count;
  bool together;  ///< in one range

  VITRINE_DEVICE Place(const SelectionView& s, int64_t selected_row, int64_t first)
      : row(s.rows.at(selected_row)), selected(first), column(0), count(kQuad), together(false) {
    const int64_t end =
        s.limited && s.limits.at(selected_row) < s.width ? s.limits.at(selected_row) : s.width;
    if (end - first < kQuad) count = static_cast<int>(end - first);
    if (count <= 0) return;
    const int range = s.range_of(first);
    column = first + s.shifts.at(range);
    together = range + 1 == s.ranges || s.starts.at(range + 1) >= first + count;
  }

  template <class T>
  VITRINE_DEVICE bool whole(const Rows<T>& x) const {
    return x.aligned && count == kQuad && column % kQuad == 0;
  }
};

template <class T>
VITRINE_DEVICE Quad load_selected(const SelectionView& s, const Rows<T>& x, const Place& p) {
  if (p.together) return load_quad(x.at(p.row, p.column), p.count, p.whole(x));
  Quad quad{};
#pragma unroll
  for (int i = 0; i < kQuad; ++i) {
    if (i < p.count) quad.x[i] = widen(*x.at(p.row, s.column(p.selected + i)));
  }
  return quad;
}

template <class T>
VITRINE_DEVICE void store_selected(const SelectionView& s, const Rows<T>& x, const Place& p,
                                   const Quad& quad) {
  if (p.together) return store_quad(x.at(p.row, p.column), quad, p.count, p.whole(x));
#pragma unroll
  for (int i = 0; i < kQuad; ++i) {
    if (i < p.count) *x.at(p.row, s.column(p.selected + i)) = narrow<T>(quad.x[i]);
  }
}

/// What an edit takes besides x: an operand row for each selected row, or one for all (a stride of
/// 0).
struct Change {
  EditKind kind;
  float factor;
  Rows<float> operand;

  VITRINE_DEVICE Quad operands(int64_t selected_row, int64_t selected, int count) const {
    return load_quad(operand.at(selected_row, selected), count, operand.aligned && count == kQuad);
  }
};

template <class T>
__global__ void edit_rows(RowGrid grid, SelectionView s, Rows<T> x, Change change) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const Place p(s, grid.row(), grid.column());
  if (p.count <= 0) return;
  const int64_t kept = s.skips ? s.skipped.at(grid.row()) - p.selected : 0;
  if (kept >= p.count) return;
  Quad quad{};
  if (change.kind != EditKind::kReplace || kept > 0) quad = load_selected(s, x, p);
  const Quad before = quad;
  if (change.kind == EditKind::kScale) {
#pragma unroll
    for (int i = 0; i < kQuad; ++i) quad.x[i] *= change.factor;
  } else {
    const Quad operand = change.operands(grid.row(), p.selected, p.count);
#pragma unroll
    for (int i = 0; i < kQuad; ++i)
      quad.x[i] = change.kind == EditKind::kAdd ? quad.x[i] + operand.x[i] : operand.x[i];
  }
#pragma unroll
  for (int i = 0; i < kQuad; ++i) quad.x[i] = i < kept ? before.x[i] : quad.x[i];
  store_selected(s, x, p, quad);
}

/// A block for each selected row. The dot product is summed in double, each thread's quads in
/// order, then block_sum().
template <class T>
__global__ void project_rows(SelectionView s, Rows<T> x, Change change) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const int64_t row = blockIdx.x;
  const int64_t begin = static_cast<int64_t>(threadIdx.x) * kQuad,
                step = static_cast<int64_t>(blockDim.x) * kQuad;
  double dot = 0.0;
  for (int64_t selected = begin; selected < s.width; selected += step) {
    const Place p(s, row, selected);
    const Quad quad = load_selected(s, x, p), unit = change.operands(row, selected, p.count);
#pragma unroll
    for (int i = 0; i < kQuad; ++i)
      dot += static_cast<double>(quad.x[i]) * static_cast<double>(unit.x[i]);
  }
  const float along = static_cast<float>(block_sum(dot, shared_memory<double>()));
  for (int64_t selected = begin; selected < s.width; selected += step) {
    const Place p(s, row, selected);
    Quad quad = load_selected(s, x, p);
    const Quad unit = change.operands(row, selected, p.count);
#pragma unroll
    for (int i = 0; i < kQuad; ++i) quad.x[i] -= along * unit.x[i];
    store_selected(s, x, p, quad);
  }
}

template <class X, class Y>
__global__ void gather_rows(RowGrid grid, SelectionView s, Rows<X> x, Rows<Y> to) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  const Place p(s, grid.row(), grid.column());
  if (p.count <= 0) return;
  store_quad(to.at(grid.row(), p.selected), load_selected(s, x, p), p.count,
             to.aligned && p.count == kQuad);
}

void view_columns(SelectionView& view, NumberLists& lists, std::span<const Selection::Range> cols) {
  std::vector<int64_t> starts, shifts;
  for (const Selection::Range& range : cols) {
    starts.push_back(view.width);
    shifts.push_back(range.begin - view.width);
    view.width += range.count;
  }
  view.ranges = static_cast<int>(cols.size());
  lists.add(view.starts, starts);
  lists.add(view.shifts, shifts);
}

constexpr int kMostProjecting = 256;

}  // namespace

cuda::SelectionView CudaBackend::place_selection(const Selection& where,
                                                 std::span<const int64_t> limits,
                                                 std::span<const int64_t> starts) {
  SelectionView view;
  NumberLists lists;
  view_columns(view, lists, where.cols);
  lists.add(view.rows, where.rows);
  lists.add(view.limits, limits);
  view.limited = !limits.empty();
  lists.add(view.skipped, starts);
  view.skips = !starts.empty();
  if (lists.bytes() > 0) {
    if (device_->recording())
      fail(
          "cannot capture a selection of more than 64 unevenly spaced rows or column ranges in a "
          "graph");
    std::byte* memory = scratch(lists.bytes());
    upload(memory, lists.data(), lists.bytes());
    lists.placed(reinterpret_cast<const int32_t*>(memory));
  }
  return view;
}

size_t CudaBackend::recorded_list() const { return cuda::Numbers::kFew; }

void CudaBackend::edit(const EditArgs& args) {
  const auto rows = static_cast<int64_t>(args.where.rows.size());
  const SelectionView view = place_selection(args.where, args.limits, args.starts);
  Change change{args.kind, args.factor, float_rows(args.operand, "an edit's operand")};
  if (args.operand.rows <= 1) change.operand.stride = 0;
  const RowGrid grid(rows, view.width);
  with_element(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    if (args.kind == EditKind::kProject) {
      const LaunchShape shape{
          .grid = dim3(rows),
          .block = dim3(threads_for(ceil_div(view.width, kQuad), kMostProjecting)),
          .shared = kMostProjecting / kWarp * sizeof(double),
          .may_start_early = true};
      launch(*device_, shape, project_rows<T>, view, Rows<T>(args.x), change);
    } else {
      launch(*device_, grid.shape(), edit_rows<T>, grid, view, Rows<T>(args.x), change);
    }
  });
}

void CudaBackend::gather(Mat x, const Selection& where, DType store, std::byte* destination) {
  const SelectionView view = place_selection(where, {}, {});
  const RowGrid grid(static_cast<int64_t>(where.rows.size()), view.width);
  const Mat to(destination, static_cast<int64_t>(where.rows.size()), view.width, view.width, store);
  with_element(x.dtype, [&](auto from_element) {
    with_element(store, [&](auto to_element) {
      using X = decltype(from_element);
      using Y = decltype(to_element);
      launch(*device_, grid.shape(), gather_rows<X, Y>, grid, view, Rows<X>(x), Rows<Y>(to));
    });
  });
}

void CudaBackend::scatter(const float* source, const Selection& where, Mat x) {
  const Mat values(const_cast<float*>(source), static_cast<int64_t>(where.rows.size()),
                   where.width());
  edit({.x = x, .where = where, .kind = EditKind::kReplace, .operand = values});
}

}  // namespace vitrine::internal
