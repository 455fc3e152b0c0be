// SPDX-License-Identifier: MIT
// Which vector unit is used, on processors that these tests make up.

#include "base/cpu_unit.h"

#include <gtest/gtest.h>

#include "tests/support.h"

namespace vitrine::testing {
using namespace internal;
namespace {

using Names = std::vector<std::string>;

TEST(CpuUnit, TheBestUnlessOneIsNamed) {
  const Names here = {"sse4", "avx2", "avx512"};
  const CpuUnit best = choose_cpu_unit("", here);
  EXPECT_EQ(best.name, "avx512");
  EXPECT_EQ(best.decided_by, "processor");
  EXPECT_EQ(best.here, here);
  for (const std::string& name : here) {
    const CpuUnit named = choose_cpu_unit(name, here);
    EXPECT_EQ(named.name, name);
    EXPECT_EQ(named.decided_by, "VITRINE_CPU");
  }
  EXPECT_EQ(choose_cpu_unit("", {}).name, "portable");
}

TEST(CpuUnit, RejectsWhatIsUnknownOrNotHere) {
  const auto refused = [](std::string_view wanted, const Names& here) {
    return test::user_error_of([&] { choose_cpu_unit(wanted, here); });
  };
  EXPECT_EQ(refused("avx512", {"sse4", "avx2"}),
            "invalid VITRINE_CPU 'avx512': this processor does not have it; expected sse4 or avx2");
  EXPECT_EQ(refused("AVX2", {"sse4", "avx2"}), "unknown VITRINE_CPU 'AVX2': expected sse4 or avx2");
  EXPECT_EQ(refused("avx2\n", {"neon"}), "unknown VITRINE_CPU 'avx2\\x0a': expected neon");
  EXPECT_EQ(refused("neon", {}),
            "invalid VITRINE_CPU 'neon': this processor does not have it; expected none");
}

}  // namespace
}  // namespace vitrine::testing
