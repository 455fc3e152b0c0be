// SPDX-License-Identifier: MIT
#include "analysis/corpus/moments_state.h"

#include "tests/fuzz/fuzz.h"
#include "vitrine/corpus/corpus_moments.h"

// Any state of a covariance run: it is rejected, or its moments can be joined and read.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const vitrine::fuzz::MemoryFile file(bytes);
    vitrine::internal::MomentsState state = vitrine::internal::read_moments_state(file.path());
    vitrine::fuzz::require(!state.moments.sites.empty());
    for (auto& site : state.moments.sites) {
      if (static_cast<size_t>(site.moments.variables()) != site.variables.size()) __builtin_trap();
      site.moments.merge(vitrine::Moments(site.moments));
      (void)site.moments.covariance(0);
    }
    (void)vitrine::merge_moments({file.path(), file.path()});
  });
}
