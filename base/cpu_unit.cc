// SPDX-License-Identifier: MIT
#include "base/cpu_unit.h"

#include <fmt/format.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#if HWY_ARCH_X86_64 && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "base/check.h"
#include "base/quote.h"

namespace vitrine::internal {
namespace {

struct KnownUnit {
  const char* name;
  int64_t target;  ///< Highway's bit, the lower the better
};

constexpr KnownUnit kUnits[] = {{"neon", HWY_NEON},
                                {"sse4", HWY_SSE4},
                                {"avx2", HWY_AVX2},
                                {"avx512", HWY_AVX3},
                                {"amx", HWY_AVX3}};

#if HWY_ARCH_X86_64 && defined(__linux__)
/// A bit of what the processor says of its features: leaf 7, by Intel's numbering.
bool has_feature(unsigned subleaf, int index, int bit) {
  unsigned words[4] = {};
  return __get_cpuid_count(7, subleaf, &words[0], &words[1], &words[2], &words[3]) != 0 &&
         ((words[index] >> bit) & 1) != 0;
}

bool has_bf16_dots() { return has_feature(1, 0, 5); }

/// Tiles need room in what the system saves of a thread, which it gives to a process that asks.
bool has_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // of arch_prctl
  constexpr int kWordD = 3, kTiles = 24, kTilesOfBf16 = 22;
  return has_feature(0, kWordD, kTiles) && has_feature(0, kWordD, kTilesOfBf16) &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#else
bool has_bf16_dots() { return false; }
bool has_tiles() { return false; }
#endif

std::vector<std::string> units_here() {
  std::vector<std::string> names;
  for (const KnownUnit& unit : kUnits) {
    const bool here = (hwy::SupportedTargets() & unit.target) != 0;
    if (here && (unit.name != std::string_view("amx") || has_tiles()))
      names.emplace_back(unit.name);
  }
  return names;
}

CpuUnit choose_and_apply() {
  const char* value = std::getenv("VITRINE_CPU");
  CpuUnit chosen = choose_cpu_unit(value != nullptr ? value : "", units_here());
  for (const KnownUnit& unit : kUnits) {
    if (chosen.decided_by != "processor" && chosen.name == unit.name)
      hwy::DisableTargets(unit.target - 1);
  }
  chosen.bf16_dots = (chosen.name == "avx512" || chosen.name == "amx") && has_bf16_dots();
  return chosen;
}

}  // namespace

CpuUnit choose_cpu_unit(std::string_view wanted, std::vector<std::string> here) {
  if (wanted.empty()) {
    const std::string best = here.empty() ? "portable" : here.back();
    return {best, "processor", std::move(here), false};
  }
  if (std::find(here.begin(), here.end(), wanted) != here.end())
    return {std::string(wanted), "VITRINE_CPU", std::move(here), false};
  const bool known = std::any_of(std::begin(kUnits), std::end(kUnits),
                                 [&](const KnownUnit& unit) { return unit.name == wanted; });
  const std::string choice = here.empty() ? "none" : fmt::format("{}", fmt::join(here, " or "));
  if (known)
    user_error("invalid VITRINE_CPU '{}': this processor does not have it; expected {}", wanted,
               choice);
  user_error("unknown VITRINE_CPU {}: expected {}", quote(wanted), choice);
}

const CpuUnit& cpu_unit() {
  static const CpuUnit chosen = choose_and_apply();
  return chosen;
}

}  // namespace vitrine::internal
