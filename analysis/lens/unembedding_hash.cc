// SPDX-License-Identifier: MIT
#include "analysis/lens/unembedding_hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/sha256.h"
#include "base/xxhash64.h"

namespace vitrine::internal {
namespace {

constexpr int64_t kBlock = 4096;  // rows in memory at a time
constexpr int64_t kEdge = 3;      // NumPy's edgeitems
constexpr int64_t kWhole = 1000;  // NumPy's threshold

/// The indices of an axis that NumPy prints.
std::vector<int32_t> shown(int64_t size) {
  std::vector<int32_t> indices(static_cast<size_t>(std::min(size, 2 * kEdge)));
  std::iota(indices.begin(), indices.end(), 0);
  if (size > 2 * kEdge) {
    for (int64_t i = 0; i < kEdge; ++i)
      indices[static_cast<size_t>(kEdge + i)] = static_cast<int32_t>(size - kEdge + i);
  }
  return indices;
}

/// NumPy's FloatingFormat with precision 1: all numbers with the same decimals and width.
class Format {
 public:
  explicit Format(const std::vector<float>& values) {
    float least = std::numeric_limits<float>::infinity(), largest = 0;
    for (const float value : values) {
      if (value == 0) continue;
      least = std::min(least, std::abs(value));
      largest = std::max(largest, std::abs(value));
    }
    scientific_ = largest >= 1e6f || (largest > 0 && (least < 1e-4f || largest / least > 1000));
    for (const float value : values) {
      const std::string text = digits(value, 1);
      const size_t point = text.find('.');
      left_ = std::max(left_, point);
      if (text[point + 1] != '0') decimals_ = 1;
    }
  }

  std::string operator()(float value) const {
    std::string text = digits(value, decimals_);
    const size_t point = text.find('.');
    if (!scientific_ && text.ends_with(".0")) text.back() = ' ';
    return std::string(left_ - point, ' ') + text;
  }

 private:
  std::string digits(float value, int decimals) const {
    return scientific_ ? fmt::format("{:#.{}e}", double{value}, decimals)
                       : fmt::format("{:#.{}f}", double{value}, decimals);
  }

  bool scientific_ = false;
  int decimals_ = 0;
  size_t left_ = 0;
};

}  // namespace

std::string unembedding_hash(const Model& model) {
  Xxh64 hash;
  const int64_t vocab = model.config().vocab;
  for (int64_t first = 0; first < vocab; first += kBlock) {
    std::vector<int32_t> ids(static_cast<size_t>(std::min(kBlock, vocab - first)));
    std::iota(ids.begin(), ids.end(), static_cast<int32_t>(first));
    hash.update(model.unembedding(ids).view().host_bytes());
  }
  return hex64(hash.digest());
}

std::string numpy_text(const Tensor& edges, int64_t rows) {
  const int64_t width = edges.shape()[1], shown_rows = edges.shape()[0];
  const std::vector<int32_t> columns = shown(width);
  std::vector<float> values;
  for (int64_t i = 0; i < shown_rows; ++i) {
    for (const int32_t column : columns)
      values.push_back(edges.f32()[static_cast<size_t>(i * width + column)]);
  }
  const Format format(values);
  std::string text = "[";
  for (size_t i = 0; i < static_cast<size_t>(shown_rows); ++i) {
    if (i > 0) text += "\n ";
    if (i == static_cast<size_t>(kEdge) && rows > 2 * kEdge) text += "...\n ";
    for (size_t j = 0; j < columns.size(); ++j) {
      text += j == 0 ? "[" : " ";
      if (j == static_cast<size_t>(kEdge) && width > 2 * kEdge) text += "... ";
      text += format(values[i * columns.size() + j]);
    }
    text += "]";
  }
  return text + "]";
}

std::string package_hash(const Model& model) {
  const Config& config = model.config();
  if (config.vocab * config.width <= kWhole) return "";
  return sha256_hex(numpy_text(model.unembedding(shown(config.vocab)), config.vocab));
}

}  // namespace vitrine::internal
