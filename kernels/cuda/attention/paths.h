// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/backend/backward.h"
#include "kernels/cuda/runtime/device.h"

// The kernels of attention over many rows, apart from device code: tests compare them.

namespace vitrine::internal::cuda {

/// Sequences with more than `few` new tokens.
void attend_many(Device& device, const AttentionArgs& args, int few);
size_t many_shared_bytes(const AttentionArgs& args);
/// The same by Hopper's own instructions, with the same bits; false where they do not apply.
bool attend_many_on_hopper(Device& device, const AttentionArgs& args, int few);

}  // namespace vitrine::internal::cuda
