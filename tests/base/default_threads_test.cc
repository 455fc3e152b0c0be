// SPDX-License-Identifier: MIT
// How many threads are the default, on machines that these tests make up.

#include "base/default_threads.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <filesystem>
#include <map>
#include <string>

#include "test_files.h"

namespace vitrine::testing {
using namespace internal;
namespace {

class DefaultThreadsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    file("proc/thread-self/status", "Name:\tx\nCpus_allowed_list:\t0-5,8-9\n");
  }
  void file(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((root_ / name).parent_path());
    root_.write(name, text);
  }
  DefaultThreads read() const {
    return default_threads(root_.path(), [this](const char* name) {
      const auto found = variables_.find(name);
      return found == variables_.end() ? nullptr : found->second.c_str();
    });
  }
  void expect(int threads, const std::string& decided_by) const {
    const DefaultThreads found = read();
    EXPECT_EQ(found.threads, threads);
    EXPECT_EQ(found.decided_by, decided_by);
    EXPECT_TRUE(found.invalid.empty());
  }

  TempFolder root_;
  std::map<std::string, std::string> variables_;
};

TEST_F(DefaultThreadsTest, TheLeastLimitDecides) {
  expect(8, "affinity");
  variables_["OMP_NUM_THREADS"] = "8";
  expect(8, "affinity");  // of equals the first
  variables_["OMP_NUM_THREADS"] = "6";
  expect(6, "OMP_NUM_THREADS");
  variables_["SLURM_CPUS_PER_TASK"] = "4";
  expect(4, "SLURM_CPUS_PER_TASK");
  file("proc/self/cgroup", "0::/job\n");
  file("sys/fs/cgroup/job/cpu.max", "250000 100000\n");
  expect(3, "quota");
  file("proc/thread-self/status", "Cpus_allowed_list:\t7\n");
  expect(1, "affinity");
  const DefaultThreads found = read();
  ASSERT_EQ(found.limits.size(), 4u);
  EXPECT_EQ(found.find("affinity")->threads, 1);
  EXPECT_EQ(found.find("quota")->value, "2.5");
  EXPECT_EQ(found.find("quota")->threads, 3);
  EXPECT_EQ(found.find("OMP_NUM_THREADS")->value, "6");
  EXPECT_EQ(found.find("SLURM_CPUS_PER_TASK")->threads, 4);
  EXPECT_EQ(found.find("GOMP_SPINCOUNT"), nullptr);
}

TEST_F(DefaultThreadsTest, MoreThanThereAreIsNoLimit) {
  variables_ = {{"OMP_NUM_THREADS", "64"}, {"SLURM_CPUS_PER_TASK", "99999999999999999999"}};
  file("proc/self/cgroup", "0::/\n");
  file("sys/fs/cgroup/cpu.max", "10000000 100000\n");
  expect(8, "affinity");
}

TEST_F(DefaultThreadsTest, AQuotaIsRoundedUp) {
  file("proc/self/cgroup", "0::/\n");
  const auto with_quota = [&](const std::string& microseconds) {
    file("sys/fs/cgroup/cpu.max", microseconds + " 100000\n");
    return read().threads;
  };
  EXPECT_EQ(with_quota("1000"), 1);
  EXPECT_EQ(with_quota("100000"), 1);
  EXPECT_EQ(with_quota("100001"), 2);
  EXPECT_EQ(with_quota("150000"), 2);
  EXPECT_EQ(with_quota("300000"), 3);
  EXPECT_EQ(with_quota("max"), 8);
}

TEST_F(DefaultThreadsTest, GroupsOfBothVersionsAndAllAround) {
  file("proc/self/cgroup", "4:cpu,cpuacct:/outer/inner\n0::/other\n");
  file("sys/fs/cgroup/cpu/outer/inner/cpu.cfs_quota_us", "-1\n");
  file("sys/fs/cgroup/cpu/outer/inner/cpu.cfs_period_us", "100000\n");
  file("sys/fs/cgroup/cpu/outer/cpu.cfs_quota_us", "450000\n");
  file("sys/fs/cgroup/cpu/outer/cpu.cfs_period_us", "100000\n");
  expect(5, "quota");
  file("sys/fs/cgroup/other/cpu.max", "350000 100000\n");
  expect(4, "quota");
  file("sys/fs/cgroup/cpu.max", "20000 10000\n");
  expect(2, "quota");
}

TEST_F(DefaultThreadsTest, ListsAndBlanks) {
  variables_["OMP_NUM_THREADS"] = " 4 , 2";  // for each level of nesting; the first counts
  expect(4, "OMP_NUM_THREADS");
  variables_["OMP_NUM_THREADS"] = "";
  expect(8, "affinity");
}

TEST_F(DefaultThreadsTest, InvalidVariablesAreNamed) {
  for (const char* name : {"OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"}) {
    for (const char* value :
         {"many", "0", "-3", "4x", "2.5", "0x2", " ", "+4", "4,", ",4", "4,x", "4,0"}) {
      variables_ = {{name, value}};
      const DefaultThreads found = read();
      EXPECT_EQ(found.threads, 8) << value;
      ASSERT_EQ(found.invalid.size(), 1u) << value;
      for (const std::string& word : {std::string(name), std::string(value), std::string("from 1")})
        EXPECT_NE(found.invalid[0].message.find(word), std::string::npos) << word;
      EXPECT_EQ(found.invalid[0].name, name);
    }
  }
  variables_ = {{"SLURM_CPUS_PER_TASK", "4,2"}};  // no list
  EXPECT_EQ(read().invalid.size(), 1u);
}

TEST(DefaultThreads, OfThisProcess) {
  const auto none = [](const char*) -> const char* { return nullptr; };
  const int here = default_threads("/", none).threads;
  cpu_set_t allowed, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  EXPECT_GE(here, 1);
  EXPECT_LE(here, CPU_COUNT(&allowed));
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i) {
    if (CPU_ISSET(i, &allowed)) CPU_SET(i, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(default_threads("/", none).threads, 1);
  sched_setaffinity(0, sizeof allowed, &allowed);
}

}  // namespace
}  // namespace vitrine::testing
