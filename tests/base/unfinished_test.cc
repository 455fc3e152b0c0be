// SPDX-License-Identifier: MIT
#include "base/unfinished.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/atomic_file.h"
#include "base/atomic_folder.h"
#include "test_files.h"

namespace vitrine::testing {
using namespace internal;
namespace {

TEST(Unfinished, RemovesWhatIsNotCommittedAndNothingElse) {
  const TempFolder folder;
  const std::filesystem::path old = folder.write("old.txt", "before");
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    AtomicFile begun(folder / "begun"), replaced(old), done(folder / "done");
    AtomicFolder half(folder / "half"), whole(folder / "whole");
    begun.append("x");
    replaced.append("after");
    done.commit();
    write_file(half.path() / "inside", "x");
    write_file(whole.path() / "inside", "x");
    whole.commit();
    Unfinished::remove_all();
    _exit(0);  // no destructor has run
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(folder.count(), 3u);
  EXPECT_EQ(read_bytes(old), "before");
  EXPECT_TRUE(std::filesystem::exists(folder / "done"));
  EXPECT_EQ(read_bytes(folder / "whole" / "inside"), "x");
}

// Otherwise a thread that still works would report a failure that is none, or leave a new file.
TEST(Unfinished, OtherThreadsWaitOnceAllAreRemoved) {
  const TempFolder folder;
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    AtomicFile file(folder / "file");
    Unfinished::remove_all();
    std::thread([&] {
      file.commit();
      _exit(1);
    }).detach();
    std::thread([&] {
      const AtomicFile another(folder / "another");
      _exit(2);
    }).detach();
    usleep(100000);
    _exit(0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(folder.count(), 0u);
}

}  // namespace
}  // namespace vitrine::testing
