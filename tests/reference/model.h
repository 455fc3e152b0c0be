// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/random_weights.h"
#include "tests/reference/ops.h"
#include "vitrine/config.h"
#include "vitrine/sites.h"

// GPT-2's whole forward pass of one sequence in double precision, by the operations of ops.h,
// written to be read beside the paper.

namespace vitrine::reference {
using namespace internal;

/// A GPT-2 with the weights that Model::random gives for the same configuration and seed: matrices
/// as `stored` holds them, vectors as float32 does.
class Model {
 public:
  /// Sees a site's values, row by row as a capture has them, and may change them: [T, width], or
  /// [H, T, T] for a map.
  using Visit = std::function<void(Site site, int layer, Vec& values)>;

  Model(const Config& config, Activation activation, uint64_t seed, DType stored = DType::kF32)
      : config_(config), activation_(activation) {
    const RandomWeights weights(config, seed);
    for (const auto& entry : weights.entries()) {
      const DType type = entry.shape.rank() == 1 ? DType::kF32 : stored;
      weights_[entry.name] = widen(weights.make(entry.name, type).view().to_f32());
    }
  }

  const Config& config() const { return config_; }

  /// Logits [T, V]. `visit` is called for every site, in the order of the pass.
  Vec forward(const std::vector<int32_t>& ids, const Visit& visit) const {
    const auto rows = static_cast<int64_t>(ids.size());
    Vec x = embed(ids, visit);
    for (int layer = 0; layer < config_.layers; ++layer) {
      const std::string block = "h." + std::to_string(layer) + ".";
      visit(Site::kResidPre, layer, x);
      x = add(
          x, attention(norm(x, block + "ln_1", Site::kLn1Scale, Site::kLn1Normalized, layer, visit),
                       layer, rows, visit));
      visit(Site::kResidMid, layer, x);
      x = add(x, mlp(norm(x, block + "ln_2", Site::kLn2Scale, Site::kLn2Normalized, layer, visit),
                     layer, rows, visit));
      visit(Site::kResidPost, layer, x);
    }
    x = norm(x, "ln_f", Site::kLnFinalScale, Site::kLnFinalNormalized, 0, visit);
    // The unembedding is stored as [V, D].
    const Vec& unembedding = weight(config_.tied_unembedding ? "wte.weight" : "lm_head.weight");
    Vec logits(static_cast<size_t>(rows * config_.vocab), 0.0);
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t v = 0; v < config_.vocab; ++v) {
        if (config_.unembedding_bias)
          logits[static_cast<size_t>(t * config_.vocab + v)] =
              weight("lm_head.bias")[static_cast<size_t>(v)];
        for (int64_t d = 0; d < config_.width; ++d)
          logits[static_cast<size_t>(t * config_.vocab + v)] +=
              x[static_cast<size_t>(t * config_.width + d)] *
              unembedding[static_cast<size_t>(v * config_.width + d)];
      }
    }
    visit(Site::kLogits, 0, logits);
    return logits;
  }

 private:
  const Vec& weight(const std::string& name) const { return weights_.at(name); }

  Vec project(const Vec& x, const std::string& name, int64_t rows, int64_t in, int64_t out) const {
    return linear(x, weight(name + ".weight"), weight(name + ".bias"), rows, in, out);
  }

  Vec embed(const std::vector<int32_t>& ids, const Visit& visit) const {
    const Vec &tokens = weight("wte.weight"), &positions = weight("wpe.weight");
    Vec token_rows, position_rows;
    for (size_t t = 0; t < ids.size(); ++t) {
      const int64_t from = ids[t] * config_.width, at = static_cast<int64_t>(t) * config_.width;
      token_rows.insert(token_rows.end(), tokens.begin() + from,
                        tokens.begin() + from + config_.width);
      position_rows.insert(position_rows.end(), positions.begin() + at,
                           positions.begin() + at + config_.width);
    }
    visit(Site::kEmbed, 0, token_rows);
    visit(Site::kPosEmbed, 0, position_rows);
    return add(token_rows, position_rows);
  }

  /// (x - mean) / scale * weight + bias, with the scale as a visitor left it.
  Vec norm(const Vec& x, const std::string& name, Site scale_site, Site out_site, int layer,
           const Visit& visit) const {
    const int64_t rows = static_cast<int64_t>(x.size()) / config_.width;
    const Vec &gain = weight(name + ".weight"), &bias = weight(name + ".bias");
    const Vec own = layernorm(x, gain, bias, rows, config_.width, config_.layer_norm_epsilon).scale;
    Vec scale = own, out;
    visit(scale_site, layer, scale);
    const Vec centred = layernorm(x, Vec(gain.size(), 1.0), Vec(gain.size(), 0.0), rows,
                                  config_.width, config_.layer_norm_epsilon)
                            .out;
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t row = i / gain.size(), column = i % gain.size();
      out.push_back(centred[i] * own[row] / scale[row] * gain[column] + bias[column]);
    }
    visit(out_site, layer, out);
    return out;
  }

  Vec attention(const Vec& x, int layer, int64_t rows, const Visit& visit) const {
    const int64_t d = config_.width, heads = config_.heads, k_width = config_.head_width();
    const std::string block = "h." + std::to_string(layer) + ".attn.";
    const Vec qkv = project(x, block + "c_attn", rows, d, 3 * d);
    Vec parts[3];
    for (size_t i = 0; i < qkv.size(); ++i) parts[i / static_cast<size_t>(d) % 3].push_back(qkv[i]);
    visit(Site::kQ, layer, parts[0]);
    visit(Site::kK, layer, parts[1]);
    visit(Site::kV, layer, parts[2]);
    double scale = config_.scale_attention ? 1.0 / std::sqrt(static_cast<double>(k_width)) : 1.0;
    if (config_.scale_attention_by_inverse_layer) scale /= layer + 1;
    Vec map = attention_scores(parts[0], parts[1], rows, 0, heads, k_width, scale);
    visit(Site::kAttnScores, layer, map);
    map = softmax(map, rows);
    visit(Site::kPattern, layer, map);
    Vec z = attention_mix(map, parts[2], rows, rows, heads, k_width);
    visit(Site::kZ, layer, z);
    return head_outputs(z, block + "c_proj", layer, rows, visit);
  }

  /// The sum of what each head writes, and the bias.
  Vec head_outputs(const Vec& z, const std::string& name, int layer, int64_t rows,
                   const Visit& visit) const {
    const int64_t d = config_.width, heads = config_.heads, k_width = config_.head_width();
    const Vec& w = weight(name + ".weight");
    Vec results;  // [T, H, D]
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        const auto first = z.begin() + t * d + h * k_width;
        const Vec own = linear(Vec(first, first + k_width),
                               Vec(w.begin() + h * k_width * d, w.begin() + (h + 1) * k_width * d),
                               {}, 1, k_width, d);
        results.insert(results.end(), own.begin(), own.end());
      }
    }
    visit(Site::kResult, layer, results);
    const Vec& bias = weight(name + ".bias");
    Vec out;
    for (int64_t t = 0; t < rows; ++t) out.insert(out.end(), bias.begin(), bias.end());
    for (int64_t i = 0; i < rows * heads * d; ++i)
      out[static_cast<size_t>(i / (heads * d) * d + i % d)] += results[static_cast<size_t>(i)];
    visit(Site::kAttnOut, layer, out);
    return out;
  }

  Vec mlp(const Vec& x, int layer, int64_t rows, const Visit& visit) const {
    const std::string block = "h." + std::to_string(layer) + ".mlp.";
    Vec inner = project(x, block + "c_fc", rows, config_.width, config_.inner);
    visit(Site::kMlpPre, layer, inner);
    inner = activate(inner, activation_);
    visit(Site::kMlpPost, layer, inner);
    Vec out = project(inner, block + "c_proj", rows, config_.inner, config_.width);
    visit(Site::kMlpOut, layer, out);
    return out;
  }

  Config config_;
  Activation activation_;
  std::map<std::string, Vec> weights_;
};

}  // namespace vitrine::reference
