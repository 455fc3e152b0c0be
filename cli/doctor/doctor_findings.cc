// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>

#include "base/quote.h"
#include "cli/doctor/doctor.h"

namespace vitrine::cli {
using namespace internal;
std::string bytes_text(uint64_t bytes) { return human_bytes(static_cast<double>(bytes)); }

namespace {

using Findings = std::vector<Finding>;

// --- the device that was asked about

void judge_device(const Facts& facts, Findings& all) {
  if (facts.failure.empty()) return;
  std::string command;
  if (facts.device != "cpu") {
    if (facts.build.toolkit.empty())
      command = "cmake -B build -DVITRINE_CUDA=ON && cmake --build build";
    else
      command = facts.gpus.absent.empty() ? "vitrine doctor --device cpu" : "nvidia-smi";
  }
  all.push_back({Weight::kProblem,
                 fmt::format("no model runs on {}: {}", facts.device, facts.failure), command});
}

// --- processors

/// The trial of that number of threads; null if there was none.
const Facts::Trial* trial_of(const Facts& facts, int threads) {
  for (const Facts::Trial& trial : facts.trials) {
    if (trial.threads == threads) return &trial;
  }
  return nullptr;
}

void judge_processors(const Machine& m, Findings& all) {
  if (m.quota && m.quota->processors < m.allowed) {
    all.push_back(
        {Weight::kNote,
         fmt::format("the control group allows the time of {:g} CPUs, and the process "
                     "may run on {}: more threads would be throttled",
                     m.quota->processors, m.allowed),
         fmt::format("echo {} | sudo tee {}", m.quota->unlimited, m.quota->file.string())});
  }
  if (m.allowed > 0 && m.allowed < m.processors) {
    all.push_back({Weight::kNote,
                   fmt::format("the process may run on {} of {} CPUs; `taskset -cp $$` shows which",
                               m.allowed, m.processors),
                   fmt::format("taskset -c 0-{} vitrine COMMAND", m.processors - 1)});
  }
  if (m.numa_nodes > 1) {
    all.push_back({Weight::kAdvice,
                   fmt::format("memory is in {} NUMA nodes: weights are in one of them unless "
                               "interleaved, and are slower from the other CPUs",
                               m.numa_nodes),
                   "numactl --interleave=all vitrine COMMAND"});
  }
}

void judge_threads(const Facts& facts, Findings& all) {
  const Machine& m = facts.machine;
  const int by_default = facts.threads.threads, sensible = sensible_threads(facts);
  if (sensible != by_default) {
    all.push_back({Weight::kAdvice,
                   fmt::format("a pass takes {:.2g} ms with {} threads, the default, and {:.2g} ms "
                               "with {}",
                               1e3 * trial_of(facts, by_default)->seconds, by_default,
                               1e3 * trial_of(facts, sensible)->seconds, sensible),
                   fmt::format("vitrine COMMAND --threads {}", sensible)});
  } else if (m.cores > 0 && m.cores < m.processors && by_default > m.cores) {
    all.push_back(
        {Weight::kNote,
         fmt::format("{} CPUs are hardware threads of {} cores: one thread per core may be faster",
                     m.processors, m.cores),
         fmt::format("vitrine COMMAND --threads {}", m.cores)});
  }
}

void judge_environment(const Facts& facts, Findings& all) {
  const DefaultThreads& threads = facts.threads;
  for (const DefaultThreads::Invalid& invalid : threads.invalid)
    all.push_back(
        {Weight::kAdvice, invalid.message + "; it counts as not set", "unset " + invalid.name});
  const DefaultThreads::Limit* affinity = threads.find("affinity");
  const int allowed = affinity == nullptr ? 1 : affinity->threads;
  for (const char* name : {"OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"}) {
    const DefaultThreads::Limit* limit = threads.find(name);
    if (limit == nullptr) continue;
    if (threads.decided_by == name) {
      all.push_back({Weight::kNote,
                     fmt::format("{} is {}: models use {} of the {} CPUs that the process may run "
                                 "on",
                                 name, limit->value, limit->threads, allowed),
                     fmt::format("vitrine COMMAND --threads {}", allowed)});
    } else if (limit->threads > allowed) {
      all.push_back({Weight::kNote,
                     fmt::format("{} is {}, and the process may run on {} CPUs: models use no more "
                                 "than those, other programs may",
                                 name, limit->value, allowed),
                     fmt::format("export {}={}", name, allowed)});
    }
  }
  std::string names;
  for (const std::string& name : facts.without_effect) names += " " + name;
  if (!names.empty()) {
    all.push_back({Weight::kNote,
                   fmt::format("no effect on models:{}. Their threads are not OpenMP's, and sleep "
                               "when they have waited for 50 us; `taskset` binds them to CPUs",
                               names),
                   "unset" + names});
  }
}

void judge_neighbours(const Facts& facts, Findings& all) {
  const Neighbours& n = facts.neighbours;
  const double processors = std::max(facts.machine.allowed, 1);
  if (n.busy > std::max(0.3, 0.1 * processors)) {
    std::string command = "ps -eo pid,user,pcpu,comm --sort=-pcpu | head", who;
    if (n.heaviest) {
      who = fmt::format(", {:.1f} by process {} ({})", n.heaviest->busy, n.heaviest->number,
                        quote(n.heaviest->name));
      if (n.heaviest->own) command = fmt::format("renice -n 19 -p {}", n.heaviest->number);
    }
    all.push_back({Weight::kAdvice,
                   fmt::format("other processes keep {:.1f} of {:g} CPUs busy{}: passes take up "
                               "to two and a half times as long, and timings are unreliable",
                               n.busy, processors, who),
                   command});
    if (n.heaviest && n.heaviest->openmp) {
      all.push_back({Weight::kAdvice,
                     fmt::format("process {} ({}) uses OpenMP, whose threads keep CPUs busy while "
                                 "they wait; started anew with this variable they sleep",
                                 n.heaviest->number, quote(n.heaviest->name)),
                     "export OMP_WAIT_POLICY=passive"});
    }
  }
  if (n.stolen > 0.1 * processors) {
    all.push_back({Weight::kNote,
                   fmt::format("the host gives the time of {:.1f} of {:g} CPUs to other virtual "
                               "machines: timings are unreliable",
                               n.stolen, processors)});
  }
}

void judge_speed(const Machine& m, Findings& all) {
  // The drivers of Intel and AMD that choose frequencies themselves call their ordinary way
  // powersave.
  const bool own_choice =
      m.frequency_driver == "intel_pstate" || m.frequency_driver.starts_with("amd-pstate");
  if (m.governor == "powersave" && !own_choice) {
    all.push_back({Weight::kAdvice, "the CPUs run at their lowest frequency (governor powersave)",
                   "sudo cpupower frequency-set -g performance"});
  }
}

// --- memory

void judge_memory(const Machine& m, Findings& all) {
  constexpr uint64_t kLeast = uint64_t{256} << 20;  // the demo model and its work
  constexpr uint64_t kModest = uint64_t{2}
                               << 30;  // GPT-2 small in float32, its captures and a gradient
  const std::string limit = m.memory_limit ? fmt::format(" (the control group's limit is {})",
                                                         bytes_text(*m.memory_limit))
                                           : "";
  if (m.memory > 0 && m.room() < kLeast) {
    all.push_back({Weight::kProblem,
                   fmt::format("{} of memory are free{}", bytes_text(m.room()), limit),
                   "ps -eo pid,user,rss,comm --sort=-rss | head"});
  } else if (m.memory > 0 && m.room() < kModest) {
    all.push_back({Weight::kAdvice,
                   fmt::format("{} of memory are free{}: 16-bit weights take half of float32's, "
                               "and give the same results if the checkpoint stores them so",
                               bytes_text(m.room()), limit),
                   "vitrine COMMAND --dtype f16"});
  }
  if (m.swap_used > uint64_t{256} << 20)
    all.push_back(
        {Weight::kNote,
         fmt::format("{} are swapped out: memory is overcommitted", bytes_text(m.swap_used)),
         "free -h"});
  if (m.open_files && *m.open_files < 1024) {
    all.push_back({Weight::kAdvice,
                   fmt::format("{} files may be open at once; sharded checkpoints and corpora of "
                               "many files need more",
                               *m.open_files),
                   "ulimit -n 4096"});
  }
}

void judge_huge_pages(const Facts& facts, Findings& all) {
  const Machine& m = facts.machine;
  if (m.huge_pages == "never") {
    all.push_back({Weight::kAdvice,
                   "2 MB pages are disabled; weights are read about a fifth faster from them",
                   "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"});
  } else if (!m.huge_pages.empty() && facts.huge_asked > 0 &&
             facts.huge_had * 2 < facts.huge_asked) {
    all.push_back(
        {Weight::kAdvice,
         fmt::format("2 MB pages are enabled ({}), but only {} of {} were allocated in them: free "
                     "memory is fragmented",
                     m.huge_pages, bytes_text(facts.huge_had), bytes_text(facts.huge_asked)),
         "echo 1 | sudo tee /proc/sys/vm/compact_memory"});
  }
}

// --- GPUs

void judge_gpu(const Gpu& gpu, size_t index, Findings& all) {
  const std::string name = fmt::format("GPU {} ({})", index, gpu.name);
  if (gpu.major < 8)
    all.push_back(
        {Weight::kAdvice,
         fmt::format("{} has compute capability {}.{}: expected 8.0 (A100, RTX 30) or later", name,
                     gpu.major, gpu.minor)});
  if (gpu.persistence == false) {
    all.push_back({Weight::kAdvice,
                   name + " is shut down between programs (persistence mode is off), and each "
                          "takes seconds to start",
                   fmt::format("sudo nvidia-smi -i {} -pm 1", gpu.bus)});
  }
  if (gpu.mig == true) {
    all.push_back({Weight::kNote,
                   name + " is partitioned (MIG is on): a program uses one instance, with its part "
                          "of memory and speed",
                   fmt::format("sudo nvidia-smi -i {} -mig 0", gpu.bus)});
  }
  if (gpu.used && *gpu.used > gpu.memory / 4) {
    all.push_back({Weight::kAdvice,
                   fmt::format("{} is in use: {} of {} are taken", name, bytes_text(*gpu.used),
                               bytes_text(gpu.memory)),
                   "nvidia-smi"});
  }
}

void judge_gpus(const Facts& facts, Findings& all) {
  const Gpus& gpus = facts.gpus;
  for (size_t i = 0; i < gpus.found.size(); ++i) judge_gpu(gpus.found[i], i, all);
  if (facts.build.toolkit.empty()) {
    // Asked about a GPU, the failure has said so.
    if (!gpus.found.empty() && facts.device == "cpu") {
      all.push_back({Weight::kAdvice, "a GPU is present, but this build has no CUDA support",
                     "cmake -B build -DVITRINE_CUDA=ON && cmake --build build"});
    }
    return;
  }
  const int toolkit =
      std::atoi(facts.build.toolkit.c_str());  // the major version, which alone must fit
  if (gpus.cuda > 0 && gpus.cuda / 1000 < toolkit) {
    all.push_back(
        {Weight::kAdvice,
         fmt::format(
             "the NVIDIA driver {} supports CUDA {}, this build needs {}: update the driver",
             gpus.driver, cuda_version(gpus.cuda), facts.build.toolkit)});
  }
  if (!gpus.found.empty() && gpus.cublas != fmt::format("libcublasLt.so.{}", toolkit)) {
    all.push_back({Weight::kNote, fmt::format("missing libcublasLt.so.{}: --gemm cublas and its "
                                              "comparisons in `vitrine bench` are unavailable",
                                              toolkit)});
  }
}

void judge_models(const Facts& facts, Findings& all) {
  if (facts.models.demo.empty())
    all.push_back(
        {Weight::kAdvice, "missing model demo, the default of --model", "cmake --install build"});
  if (facts.models.cached.empty()) {
    all.push_back({Weight::kNote,
                   fmt::format("the Hugging Face cache {} contains no GPT-2 model",
                               facts.models.cache.string()),
                   "vitrine pull openai-community/gpt2"});
  }
}

}  // namespace

const char* weight_name(Weight weight) {
  return weight == Weight::kProblem ? "problem" : weight == Weight::kAdvice ? "advice" : "note";
}

int sensible_threads(const Facts& facts) {
  constexpr double kClearly = 1.2;
  const Facts::Trial* best = trial_of(facts, facts.threads.threads);
  if (best == nullptr) return facts.threads.threads;
  const double most = best->seconds / kClearly;
  for (const Facts::Trial& trial : facts.trials) {
    if (trial.seconds < most && trial.seconds < best->seconds) best = &trial;
  }
  return best->threads;
}

std::vector<Finding> findings(const Facts& facts) {
  Findings all;
  judge_device(facts, all);
  judge_memory(facts.machine, all);
  judge_processors(facts.machine, all);
  judge_threads(facts, all);
  judge_environment(facts, all);
  judge_neighbours(facts, all);
  judge_speed(facts.machine, all);
  judge_huge_pages(facts, all);
  judge_gpus(facts, all);
  judge_models(facts, all);
  std::stable_sort(all.begin(), all.end(),
                   [](const Finding& a, const Finding& b) { return a.weight < b.weight; });
  return all;
}

}  // namespace vitrine::cli
