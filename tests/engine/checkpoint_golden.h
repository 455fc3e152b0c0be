// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/float_bits.h"
#include "engine/checkpoint/checkpoint.h"

// The tiny GPT-2 that tools/make_checkpoint_goldens.py wrote in every form.

namespace vitrine::testing::checkpoint_golden {
using namespace internal;

inline const std::string kGoldens = VITRINE_SOURCE_DIR "/tests/engine/checkpoints/";
inline constexpr int64_t kWidth = 4, kInner = 6, kVocab = 7, kContext = 5;
inline constexpr int kLayers = 2;

// The element that tools/make_checkpoint_goldens.py put at row-major index k of tensor `name`.
inline float golden(const std::string& name, int64_t k) {
  int64_t seed = 0;
  for (size_t i = 0; i < name.size(); ++i)
    seed += static_cast<int64_t>(i + 1) * static_cast<unsigned char>(name[i]);
  return static_cast<float>((seed % 1009 + 37 * k) % 255 - 127) / 128.0f;
}

inline float element(const HostWeight& weight, int64_t in, int64_t out) {
  const auto at = static_cast<size_t>(in * weight.in_stride + out * weight.out_stride);
  if (weight.dtype == DType::kF32) return static_cast<const float*>(weight.data)[at];
  const uint16_t bits = static_cast<const uint16_t*>(weight.data)[at];
  return weight.dtype == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

// `table`: the file's layout is [out, in].
inline void expect_matrix(const Checkpoint& checkpoint, const std::string& name, int64_t in,
                          int64_t out, bool table = false) {
  const HostWeight weight = checkpoint.weight(name);
  ASSERT_EQ(weight.in, in) << name;
  ASSERT_EQ(weight.out, out) << name;
  for (int64_t i = 0; i < in; ++i) {
    for (int64_t o = 0; o < out; ++o) {
      ASSERT_EQ(element(weight, i, o), golden(name, table ? o * in + i : i * out + o))
          << name << " " << i << " " << o;
    }
  }
}

inline void expect_vector(const Checkpoint& checkpoint, const std::string& name, int64_t size) {
  const std::vector<float> values = checkpoint.vector(name);
  ASSERT_EQ(static_cast<int64_t>(values.size()), size) << name;
  for (int64_t k = 0; k < size; ++k)
    ASSERT_EQ(values[static_cast<size_t>(k)], golden(name, k)) << name << " " << k;
}

inline void expect_golden(const Checkpoint& checkpoint, int64_t inner = kInner) {
  const Config& config = checkpoint.config();
  EXPECT_EQ(config.layers, kLayers);
  EXPECT_EQ(config.heads, 2);
  EXPECT_EQ(config.width, kWidth);
  EXPECT_EQ(config.inner, inner);
  EXPECT_EQ(config.vocab, kVocab);
  EXPECT_EQ(config.context, kContext);
  expect_matrix(checkpoint, "wte.weight", kWidth, kVocab, true);
  expect_matrix(checkpoint, "wpe.weight", kWidth, kContext, true);
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string h = "h." + std::to_string(layer) + ".";
    expect_vector(checkpoint, h + "ln_1.weight", kWidth);
    expect_vector(checkpoint, h + "ln_1.bias", kWidth);
    expect_matrix(checkpoint, h + "attn.c_attn.weight", kWidth, 3 * kWidth);
    expect_vector(checkpoint, h + "attn.c_attn.bias", 3 * kWidth);
    expect_matrix(checkpoint, h + "attn.c_proj.weight", kWidth, kWidth);
    expect_vector(checkpoint, h + "attn.c_proj.bias", kWidth);
    expect_vector(checkpoint, h + "ln_2.weight", kWidth);
    expect_vector(checkpoint, h + "ln_2.bias", kWidth);
    expect_matrix(checkpoint, h + "mlp.c_fc.weight", kWidth, inner);
    expect_vector(checkpoint, h + "mlp.c_fc.bias", inner);
    expect_matrix(checkpoint, h + "mlp.c_proj.weight", inner, kWidth);
    expect_vector(checkpoint, h + "mlp.c_proj.bias", kWidth);
  }
  expect_vector(checkpoint, "ln_f.weight", kWidth);
  expect_vector(checkpoint, "ln_f.bias", kWidth);
}

}  // namespace vitrine::testing::checkpoint_golden
