// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/tensor.h"

namespace vitrine::testing_support {
using namespace internal;

/// One folder of tests/goldens; its README.md says what the files hold.
class Golden {
 public:
  struct Sequence {
    std::vector<int32_t> ids;
    std::optional<double> loss;
    int64_t target_position;
    int32_t target_id;
  };
  struct Greedy {
    std::vector<int32_t> prompt, continuation;
  };

  explicit Golden(const std::string& name);
  /// Every folder of tests/goldens that holds a checkpoint, sorted.
  static std::vector<std::string> checkpoints();

  const std::filesystem::path& folder() const { return folder_; }
  const Json& facts() const { return facts_; }
  const SafetensorsFile& tensors() const { return tensors_; }
  std::vector<Sequence> sequences() const;
  std::vector<Greedy> greedy() const;

  /// What errors at a site (or "grad/<site>") are measured by: the largest minus the smallest value
  /// that it takes in this case. For a pattern, half of that of its scores where this is more: an
  /// error e of the scores, which are rounded as numbers of their size, moves a probability by up
  /// to e / 2, whatever the softmax does.
  double spread(const std::string& site) const;

  /// How far a float32 engine may be from the double run, relative to a site's spread, for
  /// activations (`prefix` empty) or for gradients ("grad/", "grad_loss/"): twice transformers' own
  /// float32 error, and never more than 2e-5.
  ///
  /// Transformers' error is the largest over the case's sites, because on one small tensor either
  /// library may happen to round well; two that are equally good differ by up to three times on one
  /// tensor. For the same reason it has a floor: kFloor, 8 units in the last place of a number as
  /// large as the spread, which sums of 18 to 160 products, added up in any order, are apart.
  double tolerance(std::string_view prefix = "") const;
  static constexpr double kFloor = 8.0 / (1 << 23);

 private:
  std::filesystem::path folder_;
  Json facts_;
  SafetensorsFile tensors_;
};

/// The elements of an F32 or F64 tensor.
std::vector<double> doubles(TensorView tensor);

/// The largest |actual - expected| of all elements; infinite where shapes differ, or where one side
/// is not finite and the other is not the same infinity.
double max_error(TensorView actual, TensorView expected);
double max_error(const std::vector<double>& actual, const std::vector<double>& expected);

/// Success if |error| <= allowed * spread; else says all four numbers.
testing::AssertionResult within(double error, double spread, double allowed);

/// Mean -log p of tokens 1 .. T-1 in nats, from logits [T, V].
double next_token_loss(TensorView logits, const std::vector<int32_t>& ids);

}  // namespace vitrine::testing_support
