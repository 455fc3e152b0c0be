// SPDX-License-Identifier: MIT
#include "engine/weights.h"

#include <fmt/format.h>

#include "engine/arena.h"

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

  PackedMatrix matrix(const std::string& name, int64_t in, int64_t out) {
    return matrix(name, in, out, store_);
  }

  /// Of positions a row each is read, once: as whole numbers they would be less exact and no
  /// faster.
  PackedMatrix positions(const std::string& name, int64_t in, int64_t out) {
    return matrix(name, in, out, store_ == DType::kI8 ? DType::kF32 : store_);
  }

  const float* vector(const std::string& name, int64_t size) {
    float* to = arena_.take(size);
    if (source_ == nullptr) return nullptr;
    const std::vector<float> values = source_->vector(name);
    backend_.upload(to, values.data(), values.size() * sizeof(float));
    finish(name);
    return to;
  }

 private:
  PackedMatrix matrix(const std::string& name, int64_t in, int64_t out, DType store) {
    const size_t bytes = backend_.packed_bytes(in, out, store);
    std::byte* to = arena_.take_bytes(bytes);
    if (source_ == nullptr) return {};
    const PackedMatrix packed = backend_.pack(source_->matrix(name), store, to);
    finish(name);
    return packed;
  }

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

LayerWeights walk_layer(Loader& load, const Config& config, int layer) {
  const std::string h = fmt::format("h.{}.", layer);
  const int64_t d = config.width, m = config.inner;
  LayerWeights w;
  w.ln1_weight = load.vector(h + "ln_1.weight", d);
  w.ln1_bias = load.vector(h + "ln_1.bias", d);
  w.qkv = load.matrix(h + "attn.c_attn.weight", d, 3 * d);
  w.qkv_bias = load.vector(h + "attn.c_attn.bias", 3 * d);
  w.attn_out = load.matrix(h + "attn.c_proj.weight", d, d);
  w.attn_out_bias = load.vector(h + "attn.c_proj.bias", d);
  w.ln2_weight = load.vector(h + "ln_2.weight", d);
  w.ln2_bias = load.vector(h + "ln_2.bias", d);
  w.mlp_in = load.matrix(h + "mlp.c_fc.weight", d, m);
  w.mlp_in_bias = load.vector(h + "mlp.c_fc.bias", m);
  w.mlp_out = load.matrix(h + "mlp.c_proj.weight", m, d);
  w.mlp_out_bias = load.vector(h + "mlp.c_proj.bias", d);
  return w;
}

Weights walk(Loader load, const Config& config) {
  Weights w;
  w.token_embedding = load.matrix("wte.weight", config.width, config.vocab);
  w.position_embedding = load.positions("wpe.weight", config.width, config.context);
  for (int layer = 0; layer < config.layers; ++layer)
    w.layers.push_back(walk_layer(load, config, layer));
  w.ln_final_weight = load.vector("ln_f.weight", config.width);
  w.ln_final_bias = load.vector("ln_f.bias", config.width);
  w.unembedding = config.tied_unembedding
                      ? w.token_embedding
                      : load.matrix("lm_head.weight", config.width, config.vocab);
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
