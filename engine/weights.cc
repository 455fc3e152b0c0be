// SPDX-License-Identifier: MIT
#include "engine/weights.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <variant>

#include "base/check.h"
#include "base/finite.h"
#include "base/float_bits.h"
#include "engine/arena.h"
#include "engine/parameters.h"

namespace vitrine::internal {
namespace {

float element_of(const HostWeight& weight, int64_t at) {
  const size_t size = dtype_size(weight.dtype);
  const auto* from = static_cast<const std::byte*>(weight.data) + at * static_cast<int64_t>(size);
  float value = 0;
  uint16_t half = 0;
  std::memcpy(weight.dtype == DType::kF32 ? static_cast<void*>(&value) : &half, from, size);
  return weight.dtype == DType::kF32   ? value
         : weight.dtype == DType::kF16 ? f16_to_f32(half)
                                       : bf16_to_f32(half);
}

/// Throws Error (user) for a weight that would become infinite.
void check_range(const HostWeight& weight, const Parameter& parameter, DType store) {
  if (store == weight.dtype || (store != DType::kF16 && store != DType::kBF16)) return;
  // Along the axis whose elements lie side by side; of odd strides one element at a time.
  const bool by_input = weight.in_stride == 1, by_output = !by_input && weight.out_stride == 1;
  const int64_t inputs = by_input ? weight.in : 1, outputs = by_output ? weight.out : 1;
  for (int64_t i = 0; i < weight.in; i += inputs) {
    for (int64_t o = 0; o < weight.out; o += outputs) {
      const int64_t at = i * weight.in_stride + o * weight.out_stride;
      const auto* from = static_cast<const std::byte*>(weight.data) +
                         at * static_cast<int64_t>(dtype_size(weight.dtype));
      const auto bad = first_too_large(from, weight.dtype, std::max(inputs, outputs), store);
      if (!bad) continue;
      const int64_t in = by_input ? *bad : i, out = by_output ? *bad : o;
      const bool is_table = parameter.kind == ParameterKind::kTable;
      user_error(
          "weight [{}, {}] of tensor '{}' is {}, which {} cannot hold (maximum {}): load the "
          "weights as f32{}",
          is_table ? out : in, is_table ? in : out, parameter.name, element_of(weight, at + *bad),
          dtype_name(store), store == DType::kF16 ? "65504" : "3.39e38",
          store == DType::kF16 ? " or bf16" : "");
    }
  }
}

/// Walks all parameters in one fixed order; run once to count bytes and once to fill them.
class Loader {
 public:
  Loader(WeightSource* source, DType store, Backend& backend, Arena& arena,
         std::function<void(size_t)> report)
      : source_(source),
        store_(store),
        backend_(backend),
        arena_(arena),
        report_(std::move(report)) {}

  PackedMatrix matrix(const Parameter& parameter, DType store) {
    const bool is_table = parameter.kind == ParameterKind::kTable;
    const int64_t in = parameter.shape[is_table ? 1 : 0], out = parameter.shape[is_table ? 0 : 1];
    const size_t bytes = backend_.packed_bytes(in, out, store);
    std::byte* to = arena_.take_bytes(bytes);
    if (source_ == nullptr) return {};
    const HostWeight weight = source_->matrix(parameter.name);
    check_range(weight, parameter, store);
    const PackedMatrix packed = backend_.pack(weight, store, to);
    finish(parameter.name);
    return packed;
  }

  const float* vector(const Parameter& parameter) {
    float* to = arena_.take(parameter.shape.elements());
    if (source_ == nullptr) return nullptr;
    const std::vector<float> values = source_->vector(parameter.name);
    backend_.upload(to, values.data(), values.size() * sizeof(float));
    finish(parameter.name);
    return to;
  }

  DType store() const { return store_; }

 private:
  void finish(const std::string& name) {
    source_->done_with(name);
    if (report_) report_(arena_.used());
  }

  WeightSource* source_;
  DType store_;
  Backend& backend_;
  Arena& arena_;
  std::function<void(size_t)> report_;
};

using VectorOf = const float* LayerWeights::*;
using MatrixOf = PackedMatrix LayerWeights::*;

/// Where a block's parameters go, in the order of block_parameters().
constexpr std::array<std::variant<VectorOf, MatrixOf>, kBlockParameters> kPlaces = {
    &LayerWeights::ln1_weight,  &LayerWeights::ln1_bias, &LayerWeights::qkv,
    &LayerWeights::qkv_bias,    &LayerWeights::attn_out, &LayerWeights::attn_out_bias,
    &LayerWeights::ln2_weight,  &LayerWeights::ln2_bias, &LayerWeights::mlp_in,
    &LayerWeights::mlp_in_bias, &LayerWeights::mlp_out,  &LayerWeights::mlp_out_bias};

void load_outer(Loader& load, const Parameter& parameter, Weights& w) {
  if (parameter.name == kTokenEmbedding) {
    w.token_embedding = load.matrix(parameter, load.store());
  } else if (parameter.name == kPositionEmbedding) {
    // Position embeddings stay float32 under int8: one row is read per token, so that quantising
    // saves no time.
    w.position_embedding =
        load.matrix(parameter, load.store() == DType::kI8 ? DType::kF32 : load.store());
  } else if (parameter.name == kUnembedding) {
    w.unembedding = load.matrix(parameter, load.store());
  } else if (parameter.name == kUnembeddingBias) {
    w.unembedding_bias = load.vector(parameter);
  } else {
    (parameter.kind == ParameterKind::kScale ? w.ln_final_weight : w.ln_final_bias) =
        load.vector(parameter);
  }
}

Weights walk(Loader load, const Config& config) {
  Weights w;
  w.layers.resize(static_cast<size_t>(config.layers));
  for_each_parameter(config, [&](const Parameter& parameter) {
    if (parameter.layer < 0) return load_outer(load, parameter, w);
    LayerWeights& layer = w.layers[static_cast<size_t>(parameter.layer)];
    const auto& place = kPlaces[static_cast<size_t>(parameter.index)];
    if (parameter.kind == ParameterKind::kMatrix)
      layer.*std::get<MatrixOf>(place) = load.matrix(parameter, load.store());
    else
      layer.*std::get<VectorOf>(place) = load.vector(parameter);
  });
  if (config.tied_unembedding) w.unembedding = w.token_embedding;
  return w;
}

}  // namespace

Weights Weights::load(WeightSource& source, const Config& config, DType store, Backend& backend,
                      const std::function<void(size_t, size_t)>& on_progress) {
  Arena counting;
  walk(Loader(nullptr, store, backend, counting, {}), config);
  const Buffer memory = backend.allocate(counting.used());
  Arena filling(memory);
  const auto report = [&](size_t done) {
    if (on_progress) on_progress(done, memory.bytes());
  };
  Weights weights = walk(Loader(&source, store, backend, filling, report), config);
  weights.dtype = store;
  weights.memory = memory;
  return weights;
}

}  // namespace vitrine::internal
