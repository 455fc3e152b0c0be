// SPDX-License-Identifier: MIT
#pragma once

/// Tensor files, the model cache, conversions and random checkpoints.

#include "vitrine/checkpoint/convert.h"
#include "vitrine/checkpoint/model_cache.h"
#include "vitrine/checkpoint/random_checkpoint.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/checkpoint/torch_file.h"
