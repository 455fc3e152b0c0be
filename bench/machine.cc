#include "bench/machine.h"

#include <chrono>
#include <ctime>
#include <fstream>
#include <string>
#include <thread>

namespace vitrine::bench {
namespace {

// The line of a file that begins with `key`, behind its colon.
std::string line_of(const char* file, const std::string& key) {
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {
    const size_t colon = line.find(": ");
    if (line.starts_with(key) && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::string first_line(const char* file) {
  std::ifstream in(file);
  std::string line;
  return std::getline(in, line) ? line : "unknown";
}

std::string now_utc() {
  const std::time_t time = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts = {};
  gmtime_r(&time, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
}

}  // namespace

Json machine_facts() {
  Json json;
  json["date"] = now_utc();
  json["cpu"] = line_of("/proc/cpuinfo", "model name");
  json["cores"] = std::thread::hardware_concurrency();
  json["load"] = first_line("/proc/loadavg");
  json["huge_pages"] = first_line("/sys/kernel/mm/transparent_hugepage/enabled");
#ifdef __clang__
  json["compiler"] = "Clang " __VERSION__;
#else
  json["compiler"] = "GCC " __VERSION__;
#endif
  json["flags"] = VITRINE_BENCH_FLAGS;
  json["commit"] = VITRINE_BENCH_COMMIT;
  return json;
}

}  // namespace vitrine::bench
