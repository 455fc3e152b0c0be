#include <cstring>

#include "base/float_bits.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"

namespace vitrine {
namespace {

constexpr int64_t kPanel = PackedMatrix::kPanel;

int64_t panels_of(int64_t out) { return (out + kPanel - 1) / kPanel; }

float load(const void* data, DType dtype, int64_t at) {
  const auto* bytes = static_cast<const std::byte*>(data) + at * static_cast<int64_t>(dtype_size(dtype));
  uint16_t half = 0;
  float full = 0.0f;
  if (dtype == DType::kF32) std::memcpy(&full, bytes, sizeof(full));
  else std::memcpy(&half, bytes, sizeof(half));
  return dtype == DType::kF32 ? full : dtype == DType::kF16 ? f16_to_f32(half) : bf16_to_f32(half);
}

void store(std::byte* to, DType dtype, int64_t at, float value) {
  if (dtype == DType::kF32) reinterpret_cast<float*>(to)[at] = value;
  else reinterpret_cast<uint16_t*>(to)[at] = dtype == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
}

}  // namespace

size_t CpuBackend::packed_bytes(int64_t in, int64_t out, DType store_as) const {
  return static_cast<size_t>(panels_of(out) * kPanel * in) * dtype_size(store_as);
}

PackedMatrix CpuBackend::pack(const HostWeight& source, DType store_as, std::byte* destination) {
  PackedMatrix packed{destination, store_as, source.in, source.out, static_cast<int64_t>(dtype_size(store_as)) * kPanel * source.in};
  cpu::parallel_for(threads_, panels_of(source.out), [&](int64_t p) {
    for (int64_t k = 0; k < source.in; ++k) {
      for (int64_t c = 0; c < kPanel; ++c) {
        const int64_t o = p * kPanel + c;
        const float w = o < source.out ? load(source.data, source.dtype, k * source.in_stride + o * source.out_stride) : 0.0f;
        store(destination + p * packed.panel_stride, store_as, k * kPanel + c, w);
      }
    }
  });
  return packed;
}

void CpuBackend::lookup(std::span<const int32_t> ids, const PackedMatrix& table, Mat out) {
  for (size_t r = 0; r < ids.size(); ++r) {
    const std::byte* panel = table.data + ids[r] / kPanel * table.panel_stride;
    for (int64_t d = 0; d < table.in; ++d) out.row(static_cast<int64_t>(r))[d] = load(panel, table.dtype, d * kPanel + ids[r] % kPanel);
  }
}

void CpuBackend::embed(std::span<const int32_t> ids, std::span<const int32_t> positions, const PackedMatrix& token_table,
                       const PackedMatrix& position_table, Mat out) {
  std::vector<float> position(static_cast<size_t>(out.cols));
  const Mat row(position.data(), 1, out.cols);
  for (size_t r = 0; r < ids.size(); ++r) {
    const Mat to = out.row_range(static_cast<int64_t>(r), 1);
    lookup(ids.subspan(r, 1), token_table, to);
    lookup(positions.subspan(r, 1), position_table, row);
    add(to, row, to);
  }
}

}  // namespace vitrine
