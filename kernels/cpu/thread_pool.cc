// SPDX-License-Identifier: MIT
#include "kernels/cpu/thread_pool.h"

#include <hwy/cache_control.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <climits>
#include <csignal>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace vitrine::internal::cpu {
namespace {

using Word = std::atomic<uint32_t>;
using Clock = std::chrono::steady_clock;

// Waiting threads keep nothing in user memory, unlike those of a condition variable: a child after
// fork() may forget them.
void sleep_while(Word& word, uint32_t value) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}
void wake(Word& word, int threads) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, threads, nullptr, nullptr, 0);
}

/// About what falling asleep and being woken costs: spinning longer would cost more than it saves,
/// and takes the processor from threads that have work.
constexpr std::chrono::microseconds kSpin{50};

/// A wait for one task that is longer than a time slice and than the caller's own tasks take shows
/// that several other processes share the processor of the thread that is waited for. Beside one
/// process two threads gain as much as they wait; beside more they lose. So jobs are done alone for
/// a while: as long as was lost, and twice as long each time that it happens again soon, up to
/// kAlone times what was lost. A single stall, as on a virtual machine, costs little then.
constexpr std::chrono::milliseconds kLongWait{6};
constexpr int kOwnTasks = 3, kAlone = 8;

/// True once the word has changed; false if it has not for kSpin.
bool changes_soon(const Word& word, uint32_t value) {
  constexpr int kLooks = 32;  // between two looks at the clock: a microsecond
  const Clock::time_point end = Clock::now() + kSpin;
  do {
    for (int i = 0; i < kLooks; ++i) {
      if (word.load(std::memory_order_acquire) != value) return true;
      hwy::Pause();
    }
  } while (Clock::now() < end);
  return false;
}

/// One job. It belongs to the pool and not to its caller, so that a thread that comes too late
/// looks at memory that is still there.
class alignas(64) Job {
 public:
  /// False if another caller has it.
  bool take() {
    uint32_t free = 0;
    return state_.load(std::memory_order_relaxed) == 0 &&
           state_.compare_exchange_strong(free, kTaken, std::memory_order_acquire);
  }

  /// Lets `others` threads in, beside the one that has taken it.
  void open(int others, int64_t count, TaskFunction task, const void* context) {
    task_ = task;
    context_ = context;
    count_ = count;
    team_ = others + 1;
    failed_.store(false, std::memory_order_relaxed);
    next_.store(0, std::memory_order_relaxed);
    state_.store(kTaken | static_cast<uint32_t>(others) * kPlace, std::memory_order_release);
  }

  /// Takes part if there is a place. True if it did.
  bool help() {
    uint32_t state = state_.load(std::memory_order_relaxed);
    do {
      if ((state & kPlaces) == 0) return false;
    } while (!state_.compare_exchange_weak(state, state - kPlace + kInside,
                                           std::memory_order_acquire, std::memory_order_relaxed));
    work(team_ - static_cast<int>((state & kPlaces) / kPlace));
    const uint32_t before = state_.fetch_sub(kInside, std::memory_order_acq_rel);
    if ((before & kAllInside) == kInside && (before & kWaiting) != 0) wake(state_, 1);
    return true;
  }

  /// Claims tasks until none is left. Returns how many it did.
  int64_t work(int worker) {
    int64_t done = 0;
    try {
      for (int64_t i = 0; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_; ++done)
        task_(context_, i, worker);
    } catch (...) {
      if (!failed_.exchange(true)) failure_ = std::current_exception();
      next_.store(count_, std::memory_order_relaxed);
    }
    return done;
  }

  /// Lets no other thread in, waits for those inside, adding the time asleep to `waited`, and gives
  /// the job back. Returns the first exception of a task, or null.
  std::exception_ptr finish(Clock::duration& waited) {
    uint32_t state = state_.fetch_and(~kPlaces, std::memory_order_acq_rel) & ~kPlaces;
    while ((state & kAllInside) != 0) {
      if (!changes_soon(state_, state)) {
        state = state_.fetch_or(kWaiting, std::memory_order_acq_rel) | kWaiting;
        const Clock::time_point begin = Clock::now();
        if ((state & kAllInside) != 0) sleep_while(state_, state);
        waited += Clock::now() - begin;
      }
      state = state_.load(std::memory_order_acquire);
    }
    std::exception_ptr failure = std::exchange(failure_, nullptr);
    forget();
    return failure;
  }

  /// Free again, whoever had it or was inside.
  void forget() { state_.store(0, std::memory_order_release); }

  static constexpr int kMostOthers = 4095;

 private:
  // Of the state: threads inside, places for more, whether a caller has the job, and whether it
  // sleeps until none is inside.
  static constexpr uint32_t kInside = 1, kAllInside = kMostOthers, kPlace = 1 << 12,
                            kPlaces = kAllInside * kPlace, kTaken = 1 << 24, kWaiting = 1 << 25;

  Word state_ = 0;
  int team_ = 0;
  TaskFunction task_ = nullptr;
  const void* context_ = nullptr;
  int64_t count_ = 0;
  std::atomic<bool> failed_ = false;
  std::exception_ptr failure_;
  alignas(64) std::atomic<int64_t> next_ = 0;  // apart: every claim writes it
};

class Pool {
 public:
  static Pool& get() {
    static Pool& pool = *new Pool;  // never destroyed: its threads use it until the process ends
    return pool;
  }

  /// Null if as many jobs run as there may be.
  Job* take() {
    for (Job& job : jobs_) {
      if (job.take()) return &job;
    }
    return nullptr;
  }

  /// A job has places for `others` threads.
  void announce(int others) {
    if (started_.load(std::memory_order_relaxed) < others) start(others);
    // Either this sees the sleeper, or the sleeper sees the new number and stays awake.
    jobs_seen_.fetch_add(1);
    const int asleep = asleep_.load();
    if (asleep > 0) wake(jobs_seen_, std::min(others, asleep));
  }

  /// Whether jobs are better done alone now.
  bool crowded() {
    const Clock::rep until = alone_until_.load(std::memory_order_relaxed);
    if (until == 0) return false;
    if (Clock::now().time_since_epoch().count() < until) return true;
    alone_until_.store(0, std::memory_order_relaxed);
    return false;
  }

  /// The caller of a job worked for `worked` on `tasks` tasks, and then waited for the others.
  void has_waited(Clock::duration worked, int64_t tasks, Clock::duration waited) {
    if (tasks == 0 || waited < kLongWait || waited * tasks < kOwnTasks * worked) return;
    const Clock::time_point now = Clock::now();
    const Clock::rep last = last_alone_.load(std::memory_order_relaxed),
                     since = now.time_since_epoch().count() - last;
    const bool again = last != 0 && since < (kAlone * waited).count();
    const int times =
        again ? std::min(2 * times_alone_.load(std::memory_order_relaxed), kAlone) : 1;
    const Clock::rep until = (now + times * waited).time_since_epoch().count();
    times_alone_.store(times, std::memory_order_relaxed);
    last_alone_.store(until, std::memory_order_relaxed);
    alone_until_.store(until, std::memory_order_relaxed);
  }

  int threads() const { return started_.load(); }

 private:
  Pool() {
    pthread_atfork([] { get().mutex_.lock(); }, [] { get().mutex_.unlock(); }, after_fork);
  }

  void start(int wanted) {
    const std::lock_guard lock(mutex_);
    // Signals go to the program's own threads, whose waits they are to interrupt.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      for (int now = started_.load(); now < std::min(wanted, most_); started_.store(++now))
        std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
      most_ = started_.load();  // the system gives no more: callers do what is left
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  [[noreturn]] void serve() {
    pthread_setname_np(pthread_self(), "vitrine-pool");
    for (;;) {
      const uint32_t seen = jobs_seen_.load(std::memory_order_acquire);
      bool helped = false;
      for (Job& job : jobs_) helped |= job.help();
      if (helped || changes_soon(jobs_seen_, seen)) continue;
      asleep_.fetch_add(1);
      sleep_while(jobs_seen_, seen);
      asleep_.fetch_sub(1);
    }
  }

  /// In the child only the thread that called fork() goes on.
  static void after_fork() {
    Pool& pool = get();
    pool.started_ = 0;
    pool.asleep_ = 0;
    pool.most_ = INT_MAX;
    for (Job& job : pool.jobs_) job.forget();
    pool.mutex_.unlock();
  }

  std::array<Job, 16> jobs_;        // at once; a caller that finds none free does its tasks alone
  alignas(64) Word jobs_seen_ = 0;  // grows with every job; threads without work wait for that
  std::atomic<int> asleep_ = 0;
  std::atomic<Clock::rep> alone_until_ = 0;
  std::atomic<Clock::rep> last_alone_ = 0;  // when the last time alone ended
  std::atomic<int> times_alone_ = 1;        // what was lost, so often that time
  std::atomic<int> started_ = 0;
  std::mutex mutex_;    // of starting threads
  int most_ = INT_MAX;  // threads that the system gives
};

}  // namespace

void run_tasks(int team, int64_t count, TaskFunction task, const void* context) {
  Pool& pool = Pool::get();
  Job* job = team > 1 && count > 1 && !pool.crowded() ? pool.take() : nullptr;
  if (job == nullptr) {
    for (int64_t i = 0; i < count; ++i) task(context, i, 0);
    return;
  }
  const int others = static_cast<int>(std::min<int64_t>({team - 1, count - 1, Job::kMostOthers}));
  job->open(others, count, task, context);
  pool.announce(others);
  const Clock::time_point begin = Clock::now();
  const int64_t tasks = job->work(0);
  const Clock::duration worked = Clock::now() - begin;
  Clock::duration waited{0};
  const std::exception_ptr failure = job->finish(waited);
  pool.has_waited(worked, tasks, waited);
  if (failure) std::rethrow_exception(failure);
}

int pool_threads() { return Pool::get().threads(); }

}  // namespace vitrine::internal::cpu
