// SPDX-License-Identifier: MIT
#pragma once

#include "vitrine/hooks.h"

namespace vitrine::internal {

/// The hooks of the backward pass that belongs to a forward pass with `hooks`: captures of the
/// requested gradients, and for each edit what it does to a gradient, the last one first. What an
/// edit adds leaves it as it is, a factor scales it, a replacement ends it, a projection projects
/// it (it is symmetric); a callback has the adjoint that it came with. Throws Error (user) for a
/// callback without one.
Hooks adjoint_of(const Hooks& hooks);

}  // namespace vitrine::internal
