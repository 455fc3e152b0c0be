// SPDX-License-Identifier: MIT
#pragma once

#include <functional>

#include "kernels/backend.h"

namespace vitrine::bench {
using namespace internal;

/// Seconds since some moment in the past.
double now();

/// Seconds that one `work()` takes when `repetitions` of them are issued one after the other and
/// then waited for.
double seconds_each(Backend& backend, int repetitions, const std::function<void()>& work);

/// Warms up, and says how many repetitions take more than 2 ms: fewer would measure the clock and
/// the waiting.
int enough_repetitions(Backend& backend, const std::function<void()>& work);

}  // namespace vitrine::bench
