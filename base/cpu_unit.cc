// SPDX-License-Identifier: MIT
#include "base/cpu_unit.h"

#include <fmt/format.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

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

constexpr KnownUnit kUnits[] = {
    {"neon", HWY_NEON}, {"sse4", HWY_SSE4}, {"avx2", HWY_AVX2}, {"avx512", HWY_AVX3}};

std::vector<std::string> units_here() {
  std::vector<std::string> names;
  for (const KnownUnit& unit : kUnits) {
    if ((hwy::SupportedTargets() & unit.target) != 0) names.emplace_back(unit.name);
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
  return chosen;
}

}  // namespace

CpuUnit choose_cpu_unit(std::string_view wanted, std::vector<std::string> here) {
  if (wanted.empty()) {
    const std::string best = here.empty() ? "portable" : here.back();
    return {best, "processor", std::move(here)};
  }
  if (std::find(here.begin(), here.end(), wanted) != here.end())
    return {std::string(wanted), "VITRINE_CPU", std::move(here)};
  const bool known = std::any_of(std::begin(kUnits), std::end(kUnits),
                                 [&](const KnownUnit& unit) { return unit.name == wanted; });
  const std::string choice = here.empty() ? "none" : fmt::format("{}", fmt::join(here, " or "));
  if (known)
    user_error("invalid VITRINE_CPU '{}': this processor does not have it; expected {}", wanted,
               choice);
  user_error("unknown VITRINE_CPU '{}': expected {}", quote(wanted), choice);
}

const CpuUnit& cpu_unit() {
  static const CpuUnit chosen = choose_and_apply();
  return chosen;
}

}  // namespace vitrine::internal
