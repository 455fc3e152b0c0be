// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/parameters.h"
#include "vitrine/checkpoint/random_checkpoint.h"
#include "vitrine/config.h"
#include "vitrine/tensor.h"

namespace vitrine::internal {

/// Weights of any GPT-2 shape from a seed: every element is a function of (seed, tensor, element)
/// alone, so that any machine, any number of threads and any order give the same bits (of
/// RandomInit::kGpt2 as far as the C library's log and cos do). tests/goldens/README.md has the
/// formulas; tools/golden_small.py is the same in Python.
class RandomWeights {
 public:
  struct Entry : Parameter {
    uint64_t number = 0;  ///< the tensor's number in the formula
  };

  /// Throws Error (user) for a config whose sizes are not positive or whose width is not a multiple
  /// of the heads.
  RandomWeights(const Config& config, uint64_t seed, RandomInit init = RandomInit::kWide);

  /// Every tensor of such a checkpoint; lm_head.weight only where it is not tied.
  const std::vector<Entry>& entries() const { return entries_; }

  /// Throws Error (user) for an unknown name.
  const Entry& find(std::string_view name) const;

  /// Writes the elements of the tensor. Throws Error (user) for an unknown name or a wrong size of
  /// `out`.
  void fill(std::string_view name, std::span<float> out) const;

  /// Called with the number of elements that are made; may throw, which ends the call.
  using OnElements = std::function<void(int64_t)>;

  /// The tensor, rounded to `dtype` (f32, f16 or bf16).
  Tensor make(std::string_view name, DType dtype, const OnElements& on_elements = {}) const;

 private:
  template <typename T, typename Convert>
  void fill_entry(const Entry& entry, std::span<T> out, Convert convert,
                  const OnElements& on_elements) const;

  std::vector<Entry> entries_;
  uint64_t seed_;
  RandomInit init_;
  int layers_;
  int threads_;  ///< to fill with
};

}  // namespace vitrine::internal
