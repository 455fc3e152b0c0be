// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/atomic_file.h"
#include "base/mapped_file.h"
#include "tests/base/test_files.h"

namespace vitrine {
using namespace internal;
namespace {

using testing::as_bytes;
using testing::error_of;
using testing::read_bytes;
using testing::says;
using testing::TempFolder;

TEST(MappedFile, GivesTheBytes) {
  const TempFolder folder;
  const MappedFile file(folder.write("a", "hello"));
  ASSERT_EQ(file.size(), 5u);
  EXPECT_EQ(std::memcmp(file.data(), "hello", 5), 0);
}

TEST(MappedFile, NamesWhatIsWrong) {
  const TempFolder folder;
  EXPECT_TRUE(says(error_of([&] { MappedFile(folder / "missing"); }), "missing", "no such file"));
  EXPECT_TRUE(
      says(error_of([&] { MappedFile(folder.path()); }), folder.path().string(), "is a directory"));
  EXPECT_TRUE(says(error_of([&] { MappedFile(folder.write("void", "")); }), "void", "is empty"));
  EXPECT_TRUE(says(error_of([&] { MappedFile("/dev/null"); }), "/dev/null", "not a regular file"));
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_TRUE(says(error_of([&] { MappedFile(folder / "pipe"); }), "pipe",
                   "not a regular file"));  // and does not wait for a writer
}

TEST(MappedFile, NamesAMissingPermission) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const TempFolder folder;
  chmod(folder.write("secret", "x").c_str(), 0);
  EXPECT_TRUE(
      says(error_of([&] { MappedFile(folder / "secret"); }), "secret", "Permission denied"));
}

TEST(MappedFile, AlignsByCopyOnlyWhereNeeded) {
  const TempFolder folder;
  const MappedFile file(folder.write("a", "0123456789abcdef"));
  EXPECT_EQ(file.aligned(8, 4, 4), file.data() + 8);
  const std::byte* copy = file.aligned(3, 8, 8);
  EXPECT_NE(copy, file.data() + 3);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(copy) % 8, 0u);
  EXPECT_EQ(std::memcmp(copy, "3456789a", 8), 0);
  EXPECT_EQ(file.aligned(3, 8, 8), copy) << "a second look shares the copy";
  EXPECT_TRUE(says(error_of([&] { file.aligned(10, 7, 1); }), "outside"));
  EXPECT_TRUE(says(error_of([&] { file.aligned(1, SIZE_MAX, 1); }), "outside"));
}

size_t resident_pages(const MappedFile& file) {
  // What this process holds of the file; the page cache, of which mincore would tell, keeps it
  // regardless.
  std::ifstream smaps("/proc/self/smaps");
  std::string line;
  const auto address = reinterpret_cast<uintptr_t>(file.data());
  bool inside = false;
  while (std::getline(smaps, line)) {
    uintptr_t begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2)
      inside = begin <= address && address < end;
    size_t kilobytes = 0;
    if (inside && std::sscanf(line.c_str(), "Rss: %zu kB", &kilobytes) == 1) return kilobytes / 4;
  }
  return SIZE_MAX;
}

TEST(MappedFile, ReleaseGivesMemoryBackAndTheBytesStay) {
  const TempFolder folder;
  const std::string contents(64 * 4096, 'x');
  const MappedFile file(folder.write("big", contents));
  EXPECT_EQ(std::memcmp(file.data(), contents.data(), contents.size()), 0);
  ASSERT_GE(resident_pages(file), 64u);
  file.release(0, file.size());
  EXPECT_EQ(resident_pages(file), 0u);
  file.prefetch(0, file.size());
  file.advise_sequential();
  EXPECT_EQ(std::memcmp(file.data(), contents.data(), contents.size()), 0);
  file.release(file.size() + 4096, 1);  // outside: nothing happens
}

TEST(AtomicFile, AppearsOnlyWhole) {
  const TempFolder folder;
  folder.write("out", "old");
  {
    AtomicFile file(folder / "out", 6);
    file.append("new");
    EXPECT_EQ(read_bytes(folder / "out"), "old");
    file.append(as_bytes("er!"));
    EXPECT_EQ(file.bytes_written(), 6u);
    file.commit();
    EXPECT_TRUE(says(error_of([&] { file.commit(); }), "twice"));
    EXPECT_TRUE(says(error_of([&] { file.append("x"); }), "after it was finished"));
  }
  EXPECT_EQ(read_bytes(folder / "out"), "newer!");
  EXPECT_EQ(folder.count(), 1u);
}

TEST(AtomicFile, LeavesNothingBehindAnException) {
  const TempFolder folder;
  folder.write("out", "old");
  EXPECT_THROW(
      {
        AtomicFile file(folder / "out");
        file.append("half");
        throw std::runtime_error("elsewhere");
      },
      std::runtime_error);
  EXPECT_EQ(read_bytes(folder / "out"), "old");
  EXPECT_EQ(folder.count(), 1u);
}

TEST(AtomicFile, TrimsAReservationThatWasTooLarge) {
  const TempFolder folder;
  AtomicFile file(folder / "out", 100000);
  file.append("short");
  file.commit();
  EXPECT_EQ(read_bytes(folder / "out"), "short");
}

TEST(AtomicFile, WritesThroughALink) {
  const TempFolder folder;
  folder.write("target", "old");
  std::filesystem::create_symlink("target", folder / "link");
  write_file(folder / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_bytes(folder / "target"), "new");
}

TEST(AtomicFile, NamesWhatCannotBeWritten) {
  const TempFolder folder;
  EXPECT_TRUE(says(error_of([&] { AtomicFile(folder / "none/out"); }), "none/out",
                   "No such file or directory"));
  EXPECT_TRUE(
      says(error_of([&] { AtomicFile{folder.path()}; }), folder.path().string(), "is a directory"));
  EXPECT_TRUE(says(error_of([] { AtomicFile("/dev/null"); }), "/dev/null", "not a regular file"));
  EXPECT_TRUE(says(error_of([&] { AtomicFile(folder / "a/"); }), "expected the name of a file"));
  if (geteuid() != 0) {
    chmod(folder.path().c_str(), 0500);
    EXPECT_TRUE(says(error_of([&] { AtomicFile(folder / "out"); }), "out", "Permission denied"));
    chmod(folder.path().c_str(), 0700);
  }
}

// A process of its own may set limits and signals as it likes. Returns what the child's action
// returned, as text.
template <typename Action>
std::string in_child(const Action& action) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    const std::string result = action();
    if (write(ends[1], result.data(), result.size()) < 0) _exit(1);
    _exit(0);
  }
  close(ends[1]);
  std::string result;
  char buffer[1000];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
    result.append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return result;
}

TEST(AtomicFile, SaysWhenAFileMayNotGrow) {
  const TempFolder folder;
  folder.write("out", "old");
  const std::string line = in_child([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{10000, 10000};
    setrlimit(RLIMIT_FSIZE, &limit);
    return error_of([&] {
      AtomicFile file(folder / "out");
      file.append(std::string(8000, 'x'));
      file.append(std::string(8000, 'x'));
      file.append(std::string(8000, 'x'));
    });
  });
  EXPECT_TRUE(says(line, "out", "File too large", "no file was left"));
  EXPECT_EQ(read_bytes(folder / "out"), "old");
  EXPECT_EQ(folder.count(), 1u);
}

TEST(AtomicFile, SaysWhenTheDiskIsFull) {
  const TempFolder folder;
  const std::string line = in_child([&]() -> std::string {
    // A small disk of our own, seen by this child only.
    if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0)
      return "skip: no mount namespace";
    mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    if (mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0) return "skip: no tmpfs";
    std::string lines;
    lines += error_of([&] { AtomicFile(folder / "reserved", 1000000); });
    lines += error_of([&] {
      AtomicFile file(folder / "written");
      for (int i = 0; i < 100; ++i) file.append(std::string(10000, 'x'));
    });
    return lines + (folder.count() == 0 ? " CLEAN" : " LITTER");
  });
  if (line.starts_with("skip")) GTEST_SKIP() << line;
  EXPECT_TRUE(says(line, "reserved", "reserving 1000000 bytes", "written", "writing",
                   "No space left on device", "CLEAN"));
}

}  // namespace
}  // namespace vitrine
