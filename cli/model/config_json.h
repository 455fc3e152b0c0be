// SPDX-License-Identifier: MIT
#pragma once

#include "base/json_value.h"
#include "vitrine/config.h"

namespace vitrine::cli {
using namespace internal;

/// The fields of "config" in JSON answers.
JsonValue config_json(const Config& c);

}  // namespace vitrine::cli
