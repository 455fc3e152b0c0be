// SPDX-License-Identifier: MIT
#include "kernels/cpu/logits_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/logits_kernels.cc"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/math-inl.h"

// After the project's headers: the library's vector functions are compiled for each instruction set
// too.
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::cpu {
namespace HWY_NAMESPACE {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// f(vector) for all logits, the last vector filled up with `fill`.
template <class F>
HWY_INLINE void for_each_logit(std::span<const float> logits, float fill, const F& f) {
  const int64_t n = static_cast<int64_t>(logits.size());
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) f(load(logits.data() + j));
  if (j < n) f(load_part(logits.data() + j, n - j, fill));
}

LogitSums sums_of(std::span<const float> logits) {
  const F32 d;
  Vector best = hn::Set(d, kLowest);
  for_each_logit(logits, kLowest, [&](Vector x) HWY_ATTR { best = hn::Max(best, x); });
  const float highest = highest_lane(best);
  WideSum total, weighted;
  for_each_logit(logits, kLowest, [&](Vector x) HWY_ATTR {
    const Vector distance = hn::Sub(x, hn::Set(d, highest));
    const Vector e = exp_nonpositive(distance);
    total.add(e);
    weighted.add(
        hn::Mul(e, hn::Max(distance, hn::Set(d, -1000.0f))));  // 0 times -infinity is 0 here
  });
  return {highest, total.total(), weighted.total()};
}

void seed_row(std::span<const float> logits, const LogitSums& sums, float plain, float by_log,
              float* seed) {
  const F32 d;
  const Vector shift = hn::Set(d, sums.highest),
               inverse = hn::Set(d, static_cast<float>(1.0 / sums.total)),
               log_total = hn::Set(d, static_cast<float>(std::log(sums.total))),
               a = hn::Set(d, plain), b = hn::Set(d, by_log);
  for_each_vector(static_cast<int64_t>(logits.size()), [&](const auto& load_at,
                                                           const auto& store_at) HWY_ATTR {
    const Vector distance = hn::Sub(load_at(logits.data()), shift);
    const Vector log_p =
        hn::Max(hn::Sub(distance, log_total), hn::Set(d, -1000.0f));  // 0 times -infinity is 0 here
    store_at(hn::Mul(hn::Mul(exp_nonpositive(distance), inverse), hn::MulAdd(b, log_p, a)), seed);
  });
}

int32_t greater_than(std::span<const float> logits, float x) {
  size_t count = 0;
  for_each_logit(logits, kLowest, [&](Vector v) HWY_ATTR {
    count += hn::CountTrue(F32(), hn::Gt(v, hn::Set(F32(), x)));
  });
  return static_cast<int32_t>(count);
}

// The best so far lie sorted; a vector is looked into only if something in it beats the worst of
// them. Ids come in ascending order, so among equals the first one in is the smallest, and only a
// strictly greater one pushes it out.
void top_of(std::span<const float> logits, int k, int32_t* ids, float* values) {
  std::fill(ids, ids + k, -1);
  std::fill(values, values + k, kLowest);
  int held = 0;
  int32_t id = 0;
  const auto insert = [&](float x) {
    if (held == k && !(x > values[k - 1])) return;
    int at = held < k ? held++ : k - 1;
    for (; at > 0 && x > values[at - 1]; --at) {
      values[at] = values[at - 1];
      ids[at] = ids[at - 1];
    }
    values[at] = x;
    ids[at] = id;
  };
  const auto size = static_cast<int32_t>(logits.size());
  while (id < size) {
    const bool whole = held == k && id + kLanes <= size;
    if (whole &&
        hn::AllFalse(F32(), hn::Gt(load(logits.data() + id), hn::Set(F32(), values[k - 1])))) {
      id += kLanes;
      continue;
    }
    for (const int32_t end = whole ? id + kLanes : id + 1; id < end; ++id)
      insert(logits[static_cast<size_t>(id)]);
  }
}

bool has_softmax(std::span<const float> logits) {
  const F32 d;
  Vector best = hn::Set(d, kLowest);
  auto below = hn::Eq(best, best);  // all lanes; NaN is below nothing
  for_each_logit(logits, kLowest, [&](Vector x) HWY_ATTR {
    below = hn::And(below, hn::Lt(x, hn::Set(d, -kLowest)));
    best = hn::Max(best, x);
  });
  return hn::AllTrue(d, below) && highest_lane(best) > kLowest;
}

double exp_sum(std::span<const float> scores, float highest) {
  const F64 d;
  const HalfF32 half;
  HWY_ALIGN float last[kLanes64];
  hn::Vec<F64> sum = hn::Zero(d);
  const auto n = static_cast<int64_t>(scores.size());
  for (int64_t j = 0; j < n; j += kLanes64) {
    const float* at = scores.data() + j;
    if (j + kLanes64 > n) {
      std::fill(last, last + kLanes64, kLowest);
      std::copy(at, scores.data() + n, last);
      at = last;
    }
    const auto x = hn::PromoteTo(d, hn::LoadU(half, at));
    const auto distance = hn::Sub(x, hn::Set(d, static_cast<double>(highest)));
    sum = hn::Add(sum, hn::Exp(d, hn::Max(distance, hn::Set(d, -2000.0))));
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::internal::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine::internal::cpu {

HWY_EXPORT(sums_of);
HWY_EXPORT(seed_row);
HWY_EXPORT(greater_than);
HWY_EXPORT(top_of);
HWY_EXPORT(has_softmax);
HWY_EXPORT(exp_sum);

LogitSums logit_sums(std::span<const float> logits) {
  return HWY_DYNAMIC_DISPATCH(sums_of)(logits);
}

void seed_logits(std::span<const float> logits, const LogitSums& sums, float plain, float by_log,
                 float* seed) {
  HWY_DYNAMIC_DISPATCH(seed_row)(logits, sums, plain, by_log, seed);
}

void top_logits(std::span<const float> logits, int k, int32_t* ids, float* values) {
  HWY_DYNAMIC_DISPATCH(top_of)(logits, k, ids, values);
}

int32_t count_greater(std::span<const float> logits, float x) {
  return HWY_DYNAMIC_DISPATCH(greater_than)(logits, x);
}

bool is_distribution(std::span<const float> logits) {
  return HWY_DYNAMIC_DISPATCH(has_softmax)(logits);
}

double exact_exp_sum(std::span<const float> scores, float highest) {
  return HWY_DYNAMIC_DISPATCH(exp_sum)(scores, highest);
}

}  // namespace vitrine::internal::cpu
#endif
