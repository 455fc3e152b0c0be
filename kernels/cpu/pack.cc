// SPDX-License-Identifier: MIT
#include <algorithm>

#include "base/ceil_div.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/pack_kernels.h"
#include "kernels/cpu/parallel.h"

namespace vitrine::internal {
namespace {

constexpr int64_t kPanel = PackedMatrix::kPanel;
constexpr int64_t kPackInputs = 64;  // of a task, and
constexpr int64_t kPackPanels =
    16;  // so that both sides are read and written a few kilobytes at a time
constexpr int64_t kQuantisePanels = 4;
constexpr int64_t kGrain = 1 << 13;  // looked-up elements that are worth a thread

template <typename F>
void for_each_token(int threads, std::span<const int32_t> ids, int64_t width, const F& f) {
  cpu::parallel_chunks(threads, static_cast<int64_t>(ids.size()), kGrain / (width + 1) + 1,
                       [&](int64_t begin, int64_t end) {
                         for (int64_t r = begin; r < end; ++r) f(r);
                       });
}

}  // namespace

size_t CpuBackend::packed_bytes(int64_t in, int64_t out, DType store) const {
  const auto outputs = static_cast<size_t>(ceil_div(out, kPanel) * kPanel);
  const size_t weights = outputs * static_cast<size_t>(in) * dtype_size(store);
  return store == DType::kI8 ? whole_lines(weights) + outputs * sizeof(float) : weights;
}

PackedMatrix CpuBackend::pack(const HostWeight& source, DType store, std::byte* destination) {
  const PackedMatrix packed{destination,
                            store,
                            source.in,
                            source.out,
                            static_cast<int64_t>(dtype_size(store)) * kPanel * source.in,
                            static_cast<int64_t>(dtype_size(store)) * kPanel};
  if (store == DType::kI8) return quantise(source, packed, destination);
  // A source with its inputs side by side is read an output at a time, whole; one with its outputs
  // side by side in squares.
  const int64_t inputs = source.in_stride == 1 ? source.in : kPackInputs,
                panels = source.in_stride == 1 ? 1 : kPackPanels;
  const int64_t all_panels = ceil_div(source.out, kPanel), groups = ceil_div(all_panels, panels);
  cpu::parallel_for(threads_, groups * ceil_div(source.in, inputs), [&](int64_t task) {
    const int64_t in_begin = task / groups * inputs, first = task % groups * panels;
    for (int64_t p = first; p < std::min(first + panels, all_panels); ++p) {
      cpu::pack_panel(source, packed, destination, p, in_begin,
                      std::min(in_begin + inputs, source.in));
    }
  });
  return packed;
}

PackedMatrix CpuBackend::quantise(const HostWeight& source, PackedMatrix packed,
                                  std::byte* destination) {
  const int64_t panels = ceil_div(source.out, kPanel), panel_floats = source.in * kPanel;
  auto* scales = reinterpret_cast<float*>(
      destination + whole_lines(static_cast<size_t>(panels * packed.panel_stride)));
  packed.scales = scales;
  const int64_t together =
      source.in_stride == 1 ? 1 : kQuantisePanels;  // read alongside one another, as pack() has it
  const auto lease = scratch_.borrow(static_cast<size_t>(threads_ * panel_floats));
  cpu::parallel_for(threads_, ceil_div(panels, together), [&](int64_t task, int worker) {
    for (int64_t p = task * together; p < std::min((task + 1) * together, panels); ++p) {
      cpu::quantise_panel(source, p, destination + p * packed.panel_stride, scales + p * kPanel,
                          lease.f32() + worker * panel_floats);
    }
  });
  return packed;
}

void CpuBackend::lookup(const PassBatch& batch, Lookup by, const PackedMatrix& table, Mat out) {
  const std::span<const int32_t> ids = by == Lookup::kTokens ? batch.ids : batch.positions;
  for_each_token(threads_, ids, table.in, [&](int64_t r) {
    cpu::unpack_column(table, ids[static_cast<size_t>(r)], out.row(r));
  });
}

void CpuBackend::embed(const PassBatch& batch, const PackedMatrix& token_table,
                       const PackedMatrix& position_table, Mat out) {
  const auto lease = scratch_.borrow(batch.ids.size() * static_cast<size_t>(out.cols));
  const Mat position_rows(lease.f32(), static_cast<int64_t>(batch.ids.size()), out.cols);
  for_each_token(threads_, batch.ids, 2 * out.cols, [&](int64_t r) {
    cpu::unpack_column(token_table, batch.ids[static_cast<size_t>(r)], out.row(r));
    cpu::unpack_column(position_table, batch.positions[static_cast<size_t>(r)],
                       position_rows.row(r));
    cpu::add_row(out.row(r), position_rows.row(r), out.cols, out.row(r));
  });
}

}  // namespace vitrine::internal
