// SPDX-License-Identifier: MIT
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace vitrine::internal::cpu {

/// Calls f(i), or f(i, worker) with 0 <= worker < threads, for each i in [0, count), on up to
/// `threads` threads, in no particular order. Work is handed out one index at a time, so an uneven
/// load or a busy machine does not leave a thread waiting for the slowest one. `f` must not throw.
template <typename F>
void parallel_for(int threads, int64_t count, const F& f) {
  const auto call = [&f](int64_t i, [[maybe_unused]] int worker) {
    if constexpr (std::is_invocable_v<const F&, int64_t, int>) {
      f(i, worker);
    } else {
      f(i);
    }
  };
  const int team = static_cast<int>(std::min<int64_t>(threads, count));
  if (team <= 1) {
    for (int64_t i = 0; i < count; ++i) call(i, 0);
    return;
  }
#pragma omp parallel for num_threads(team) schedule(dynamic, 1)
  for (int64_t i = 0; i < count; ++i) call(i, omp_get_thread_num());
}

/// As parallel_for, over [begin, end) chunks of `count` items with at least `grain` items each: for
/// cheap items, where a thread should only be woken for work that outweighs it. f(begin, end).
template <typename F>
void parallel_chunks(int threads, int64_t count, int64_t grain, const F& f) {
  const int64_t chunks = std::clamp<int64_t>(count / std::max<int64_t>(grain, 1), 1,
                                             8 * static_cast<int64_t>(threads));
  const auto run = [&](int64_t i) { f(count * i / chunks, count * (i + 1) / chunks); };
  parallel_for(threads, chunks, run);
}

}  // namespace vitrine::internal::cpu
