// SPDX-License-Identifier: MIT
#include "base/profile.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/quote.h"

namespace vitrine::internal {
namespace {

using Entry = std::pair<std::string, OperationCost>;

std::atomic<bool> requested = false;

struct ProfilesOfDevices {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Profile>> profiles;
};
ProfilesOfDevices& profiles_of_devices() {
  static ProfilesOfDevices all;
  return all;
}

OperationCost sum_of(const std::vector<Entry>& entries) {
  OperationCost sum;
  for (const auto& [name, cost] : entries) {
    sum.calls += cost.calls;
    sum.seconds += cost.seconds;
    sum.bytes += cost.bytes;
    sum.flops += cost.flops;
  }
  return sum;
}

/// Work in a time as 10^9 a second; a dash where there was no work.
std::string rate(double work, double seconds) {
  return work > 0 && seconds > 0 ? fmt::format("{:.1f}", 1e-9 * work / seconds) : "-";
}

std::string line(const Entry& entry, double all_seconds, ProfileTimes times) {
  const auto& [name, cost] = entry;
  const double share = all_seconds > 0 ? 100 * cost.seconds / all_seconds : 0;
  std::string text = fmt::format("{:<26}{:>10}{:>12.3f}{:>8.1f} %{:>12.3f}", name, cost.calls,
                                 1e3 * cost.seconds, share, 1e-6 * cost.bytes);
  if (times == ProfileTimes::kOperations) {
    text +=
        fmt::format("{:>10}{:>10}", rate(cost.bytes, cost.seconds), rate(cost.flops, cost.seconds));
  }
  return text + "\n";
}

}  // namespace

void Profile::add(std::string_view operation, const OperationCost& cost) {
  const std::lock_guard lock(mutex_);
  auto found = operations_.find(operation);
  if (found == operations_.end()) found = operations_.emplace(operation, OperationCost{}).first;
  found->second.calls += cost.calls;
  found->second.seconds += cost.seconds;
  found->second.bytes += cost.bytes;
  found->second.flops += cost.flops;
}

std::map<std::string, OperationCost, std::less<>> Profile::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

void Profile::clear() {
  const std::lock_guard lock(mutex_);
  operations_.clear();
}

std::string Profile::table() const {
  const auto all = operations();
  if (all.empty()) return "";
  std::vector<Entry> entries(all.begin(), all.end());
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.second.seconds > b.second.seconds;
  });
  const OperationCost sum = sum_of(entries);
  const bool launches = times_ == ProfileTimes::kLaunches;
  std::string text = fmt::format("profile of {}\n", device_);
  if (launches) text += "host times: a launch returns before its operation has run on the GPU\n";
  text += fmt::format("{:<26}{:>10}{:>12}{:>10}{:>12}", "operation", "calls",
                      launches ? "host ms" : "ms", "share", "MB");
  if (!launches) text += fmt::format("{:>10}{:>10}", "GB/s", "GFLOP/s");
  text += "\n";
  for (const Entry& entry : entries) text += line(entry, sum.seconds, times_);
  return text + line({"total", sum}, sum.seconds, times_);
}

bool profiling() {
  if (requested) return true;
  const char* value = std::getenv("VITRINE_PROFILE");
  const std::string_view text = value == nullptr ? "" : value;
  if (text == "1") return true;
  if (text.empty() || text == "0") return false;
  user_error("invalid VITRINE_PROFILE {}: expected 0 or 1", quote(std::string(text)));
}

void set_profiling(bool on) { requested = on; }

std::shared_ptr<Profile> profile_of(const std::string& device, ProfileTimes times) {
  const std::lock_guard lock(profiles_of_devices().mutex);
  std::shared_ptr<Profile>& profile = profiles_of_devices().profiles[device];
  if (!profile) profile = std::make_shared<Profile>(device, times);
  return profile;
}

std::string profile_tables() {
  const std::lock_guard lock(profiles_of_devices().mutex);
  std::string text;
  for (const auto& [device, profile] : profiles_of_devices().profiles) {
    const std::string table = profile->table();
    if (!text.empty() && !table.empty()) text += "\n";
    text += table;
  }
  return text;
}

void clear_profiles() {
  const std::lock_guard lock(profiles_of_devices().mutex);
  for (const auto& [device, profile] : profiles_of_devices().profiles) profile->clear();
}

}  // namespace vitrine::internal
