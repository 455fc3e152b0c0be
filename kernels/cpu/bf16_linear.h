// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/backend/forward.h"
#include "kernels/cpu/bf16_product.h"
#include "kernels/cpu/memory.h"

namespace vitrine::internal::cpu {

/// linear(args) by products of bfloat16 numbers, for weights stored as bf16 or i8. Inputs that are
/// float32 are rounded first.
void linear_bf16(const LinearArgs& args, const Bf16Unit& unit, int threads, ScratchPool& scratch);

}  // namespace vitrine::internal::cpu
