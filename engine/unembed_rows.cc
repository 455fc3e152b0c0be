// SPDX-License-Identifier: MIT
#include "engine/unembed_rows.h"

#include "base/check.h"

namespace vitrine::internal {

Mat place_rows(const ModelState& model, TensorView rows, int64_t width, std::string_view what,
               Buffer& memory) {
  if (rows.shape().rank() < 1 || rows.shape().back() != width) {
    user_error("unembed has rows of shape {}: expected {} {} as last axis",
               rows.shape().to_string(), what, width);
  }
  const int64_t count = rows.elements() / width;
  if (rows.residence() == Residence::kDevice) {
    if (rows.dtype() != DType::kF32)
      user_error(
          "rows in GPU memory are {}: expected f32; capture them as f32, or unembed rows in host "
          "memory",
          dtype_name(rows.dtype()));
    // Nothing writes to them: the layernorm goes to a matrix of its own.
    return {static_cast<float*>(const_cast<void*>(rows.data())), count, width};
  }
  const bool as_it_is = rows.dtype() == DType::kF32;
  const std::vector<float> widened = as_it_is ? std::vector<float>() : rows.to_f32();
  const std::span<const float> host = as_it_is ? rows.f32() : std::span<const float>(widened);
  memory = model.pool->take(host.size_bytes());
  model.backend->upload(memory.data(), host.data(), host.size_bytes());
  return {memory.f32(), count, width};
}

UnembedRows::UnembedRows(const ModelState& model, TensorView rows, bool final_layernorm) {
  const Config& config = model.config;
  x_ = place_rows(model, rows, config.width, "the model's width", memory_);
  if (!final_layernorm || x_.rows == 0) return;
  const DType dtype = model.activation_dtype();
  normalized_ = model.pool->take(static_cast<size_t>(rows.elements()) * dtype_size(dtype));
  const Mat out(normalized_.data(), x_.rows, x_.cols, x_.cols, dtype);
  model.backend->layernorm({.x = x_,
                            .weight = model.weights.ln_final_weight,
                            .bias = model.weights.ln_final_bias,
                            .epsilon = config.layer_norm_epsilon,
                            .out = out});
  x_ = out;
}

}  // namespace vitrine::internal
