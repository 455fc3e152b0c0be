// SPDX-License-Identifier: MIT
#include "bench/measure/machine.h"

#include <vitrine_commit.h>  // made by cmake/VitrineCommit.cmake

#include <chrono>
#include <ctime>
#include <fstream>
#include <string>
#include <thread>

#include "base/machine.h"

namespace vitrine::bench {
using namespace internal;
namespace {

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
  const Machine machine = read_machine();
  const auto known = [](const std::string& fact) { return fact.empty() ? "unknown" : fact; };
  Json json;
  json["date"] = now_utc();
  json["cpu"] = known(machine.cpu);
  json["cores"] = std::thread::hardware_concurrency();
  json["load"] = first_line("/proc/loadavg");
  json["huge_pages"] = known(machine.huge_pages);
#ifdef __clang__
  json["compiler"] = "Clang " __VERSION__;
#else
  json["compiler"] = "GCC " __VERSION__;
#endif
  json["flags"] = VITRINE_BENCH_FLAGS;
  json["commit"] = VITRINE_COMMIT;
  return json;
}

}  // namespace vitrine::bench
