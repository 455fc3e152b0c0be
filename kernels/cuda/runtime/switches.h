// SPDX-License-Identifier: MIT
#pragma once

namespace vitrine::internal::cuda {

/// Parts of the backend that can be left out, to find the one at fault on a GPU. Results have the
/// same bits either way.
struct Switches {
  bool early_starts = true;  ///< VITRINE_PDL=0: no kernel starts before the previous one has ended
  bool graphs = true;        ///< VITRINE_GRAPHS=0: generation issues every step
  bool hopper = true;        ///< VITRINE_HOPPER=0: the portable kernels on Hopper, too
  bool fused = true;         ///< VITRINE_FUSED=0: a kernel of its own for each operation
};

/// Those of the environment, read once. Throws Error (user) for a value that is not 0 or 1.
const Switches& switches();

}  // namespace vitrine::internal::cuda
