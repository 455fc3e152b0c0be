// SPDX-License-Identifier: MIT
// What is read from /proc and /sys, on machines that these tests make up.

#include "base/machine.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "test_files.h"

namespace vitrine::testing {
using namespace internal;
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kGigabyte = uint64_t{1} << 30;

class Machines : public ::testing::Test {
 protected:
  void file(const std::string& name, const std::string& text) {
    fs::create_directories((root_ / name).parent_path());
    root_.write(name, text);
  }
  void processor(int number, int socket, int core) {
    const std::string topology =
        "sys/devices/system/cpu/cpu" + std::to_string(number) + "/topology/";
    file(topology + "physical_package_id", std::to_string(socket) + "\n");
    file(topology + "core_id", std::to_string(core) + "\n");
  }
  Machine read() const { return read_machine(root_.path()); }

  TempFolder root_;
};

// Two sockets of two cores of two hardware threads, of which one is off; the process may use four.
TEST_F(Machines, AServerIsReadAsItIs) {
  file("proc/cpuinfo",
       "processor\t: 0\nmodel name\t: Example 9000 @ 2.00GHz\nflags\t\t: fpu sse2 avx avx2 fma "
       "f16c avx512f avx512_bf16 amx_tile\n\n"
       "processor\t: 1\nmodel name\t: Other\nflags\t\t: fpu\n");
  for (int i = 0; i < 8; ++i) processor(i, i / 4, i / 2 % 2);
  file("sys/devices/system/cpu/online", "0-4,6-7\n");
  file("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
  file("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", "acpi-cpufreq\n");
  file("sys/devices/system/node/has_cpu", "0-1\n");
  file("proc/thread-self/status", "Name:\tx\nCpus_allowed:\tf\nCpus_allowed_list:\t0-2,6\n");
  file("proc/loadavg", "3.25 1.00 0.50 2/345 6789\n");
  file("proc/meminfo",
       "MemTotal:       16777216 kB\nMemFree:          100 kB\nMemAvailable:    8388608 "
       "kB\nSwapCached: 5 kB\nSwapTotal:       1048576 kB\nSwapFree:         786432 kB\n");
  file("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  file("proc/self/limits",
       "Limit                     Soft Limit           Hard Limit           Units     \nMax open "
       "files            1024                 524288               files     \n");
  const Machine m = read();
  EXPECT_EQ(m.cpu, "Example 9000 @ 2.00GHz");
  EXPECT_EQ(m.simd, (std::vector<std::string>{"sse2", "avx", "f16c", "fma", "avx2", "avx512f",
                                              "avx512_bf16", "amx_tile"}));
  EXPECT_EQ(m.processors, 7);
  EXPECT_EQ(m.cores, 4);
  EXPECT_EQ(m.sockets, 2);
  EXPECT_EQ(m.numa_nodes, 2);
  EXPECT_EQ(m.allowed, 4);
  EXPECT_EQ(m.governor, "powersave");
  EXPECT_EQ(m.frequency_driver, "acpi-cpufreq");
  EXPECT_EQ(m.load, 3.25);
  EXPECT_EQ(m.memory, 16 * kGigabyte);
  EXPECT_EQ(m.available, 8 * kGigabyte);
  EXPECT_EQ(m.swap, kGigabyte);
  EXPECT_EQ(m.swap_used, kGigabyte / 4);
  EXPECT_EQ(m.huge_pages, "madvise");
  EXPECT_EQ(m.open_files, 1024u);
  EXPECT_FALSE(m.quota);
  EXPECT_FALSE(m.memory_limit);
  EXPECT_EQ(m.room(), 8 * kGigabyte);
}

TEST_F(Machines, TheTightestGroupCounts) {
  file("proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n");
  file("proc/self/cgroup", "0::/outer/inner\n");
  file("sys/fs/cgroup/outer/cpu.max", "150000 100000\n");
  file("sys/fs/cgroup/outer/memory.max", std::to_string(2 * kGigabyte) + "\n");
  file("sys/fs/cgroup/outer/memory.current", std::to_string(kGigabyte / 2) + "\n");
  file("sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
  file("sys/fs/cgroup/outer/inner/memory.max", std::to_string(4 * kGigabyte) + "\n");
  file("sys/fs/cgroup/outer/inner/memory.current", "4096\n");
  const Machine m = read();
  EXPECT_EQ(m.quota->processors, 1.5);
  EXPECT_EQ(m.quota->file, root_ / "sys/fs/cgroup/outer/cpu.max");
  EXPECT_EQ(m.quota->unlimited, "max");
  EXPECT_EQ(m.memory_limit, 2 * kGigabyte);
  EXPECT_EQ(m.room(), 3 * kGigabyte / 2);
  // Now the inner one is tighter.
  file("sys/fs/cgroup/outer/inner/cpu.max", "50000 100000\n");
  file("sys/fs/cgroup/outer/inner/memory.max", std::to_string(kGigabyte) + "\n");
  EXPECT_EQ(read().quota->processors, 0.5);
  EXPECT_EQ(read().memory_limit, kGigabyte);
  EXPECT_EQ(read().room(), kGigabyte - 4096);
}

// A container sees its group's files at the top and, of the first version, a path that leads
// nowhere.
TEST_F(Machines, TheFirstVersionOfGroups) {
  file("proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 1048576 kB\n");
  file("proc/self/cgroup",
       "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n0::/\n");
  file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  file("sys/fs/cgroup/memory/memory.limit_in_bytes", std::to_string(8 * kGigabyte) + "\n");
  file("sys/fs/cgroup/memory/memory.usage_in_bytes", std::to_string(9 * kGigabyte) + "\n");
  EXPECT_EQ(read().quota->processors, 0.5);
  EXPECT_EQ(read().quota->unlimited, "-1");
  EXPECT_EQ(read().memory_limit, 8 * kGigabyte);
  EXPECT_EQ(read().room(), 0u) << "more is used than the limit allows: nothing is left";
  file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_FALSE(read().quota);
  EXPECT_FALSE(read().memory_limit);
  EXPECT_EQ(read().room(), kGigabyte);
}

TEST_F(Machines, WhatIsMissingOrNonsenseIsNotKnown) {
  const Machine none = read();
  EXPECT_EQ(none.cpu, "");
  EXPECT_EQ(none.processors + none.cores + none.sockets + none.numa_nodes + none.allowed, 0);
  EXPECT_FALSE(none.open_files || none.quota || none.memory_limit);
  for (const char* name :
       {"proc/cpuinfo", "proc/meminfo", "proc/thread-self/status", "proc/self/cgroup",
        "proc/self/limits", "proc/loadavg", "sys/devices/system/cpu/online",
        "sys/kernel/mm/transparent_hugepage/enabled", "sys/fs/cgroup/cpu.max"}) {
    file(name,
         "]\n:\n0-\n7-3\n0-99999999999\n18446744073709551616 0\n0::/../..\nMax open files   "
         "unlimited unlimited files\n");
  }
  const Machine strange = read();
  EXPECT_EQ(strange.processors, 0);
  EXPECT_EQ(strange.memory, 0u);
  EXPECT_FALSE(strange.quota || strange.open_files);
}

TEST(Machine, ThisOneHasProcessorsAndMemory) {
  const Machine m = read_machine();
  EXPECT_GE(m.allowed, 1);
  EXPECT_GT(m.memory, 0u);
  EXPECT_GE(m.memory, m.available);
  constexpr uint64_t kProbe = uint64_t{8} << 20;
  EXPECT_LE(huge_pages_had(kProbe), kProbe);
  if (m.huge_pages == "never") {
    EXPECT_EQ(huge_pages_had(kProbe), 0u);
  }
}

}  // namespace
}  // namespace vitrine::testing
