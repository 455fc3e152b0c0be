// SPDX-License-Identifier: MIT
#include "bench/measure/busy_load.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/machine.h"

namespace vitrine::bench {
using namespace internal;
namespace {

/// Nothing here but system calls: other threads of the parent may have held locks.
[[noreturn]] void be_busy(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);  // it ended before the line above
  for (volatile uint64_t sum = 0;;) sum = sum * 5 + 1;
}

void send(const std::vector<pid_t>& processes, int signal) {
  for (const pid_t process : processes) kill(process, signal);
}

/// Until each has ended, or with WUNTRACED has stopped.
void await(const std::vector<pid_t>& processes, int how) {
  for (const pid_t process : processes) {
    while (waitpid(process, nullptr, how) < 0 && errno == EINTR) {
    }
  }
}

}  // namespace

BusyLoad::BusyLoad() {
  const pid_t parent = getpid();
  for (const int processor : allowed_processors()) {
    const pid_t child = fork();
    if (child == 0) be_busy(parent);
    if (child < 0) {
      const int error = errno;
      end();
      internal_error("cannot start a busy process for --beside-load: {}", std::strerror(error));
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(processor), &set);
    sched_setaffinity(child, sizeof set, &set);
    processes_.push_back(child);
  }
}

BusyLoad::~BusyLoad() { end(); }

void BusyLoad::end() {
  send(processes_, SIGKILL);
  await(processes_, 0);
}

void BusyLoad::stop() {
  if (!std::exchange(running_, false)) return;
  send(processes_, SIGSTOP);
  await(processes_, WUNTRACED);
}

void BusyLoad::go_on() {
  running_ = true;
  send(processes_, SIGCONT);
}

}  // namespace vitrine::bench
