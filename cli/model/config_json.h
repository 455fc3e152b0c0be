// SPDX-License-Identifier: MIT
#pragma once

#include "base/json.h"
#include "vitrine/config.h"

namespace vitrine::cli {
using namespace internal;

/// The fields of "config" in JSON answers.
Json config_json(const Config& c);

}  // namespace vitrine::cli
