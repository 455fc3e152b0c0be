// SPDX-License-Identifier: MIT
#include "base/machine.h"

#include <fmt/core.h>
#include <sys/mman.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data() + begin, text.data() + text.size(), value);
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> list;
  for (std::string word; in >> word;) list.push_back(word);
  return list;
}

/// Value after `key` and a colon in the first line that begins with it.
std::string field(const fs::path& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || !line.starts_with(key)) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

/// The members of a list as the kernel writes it, "0-3,8": at most as many as any machine has
/// processors.
std::vector<int> list_of(const std::string& text) {
  constexpr uint64_t kMost = 1 << 16;
  std::vector<int> list;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) {
    const size_t dash = part.find('-');
    const auto first = number(part), last = dash == std::string::npos
                                                ? first
                                                : number(std::string_view(part).substr(dash + 1));
    if (!first || !last || *first > *last || *last >= kMost) continue;
    for (uint64_t i = *first; i <= *last; ++i) list.push_back(static_cast<int>(i));
  }
  return list;
}

// --- control groups

/// The folders of the process's group of this controller and of all groups around it: of the second
/// version of the interface and, where `controller` is mounted as its own tree, of the first.
std::vector<fs::path> groups(const fs::path& root, const std::string& controller) {
  const fs::path mounted = root / "sys/fs/cgroup";
  std::vector<fs::path> all;
  const auto add = [&all](const fs::path& tree, const std::string& group) {
    for (fs::path path = fs::path(group).relative_path().lexically_normal();
         !path.empty() && path != "."; path = path.parent_path())
      all.push_back(tree / path);
    all.push_back(tree);
  };
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // NUMBER:CONTROLLERS:GROUP
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string names = fmt::format(",{},", line.substr(first + 1, second - first - 1)),
                      group = line.substr(second + 1);
    if (group.find("..") != std::string::npos) continue;  // a group outside what is mounted here
    if (names == ",,") add(mounted, group);
    if (names.find(fmt::format(",{},", controller)) != std::string::npos)
      add(mounted / controller, group);
  }
  return all;
}

std::optional<Quota> quota_of(const fs::path& group) {
  const fs::path second = group / "cpu.max", first = group / "cpu.cfs_quota_us";
  const std::vector<std::string> both = words(first_line(second));  // "QUOTA PERIOD", "max PERIOD"
  const bool is_second = both.size() == 2;
  const auto quota = number(is_second ? both[0] : first_line(first));  // version 1: -1 for none
  const auto period = number(is_second ? both[1] : first_line(group / "cpu.cfs_period_us"));
  if (!quota || !period || *period == 0) return std::nullopt;
  return Quota{static_cast<double>(*quota) / static_cast<double>(*period),
               is_second ? second : first, is_second ? "max" : "-1"};
}

void read_groups(const fs::path& root, Machine& machine) {
  machine.quota = processor_quota(root);
  constexpr std::pair<const char*, const char*> kFiles[] = {
      {"memory.max", "memory.current"}, {"memory.limit_in_bytes", "memory.usage_in_bytes"}};
  for (const fs::path& group : groups(root, "memory")) {
    for (const auto& [limit_file, used_file] : kFiles) {
      const auto limit = number(first_line(group / limit_file)),
                 used = number(first_line(group / used_file));
      // Version 1 writes "no limit" as a number beyond any memory.
      if (!limit || !used || *limit >= std::max<uint64_t>(machine.memory, 1) ||
          (machine.memory_limit && *machine.memory_limit <= *limit))
        continue;
      machine.memory_limit = limit;
      machine.memory_used = *used;
    }
  }
}

// --- processors

std::vector<std::string> simd_of(const fs::path& cpuinfo) {
  constexpr const char* kMatter[] = {
      "sse2",  "ssse3",   "sse4_1",   "sse4_2",      "avx",         "f16c",     "fma",
      "avx2",  "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16",
      "asimd", "fphp",    "bf16",     "sve",         "sve2"};
  const std::vector<std::string> x86 = words(field(cpuinfo, "flags")),
                                 arm = words(field(cpuinfo, "Features"));
  std::vector<std::string> found;
  for (const char* name : kMatter) {
    for (const auto* list : {&x86, &arm}) {
      if (std::find(list->begin(), list->end(), name) != list->end()) found.emplace_back(name);
    }
  }
  return found;
}

void read_processors(const fs::path& root, Machine& machine) {
  const fs::path cpuinfo = root / "proc/cpuinfo", cpus = root / "sys/devices/system/cpu";
  machine.cpu = field(cpuinfo, "model name");
  machine.simd = simd_of(cpuinfo);
  const std::vector<int> online = list_of(first_line(cpus / "online"));
  std::set<std::string> sockets;
  std::set<std::pair<std::string, std::string>> cores;
  for (const int i : online) {
    const fs::path topology = cpus / ("cpu" + std::to_string(i)) / "topology";
    const std::string socket = first_line(topology / "physical_package_id"),
                      core = first_line(topology / "core_id");
    if (socket.empty() || core.empty()) continue;
    sockets.insert(socket);
    cores.emplace(socket, core);
  }
  machine.processors = static_cast<int>(online.size());
  machine.sockets = static_cast<int>(sockets.size());
  machine.cores = static_cast<int>(cores.size());
  machine.allowed = static_cast<int>(allowed_processors(root).size());
  machine.numa_nodes =
      static_cast<int>(list_of(first_line(root / "sys/devices/system/node/has_cpu")).size());
  machine.governor = first_line(cpus / "cpu0/cpufreq/scaling_governor");
  machine.frequency_driver = first_line(cpus / "cpu0/cpufreq/scaling_driver");
  std::ifstream(root / "proc/loadavg") >> machine.load;
}

/// "always [madvise] never" gives "madvise".
std::string chosen_word(const std::string& line) {
  const size_t open = line.find('['), close = line.find(']', open);
  return open == std::string::npos || close == std::string::npos
             ? ""
             : line.substr(open + 1, close - open - 1);
}

void read_memory(const fs::path& root, Machine& machine) {
  const auto bytes = [&](const char* key) {
    return number(field(root / "proc/meminfo", key)).value_or(0) * 1024;
  };
  machine.memory = bytes("MemTotal");
  machine.available = bytes("MemAvailable");
  machine.swap = bytes("SwapTotal");
  machine.swap_used = machine.swap - std::min(machine.swap, bytes("SwapFree"));
  machine.huge_pages = chosen_word(first_line(root / "sys/kernel/mm/transparent_hugepage/enabled"));
}

std::optional<uint64_t> open_files(const fs::path& root) {
  constexpr std::string_view kName = "Max open files";
  std::ifstream file(root / "proc/self/limits");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(kName)) return number(std::string_view(line).substr(kName.size()));
  }
  return std::nullopt;
}

}  // namespace

uint64_t Machine::room() const {
  if (!memory_limit) return available;
  return std::min(available, *memory_limit - std::min(*memory_limit, memory_used));
}

Machine read_machine(const fs::path& root) {
  Machine machine;
  read_processors(root, machine);
  read_memory(root, machine);
  read_groups(root, machine);
  machine.open_files = open_files(root);
  return machine;
}

std::vector<int> allowed_processors(const fs::path& root) {
  return list_of(field(root / "proc/thread-self/status", "Cpus_allowed_list"));
}

std::optional<Quota> processor_quota(const fs::path& root) {
  std::optional<Quota> tightest;
  for (const fs::path& group : groups(root, "cpu")) {
    const auto quota = quota_of(group);
    if (quota && (!tightest || quota->processors < tightest->processors)) tightest = quota;
  }
  return tightest;
}

uint64_t huge_pages_had(uint64_t bytes) {
  constexpr uint64_t kHugePage = uint64_t{2} << 20;
  const size_t whole = bytes + kHugePage;  // so that a 2 MB boundary lies within its first pages
  void* mapped = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return 0;
  const auto begin = (reinterpret_cast<uintptr_t>(mapped) + kHugePage - 1) / kHugePage * kHugePage;
  madvise(reinterpret_cast<void*>(begin), bytes, MADV_HUGEPAGE);
  std::memset(reinterpret_cast<void*>(begin), 1, bytes);
  uint64_t had = 0;
  std::ifstream file("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    uintptr_t from = 0, to = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2)
      inside = from >= reinterpret_cast<uintptr_t>(mapped) && from < begin + bytes;
    else if (inside && line.starts_with("AnonHugePages:"))
      had += number(std::string_view(line).substr(14)).value_or(0) * 1024;
  }
  munmap(mapped, whole);
  return std::min(had, bytes);
}

}  // namespace vitrine::internal
