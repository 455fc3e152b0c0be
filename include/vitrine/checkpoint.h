// SPDX-License-Identifier: MIT
#pragma once

/// Files of tensors, and where models are found.

#include "vitrine/checkpoint/model_cache.h"
#include "vitrine/checkpoint/random_checkpoint.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/checkpoint/torch_file.h"
