// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/logits_kernels.h"
#include "kernels/cpu/parallel.h"

// Sampling as Hugging Face's logits warpers do it, in their order: temperature, top-k, top-p; then
// one draw.

namespace vitrine::internal {
namespace {

int32_t greedy(std::span<const float> logits) {
  int32_t id = 0;
  float logit = 0.0f;
  cpu::top_logits(logits, 1, &id, &logit);
  return id;
}

// The k-th largest value; tokens that equal it stay, as they do in Hugging Face's filter.
float top_k_threshold(std::span<const float> scores, int k) {
  if (k <= 0 || static_cast<size_t>(k) >= scores.size())
    return -std::numeric_limits<float>::infinity();
  std::vector<float> heap(scores.begin(),
                          scores.begin() + k);  // the k best so far, the worst of them in front
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  for (float score : scores.subspan(static_cast<size_t>(k))) {
    if (!(score > heap.front())) continue;
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.back() = score;
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }
  return heap.front();
}

// Tokens in the order of descending score, smaller ids first among equals, sorted only as far as
// somebody looks: a draw rarely looks beyond the first few of fifty thousand.
class Ranking {
 public:
  explicit Ranking(std::span<const float> scores, float lowest)
      : scores_(scores), lowest_(lowest), bound_(max_of(scores)) {}

  /// Token of that rank; -1 after the last.
  int32_t at(size_t rank) {
    while (rank >= order_.size() && !done_) extend();
    return rank < order_.size() ? order_[rank] : -1;
  }

 private:
  static constexpr float kFirstBand = 2.0f, kDeepestBand = 1e3f;

  static float max_of(std::span<const float> scores) {
    return *std::max_element(scores.begin(), scores.end());
  }

  // Sorts the tokens of the next band of scores, each band twice as deep as the one before.
  void extend() {
    const bool last = band_ > kDeepestBand || !(bound_ - band_ > lowest_);
    const float floor = last ? lowest_ : bound_ - band_;
    const size_t begin = order_.size();
    for (size_t id = 0; id < scores_.size(); ++id) {
      const bool above = begin == 0 || scores_[id] < bound_;
      if (above && scores_[id] >= floor) order_.push_back(static_cast<int32_t>(id));
    }
    std::stable_sort(order_.begin() + static_cast<std::ptrdiff_t>(begin), order_.end(),
                     [&](int32_t a, int32_t b) {
                       return scores_[static_cast<size_t>(a)] > scores_[static_cast<size_t>(b)];
                     });
    done_ = last;
    bound_ = floor;
    band_ *= 2.0f;
  }

  std::span<const float> scores_;
  float lowest_;
  float bound_;
  float band_ = kFirstBand;
  bool done_ = false;
  std::vector<int32_t> order_;
};

int32_t draw(std::span<const float> scores, int top_k, float top_p, double uniform) {
  const float lowest = top_k_threshold(scores, top_k);
  Ranking ranking(scores, lowest);
  const double highest = scores[static_cast<size_t>(ranking.at(0))];
  const auto weight = [&](float score) { return std::exp(static_cast<double>(score) - highest); };
  double mass = 0.0;
  if (top_k > 0) {
    for (size_t rank = 0; ranking.at(rank) >= 0; ++rank)
      mass += weight(scores[static_cast<size_t>(ranking.at(rank))]);
  } else {
    mass = cpu::exact_exp_sum(scores, scores[static_cast<size_t>(ranking.at(0))]);
  }
  if (top_p < 1.0f) {  // the kept tokens are those with less than top_p of the mass before them
    const double wanted = static_cast<double>(top_p) * mass;
    double kept = 0.0;
    for (size_t rank = 0; (rank == 0 || kept < wanted) && ranking.at(rank) >= 0; ++rank) {
      kept += weight(scores[static_cast<size_t>(ranking.at(rank))]);
    }
    mass = kept;
  }
  double below = 0.0;
  int32_t id = ranking.at(0);
  for (size_t rank = 0; ranking.at(rank) >= 0 && below <= uniform * mass; ++rank) {
    const double next = weight(scores[static_cast<size_t>(ranking.at(rank))]);
    if (next > 0.0) id = ranking.at(rank);
    below += next;
  }
  return id;
}

int32_t choose(const SampleArgs& args, std::span<const float> logits, double uniform,
               cpu::ScratchPool& scratch) {
  if (!cpu::is_distribution(logits)) return -1;
  if (args.temperature == 0.0f) return greedy(logits);
  const cpu::ScratchPool::Lease memory = scratch.borrow(logits.size());
  const std::span<float> scores(memory.f32(), logits.size());
  std::transform(logits.begin(), logits.end(), scores.begin(),
                 [&](float logit) { return logit / args.temperature; });
  // A temperature so low that scores overflow leaves the best token alone.
  if (!cpu::is_distribution(scores)) return greedy(logits);
  return draw(scores, args.top_k, args.top_p, uniform);
}

}  // namespace

void CpuBackend::sample(const SampleArgs& args) {
  cpu::parallel_for(threads_, args.logits.rows, [&](int64_t r) {
    const std::span<const float> logits(args.logits.row(r), static_cast<size_t>(args.logits.cols));
    const auto row = static_cast<size_t>(r);
    args.ids[row] =
        choose(args, logits, args.temperature > 0.0f ? args.uniform[row] : 0.0, scratch_);
  });
}

}  // namespace vitrine::internal
