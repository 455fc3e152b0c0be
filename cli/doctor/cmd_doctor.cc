// SPDX-License-Identifier: MIT
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <system_error>

#include "base/check.h"
#include "base/finite.h"
#include "cli/core/context.h"
#include "cli/core/ranks.h"
#include "cli/doctor/doctor.h"

namespace vitrine::cli {
using namespace internal;
namespace {

namespace fs = std::filesystem;

/// One layer, with enough weights for several threads.
Config trial_shape() {
  Config config;
  config.layers = 1;
  config.heads = 4;
  config.width = 256;
  config.inner = 1024;
  config.vocab = 1024;
  config.context = 64;
  return config;
}

std::vector<int32_t> trial_tokens() {
  std::vector<int32_t> tokens;
  for (int i = 0; i < 64; ++i) tokens.push_back(i);
  return tokens;
}

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// How long a pass takes with the default number of threads, with as many as there are idle
/// processors, and with one.
void try_threads(Facts& facts) {
  constexpr int kTurns = 9;
  const int by_default = facts.threads.threads,
            idle = static_cast<int>(facts.machine.allowed - facts.neighbours.busy + 0.5);
  std::vector<Model> models;
  for (const int threads : {by_default, idle, 1}) {
    const auto same = [&](const Facts::Trial& trial) { return trial.threads == threads; };
    if (threads < 1 || threads > by_default ||
        std::any_of(facts.trials.begin(), facts.trials.end(), same))
      continue;
    facts.trials.push_back({threads, 0});
    models.push_back(Model::random(trial_shape(), 1, {.threads = threads}));
  }
  std::vector<std::vector<double>> seconds(models.size());
  for (int turn = 0; turn < kTurns; ++turn) {
    for (size_t i = 0; i < models.size(); ++i)
      seconds[i].push_back(seconds_of([&] { models[i].forward(trial_tokens()); }));
  }
  for (size_t i = 0; i < models.size(); ++i) {
    const auto middle = seconds[i].begin() + kTurns / 2;
    std::nth_element(seconds[i].begin(), middle, seconds[i].end());
    facts.trials[i].seconds = *middle;
  }
}

/// Runs a small model there: what a device can do is what it does.
void try_device(Facts& facts) {
  try {
    if (facts.device == "cpu") try_threads(facts);
    const Model model = Model::random(trial_shape(), 1,
                                      {.device = facts.device, .threads = sensible_threads(facts)});
    const Run run = model.forward(trial_tokens());
    const TensorView logits = run.logits();
    if (first_non_finite(logits.data(), DType::kF32, logits.elements()))
      internal_error("its logits are not finite");
    facts.description = model.device_description();
  } catch (const Error& error) {
    if (facts.device != "cpu" && !facts.device.starts_with("cuda")) throw;  // not a device at all
    facts.failure = error.what();
  }
}

/// Of the disk that a folder is on, or would be.
std::optional<uint64_t> free_bytes(fs::path folder) {
  std::error_code error;
  while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  const fs::space_info space = fs::space(folder, error);
  return error ? std::nullopt : std::optional<uint64_t>(space.available);
}

void find_models(Facts& facts) {
  try {
    facts.models.demo = Model::locate("demo").string();
  } catch (const Error&) {  // not installed
  }
  facts.models.cache = hub_cache();
  facts.models.cached = cached_models();
  facts.models.free = free_bytes(facts.models.cache);
}

Facts gather(const std::string& device) {
  Facts facts;
  facts.machine = read_machine();
  facts.huge_asked = uint64_t{32} << 20;
  facts.huge_had = huge_pages_had(facts.huge_asked);
  facts.gpus = find_gpus();
  facts.build = build_facts();
  find_models(facts);
  facts.unit = cpu_unit();
  facts.threads = default_threads();
  for (const char* name : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_THREAD_LIMIT",
                           "OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"}) {
    if (std::getenv(name) != nullptr) facts.without_effect.emplace_back(name);
  }
  facts.neighbours = watch_neighbours(std::chrono::milliseconds(300));
  const GpuChoice choice = choose_gpu(device);
  facts.device = choice.device;
  facts.device_reason = choice.reason;
  try_device(facts);
  return facts;
}

void run(const Context& context) {
  const Facts facts = gather(context.device);
  const std::vector<Finding> found = findings(facts);
  if (context.json)
    print_json(doctor_json(facts, found));
  else
    print(doctor_text(context.out, facts, found));
  if (!found.empty() && found.front().weight == Weight::kProblem)
    internal_error("{}", found.front().what);
}

}  // namespace

void add_doctor(Command& app, Context& context) {
  Command command = app.add_subcommand(
      "doctor", "Show the machine's resources, their use, and recommended changes with commands");
  command
      .add_option("--device", context.device,
                  "Device to check: cpu, cuda, cuda:N. Exit status 0 if a model runs on it")
      ->capture_default_str()
      ->type_name("DEVICE")
      ->group("Model");
  add_output_options(command, context);
  set_examples(command,
               "  vitrine doctor\n"
               "  vitrine doctor --device cuda && vitrine bench --device cuda");
  command.callback([&context] { context.action = [&context] { run(context); }; });
}

}  // namespace vitrine::cli
