// SPDX-License-Identifier: MIT
#pragma once

#include "base/json.h"

namespace vitrine::bench {
using namespace internal;

/// What a figure is worth nothing without: the date, processor, load, compiler, flags and commit.
Json machine_facts();

}  // namespace vitrine::bench
