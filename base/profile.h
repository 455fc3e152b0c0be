// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

// Where time goes: what each operation of a backend cost, added up over a process. Off unless
// requested; kernels/profile/ does the timing.

namespace vitrine::internal {

/// Calls of one operation, added up.
struct OperationCost {
  uint64_t calls = 0;
  double seconds = 0;
  double bytes = 0;  ///< read and written, each argument once
  double flops = 0;  ///< 0 where memory is moved and nothing is multiplied
};

/// What a profile's times are of.
enum class ProfileTimes : uint8_t {
  kOperations,  ///< an operation, from beginning to end
  kLaunches,    ///< of the host alone: a GPU's operation returns before it has run
};

/// The operations of one device, by name. Threads may add at the same time.
class Profile {
 public:
  Profile(std::string device, ProfileTimes times) : device_(std::move(device)), times_(times) {}

  void add(std::string_view operation, const OperationCost& cost);
  std::map<std::string, OperationCost, std::less<>> operations() const;
  void clear();
  /// A line for each operation, the longest time first, and their sum. Empty without a call.
  std::string table() const;

 private:
  std::string device_;
  ProfileTimes times_;
  mutable std::mutex mutex_;
  std::map<std::string, OperationCost, std::less<>> operations_;
};

/// Whether models loaded from now on are profiled: after set_profiling(true), or with
/// VITRINE_PROFILE=1 in the environment. Throws Error (user) if that is neither 0, 1 nor empty.
bool profiling();
void set_profiling(bool on);

/// This process's profile of a device; the same device, the same profile.
std::shared_ptr<Profile> profile_of(const std::string& device, ProfileTimes times);
/// The tables of all devices.
std::string profile_tables();
/// Forgets all calls so far.
void clear_profiles();

}  // namespace vitrine::internal
