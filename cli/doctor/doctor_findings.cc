// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>
#include <charconv>

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

void judge_threads(const Facts& facts, Findings& all) {
  const Machine& m = facts.machine;
  const int threads = sensible_threads(m);
  if (m.quota && *m.quota < m.allowed) {
    all.push_back({Weight::kAdvice,
                   fmt::format("the control group allows the time of {:g} CPUs, and all {} would "
                               "be used: threads beyond it are throttled",
                               *m.quota, m.allowed),
                   fmt::format("vitrine COMMAND --threads {}", threads)});
  }
  if (m.allowed > 0 && m.allowed < m.processors) {
    all.push_back({Weight::kNote,
                   fmt::format("the process may run on {} of {} CPUs; `taskset -cp $$` shows which",
                               m.allowed, m.processors)});
  }
  if (m.cores > 0 && m.cores < m.processors && m.allowed > m.cores) {
    all.push_back(
        {Weight::kNote,
         fmt::format("{} CPUs are hardware threads of {} cores: one thread per core may be faster",
                     m.processors, m.cores),
         fmt::format("vitrine COMMAND --threads {}", std::min(m.cores, threads))});
  }
  if (m.numa_nodes > 1) {
    all.push_back({Weight::kAdvice,
                   fmt::format("memory is in {} NUMA nodes: weights are in one of them unless "
                               "interleaved, and are slower from the other CPUs",
                               m.numa_nodes),
                   "numactl --interleave=all vitrine COMMAND"});
  }
}

void judge_openmp(const Facts& facts, Findings& all) {
  const std::string& text = facts.omp_num_threads;
  if (text.empty()) return;
  int threads = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
  const bool number =
      error == std::errc() && threads > 0 && (end == text.data() + text.size() || *end == ',');
  const int allowed = std::max(facts.machine.allowed, 1);
  if (!number) {
    all.push_back(
        {Weight::kAdvice,
         fmt::format("invalid OMP_NUM_THREADS {}: expected a number of threads", quote(text)),
         "unset OMP_NUM_THREADS"});
  } else if (threads > allowed) {
    all.push_back({Weight::kAdvice,
                   fmt::format("OMP_NUM_THREADS is {}, and the process may run on {} CPUs: models "
                               "use --threads, but other programs would oversubscribe the CPUs",
                               threads, allowed),
                   fmt::format("export OMP_NUM_THREADS={}", sensible_threads(facts.machine))});
  } else if (threads < allowed) {
    all.push_back(
        {Weight::kNote,
         fmt::format("OMP_NUM_THREADS is {}; models ignore it and use --threads", threads),
         fmt::format("vitrine COMMAND --threads {}", threads)});
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
  const int processors = std::max({m.allowed, m.processors, 1});
  if (m.load > 0.5 * processors) {
    all.push_back(
        {Weight::kAdvice,
         fmt::format("other processes are running: load {:.1f} on {} CPUs; timings are unreliable",
                     m.load, processors),
         "ps -eo pid,user,pcpu,comm --sort=-pcpu | head"});
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
                   "hf download openai-community/gpt2"});
  }
}

}  // namespace

const char* weight_name(Weight weight) {
  return weight == Weight::kProblem ? "problem" : weight == Weight::kAdvice ? "advice" : "note";
}

int sensible_threads(const Machine& machine) {
  const int allowed = std::max(machine.allowed, 1);
  return machine.quota ? std::clamp(static_cast<int>(*machine.quota), 1, allowed) : allowed;
}

std::vector<Finding> findings(const Facts& facts) {
  Findings all;
  judge_device(facts, all);
  judge_memory(facts.machine, all);
  judge_threads(facts, all);
  judge_openmp(facts, all);
  judge_speed(facts.machine, all);
  judge_huge_pages(facts, all);
  judge_gpus(facts, all);
  judge_models(facts, all);
  std::stable_sort(all.begin(), all.end(),
                   [](const Finding& a, const Finding& b) { return a.weight < b.weight; });
  return all;
}

}  // namespace vitrine::cli
