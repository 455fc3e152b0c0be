// SPDX-License-Identifier: MIT
#include <hwy/base.h>

#include <algorithm>

#include "base/cpu_unit.h"
#include "kernels/cpu/bf16_product.h"

// The templates of a unit are included where the compiler is told of its instructions.

#if HWY_ARCH_X86_64
#include <immintrin.h>

HWY_PUSH_ATTRIBUTES("avx512f,avx512bf16")
#include "kernels/cpu/bf16_dots.h"

namespace vitrine::internal::cpu {
namespace {

struct Avx512Dots {
  using Sums = __m512;
  static Sums zero() { return _mm512_setzero_ps(); }
  static Sums load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(Sums sums, float* to) { _mm512_storeu_ps(to, sums); }
  static Sums add(Sums a, Sums b) { return _mm512_add_ps(a, b); }
  static Sums dot(Sums sums, const uint32_t* weights, const uint32_t* x) {
    const __m512i pairs = _mm512_loadu_si512(weights),
                  pair = _mm512_set1_epi32(static_cast<int>(*x));
    return _mm512_dpbf16_ps(sums, reinterpret_cast<__m512bh>(pairs),
                            reinterpret_cast<__m512bh>(pair));
  }
};

void multiply_avx512(const Bf16Product& product) { multiply_by_dots<Avx512Dots>(product); }

}  // namespace
}  // namespace vitrine::internal::cpu
HWY_POP_ATTRIBUTES

HWY_PUSH_ATTRIBUTES("amx-tile,amx-bf16")
#include "kernels/cpu/bf16_tiles.h"

namespace vitrine::internal::cpu {
namespace {

/// As ldtilecfg reads it.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);
constexpr TileConfig kWholeTiles;

/// The instructions themselves: GCC 12's _tile_loadconfig() tells the compiler of 8 of the 64 bytes
/// that it reads, and the tiles of its other functions must be written as digits.
struct AmxTiles {
  void configure() { asm volatile("ldtilecfg %0" : : "m"(kWholeTiles)); }
  void release() { asm volatile("tilerelease"); }
  template <int kTile>
  void load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  void store(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kSums, int kX, int kWeights>
  void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kX), "i"(kWeights));
  }
};

void multiply_amx(const Bf16Product& product) { multiply_by_tiles<AmxTiles>(product); }

}  // namespace
}  // namespace vitrine::internal::cpu
HWY_POP_ATTRIBUTES
#endif

namespace vitrine::internal::cpu {

const Bf16Unit& bf16_unit() {
#if HWY_ARCH_X86_64
  static constexpr Bf16Unit kDots = {"vdpbf16ps", multiply_avx512, kAlternating},
                            kTiles = {"tdpbf16ps", multiply_amx, kNeighbours};
  if (cpu_unit().name == "amx") return kTiles;
  if (cpu_unit().bf16_dots) return kDots;
#endif
  return kPortableBf16;
}

}  // namespace vitrine::internal::cpu
