// SPDX-License-Identifier: MIT
#include "cli/core/interrupt.h"

#include <semaphore.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/profile.h"
#include "base/unfinished.h"
#include "cli/core/lost_file.h"

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr long kGraceNanoseconds = 200'000'000;

volatile std::sig_atomic_t caught = 0;
sem_t arrived;                                    // posted for each signal
std::atomic<const void*> lost_address = nullptr;  // what was read when SIGBUS came

/// Never destroyed: the second thread may need it while static objects are being destroyed.
struct Note {
  std::mutex mutex;
  std::string text;
};
Note& note() {
  static Note& only = *new Note;
  return only;
}

void on_signal(int signal) {
  const int before = errno;
  caught = signal;
  sem_post(&arrived);
  errno = before;
}

/// The second thread ends the program; the reader cannot go on.
void on_lost_file(int, siginfo_t* info, void*) {
  lost_address = info->si_addr;
  sem_post(&arrived);
  for (;;) pause();
}

/// Until a second signal, at most the grace time.
void wait_for_work_to_end() {
  timespec end{};
  clock_gettime(CLOCK_MONOTONIC, &end);
  end.tv_nsec += kGraceNanoseconds;
  end.tv_sec += end.tv_nsec / 1'000'000'000;
  end.tv_nsec %= 1'000'000'000;
  while (sem_clockwait(&arrived, CLOCK_MONOTONIC, &end) != 0 && errno == EINTR) {
  }
}

/// Past the locks of stdio, which a blocked writer may hold.
void put(const std::string& text) {
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

void obey_signals() {
  sem_init(&arrived, 0, 0);
  note();
  try {
    std::thread([] {
      while (sem_wait(&arrived) != 0) {
      }
      if (lost_address == nullptr) wait_for_work_to_end();
      if (lost_address != nullptr) end_lost_file(lost_address);
      end_interrupted();
    }).detach();
  } catch (const std::system_error&) {
    return;  // no thread to be had: the signals end the program as they do by default
  }
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigaction(signal, &action, nullptr);
  }
  struct sigaction lost {};
  lost.sa_sigaction = on_lost_file;
  lost.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &lost, nullptr);
}

bool interrupted() { return caught != 0; }

void stop_if_interrupted() {
  if (interrupted()) throw Interrupted{};
}

void set_interruption_note(std::string text) {
  const std::lock_guard lock(note().mutex);
  note().text = std::move(text);
}

void end_interrupted() {
  static std::mutex& once = *new std::mutex;
  once.lock();  // and never unlocked: one thread ends the program
  Unfinished::remove_all();
  {
    const std::lock_guard lock(note().mutex);
    if (!note().text.empty()) put("vitrine: interrupted: " + note().text + "\n");
  }
  put(profile_tables());
  const int signal = caught;
  std::signal(signal, SIG_DFL);
  kill(getpid(), signal);
  for (;;) pause();
}

}  // namespace vitrine::cli
