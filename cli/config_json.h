#pragma once

#include <cstdint>

#include "base/json.h"
#include "vitrine/config.h"

namespace vitrine::cli {

/// The fields of "config" in JSON answers.
Json config_json(const Config& c);
/// Weights and biases, without counting a tied unembedding twice.
int64_t parameters(const Config& c);

}  // namespace vitrine::cli
