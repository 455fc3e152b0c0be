// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/thread_pool.h"

namespace vitrine::internal::cpu {

/// Calls f(i), or f(i, worker) with 0 <= worker < threads, for each i in [0, count), on up to
/// `threads` threads, in no particular order. Work is handed out one index at a time, so an uneven
/// load or a busy machine does not leave a thread waiting for the slowest one. Calls with the same
/// worker never overlap. An exception of `f` is thrown here; indices that had not begun are left
/// out.
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
  using Call = decltype(call);
  run_tasks(
      team, count,
      [](const void* context, int64_t i, int worker) {
        (*static_cast<const Call*>(context))(i, worker);
      },
      &call);
}

/// At most `threads`, and no more than there are portions of work that are worth waking a thread;
/// at least one.
inline int worthwhile(int threads, int64_t portions) {
  return static_cast<int>(std::clamp<int64_t>(portions, 1, threads));
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
