// SPDX-License-Identifier: MIT
// What other processes do to the processors, on machines that these tests make up.

#include "base/neighbours.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "test_files.h"

namespace vitrine::testing {
using namespace internal;
namespace {

class NeighboursTest : public ::testing::Test {
 protected:
  void SetUp() override { file("proc/thread-self/status", "Cpus_allowed_list:\t0-1\n"); }
  void file(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((root_ / name).parent_path());
    root_.write(name, text);
  }
  void process(int number, const std::string& name, int user, int kernel) {
    const std::string folder = "proc/" + std::to_string(number) + "/";
    file(folder + "stat", std::to_string(number) + " (" + name + ") R 1 1 1 0 -1 4194304 5 0 0 0 " +
                              std::to_string(user) + " " + std::to_string(kernel) + " 0 0 20 0\n");
  }
  ProcessorTimes read() const { return read_processor_times(root_.path()); }

  TempFolder root_;
};

// A second of a hundred ticks passes. The process may use processors 0 and 1 of three.
TEST_F(NeighboursTest, WhatWasBusyBetweenTwoMoments) {
  //                  user nice sys idle iowait irq softirq steal guest guest_nice
  file("proc/stat",
       "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1000 0 10 500 5 1 2 30 900 0\n"
       "cpu1 100 0 10 500 5 1 2 30 0 0\ncpu2 0 0 0 0 0 0 0 0 0 0\nintr 5\n");
  process(7, "quiet", 50, 50);
  process(12, "a (strange) name", 10, 5);
  const ProcessorTimes before = read();
  EXPECT_EQ(before.processors, 2);
  file("proc/stat",
       "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1060 10 20 500 5 1 2 50 960 0\n"
       "cpu1 110 0 10 590 5 1 2 30 0 0\ncpu2 100 0 0 0 0 0 0 0 0 0\nintr 6\n");
  process(7, "quiet", 52, 50);
  process(12, "a (strange) name", 60, 15);
  process(99, "new", 20, 0);
  process(static_cast<int>(getpid()), "self", 90, 0);
  file("proc/12/maps",
       "7f00-7f01 r-xp 00000000 08:01 5 /usr/lib/x86_64-linux-gnu/libgomp.so.1.0.0\n");
  const Neighbours found = neighbours_between(before, read(), root_.path());
  EXPECT_DOUBLE_EQ(found.busy, 0.9);
  EXPECT_DOUBLE_EQ(found.stolen, 0.2);
  ASSERT_TRUE(found.heaviest);
  EXPECT_EQ(found.heaviest->number, 12);
  EXPECT_EQ(found.heaviest->name, "a (strange) name");
  EXPECT_DOUBLE_EQ(found.heaviest->busy, 0.6);
  EXPECT_TRUE(found.heaviest->own);
  EXPECT_TRUE(found.heaviest->openmp);
}

TEST_F(NeighboursTest, WhatIsMissingOrNonsenseIsNothing) {
  const auto nothing = [&] {
    const Neighbours found = neighbours_between(read(), read(), root_.path());
    EXPECT_EQ(found.busy, 0);
    EXPECT_EQ(found.stolen, 0);
    EXPECT_FALSE(found.heaviest);
  };
  nothing();
  file("proc/stat", "cpu\ncpu0 x\ncpu1 1 2 3\ncpu99999999999 1 1 1 1 1 1 1 1\n");
  file("proc/5/stat", "5 (no end");
  file("proc/6/stat", ")6(");
  file("proc/7/stat", "7 (short) R 1 2 3\n");
  nothing();
  // A clock that goes back.
  file("proc/stat", "cpu0 5 5 5 5 5 5 5 5 0 0\n");
  const ProcessorTimes later = read();
  file("proc/stat", "cpu0 1 1 1 1 1 1 1 1 0 0\n");
  EXPECT_EQ(neighbours_between(later, read(), root_.path()).busy, 0);
}

TEST(Neighbours, OfThisMachine) {
  const Neighbours found = watch_neighbours(std::chrono::milliseconds(50));
  EXPECT_GE(found.busy, 0);
  EXPECT_GE(found.stolen, 0);
}

}  // namespace
}  // namespace vitrine::testing
