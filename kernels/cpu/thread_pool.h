// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

// The threads of the CPU backend: one pool a process, so that several models, and several threads
// that run passes, share its threads instead of each bringing their own.

namespace vitrine::internal::cpu {

/// Task `index` of a job, on `worker` of its team.
using TaskFunction = void (*)(const void* context, int64_t index, int worker);

/// Calls task(context, i, worker) for each i in [0, count) on at most `team` threads, the calling
/// one among them, and returns when all calls have returned. 0 <= worker < team; calls with the
/// same worker never overlap. Any number of threads may call it at once, tasks too.
///
/// Threads claim one task at a time. The caller claims until none is left and waits only for the
/// threads that are then inside a task: a thread that is off its processor delays the others by the
/// one task it holds, and a thread that has not begun by none.
///
/// Where the system gives fewer threads, fewer take part. An exception of a task ends the job:
/// tasks that have not begun are left out, and the first exception is thrown here. In a child after
/// fork() threads start anew.
void run_tasks(int team, int64_t count, TaskFunction task, const void* context);

/// Threads of the pool in this process. For tests.
int pool_threads();

}  // namespace vitrine::internal::cpu
