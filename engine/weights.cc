// SPDX-License-Identifier: MIT
#include "engine/weights.h"

#include <array>
#include <variant>

#include "engine/arena.h"
#include "engine/parameters.h"

namespace vitrine::internal {
namespace {

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
    const PackedMatrix packed = backend_.pack(source_->matrix(parameter.name), store, to);
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
