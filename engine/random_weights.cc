// SPDX-License-Identifier: MIT
#include "engine/random_weights.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/default_threads.h"
#include "base/float_bits.h"
#include "base/random.h"
#include "kernels/cpu/parallel.h"

namespace vitrine::internal {

namespace {

/// Output number `index`, from 0, of the SplitMix64 generator started at `seed`.
inline uint64_t splitmix64(uint64_t seed, uint64_t index) {
  return mix64(seed + index * 0x9E3779B97F4A7C15u);
}

/// An element is center + range * x for x uniform in [-1, 1). It takes one rounding, fused
/// multiply-add or not: where the center is not 0, the range is a power of two and the product
/// exact.
struct Uniform {
  float center, range;

  float operator()(uint64_t key, uint64_t index) const {
    const auto bits = static_cast<int32_t>(splitmix64(key, index) >> 40) - (1 << 23);
    const float unit = static_cast<float>(bits) * 0x1p-23f;
    return center + unit * range;
  }
};

/// Computed in double and rounded once.
struct Normal {
  double mean, deviation;

  float operator()(uint64_t key, uint64_t index) const {
    return static_cast<float>(mean + deviation * standard_normal(key, index));
  }
};

Uniform wide(const Parameter& parameter) {
  if (parameter.kind == ParameterKind::kBias) return {0.0f, 1.0f / 16};
  if (parameter.kind == ParameterKind::kScale) return {1.0f, 1.0f / 8};
  return {0.0f, 11.0f / 128};
}

Normal gpt2(const Parameter& parameter, int layers) {
  if (parameter.kind == ParameterKind::kBias) return {0.0, 0.002};
  if (parameter.kind == ParameterKind::kScale) return {1.0, 0.002};
  if (parameter.name.ends_with(".c_proj.weight")) return {0.0, 0.02 / std::sqrt(2.0 * layers)};
  return {0.0, 0.02};
}

constexpr int64_t kElementsPerReport = int64_t{1} << 21;  // about 50 ms on one core

template <typename T, typename Element, typename Convert>
void fill_with(std::span<T> out, uint64_t key, int threads, Element element, Convert convert,
               const RandomWeights::OnElements& on_elements) {
  constexpr int64_t kGrain = 1 << 14;  // elements that are worth a thread
  const int64_t count = std::ssize(out);
  for (int64_t done = 0; done < count; done += kElementsPerReport) {
    const int64_t part = std::min(kElementsPerReport, count - done);
    cpu::parallel_chunks(threads, part, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = done + begin; i < done + end; ++i)
        out[static_cast<size_t>(i)] = convert(element(key, static_cast<uint64_t>(i)));
    });
    if (on_elements) on_elements(done + part);
  }
}

constexpr auto keep = [](float value) { return value; };

void check(const Config& config) {
  for (int64_t size : {int64_t{config.layers}, int64_t{config.heads}, config.width, config.inner,
                       config.vocab, config.context}) {
    if (size <= 0) {
      user_error(
          "invalid sizes of random weights: {} layers, {} heads, width {}, inner width {}, "
          "vocabulary {}, context {}: expected positive sizes",
          config.layers, config.heads, config.width, config.inner, config.vocab, config.context);
    }
  }
  if (config.width % config.heads != 0) {
    user_error("invalid width {}: expected a multiple of {} heads", config.width, config.heads);
  }
}

}  // namespace

RandomWeights::RandomWeights(const Config& config, uint64_t seed, RandomInit init)
    : seed_(seed), init_(init), layers_(config.layers), threads_(default_threads().threads) {
  check(config);
  // The numbers of the outer tensors come first, whatever the number of layers.
  constexpr int kOuter = 5, kBiasOfUnembedding = 1 << 20;
  for_each_parameter(config, [&](const Parameter& parameter) {
    const int number = parameter.name == kUnembeddingBias ? kBiasOfUnembedding
                       : parameter.layer < 0
                           ? parameter.index
                           : kOuter + parameter.layer * kBlockParameters + parameter.index;
    entries_.push_back({parameter, static_cast<uint64_t>(number)});
  });
}

const RandomWeights::Entry& RandomWeights::find(std::string_view name) const {
  const auto it = std::find_if(entries_.begin(), entries_.end(),
                               [&](const Entry& entry) { return entry.name == name; });
  if (it == entries_.end())
    user_error("unknown tensor {} of a GPT-2 of this shape: expected a name such as {}", name,
               entries_.front().name);
  return *it;
}

template <typename T, typename Convert>
void RandomWeights::fill_entry(const Entry& entry, std::span<T> out, Convert convert,
                               const OnElements& on_elements) const {
  const uint64_t key = splitmix64(seed_, entry.number);
  if (init_ == RandomInit::kWide)
    fill_with(out, key, threads_, wide(entry), convert, on_elements);
  else
    fill_with(out, key, threads_, gpt2(entry, layers_), convert, on_elements);
}

void RandomWeights::fill(std::string_view name, std::span<float> out) const {
  const Entry& entry = find(name);
  if (static_cast<int64_t>(out.size()) != entry.shape.elements()) {
    user_error("tensor {} has shape {}, which does not match {} elements", name,
               entry.shape.to_string(), out.size());
  }
  fill_entry(entry, out, keep, {});
}

Tensor RandomWeights::make(std::string_view name, DType dtype,
                           const OnElements& on_elements) const {
  const Entry& entry = find(name);
  if (!is_floating(dtype))
    user_error("random weights: expected f32, f16 or bf16, not {}", dtype_name(dtype));
  Tensor tensor(dtype, entry.shape);
  if (dtype == DType::kF32) {
    fill_entry(entry, tensor.f32(), keep, on_elements);
    return tensor;
  }
  const std::span<uint16_t> out(static_cast<uint16_t*>(tensor.data()),
                                static_cast<size_t>(entry.shape.elements()));
  fill_entry(entry, out, dtype == DType::kF16 ? f32_to_f16 : f32_to_bf16, on_elements);
  return tensor;
}

}  // namespace vitrine::internal
