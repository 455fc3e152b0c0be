// SPDX-License-Identifier: MIT
// The pool of threads under parallel_for: each task once whatever else happens, no waiting for
// threads that have not begun, and life after fork().

#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "tests/in_child.h"
#include "tests/sanitized.h"

// The thread sanitizer would end a child of a process with several threads when it starts one.
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }

namespace vitrine::testing {
using namespace internal;
using cpu::parallel_chunks;
using cpu::parallel_for;
namespace {

/// How often each index and worker was called, and whether calls of a worker overlapped.
class Record {
 public:
  Record(int threads, int64_t count)
      : calls_(static_cast<size_t>(count)), busy_(static_cast<size_t>(threads)) {}

  void call(int64_t i, int worker) {
    if (worker < 0 || worker >= std::ssize(busy_)) {
      ++wrong_;
      return;
    }
    auto& busy = busy_[static_cast<size_t>(worker)];
    wrong_ += busy.exchange(true);
    ++calls_[static_cast<size_t>(i)];
    busy = false;
  }
  bool right() const {
    return wrong_ == 0 && std::all_of(calls_.begin(), calls_.end(), [](int n) { return n == 1; });
  }

 private:
  std::vector<std::atomic<int>> calls_;
  std::vector<std::atomic<bool>> busy_;
  std::atomic<int> wrong_ = 0;
};

bool each_once(int threads, int64_t count) {
  Record record(threads, count);
  parallel_for(threads, count, [&](int64_t i, int worker) { record.call(i, worker); });
  return record.right();
}

/// Where as many tasks meet as are to be under way at once. On a crowded machine a job may be done
/// by its caller alone, so none waits for long, and the test tries again.
class Meeting {
 public:
  explicit Meeting(int tasks) : missing_(tasks) {}

  /// True, for all of them, if all came while the first one waited.
  bool attend() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
    --missing_;
    while (missing_ > 0 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    int missing = missing_;
    while (missing > 0) {  // this one leaves, unless the last comes just now
      if (missing_.compare_exchange_weak(missing, missing + 1)) return false;
    }
    return true;
  }

 private:
  std::atomic<int> missing_;
};

/// Runs jobs of `threads` tasks until all tasks of one are under way at once, which shows that
/// there is a thread for each. `together` is called in each of those tasks.
void meet(
    int threads, const std::function<void()>& together = [] {}) {
  for (std::atomic<int> met = 0; met < threads;) {
    met = 0;
    Meeting meeting(threads);
    parallel_for(threads, threads, [&](int64_t) {
      if (!meeting.attend()) return;
      ++met;
      together();
    });
  }
}

TEST(ThreadPool, CallsEachIndexOnce) {
  for (const int threads : {1, 2, 3, 8, 100}) {
    for (const int64_t count : {0, 1, 2, 3, 7, 100, 5000})
      EXPECT_TRUE(each_once(threads, count)) << threads << " threads, " << count << " tasks";
  }
}

TEST(ThreadPool, ManySmallJobs) {
  const int jobs = kSanitized ? 3000 : 30000;
  int64_t sum = 0;
  for (int job = 0; job < jobs; ++job) {
    std::atomic<int64_t> part = 0;
    parallel_for(2 + job % 3, 1 + job % 9, [&](int64_t i) { part += i + 1; });
    const int64_t n = 1 + job % 9;
    ASSERT_EQ(part, n * (n + 1) / 2) << "job " << job;
    sum += part;
  }
  EXPECT_GT(sum, 0);
}

TEST(ThreadPool, ChunksCoverTheCount) {
  for (const int64_t grain : {0, 1, 3, 1000}) {
    std::vector<std::atomic<int>> calls(257);
    parallel_chunks(3, 257, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++calls[static_cast<size_t>(i)];
    });
    for (const auto& n : calls) EXPECT_EQ(n, 1);
  }
}

// One task takes as long as all others together: it waits for them. Were they dealt out beforehand,
// some of them would wait for its thread.
TEST(ThreadPool, ATaskThatTakesLongHoldsNoOtherTask) {
  constexpr int kTasks = 200;
  for (bool others_done = false; !others_done;) {
    std::atomic<int> left = kTasks - 1;
    parallel_for(2, kTasks, [&](int64_t i) {
      if (i > 0) {
        --left;
        return;
      }
      const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
      while (left > 0 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
      others_done = left == 0;
    });
  }
}

// As if the other threads were off their processors: they are in another job and stay there.
TEST(ThreadPool, TheCallerFinishesWhatNoOtherHasBegun) {
  meet(3);
  const int others = cpu::pool_threads();
  std::latch inside(others + 1), over(1);
  std::thread holder([&] {
    meet(others + 1, [&] {
      inside.count_down();
      over.wait();
    });
  });
  inside.wait();
  for (int job = 0; job < 100; ++job) EXPECT_TRUE(each_once(others + 1, 50));
  over.count_down();
  holder.join();
  meet(3);  // all are back
}

TEST(ThreadPool, TasksMayRunJobs) {
  std::atomic<int64_t> calls = 0;
  parallel_for(3, 10, [&](int64_t) {
    parallel_for(3, 10, [&](int64_t) { parallel_for(2, 10, [&](int64_t) { ++calls; }); });
  });
  EXPECT_EQ(calls, 1000);
}

// More callers than there are jobs at once: those that find none free work alone.
TEST(ThreadPool, ManyCallersAtOnce) {
  std::atomic<int> wrong = 0;
  std::vector<std::thread> callers;
  for (int c = 0; c < 40; ++c) {
    callers.emplace_back([&, c] {
      for (int job = 0; job < (kSanitized ? 20 : 200); ++job)
        wrong += !each_once(2 + (c + job) % 5, 1 + (c * 7 + job) % 40);
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(ThreadPool, AnExceptionReachesTheCaller) {
  for (int job = 0; job < 200; ++job) {
    std::atomic<int> begun = 0;
    try {
      parallel_for(3, 1000, [&](int64_t i) {
        ++begun;
        if (i % 10 == 3) throw std::runtime_error("task");
      });
      ADD_FAILURE() << "nothing thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "task");
    }
    EXPECT_LT(begun, 1000) << "tasks that had not begun are left out";
    ASSERT_TRUE(each_once(3, 20)) << "the pool goes on";
  }
}

TEST(ThreadPool, SignalsAreLeftToTheProgramsOwnThreads) {
  std::atomic<int> blocked = 0;
  meet(3, [&] {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    blocked += sigismember(&mask, SIGINT);
  });
  EXPECT_EQ(blocked, 2);
}

// State of a thread of this process as the kernel tells it: 'R' on a processor or waiting for one,
// 'S' asleep.
char state_of(const std::string& task) {
  std::ifstream file("/proc/self/task/" + task + "/stat");
  std::string line;
  std::getline(file, line);
  const size_t name_end = line.rfind(')');
  return name_end == std::string::npos || name_end + 2 >= line.size() ? '?' : line[name_end + 2];
}

TEST(ThreadPool, ThreadsWithoutWorkSleep) {
  meet(3);
  for (int awake = 1; awake > 0;) {  // the limit on the test's time ends it where they do not
    awake = 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      const std::string name = task.path().filename();
      if (name != std::to_string(getpid())) awake += state_of(name) != 'S';
    }
  }
  meet(3);  // and wake up
}

TEST(ThreadPoolFork, AChildStartsItsOwnThreads) {
  meet(3);
  EXPECT_EQ(in_child([] {
              const int before = cpu::pool_threads();
              meet(4);
              return before == 0 && cpu::pool_threads() == 3 && each_once(4, 1000);
            }),
            0);
  meet(3);  // the parent keeps its own
}

TEST(ThreadPoolFork, AGrandchildToo) {
  meet(2);
  EXPECT_EQ(in_child([] {
              meet(3);
              return in_child([] {
                       meet(2);
                       return each_once(2, 100);
                     }) == 0;
            }),
            0);
}

// Jobs of other threads are under way, at any point, when the child is made.
TEST(ThreadPoolFork, WhileOtherThreadsRunJobs) {
  if (!kForkAmongThreads) GTEST_SKIP() << "the address sanitizer's allocator may stay locked";
  std::atomic<bool> over = false;
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c) {
    callers.emplace_back([&] {
      while (!over) each_once(3, 30);
    });
  }
  for (int child = 0; child < (kSanitized ? 5 : 50); ++child) {
    EXPECT_EQ(in_child([] {
                meet(3);
                for (int job = 0; job < 100; ++job) {
                  if (!each_once(3, 30)) return false;
                }
                return true;
              }),
              0);
  }
  over = true;
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace vitrine::testing
