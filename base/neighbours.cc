// SPDX-License-Identifier: MIT
#include "base/neighbours.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>
#include <vector>

#include "base/machine.h"

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;

/// Lines of /proc/stat: "cpuN user nice system idle iowait irq softirq steal guest guest_nice";
/// guest is in user.
void read_processors(const fs::path& root, ProcessorTimes& times) {
  const std::vector<int> allowed = allowed_processors(root);
  std::ifstream file(root / "proc/stat");
  for (std::string line; std::getline(file, line) && line.starts_with("cpu");) {
    std::istringstream in(line.substr(3));
    int number = 0;
    if (line[3] == ' ' || !(in >> number) ||
        std::find(allowed.begin(), allowed.end(), number) == allowed.end())
      continue;
    uint64_t user = 0, nice = 0, system = 0, idle = 0, waiting = 0, irq = 0, soft = 0, stolen = 0;
    if (!(in >> user >> nice >> system >> idle >> waiting >> irq >> soft >> stolen)) continue;
    const uint64_t busy = user + nice + system + irq + soft;
    times.busy += busy;
    times.stolen += stolen;
    times.total += busy + stolen + idle + waiting;
    ++times.processors;
  }
}

/// /proc/N/stat: "N (name) state" and 10 numbers, then the ticks in user mode and in the kernel. A
/// name may hold anything, parentheses included.
std::optional<ProcessorTimes::Process> read_process(const fs::path& folder) {
  std::ifstream file(folder / "stat");
  std::string line;
  std::getline(file, line);
  const size_t begin = line.find('('), end = line.rfind(')');
  if (begin == std::string::npos || end == std::string::npos || end < begin) return std::nullopt;
  std::istringstream in(line.substr(end + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) in >> skipped;
  uint64_t user = 0, kernel = 0;
  if (!(in >> user >> kernel)) return std::nullopt;
  return ProcessorTimes::Process{line.substr(begin + 1, end - begin - 1), user + kernel};
}

std::optional<int> process_number(const std::string& name) {
  int number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && end == name.data() + name.size() ? std::optional(number)
                                                                  : std::nullopt;
}

bool has_openmp(const fs::path& folder) {
  std::ifstream file(folder / "maps");
  for (std::string line; std::getline(file, line);) {
    for (const char* library : {"/libgomp", "/libiomp5", "/libomp"}) {
      if (line.find(library) != std::string::npos) return true;
    }
  }
  return false;
}

bool is_own(const fs::path& folder) {
  struct stat status {};
  return stat(folder.c_str(), &status) == 0 && status.st_uid == geteuid();
}

}  // namespace

ProcessorTimes read_processor_times(const fs::path& root) {
  ProcessorTimes times;
  read_processors(root, times);
  std::error_code error;
  for (fs::directory_iterator it(root / "proc", error), end; !error && it != end;
       it.increment(error)) {
    const auto number = process_number(it->path().filename().string());
    if (!number || *number == getpid()) continue;
    if (const auto process = read_process(it->path())) times.processes[*number] = *process;
  }
  return times;
}

Neighbours neighbours_between(const ProcessorTimes& before, const ProcessorTimes& after,
                              const fs::path& root) {
  Neighbours found;
  if (after.total <= before.total || after.processors == 0) return found;
  const auto processors = [&](uint64_t first, uint64_t last) {  // from ticks
    const uint64_t ticks = last - std::min(first, last);
    return static_cast<double>(ticks) * after.processors /
           static_cast<double>(after.total - before.total);
  };
  found.busy = processors(before.busy, after.busy);
  found.stolen = processors(before.stolen, after.stolen);
  constexpr double kLeast = 0.1;
  for (const auto& [number, process] : after.processes) {
    const auto earlier = before.processes.find(number);
    const double busy =
        processors(earlier == before.processes.end() ? 0 : earlier->second.ticks, process.ticks);
    if (busy >= kLeast && (!found.heaviest || busy > found.heaviest->busy))
      found.heaviest = {number, process.name, busy, false, false};
  }
  if (found.heaviest) {
    const fs::path folder = root / "proc" / std::to_string(found.heaviest->number);
    found.heaviest->own = is_own(folder);
    found.heaviest->openmp = has_openmp(folder);
  }
  return found;
}

Neighbours watch_neighbours(std::chrono::milliseconds span) {
  const ProcessorTimes before = read_processor_times();
  std::this_thread::sleep_for(span);
  return neighbours_between(before, read_processor_times());
}

}  // namespace vitrine::internal
