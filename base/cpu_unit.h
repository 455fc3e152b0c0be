// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vitrine::internal {

/// Which of the processor's vector units the kernels use.
struct CpuUnit {
  /// "sse4", "avx2", "avx512", "amx" (AVX-512 with tiles of bfloat16) or "neon"; "portable" without
  /// these.
  std::string name;
  std::string decided_by;         ///< "processor" (its best) or "VITRINE_CPU"
  std::vector<std::string> here;  ///< those that the processor has, the best last
  bool bf16_dots = false;  ///< of AVX-512: whether it multiplies pairs of bfloat16 (vdpbf16ps)
};

/// The unit that is `wanted`, or the best of `here` for an empty word. Throws Error (user) for an
/// unknown name and for a unit that is not here.
CpuUnit choose_cpu_unit(std::string_view wanted, std::vector<std::string> here);

/// The choice for this process, by VITRINE_CPU in the environment. Read at the first call, which
/// also leaves out what is better than the chosen unit wherever kernels are dispatched.
const CpuUnit& cpu_unit();

}  // namespace vitrine::internal
