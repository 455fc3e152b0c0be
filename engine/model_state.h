// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "engine/weights.h"
#include "kernels/backend.h"
#include "kernels/buffer_pool.h"
#include "vitrine/config.h"
#include "vitrine/model.h"

namespace vitrine::internal {

class KeptGeneration;

/// What copies of a Model share.
struct ModelState {
  Config config;
  Activation activation = Activation::kNone;
  std::string name;
  std::optional<int> gpu;  ///< as CUDA numbers them; nothing: a CPU
  std::unique_ptr<Backend> backend;
  Weights weights;
  LoadReport report;
  /// Rows of lm_head.weight (wte.weight if tied), from where the weights came from.
  std::function<Tensor(std::span<const int32_t>)> unembedding;
  /// Tokens and positions whose embedding is not finite: refused where they are read; sorted.
  std::vector<int32_t> bad_tokens, bad_positions;
  std::shared_ptr<const Tokenizer> tokenizer;  ///< null if the checkpoint has none that can be used
  std::string tokenizer_error;                 ///< why it cannot be used; empty: there is none
  Tokenizer::Frame frame;                      ///< see Model::frame
  std::vector<int32_t> end_ids;                ///< see Model::end_ids
  std::string arithmetic = "exact";            ///< see ModelOptions
  size_t memory_limit = 0;                     ///< 0: none but the device's
  std::function<void()> between_layers;        ///< see ModelOptions
  std::unique_ptr<BufferPool> pool;            ///< of the backend's memory
  std::unique_ptr<BufferPool> host_pool;       ///< for results on their way to the user
  std::shared_ptr<KeptGeneration> kept;        ///< of the pools' memory, given up where it lacks

  DType activation_dtype() const { return backend->activation_dtype(weights.dtype); }
  /// Bytes that a run may still take.
  size_t free_bytes() const;
  /// Throws Error (user) if `bytes` more do not fit beside the weights, ending its line with
  /// `parts` and what to narrow.
  void require_memory(size_t bytes, const std::string& parts) const;
};

/// What a model is made of, for the engine and for benchmarks of its parts.
const ModelState& state_of(const Model& model);

/// "48.0 MB"
std::string megabytes(size_t bytes);

}  // namespace vitrine::internal
