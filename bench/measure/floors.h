// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "vitrine/config.h"
#include "vitrine/dtype.h"

// The least that a computation must move and multiply, from its shape alone: what no implementation
// can do without. Keeping activations between two operations costs nothing here, so a floor is out
// of reach; the share of it says how far.

namespace vitrine::bench {

/// What a machine does at best, a second.
struct Rates {
  double bytes = 0;
  double operations = 0;
};

struct Work {
  double bytes = 0;
  double operations = 0;  ///< a multiplication and an addition are two

  /// Memory and arithmetic at the same time: whichever takes longer.
  double seconds(const Rates& rates) const;
};

inline Work operator+(const Work& a, const Work& b) {
  return {a.bytes + b.bytes, a.operations + b.operations};
}

/// One new token for each of `batch` sequences with `past` positions in their caches (a mean,
/// perhaps): every parameter is read once, of the position table only a row; so is every key and
/// value, kept as `cache`.
Work decode_step(const Config& config, DType dtype, DType cache, int64_t batch, double past);

/// `batch` sequences of `tokens` tokens with the logits of `logit_rows` of each (negative: of all):
/// every parameter is read once, every float32 logit written.
Work forward_pass(const Config& config, DType dtype, int64_t batch, int64_t tokens,
                  int64_t logit_rows = -1);

/// `rows` rows of the residual stream through the unembedding, of whose logits only a few numbers
/// each are kept.
Work reading(const Config& config, DType dtype, int64_t rows);

/// The gradient of such a pass with respect to its activations, of targets that read `target_rows`
/// logit rows of each sequence: every matrix is read once more. Attention has five products where
/// the forward pass has two.
Work backward_pass(const Config& config, DType dtype, int64_t batch, int64_t tokens,
                   int64_t target_rows = -1);

/// `rows` rows through a matrix of `in` x `out`, with its bias; input and output are
/// `activation_bytes` and `out_bytes` an element.
Work linear(int64_t rows, int64_t in, int64_t out, DType dtype, double activation_bytes,
            double out_bytes);

/// `batch` sequences whose last `rows` positions of `past + rows` attend to all before them;
/// everything is `dtype`.
Work attention(const Config& config, DType dtype, int64_t batch, int64_t rows, int64_t past);

/// The residual stream before the first block and after each, and one attention map of every head:
/// bytes of `tokens` tokens.
double residual_bytes(const Config& config, DType dtype, int64_t tokens);
double map_bytes(const Config& config, DType dtype, int64_t tokens);

}  // namespace vitrine::bench
