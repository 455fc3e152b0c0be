// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/quote.h"
#include "cli/doctor/doctor.h"

namespace vitrine::cli {
using namespace internal;
namespace {

std::string or_unknown(const std::string& text) { return text.empty() ? "unknown" : text; }
std::string count_of(int count, const char* what) {
  return count == 1 ? fmt::format("1 {}", what) : fmt::format("{} {}s", count, what);
}

template <typename T>
JsonValue or_null(const std::optional<T>& value) {
  return value ? JsonValue(*value) : JsonValue(nullptr);
}
JsonValue or_null(const std::string& text) {
  return text.empty() ? JsonValue(nullptr) : JsonValue(text);
}

// --- JSON

JsonValue neighbours_json(const Neighbours& neighbours) {
  JsonValue json = {
      {"busy", neighbours.busy}, {"stolen", neighbours.stolen}, {"heaviest", JsonValue(nullptr)}};
  if (const auto& heaviest = neighbours.heaviest) {
    json["heaviest"] = {{"process", heaviest->number},
                        {"name", heaviest->name},
                        {"busy", heaviest->busy},
                        {"own", heaviest->own},
                        {"openmp", heaviest->openmp}};
  }
  return json;
}

JsonValue threads_json(const Facts& facts) {
  JsonValue json = {{"default", facts.threads.threads}, {"decided_by", facts.threads.decided_by}};
  json["limits"] = JsonValue::array();
  for (const auto& limit : facts.threads.limits)
    json["limits"].push_back(
        {{"name", limit.name}, {"value", limit.value}, {"threads", limit.threads}});
  json["invalid"] = JsonValue::array();
  for (const auto& invalid : facts.threads.invalid) json["invalid"].push_back(invalid.message);
  json["trials"] = JsonValue::array();
  for (const auto& trial : facts.trials)
    json["trials"].push_back({{"threads", trial.threads}, {"seconds", trial.seconds}});
  return json;
}

JsonValue machine_json(const Facts& facts) {
  const Machine& m = facts.machine;
  return {{"cpu", or_null(m.cpu)},
          {"simd", m.simd},
          {"processors", m.processors},
          {"cores", m.cores},
          {"sockets", m.sockets},
          {"numa_nodes", m.numa_nodes},
          {"allowed", m.allowed},
          {"quota", m.quota ? JsonValue(m.quota->processors) : JsonValue(nullptr)},
          {"governor", or_null(m.governor)},
          {"frequency_driver", or_null(m.frequency_driver)},
          {"load", m.load},
          {"neighbours", neighbours_json(facts.neighbours)},
          {"memory",
           {{"total", m.memory},
            {"available", m.available},
            {"limit", or_null(m.memory_limit)},
            {"room", m.room()},
            {"swap", m.swap},
            {"swap_used", m.swap_used}}},
          {"huge_pages",
           {{"mode", or_null(m.huge_pages)}, {"asked", facts.huge_asked}, {"had", facts.huge_had}}},
          {"open_files", or_null(m.open_files)}};
}

JsonValue gpus_json(const Gpus& gpus) {
  JsonValue json = {
      {"absent", or_null(gpus.absent)},
      {"driver", or_null(gpus.driver)},
      {"cuda", gpus.cuda > 0 ? JsonValue(cuda_version(gpus.cuda)) : JsonValue(nullptr)},
      {"cublas", or_null(gpus.cublas)}};
  json["found"] = JsonValue::array();
  for (const Gpu& gpu : gpus.found) {
    json["found"].push_back({{"name", gpu.name},
                             {"bus", gpu.bus},
                             {"memory", gpu.memory},
                             {"used", or_null(gpu.used)},
                             {"capability", fmt::format("{}.{}", gpu.major, gpu.minor)},
                             {"persistence", or_null(gpu.persistence)},
                             {"mig", or_null(gpu.mig)}});
  }
  return json;
}

JsonValue models_json(const Facts& facts) {
  JsonValue cached = JsonValue::array();
  for (const CachedModel& model : facts.models.cached)
    cached.push_back({{"name", model.name}, {"path", model.path.string()}, {"bytes", model.bytes}});
  return {{"demo", or_null(facts.models.demo)},
          {"cache", facts.models.cache.string()},
          {"free", or_null(facts.models.free)},
          {"cached", cached}};
}

// --- text

std::string processors_text(const Machine& m) {
  std::string text = fmt::format("{}; {}", or_unknown(m.cpu), count_of(m.processors, "processor"));
  if (m.cores > 0)
    text += fmt::format(" ({}, {})", count_of(m.cores, "core"), count_of(m.sockets, "socket"));
  if (m.numa_nodes > 1) text += fmt::format(", {} NUMA nodes", m.numa_nodes);
  if (m.quota)
    text += fmt::format("; the control group allows the time of {:g}", m.quota->processors);
  if (!m.governor.empty()) text += ", governor " + m.governor;
  return text + fmt::format("; load {:.2f}", m.load);
}

std::string threads_text(const DefaultThreads& threads) {
  std::string text = fmt::format("{} by default: {}", threads.threads, threads.decided_by);
  const char* between = " (of ";
  for (const auto& limit : threads.limits)
    text += fmt::format("{}{} {}", std::exchange(between, ", "), limit.name, limit.value);
  return text + ")";
}

std::string neighbours_text(const Facts& facts) {
  const Neighbours& n = facts.neighbours;
  std::string text = fmt::format("other processes keep {:.1f} of {} busy", n.busy,
                                 count_of(facts.machine.allowed, "CPU"));
  if (n.heaviest)
    text += fmt::format(", process {} ({}) {:.1f}", n.heaviest->number, quote(n.heaviest->name),
                        n.heaviest->busy);
  return text;
}

std::string device_text(const Facts& facts) {
  if (!facts.failure.empty()) return facts.device + ": no model runs on it";
  std::string text = facts.description + ": a model has run on it";
  const char* between = "; a pass took ";
  for (const auto& trial : facts.trials)
    text += fmt::format("{}{:.2g} ms with {}", std::exchange(between, ", "), 1e3 * trial.seconds,
                        count_of(trial.threads, "thread"));
  return text;
}

std::string memory_text(const Machine& m) {
  std::string text = fmt::format("{} of {} left", bytes_text(m.room()), bytes_text(m.memory));
  if (m.memory_limit)
    text += fmt::format(", the control group's limit is {}", bytes_text(*m.memory_limit));
  return text + (m.swap == 0 ? "; no swap"
                             : fmt::format("; {} of {} swap used", bytes_text(m.swap_used),
                                           bytes_text(m.swap)));
}

std::string huge_pages_text(const Facts& facts) {
  return fmt::format("{}; of {} requested, {} came in 2 MB pages",
                     or_unknown(facts.machine.huge_pages), bytes_text(facts.huge_asked),
                     bytes_text(facts.huge_had));
}

std::string gpu_text(const Gpu& gpu) {
  std::string text = fmt::format("{}, {}, compute capability {}.{}", gpu.name,
                                 bytes_text(gpu.memory), gpu.major, gpu.minor);
  if (gpu.used) text += fmt::format(", {} in use", bytes_text(*gpu.used));
  if (gpu.persistence) text += *gpu.persistence ? ", persistent" : ", not persistent";
  return text + (gpu.mig == true ? ", MIG" : "");
}

std::string build_text(const Facts& facts) {
  const std::string cuda =
      facts.build.toolkit.empty()
          ? "without CUDA"
          : fmt::format("CUDA {} for {}", facts.build.toolkit, facts.build.architectures);
  return fmt::format("vitrine {} ({}), {}, {}", facts.build.version, facts.build.commit,
                     facts.build.compiler, cuda);
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string unit_text(const CpuUnit& unit) {
  return fmt::format("{}: {} (of {})", unit.name,
                     unit.decided_by == "processor" ? "the best" : unit.decided_by,
                     unit.here.empty() ? "none" : joined(unit.here));
}

std::vector<std::pair<std::string, std::string>> fact_lines(const Facts& facts) {
  const Machine& m = facts.machine;
  std::vector<std::pair<std::string, std::string>> lines = {
      {"processor", processors_text(m)},      {"SIMD", or_unknown(joined(m.simd))},
      {"unit", unit_text(facts.unit)},        {"threads", threads_text(facts.threads)},
      {"neighbours", neighbours_text(facts)}, {"memory", memory_text(m)},
      {"huge pages", huge_pages_text(facts)}};
  lines.emplace_back("open files",
                     m.open_files
                         ? fmt::format("{} at most", thousands(static_cast<int64_t>(*m.open_files)))
                         : "no limit known");
  if (!facts.gpus.absent.empty()) lines.emplace_back("GPU", "none: " + facts.gpus.absent);
  for (size_t i = 0; i < facts.gpus.found.size(); ++i)
    lines.emplace_back(fmt::format("GPU {}", i), gpu_text(facts.gpus.found[i]));
  if (facts.gpus.cuda > 0)
    lines.emplace_back("driver",
                       fmt::format("{}, CUDA {}; cuBLAS: {}", or_unknown(facts.gpus.driver),
                                   cuda_version(facts.gpus.cuda),
                                   facts.gpus.cublas.empty() ? "not found" : facts.gpus.cublas));
  lines.emplace_back("build", build_text(facts));
  lines.emplace_back(
      "models", facts.models.demo.empty() ? "demo is not installed" : "demo: " + facts.models.demo);
  for (const CachedModel& model : facts.models.cached)
    lines.emplace_back(
        "", fmt::format("{}: {} in {}", model.name, bytes_text(model.bytes), model.path.string()));
  lines.emplace_back(
      "cache",
      facts.models.cache.string() +
          (facts.models.free ? fmt::format(", {} free", bytes_text(*facts.models.free)) : ""));
  lines.emplace_back("device", device_text(facts));
  if (!facts.device_reason.empty())
    lines.emplace_back("",
                       fmt::format("{} of several GPUs: {}", facts.device, facts.device_reason));
  return lines;
}

Style style_of(Weight weight) {
  return weight == Weight::kProblem  ? Style::kBad
         : weight == Weight::kAdvice ? Style::kPoor
                                     : Style::kDim;
}

}  // namespace

JsonValue doctor_json(const Facts& facts, const std::vector<Finding>& found) {
  JsonValue json = {{"vitrine", facts.build.version},
                    {"command", "doctor"},
                    {"machine", machine_json(facts)},
                    {"gpus", gpus_json(facts.gpus)},
                    {"models", models_json(facts)}};
  json["build"] = {{"commit", facts.build.commit},
                   {"compiler", facts.build.compiler},
                   {"cuda", or_null(facts.build.toolkit)},
                   {"architectures", or_null(facts.build.architectures)}};
  json["use"] = {{"device", facts.device},
                 {"device_reason", or_null(facts.device_reason)},
                 {"description", or_null(facts.description)},
                 {"failure", or_null(facts.failure)},
                 {"unit",
                  {{"name", facts.unit.name},
                   {"decided_by", facts.unit.decided_by},
                   {"here", facts.unit.here}}},
                 {"threads", threads_json(facts)},
                 {"sensible_threads", sensible_threads(facts)}};
  json["findings"] = JsonValue::array();
  for (const Finding& finding : found)
    json["findings"].push_back({{"weight", weight_name(finding.weight)},
                                {"what", finding.what},
                                {"command", or_null(finding.command)}});
  json["usable"] = found.empty() || found.front().weight != Weight::kProblem;
  return json;
}

std::string doctor_text(const Terminal& out, const Facts& facts,
                        const std::vector<Finding>& found) {
  std::string text;
  for (const auto& [name, value] : fact_lines(facts))
    text += out.paint(Style::kDim, left(name, 12)) + value + "\n";
  text += "\n";
  if (found.empty()) text += out.paint(Style::kBest, "nothing to change") + "\n";
  for (const Finding& finding : found) {
    text += out.paint(style_of(finding.weight), left(weight_name(finding.weight), 9)) +
            finding.what + "\n";
    if (!finding.command.empty())
      text += "         " + out.paint(Style::kTitle, "$ " + finding.command) + "\n";
  }
  return text;
}

}  // namespace vitrine::cli
