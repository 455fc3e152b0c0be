// SPDX-License-Identifier: MIT
#include "cli/core/interrupt.h"

#include <csignal>
#include <cstdio>

namespace vitrine::cli {
namespace {

volatile std::sig_atomic_t caught = 0;

void note(int signal) {
  if (caught != 0) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  caught = signal;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  caught = 0;
  std::signal(SIGINT, note);
  std::signal(SIGTERM, note);
}

InterruptGuard::~InterruptGuard() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

bool InterruptGuard::interrupted() const { return caught != 0; }

void InterruptGuard::obey() const {
  if (caught == 0) return;
  const int signal = caught;
  std::fflush(stdout);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace vitrine::cli
