// SPDX-License-Identifier: MIT
// `vitrine doctor`: what it advises on machines that these tests make up, and what the command says
// of them.

#include "cli/doctor/doctor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "runner.h"
#include "tests/base/test_files.h"

namespace vitrine::testing {
using namespace internal;
namespace {

using cli::Facts;
using cli::Finding;
using cli::Weight;

constexpr uint64_t kGigabyte = uint64_t{1} << 30;

/// A machine without anything to say about it.
Facts healthy() {
  Facts facts;
  Machine& m = facts.machine;
  m.cpu = "Example";
  m.processors = m.allowed = m.cores = 8;
  m.sockets = m.numa_nodes = 1;
  m.governor = "performance";
  m.load = 0.5;
  m.memory = 32 * kGigabyte;
  m.available = 16 * kGigabyte;
  m.huge_pages = "madvise";
  m.open_files = 4096;
  facts.threads.threads = 8;
  facts.threads.decided_by = "affinity";
  facts.threads.limits = {{"affinity", "8", 8}};
  facts.trials = {{8, 1.0e-3}, {1, 6.0e-3}};
  facts.huge_asked = facts.huge_had = 32 << 20;
  facts.gpus.absent = "no driver";
  facts.build.version = "1";
  facts.models.demo = "/demo";
  facts.models.cached = {{"gpt2", "/cache/gpt2", 500}};
  facts.description = "cpu (AVX2, 8 threads)";
  return facts;
}

Facts with_gpu() {
  Facts facts = healthy();
  facts.gpus.driver = "570.1";
  facts.gpus.cuda = 12080;
  facts.gpus.cublas = "libcublasLt.so.12";
  facts.gpus.found = {{.name = "H100",
                       .bus = "0000:17:00.0",
                       .memory = 80 * kGigabyte,
                       .major = 9,
                       .used = 0,
                       .persistence = true,
                       .mig = false}};
  facts.build.toolkit = "12.8.61";
  return facts;
}

/// The findings after a change: "WEIGHT COMMAND" each, and that `words` stand in the first one.
std::vector<std::string> after(Facts facts, const std::function<void(Facts&)>& change,
                               const std::vector<std::string>& words = {}) {
  change(facts);
  const std::vector<Finding> found = cli::findings(facts);
  std::vector<std::string> list;
  for (const Finding& finding : found)
    list.push_back(std::string(cli::weight_name(finding.weight)) + " " + finding.command);
  for (const std::string& word : words) {
    EXPECT_NE((found.empty() ? "" : found[0].what).find(word), std::string::npos)
        << word << " in: " << (found.empty() ? "nothing" : found[0].what);
  }
  return list;
}

using List = std::vector<std::string>;

TEST(DoctorFindings, NothingIsSaidOfAHealthyMachine) {
  EXPECT_EQ(after(healthy(), [](Facts&) {}), List{});
  EXPECT_EQ(after(with_gpu(), [](Facts&) {}), List{});
}

TEST(DoctorFindings, Processors) {
  const auto quota = [](double processors) {
    return [=](Facts& f) { f.machine.quota = Quota{processors, "/sys/x/cpu.max", "max"}; };
  };
  EXPECT_EQ(after(healthy(), quota(2.5), {"2.5", "8"}),
            List{"note echo max | sudo tee /sys/x/cpu.max"});
  EXPECT_EQ(after(healthy(), quota(8)), List{});
  EXPECT_EQ(after(healthy(), [](Facts& f) { f.machine.allowed = 3; }, {"3 of 8"}),
            List{"note taskset -c 0-7 vitrine COMMAND"});
  EXPECT_EQ(after(healthy(), [](Facts& f) { f.machine.cores = 4; }, {"4 cores"}),
            List{"note vitrine COMMAND --threads 4"});
  EXPECT_EQ(after(healthy(), [](Facts& f) { f.machine.numa_nodes = 2; }, {"2 NUMA"}),
            List{"advice numactl --interleave=all vitrine COMMAND"});
}

TEST(DoctorFindings, FewerThreadsWhereTheyWereClearlyFaster) {
  const auto trials = [](std::vector<Facts::Trial> list) {
    return [=](Facts& f) { f.trials = list; };
  };
  const auto sensible = [&](std::vector<Facts::Trial> list) {
    Facts facts = healthy();
    facts.trials = std::move(list);
    return cli::sensible_threads(facts);
  };
  EXPECT_EQ(after(healthy(), trials({{8, 3.1e-3}, {5, 1.7e-3}, {1, 2.2e-3}}), {"3.1", "1.7", "5"}),
            List{"advice vitrine COMMAND --threads 5"});
  EXPECT_EQ(sensible({{8, 3.1e-3}, {5, 1.7e-3}, {1, 2.2e-3}}), 5);
  EXPECT_EQ(sensible({{8, 3.1e-3}, {5, 2.7e-3}, {1, 2.9e-3}}), 8) << "within the noise";
  EXPECT_EQ(after(healthy(), trials({{8, 3.1e-3}, {5, 2.7e-3}})), List{});
  EXPECT_EQ(sensible({}), 8) << "no trial";
}

TEST(DoctorFindings, Environment) {
  const auto limit = [](const char* name, const char* value, int threads) {
    return [=](Facts& f) {
      f.threads.limits.push_back({name, value, threads});
      if (threads >= f.threads.threads) return;
      f.threads.threads = threads;
      f.threads.decided_by = name;
      f.trials = {{threads, 1e-3}};
    };
  };
  for (const char* name : {"OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"}) {
    const std::string variable = name;
    EXPECT_EQ(after(healthy(), limit(name, "64", 64), {variable, "64", "8"}),
              List{"note export " + variable + "=8"});
    EXPECT_EQ(after(healthy(), limit(name, "8", 8)), List{});
    EXPECT_EQ(after(healthy(), limit(name, "2,4", 2), {variable, "2,4", "8"}),
              List{"note vitrine COMMAND --threads 8"});
    EXPECT_EQ(after(healthy(),
                    [&](Facts& f) {
                      f.threads.invalid = {{variable, "invalid " + variable}};
                    },
                    {"invalid " + variable, "not set"}),
              List{"advice unset " + variable});
  }
  EXPECT_EQ(after(healthy(),
                  [](Facts& f) {
                    f.without_effect = {"OMP_WAIT_POLICY", "OMP_PLACES"};
                  },
                  {"OMP_WAIT_POLICY OMP_PLACES", "taskset"}),
            List{"note unset OMP_WAIT_POLICY OMP_PLACES"});
}

TEST(DoctorFindings, Neighbours) {
  const auto busy = [](double processors, bool own = false, bool openmp = false) {
    return [=](Facts& f) {
      f.neighbours.busy = processors;
      f.neighbours.heaviest = {4242, "other work", processors / 2, own, openmp};
    };
  };
  EXPECT_EQ(after(healthy(), busy(0.7)), List{});
  EXPECT_EQ(after(healthy(), busy(4), {"4.0 of 8", "4242", "other work", "2.0"}),
            List{"advice ps -eo pid,user,pcpu,comm --sort=-pcpu | head"});
  EXPECT_EQ(after(healthy(), busy(4, true)), List{"advice renice -n 19 -p 4242"});
  EXPECT_EQ(after(healthy(), busy(4, true, true)),
            (List{"advice renice -n 19 -p 4242", "advice export OMP_WAIT_POLICY=passive"}));
  EXPECT_EQ(after(healthy(), [](Facts& f) { f.neighbours.busy = 4; }, {"4.0"}),
            List{"advice ps -eo pid,user,pcpu,comm --sort=-pcpu | head"})
      << "many small ones";
  EXPECT_EQ(after(healthy(), [](Facts& f) { f.neighbours.stolen = 2; }, {"2.0 of 8"}),
            List{"note "});
}

TEST(DoctorFindings, SpeedOfTheProcessors) {
  EXPECT_EQ(after(healthy(),
                  [](Facts& f) {
                    f.machine.governor = "powersave", f.machine.frequency_driver = "acpi-cpufreq";
                  }),
            List{"advice sudo cpupower frequency-set -g performance"});
  for (const char* driver : {"intel_pstate", "amd-pstate-epp"}) {
    EXPECT_EQ(after(healthy(),
                    [&](Facts& f) {
                      f.machine.governor = "powersave", f.machine.frequency_driver = driver;
                    }),
              List{})
        << "their way of choosing frequencies themselves";
  }
}

TEST(DoctorFindings, Memory) {
  EXPECT_EQ(after(healthy(), [](Facts& f) { f.machine.available = 100 << 20; }, {"105 MB"}),
            List{"problem ps -eo pid,user,rss,comm --sort=-rss | head"});
  EXPECT_EQ(after(healthy(),
                  [](Facts& f) {
                    f.machine.memory_limit = 2 * kGigabyte, f.machine.memory_used = kGigabyte;
                  },
                  {"1.07 GB", "2.15 GB"}),
            List{"advice vitrine COMMAND --dtype f16"});
  EXPECT_EQ(after(healthy(), [](Facts& f) { f.machine.swap_used = kGigabyte; }),
            List{"note free -h"});
  EXPECT_EQ(after(healthy(), [](Facts& f) { f.machine.open_files = 256; }, {"256"}),
            List{"advice ulimit -n 4096"});
  EXPECT_EQ(after(healthy(), [](Facts& f) { f.machine.open_files.reset(); }), List{});
  EXPECT_EQ(after(healthy(), [](Facts& f) { f.machine.huge_pages = "never", f.huge_had = 0; }),
            List{"advice echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"});
  EXPECT_EQ(after(healthy(), [](Facts& f) { f.huge_had = 8 << 20; }, {"madvise", "8.39 MB"}),
            List{"advice echo 1 | sudo tee /proc/sys/vm/compact_memory"});
  EXPECT_EQ(after(healthy(), [](Facts& f) { f.machine.huge_pages = "", f.huge_had = 0; }), List{})
      << "not known";
}

TEST(DoctorFindings, Gpus) {
  const auto gpu = [](const std::function<void(cli::Gpu&)>& change) {
    return [change](Facts& f) { change(f.gpus.found[0]); };
  };
  EXPECT_EQ(after(with_gpu(), gpu([](cli::Gpu& g) { g.major = 7, g.minor = 5; }),
                  {"GPU 0", "7.5", "8.0"}),
            List{"advice "});
  EXPECT_EQ(after(with_gpu(), gpu([](cli::Gpu& g) { g.persistence = false; })),
            List{"advice sudo nvidia-smi -i 0000:17:00.0 -pm 1"});
  EXPECT_EQ(after(with_gpu(), gpu([](cli::Gpu& g) { g.mig = true; })),
            List{"note sudo nvidia-smi -i 0000:17:00.0 -mig 0"});
  EXPECT_EQ(
      after(with_gpu(), gpu([](cli::Gpu& g) { g.used = 40 * kGigabyte; }), {"42.9 GB", "85.9 GB"}),
      List{"advice nvidia-smi"});
  EXPECT_EQ(after(with_gpu(),
                  gpu([](cli::Gpu& g) { g.used.reset(), g.persistence.reset(), g.mig.reset(); })),
            List{})
      << "what the driver does not say";
  EXPECT_EQ(after(with_gpu(), [](Facts& f) { f.build.toolkit.clear(); }),
            List{"advice cmake -B build -DVITRINE_CUDA=ON && cmake --build build"});
  EXPECT_EQ(after(with_gpu(), [](Facts& f) { f.gpus.cuda = 11080; }, {"570.1", "11.8", "12.8.61"}),
            List{"advice "});
  EXPECT_EQ(after(with_gpu(), [](Facts& f) { f.gpus.cuda = 12020; }), List{})
      << "minor versions fit each other";
  EXPECT_EQ(after(with_gpu(), [](Facts& f) { f.gpus.cublas = "libcublasLt.so.13"; },
                  {"libcublasLt.so.12"}),
            List{"note "});
}

TEST(DoctorFindings, ProblemsComeFirst) {
  const auto failed = [](const char* toolkit, const char* absent) {
    return [=](Facts& f) {
      f.device = "cuda", f.failure = "it is broken", f.build.toolkit = toolkit,
      f.gpus.absent = absent, f.neighbours.busy = 8, f.without_effect = {"OMP_PLACES"};
    };
  };
  const List rest = {"advice ps -eo pid,user,pcpu,comm --sort=-pcpu | head",
                     "note unset OMP_PLACES"};
  EXPECT_EQ(
      after(healthy(), failed("", "no driver"), {"cuda", "it is broken"}),
      (List{"problem cmake -B build -DVITRINE_CUDA=ON && cmake --build build", rest[0], rest[1]}));
  EXPECT_EQ(after(healthy(), failed("12.8", "no driver")),
            (List{"problem nvidia-smi", rest[0], rest[1]}));
  EXPECT_EQ(after(healthy(), failed("12.8", "")),
            (List{"problem vitrine doctor --device cpu", rest[0], rest[1]}));
  EXPECT_EQ(after(healthy(),
                  [](Facts& f) {
                    f.models.demo.clear(), f.models.cached.clear(), f.models.cache = "/cache";
                  },
                  {"demo"}),
            (List{"advice cmake --install build", "note vitrine pull openai-community/gpt2"}));
}

// --- the command

Json doctor(const std::vector<std::pair<std::string, std::string>>& environment,
            std::vector<std::string> more = {}, int status = 0) {
  std::vector<std::string> arguments = {"doctor", "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const CliResult result = run_cli(arguments, {.environment = environment});
  EXPECT_EQ(result.status, status) << result.err;
  return Json::parse(result.out);
}

TEST(Doctor, SaysWhatIsHere) {
  TempFolder cache;
  const Json json = doctor({{"HF_HUB_CACHE", cache.path().string()},
                            {"OMP_NUM_THREADS", "many"},
                            {"SLURM_CPUS_PER_TASK", "1"},
                            {"OMP_WAIT_POLICY", ""},
                            {"GOMP_SPINCOUNT", "0"}});
  EXPECT_EQ(json["command"], "doctor");
  EXPECT_EQ(json["machine"]["allowed"], read_machine().allowed);
  EXPECT_GE(json["machine"]["neighbours"]["busy"], 0);
  EXPECT_GT(json["machine"]["memory"]["room"], 0);
  EXPECT_EQ(json["machine"]["huge_pages"]["asked"], 32 << 20);
  EXPECT_EQ(json["models"]["cache"], cache.path().string());
  EXPECT_EQ(json["models"]["cached"], Json::array());
  EXPECT_EQ(json["use"]["device"], "cpu");
  EXPECT_TRUE(json["use"]["description"].get<std::string>().starts_with("cpu ("));
  EXPECT_TRUE(json["use"]["description"].get<std::string>().ends_with(" 1 thread)"));
  EXPECT_EQ(json["usable"], true);
  EXPECT_EQ(
      json["use"]["unit"],
      (Json{{"name", cpu_unit().name}, {"decided_by", "processor"}, {"here", cpu_unit().here}}));
  const Json& threads = json["use"]["threads"];
  EXPECT_EQ(threads["default"], 1);
  EXPECT_EQ(threads["decided_by"],
            read_machine().allowed == 1 ? "affinity" : "SLURM_CPUS_PER_TASK");
  EXPECT_EQ(threads["limits"][0]["threads"], read_machine().allowed);
  EXPECT_EQ(threads["limits"].back(),
            (Json{{"name", "SLURM_CPUS_PER_TASK"}, {"value", "1"}, {"threads", 1}}));
  EXPECT_EQ(threads["invalid"].size(), 1u);
  ASSERT_EQ(threads["trials"].size(), 1u) << "its own trial keeps to the limits";
  EXPECT_EQ(threads["trials"][0]["threads"], 1);
  EXPECT_GT(threads["trials"][0]["seconds"], 0);
  const auto finds = [&](const std::vector<std::string>& all) {
    return std::any_of(json["findings"].begin(), json["findings"].end(), [&](const Json& finding) {
      return std::all_of(all.begin(), all.end(), [&](const std::string& word) {
        return finding.dump().find(word) != std::string::npos;
      });
    });
  };
  EXPECT_TRUE(finds({"invalid OMP_NUM_THREADS", "many", "unset OMP_NUM_THREADS"}));
  EXPECT_TRUE(finds({"no effect", "unset GOMP_SPINCOUNT"}));
}

// torchrun, mpirun and srun start a process for each GPU of a machine, all with the same command.
TEST(Doctor, SaysWhichGpuALocalRankUses) {
  const auto use = [&](std::vector<std::pair<std::string, std::string>> environment,
                       const std::string& device = "cuda", const char* gpus = "2") {
    for (const char* name :
         {"LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}) {
      if (std::none_of(environment.begin(), environment.end(),
                       [&](const auto& pair) { return pair.first == name; }))
        environment.emplace_back(name, "");
    }
    environment.insert(environment.end(), {{"LD_LIBRARY_PATH", FAKE_DRIVER}, {"FAKE_GPUS", gpus}});
    const CliResult result =
        run_cli({"doctor", "--json", "--device", device}, {.environment = environment});
    const Json json = Json::parse(result.out)["use"];
    return json["device"].get<std::string>() + ": " +
           (json["device_reason"].is_null() ? "" : json["device_reason"].get<std::string>());
  };
  EXPECT_EQ(use({}), "cuda: ");
  for (const char* name :
       {"LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}) {
    EXPECT_EQ(use({{name, "1"}}), std::string("cuda:1: ") + name + " is 1");
  }
  EXPECT_EQ(use({{"LOCAL_RANK", "0"}, {"SLURM_LOCALID", "1"}}), "cuda:0: LOCAL_RANK is 0");
  EXPECT_EQ(use({{"LOCAL_RANK", "5"}}), "cuda:1: LOCAL_RANK is 5, and 2 GPUs are visible");
  EXPECT_EQ(use({{"LOCAL_RANK", "1"}}, "cuda:0"), "cuda:0: ") << "a number is obeyed";
  EXPECT_EQ(use({{"LOCAL_RANK", "1"}}, "cpu"), "cpu: ");
  EXPECT_EQ(use({{"LOCAL_RANK", "1"}}, "cuda", "1"), "cuda: ") << "SLURM shows each its own";
  const CliResult bad =
      run_cli({"doctor", "--device", "cuda"}, {.environment = {{"LOCAL_RANK", "x"}}});
  EXPECT_EQ(bad.status, 2);
  EXPECT_TRUE(says(bad.err, "LOCAL_RANK is 'x'", "--device cuda:N"));
}

TEST(Doctor, SeesGpusByTheirDriver) {
  const Json json = doctor({{"LD_LIBRARY_PATH", FAKE_DRIVER}});
  const Json& gpus = json["gpus"];
  EXPECT_EQ(gpus["absent"], nullptr);
  EXPECT_EQ(gpus["driver"], "570.86.10");
  EXPECT_EQ(gpus["cuda"], "12.8");
  ASSERT_EQ(gpus["found"].size(), 2u);
  EXPECT_EQ(gpus["found"][0], (Json{{"name", "Fake H100"},
                                    {"bus", "0000:70:00.0"},
                                    {"memory", 80'000'000'000},
                                    {"used", 30'000'000'000},
                                    {"capability", "9.0"},
                                    {"persistence", false},
                                    {"mig", true}}));
  EXPECT_EQ(gpus["found"][1], (Json{{"name", "Fake T4"},
                                    {"bus", "0000:71:00.0"},
                                    {"memory", 16'000'000'000},
                                    {"used", 0},
                                    {"capability", "7.5"},
                                    {"persistence", true},
                                    {"mig", nullptr}}));
  const auto advises = [&](const char* word) {
    return std::any_of(json["findings"].begin(), json["findings"].end(), [&](const Json& finding) {
      return finding.dump().find(word) != std::string::npos;
    });
  };
  EXPECT_TRUE(advises("-i 0000:70:00.0 -pm 1"));
  EXPECT_TRUE(advises("GPU 1 (Fake T4) has compute capability 7.5"));
  EXPECT_EQ(doctor({{"LD_LIBRARY_PATH", FAKE_DRIVER}, {"FAKE_CUINIT", "100"}})["gpus"]["absent"],
            "the NVIDIA driver finds no GPU to use (CUDA_ERROR_NO_DEVICE)");
  EXPECT_EQ(doctor({{"LD_LIBRARY_PATH", FAKE_DRIVER}, {"FAKE_GPUS", "0"}})["gpus"]["absent"],
            "the NVIDIA driver shows no GPU to this process");
}

TEST(Doctor, NamesTheVectorUnitAndWhatDecided) {
  if (cpu_unit().here.empty()) GTEST_SKIP() << "this processor has no unit to choose";
  const std::string least = cpu_unit().here.front();
  const Json use = doctor({{"VITRINE_CPU", least}})["use"];
  EXPECT_EQ(use["unit"]["name"], least);
  EXPECT_EQ(use["unit"]["decided_by"], "VITRINE_CPU");
  if (cpu_unit().here.size() > 1) {
    EXPECT_NE(use["description"], doctor({})["use"]["description"]) << "kernels of another unit";
  }
  const CliResult wrong = run_cli({"doctor"}, {.environment = {{"VITRINE_CPU", "mmx"}}});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_EQ(wrong.out, "");
  EXPECT_TRUE(says(wrong.err, "unknown VITRINE_CPU 'mmx'", "expected"));
}

TEST(Doctor, EndsWithOneWhereNoModelRuns) {
  const CliResult result = run_cli({"doctor", "--device", "cuda:9999", "--width", "0"});
  EXPECT_EQ(result.status, 1) << result.out;
  EXPECT_TRUE(says(result.out, "processor", "memory", "huge pages", "build",
                   "problem  no model runs on cuda:9999"));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_EQ(doctor({}, {"--device", "cuda:9999"}, 1)["usable"], false);
  const CliResult wrong = run_cli({"doctor", "--device", "tpu"});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_EQ(wrong.out, "");
  EXPECT_TRUE(says(wrong.err, "tpu", "cuda"));
}

}  // namespace
}  // namespace vitrine::testing
