// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/check.h"
#include "vitrine/analysis/pairs.h"
#include "vitrine/error.h"
#include "vitrine/progress.h"

namespace vitrine::internal {

/// All numbers of a result, in an order that its shape decides.
std::vector<std::span<double>> numbers_of(Patching& found);
std::vector<std::span<double>> numbers_of(PathPatching& found);
std::vector<std::span<double>> numbers_of(LogitAttribution& found);

/// Statistics of results, one added after the other (Welford 1962).
template <typename Found>
class PairStatistics {
 public:
  void add(Found found) {
    if (result_.pairs++ == 0) {
      result_.mean = result_.deviation = found;
      for (const std::span<double> values : numbers_of(result_.deviation))
        for (double& value : values) value = 0;
      return;
    }
    const auto means = numbers_of(result_.mean), squares = numbers_of(result_.deviation),
               values = numbers_of(found);
    for (size_t list = 0; list < values.size(); ++list) {
      for (size_t i = 0; i < values[list].size(); ++i) {
        const double difference = values[list][i] - means[list][i];
        means[list][i] += difference / static_cast<double>(result_.pairs);
        squares[list][i] += difference * (values[list][i] - means[list][i]);
      }
    }
    if constexpr (requires { found.work; }) {
      result_.mean.work.cells += found.work.cells;
      result_.mean.work.computed += found.work.computed;
      result_.mean.work.naive += found.work.naive;
    }
  }

  /// To be called once, after the last.
  OverPairs<Found> result() {
    const auto count = static_cast<double>(result_.pairs);
    for (const std::span<double> values : numbers_of(result_.deviation)) {
      for (double& value : values)
        value =
            count > 1 ? std::sqrt(value / (count - 1)) : std::numeric_limits<double>::quiet_NaN();
    }
    result_.standard_error = result_.deviation;
    for (const std::span<double> values : numbers_of(result_.standard_error))
      for (double& value : values) value /= std::sqrt(count);
    return std::move(result_);
  }

 private:
  OverPairs<Found> result_;
};

/// What is done for each pair, with progress in pairs; errors of users begin with the pair's name.
class EachPair {
 public:
  /// Throws Error (user) for no pairs.
  EachPair(std::span<const PatchPair> pairs, Progress* progress);

  /// `work(pair, progress)`, in order. The progress of a pair's own work shows that there is some.
  template <typename Work>
  void run(const Work& work) {
    Steps steps(progress_, pairs_.size());
    for (size_t i = 0; i < pairs_.size(); ++i) {
      named(i, [&] { work(i, progress_ ? &steps : nullptr); });
      steps.next();
    }
  }
  /// `check(i)` of all.
  template <typename Check>
  void check(const Check& check) const {
    for (size_t i = 0; i < pairs_.size(); ++i) named(i, [&] { check(i); });
  }

 private:
  class Steps : public Progress {
   public:
    Steps(Progress* to, uint64_t total) : to_(to), total_(total) {}
    void update(uint64_t, uint64_t, std::string_view) override {
      if (to_) to_->update(done_, total_, "Pairs");
    }
    void next() {
      ++done_;
      update(0, 0, {});
    }

   private:
    Progress* to_;
    uint64_t total_, done_ = 0;
  };

  template <typename Work>
  void named(size_t i, const Work& work) const {
    try {
      work();
    } catch (const Error& error) {
      if (error.kind() != Error::Kind::kUser) throw;
      user_error("{}: {}", pairs_[i].name.empty() ? fmt::format("pair {}", i + 1) : pairs_[i].name,
                 error.what());
    }
  }

  std::span<const PatchPair> pairs_;
  Progress* progress_;
};

/// The metric of a pair. Throws Error (user) for answers that are out of range, missing, or not
/// used by this kind of metric.
PatchMetric pair_metric(const Model& model, const PatchPair& pair, PatchMetric::Kind kind,
                        int64_t position, const Hooks& edits);

/// Statistics of `run(pair, options)` of all pairs, `options` with the pair's own metric.
/// `check(i)` of each pair comes before the first run.
template <typename Options, typename Check, typename Run>
auto over_pairs(const Model& model, std::span<const PatchPair> pairs, const Options& options,
                const Check& check, const Run& run) {
  EachPair each(pairs, options.progress);
  std::vector<PatchMetric> metrics;
  each.check([&](size_t i) {
    check(i);
    metrics.push_back(
        pair_metric(model, pairs[i], options.metric.kind, options.position, options.edits));
  });
  PairStatistics<decltype(run(pairs[0], options))> statistics;
  each.run([&](size_t i, Progress* progress) {
    Options own = options;
    own.metric = metrics[i];
    own.progress = progress;
    statistics.add(run(pairs[i], own));
  });
  return statistics.result();
}

}  // namespace vitrine::internal
