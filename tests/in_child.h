// SPDX-License-Identifier: MIT
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <functional>

namespace vitrine::testing {

/// Runs `work` in a child made by fork(), for at most five minutes. As waitpid() has it: 0 if
/// `work` returned true.
inline int in_child(const std::function<bool()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(300);
    _exit(work() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

}  // namespace vitrine::testing
