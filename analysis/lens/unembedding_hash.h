// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "vitrine/model.h"

namespace vitrine::internal {

/// XXH64 of the unembedding, [V, D] float32 row by row: 16 hexadecimal digits. Identifies it
/// exactly, whatever the type in which the model stores its weights.
std::string unembedding_hash(const Model& model);

/// "unembed_hash" of the Python package tuned-lens: SHA-256 of numpy.array_str(W, precision=1), the
/// first and last three rows and columns to one decimal. Tells models apart, and not a model from
/// a fine-tuned one. Empty for an unembedding of at most 1000 elements, which NumPy prints whole.
std::string package_hash(const Model& model);

/// numpy.array_str(m, precision=1) of a float32 matrix of more than 1000 elements, `edges` being
/// its first and last three rows (all of at most six), each [D].
std::string numpy_text(const Tensor& edges, int64_t rows);

}  // namespace vitrine::internal
