// SPDX-License-Identifier: MIT
#include "tests/engine/test_device.h"

namespace vitrine::testing_support {
using namespace internal;

const char* const kBuiltFor = "cuda";

}  // namespace vitrine::testing_support
