// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "base/profile.h"
#include "kernels/backend.h"

namespace vitrine::internal {

/// `backend` with every operation timed, and named in the device's own profiler. Costs go to
/// `profile`; results are the same bits. Operations of a recording are added up as it is made and
/// count as one operation, "recorded step", each time it runs.
std::unique_ptr<Backend> make_profiling_backend(std::unique_ptr<Backend> backend,
                                                std::shared_ptr<Profile> profile);
/// The same, to this process's profile of the device.
std::unique_ptr<Backend> make_profiling_backend(std::unique_ptr<Backend> backend);

}  // namespace vitrine::internal
