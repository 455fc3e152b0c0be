// SPDX-License-Identifier: MIT
#include "bench/measure/floors.h"

#include <algorithm>

namespace vitrine::bench {
namespace {

double real(int64_t value) { return static_cast<double>(value); }
double element(DType dtype) { return static_cast<double>(dtype_size(dtype)); }

// Weights of the matrices that multiply each token: of all blocks, and the unembedding.
double block_matrices(const Config& c) {
  return real(c.layers) * (4 * real(c.width * c.width) + 2 * real(c.width * c.inner));
}
double unembedding(const Config& c) { return real(c.vocab * c.width); }

// What a pass reads of the parameters: of the position table only `positions` rows.
double parameter_bytes(const Config& c, DType dtype, double positions) {
  return element(dtype) * (real(c.parameters()) - (real(c.context) - positions) * real(c.width));
}

// A query and a key, or a weight and a value, meet in 2 x width operations.
double pair_operations(const Config& c) { return 4 * real(c.width); }
double pairs(int64_t rows, int64_t past) {
  return real(rows) * real(past) + 0.5 * real(rows) * real(rows + 1);
}

}  // namespace

double Work::seconds(const Rates& rates) const {
  return std::max(rates.bytes > 0 ? bytes / rates.bytes : 0.0,
                  rates.operations > 0 ? operations / rates.operations : 0.0);
}

Work decode_step(const Config& c, DType dtype, DType cache, int64_t batch, double past) {
  const double rows = real(batch), keys_and_values = 2 * real(c.layers) * past * real(c.width);
  Work work;
  work.bytes = parameter_bytes(c, dtype, 1) + rows * element(cache) * keys_and_values;
  if (!c.tied_unembedding)
    work.bytes -=
        element(dtype) * (real(c.vocab) - rows) * real(c.width);  // of the token table: a row each
  work.operations = rows * (2 * (block_matrices(c) + unembedding(c)) +
                            real(c.layers) * (past + 1) * pair_operations(c));
  return work;
}

Work forward_pass(const Config& c, DType dtype, int64_t batch, int64_t tokens, int64_t logit_rows) {
  constexpr double kLogit = 4;
  const double rows = real(batch * tokens),
               logits = logit_rows < 0 ? rows : real(batch * logit_rows);
  Work work;
  work.bytes = parameter_bytes(c, dtype, real(tokens)) + kLogit * logits * real(c.vocab);
  work.operations = 2 * (rows * block_matrices(c) + logits * unembedding(c)) +
                    real(batch * c.layers) * pairs(tokens, 0) * pair_operations(c);
  return work;
}

Work reading(const Config& c, DType dtype, int64_t rows) {
  return {element(dtype) * unembedding(c), 2 * real(rows) * unembedding(c)};
}

Work backward_pass(const Config& c, DType dtype, int64_t batch, int64_t tokens,
                   int64_t target_rows) {
  constexpr double kProductsOverForward =
      2.5;  // scores and their gradient, of queries, keys and values; forward: scores and values
  const double rows = real(batch * tokens),
               targets = target_rows < 0 ? rows : real(batch * target_rows);
  Work work;
  work.bytes = element(dtype) * (block_matrices(c) + unembedding(c));
  work.operations =
      2 * (rows * block_matrices(c) + targets * unembedding(c)) +
      kProductsOverForward * real(batch * c.layers) * pairs(tokens, 0) * pair_operations(c);
  return work;
}

Work linear(int64_t rows, int64_t in, int64_t out, DType dtype, double activation_bytes,
            double out_bytes) {
  Work work;
  work.bytes = element(dtype) * real(in * out) + 4 * real(out) +
               real(rows) * (activation_bytes * real(in) + out_bytes * real(out));
  work.operations = 2 * real(rows) * real(in * out);
  return work;
}

Work attention(const Config& c, DType dtype, int64_t batch, int64_t rows, int64_t past) {
  Work work;
  const double queries_and_results = 2 * real(rows), keys_and_values = 2 * real(past + rows);
  work.bytes = element(dtype) * real(batch * c.width) * (queries_and_results + keys_and_values);
  work.operations = real(batch) * pairs(rows, past) * pair_operations(c);
  return work;
}

double residual_bytes(const Config& c, DType dtype, int64_t tokens) {
  return element(dtype) * real(c.layers + 1) * real(tokens * c.width);
}

double map_bytes(const Config& c, DType dtype, int64_t tokens) {
  return element(dtype) * real(c.layers) * real(c.heads) * real(tokens) * real(tokens);
}

}  // namespace vitrine::bench
