// SPDX-License-Identifier: MIT
#include <cstdlib>
#include <memory>
#include <system_error>

#include "base/check.h"
#include "base/finite.h"
#include "cli/core/context.h"
#include "cli/doctor/doctor.h"

namespace vitrine::cli {
using namespace internal;
namespace {

namespace fs = std::filesystem;

/// Runs a model of a few thousand weights there: what a device can do is what it does.
void try_device(Facts& facts) {
  Config config;
  config.layers = 1;
  config.heads = 2;
  config.width = 32;
  config.inner = 128;
  config.vocab = 64;
  config.context = 8;
  try {
    const Model model = Model::random(config, 1, {.device = facts.device});
    const Run run = model.forward(std::vector<int32_t>{1, 2, 3});
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
  facts.build.version = VITRINE_VERSION;
#ifdef __clang__
  facts.build.compiler = "Clang " __clang_version__;
#else
  facts.build.compiler = "GCC " __VERSION__;
#endif
  facts.build.toolkit = VITRINE_CUDA_TOOLKIT;
  facts.build.architectures = VITRINE_CUDA_CODE;
  find_models(facts);
  const char* threads = std::getenv("OMP_NUM_THREADS");
  facts.omp_num_threads = threads ? threads : "";
  facts.device = device;
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
