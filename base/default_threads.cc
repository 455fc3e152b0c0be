// SPDX-License-Identifier: MIT
#include "base/default_threads.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <thread>

#include "base/machine.h"
#include "base/quote.h"

namespace vitrine::internal {
namespace {

constexpr int kMost = 1 << 16;  // more than any machine has processors

/// A whole number from 1, blanks around it aside; kMost for what is greater.
std::optional<int> count_in(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return std::nullopt;
  text = text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
  const bool digits = text.find_first_not_of("0123456789") == std::string_view::npos;
  int count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (!digits || (error == std::errc() && count == 0)) return std::nullopt;
  return error == std::errc() ? std::min(count, kMost) : kMost;
}

/// The first of a list of counts: OpenMP's variable may have one for each level of nesting.
std::optional<int> first_count_in(std::string_view list) {
  std::optional<int> first;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    const auto count = count_in(list.substr(begin, end - begin));
    if (!count) return std::nullopt;
    if (!first) first = count;
    begin = end + 1;
  }
  return first;
}

void add_variable(const char* name, std::optional<int> (*read)(std::string_view),
                  const Environment& environment, DefaultThreads& all) {
  const char* text = environment(name);
  if (text == nullptr || *text == '\0') return;
  if (const auto count = read(text))
    all.limits.push_back({name, text, *count});
  else
    all.invalid.push_back(
        {name, fmt::format("invalid {} {}: expected a whole number from 1", name, quote(text))});
}

}  // namespace

const DefaultThreads::Limit* DefaultThreads::find(const std::string& name) const {
  const auto found = std::find_if(limits.begin(), limits.end(),
                                  [&](const Limit& limit) { return limit.name == name; });
  return found == limits.end() ? nullptr : &*found;
}

DefaultThreads default_threads(const std::filesystem::path& root, const Environment& environment) {
  DefaultThreads all;
  int allowed = static_cast<int>(allowed_processors(root).size());
  if (allowed == 0) allowed = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  all.limits.push_back({"affinity", std::to_string(allowed), allowed});
  if (const auto quota = processor_quota(root)) {
    all.limits.push_back(
        {"quota", fmt::format("{:g}", quota->processors),
         static_cast<int>(std::clamp(std::ceil(quota->processors), 1.0, double{kMost}))});
  }
  add_variable("OMP_NUM_THREADS", first_count_in, environment, all);
  add_variable("SLURM_CPUS_PER_TASK", count_in, environment, all);
  const auto least = std::min_element(
      all.limits.begin(), all.limits.end(),
      [](const auto& a, const auto& b) { return a.threads < b.threads; });  // the first of equals
  all.threads = least->threads;
  all.decided_by = least->name;
  return all;
}

}  // namespace vitrine::internal
