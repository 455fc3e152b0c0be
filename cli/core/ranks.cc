// SPDX-License-Identifier: MIT
#include "cli/core/ranks.h"

#include <dlfcn.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/quote.h"
#include "cli/core/context.h"

namespace vitrine::cli {
using namespace internal;
namespace {

std::optional<int64_t> variable(const char* name, const char* instead) {
  const char* text = std::getenv(name);
  if (!text || *text == '\0') return std::nullopt;
  const std::string_view digits = text;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size())
    user_error("{} is {}: expected an integer; or use {}", name, quote(text), instead);
  return value;
}

/// Whether srun started this process. A batch script is a step to SLURM, too, of one process: its
/// number is SLURM_BATCH_SCRIPT, and an interactive allocation's SLURM_INTERACTIVE_STEP.
bool in_slurm_step() {
  for (const char* name : {"SLURM_STEP_ID", "SLURM_STEPID"}) {
    const char* text = std::getenv(name);
    const std::string_view step = text ? text : "";
    if (!step.empty())
      return step != "batch" && step != "interactive" && step != "4294967291" &&
             step != "4294967290";
  }
  return false;
}

void warn_without_step(const Rank& rank) {
  if (rank.world == 1 || in_slurm_step()) return;
  warn(fmt::format(
      "SLURM_PROCID is {} of SLURM_NTASKS = {}, but srun did not start this process: the parts of "
      "other ranks are not read; start it with srun, or use --rank 0 --world 1",
      rank.rank, rank.world));
}

/// As CUDA counts them, which obeys CUDA_VISIBLE_DEVICES; 0 without a driver.
int visible_gpus() {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!driver) return 0;
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto count_of = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));
  int count = 0;
  if (!init || !count_of || init(0) != 0 || count_of(&count) != 0) count = 0;
  return count;  // the driver stays loaded: the backend uses it next
}

}  // namespace

Rank rank_from_environment() {
  static constexpr std::array<std::pair<const char*, const char*>, 4> kLaunchers = {
      {{"RANK", "WORLD_SIZE"},
       {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
       {"PMI_RANK", "PMI_SIZE"},
       {"SLURM_PROCID", "SLURM_NTASKS"}}};
  for (const auto& [rank_name, world_name] : kLaunchers) {
    const auto rank = variable(rank_name, "--rank and --world"),
               world = variable(world_name, "--rank and --world");
    if (!rank || !world) continue;
    if (*rank < 0 || *rank >= *world)
      user_error("{} is {} with {} = {}: expected 0..{}", rank_name, *rank, world_name, *world,
                 *world - 1);
    Rank found{*rank, *world, rank_name};
    if (found.source == "SLURM_PROCID") warn_without_step(found);
    return found;
  }
  return {};
}

GpuChoice choose_gpu(const std::string& device) {
  GpuChoice choice{.device = device, .reason = {}};
  if (device != "cuda") return choice;
  for (const char* name :
       {"LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}) {
    const auto rank = variable(name, "--device cuda:N");
    if (!rank) continue;
    if (*rank < 0) user_error("{} is {}: expected 0 or more; or use --device cuda:N", name, *rank);
    const int gpus = visible_gpus();
    if (gpus < 2) return choice;
    choice.device = fmt::format("cuda:{}", *rank % gpus);
    choice.shared = *rank >= gpus;
    choice.reason = fmt::format("{} is {}", name, *rank);
    if (choice.shared) choice.reason += fmt::format(", and {} GPUs are visible", gpus);
    return choice;
  }
  return choice;
}

std::string device_of_rank(const std::string& device) {
  const GpuChoice choice = choose_gpu(device);
  if (choice.shared)
    warn(fmt::format("{}: this process shares {} with another", choice.reason, choice.device));
  return choice.device;
}

}  // namespace vitrine::cli
