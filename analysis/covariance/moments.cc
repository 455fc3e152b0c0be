// SPDX-License-Identifier: MIT
#include <cmath>
#include <utility>

#include "analysis/common/linalg.h"
#include "analysis/covariance/weights.h"
#include "base/check.h"
#include "base/quote.h"
#include "vitrine/analysis/covariance.h"
#include "vitrine/running_moments.h"

namespace vitrine {
using namespace internal;
namespace {

/// out += the squares of each column of x.
void add_column_squares(std::span<double> out, const Matrix& x) {
  for (int64_t row = 0; row < x.rows(); ++row) {
    const auto values = x.row(row);
    for (size_t i = 0; i < out.size(); ++i) out[i] += values[i] * values[i];
  }
}

}  // namespace

Moments::Moments(int64_t variables, uint64_t max_bytes) : variables_(variables) {
  if (variables < 1)
    user_error("invalid covariance matrix of {} variables: expected 1 or more", variables);
  const double bytes = 8.0 * static_cast<double>(variables) * static_cast<double>(variables);
  if (bytes > static_cast<double>(max_bytes)) {
    user_error(
        "a covariance matrix of {} variables takes {}: expected at most {}; use fewer "
        "variables, for a site by selecting heads or neurons",
        variables, human_bytes(bytes), human_bytes(static_cast<double>(max_bytes)));
  }
  mean_.resize(static_cast<size_t>(variables));
  products_.resize(static_cast<size_t>(variables * variables));
}

Moments::Moments(int64_t variables, VariancesOnly)
    : variables_(variables),
      variances_only_(true),
      mean_(static_cast<size_t>(variables)),
      products_(static_cast<size_t>(variables)) {}

Moments Moments::variances(int64_t variables) {
  if (variables < 1) user_error("invalid variances of {} variables: expected 1 or more", variables);
  return {variables, VariancesOnly{}};
}

void Moments::add(std::span<const double> rows, std::span<const int64_t> fweights,
                  std::span<const double> aweights) {
  const auto width = static_cast<size_t>(variables_);
  if (rows.size() % width != 0)
    user_error("{} numbers are not whole rows: expected a multiple of {} variables", rows.size(),
               width);
  const size_t count = rows.size() / width;
  if (origin_.empty() && count > 0) origin_.assign(rows.begin(), rows.begin() + variables_);
  const ObservationWeights weights =
      observation_weights(static_cast<int64_t>(count), fweights, aweights);
  for (size_t i = 0; i < count; ++i) {
    for (size_t j = 0; j < width; ++j) rows_.push_back(rows[i * width + j] - origin_[j]);
    w_.push_back(weights.w[i]);
    wa_.push_back(weights.wa[i]);
    ++observations_;
    if (w_.size() == kMomentsBlock) add_block();
  }
}

void Moments::add(std::span<const float> rows) {
  add(std::vector<double>(rows.begin(), rows.end()));
}

void Moments::add_block() {
  const double weight = sum(w_);
  if (weight > 0) {
    Matrix x(std::move(rows_), std::ssize(w_), variables_);
    const std::vector<double> mean = weighted_mean(x, w_, weight);
    x.subtract_from_rows(mean);
    for (double& w : w_) w = std::sqrt(w);
    x.scale_rows(w_);
    std::vector<double> products(products_.size());
    if (variances_only_)
      add_column_squares(products, x);
    else
      add_gram(products, x);
    join(weight, mean, products);
    weight_a_ += sum(wa_);
  }
  rows_.clear();
  w_.clear();
  wa_.clear();
}

void Moments::join(double weight, std::span<const double> mean, std::span<const double> products) {
  const double total = weight_ + weight, share = weight / total, between = weight_ * share;
  const auto n = static_cast<size_t>(variables_);
  std::vector<double> delta(n);
  for (size_t i = 0; i < n; ++i) delta[i] = mean[i] - mean_[i];
  for (size_t i = 0; i < n; ++i) {
    if (variances_only_) products_[i] += products[i] + between * delta[i] * delta[i];
    for (size_t j = 0; !variances_only_ && j <= i; ++j)
      products_[i * n + j] += products[i * n + j] + between * delta[i] * delta[j];
    mean_[i] += share * delta[i];
  }
  weight_ = total;
}

void Moments::merge(const Moments& other) {
  if (other.variables_ != variables_)
    user_error("cannot merge moments of {} and {} variables: expected equal numbers",
               other.variables_, variables_);
  if (other.variances_only_ != variances_only_)
    user_error("cannot merge covariances with variances alone: expected the same of both");
  Moments next = other;
  if (!next.w_.empty()) next.add_block();
  if (!w_.empty()) add_block();
  if (origin_.empty()) origin_ = next.origin_;
  for (size_t i = 0; i < next.origin_.size(); ++i) next.mean_[i] += next.origin_[i] - origin_[i];
  if (next.weight_ > 0) join(next.weight_, next.mean_, next.products_);
  weight_a_ += next.weight_a_;
  observations_ += next.observations_;
}

Moments Moments::whole() const {
  Moments whole = *this;
  if (!whole.w_.empty()) whole.add_block();
  return whole;
}

std::vector<double> Moments::mean() const {
  if (observations_ == 0) return {};
  Moments whole = this->whole();
  for (size_t i = 0; i < whole.mean_.size(); ++i) whole.mean_[i] += whole.origin_[i];
  return std::move(whole.mean_);
}

std::vector<double> Moments::variance(int64_t ddof) const {
  const Moments whole = this->whole();
  const double divisor = covariance_divisor(whole.weight_, whole.weight_a_, ddof);
  const size_t step = variances_only_ ? 1 : static_cast<size_t>(variables_) + 1;
  std::vector<double> found;
  for (size_t i = 0; i < static_cast<size_t>(variables_); ++i)
    found.push_back(whole.products_[i * step] / divisor);
  return found;
}

Covariance Moments::covariance(int64_t ddof) const {
  if (variances_only_)
    user_error("the moments have variances alone: expected those of a run with covariances");
  Moments whole = this->whole();
  Covariance result;
  result.variables = variables_;
  result.observations = observations_;
  result.ddof = ddof;
  result.weight = whole.weight_;
  result.divisor = covariance_divisor(whole.weight_, whole.weight_a_, ddof);
  result.mean = std::move(whole.mean_);
  result.values = std::move(whole.products_);
  const auto n = static_cast<size_t>(variables_);
  for (size_t i = 0; i < n; ++i) {
    result.mean[i] += whole.origin_[i];
    for (size_t j = 0; j <= i; ++j) {
      result.values[i * n + j] /= result.divisor;
      result.values[j * n + i] = result.values[i * n + j];
    }
  }
  return result;
}

}  // namespace vitrine
