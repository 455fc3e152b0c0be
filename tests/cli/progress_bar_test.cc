// SPDX-License-Identifier: MIT
#include "cli/core/progress_bar.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "tests/base/test_files.h"

namespace vitrine::cli {
namespace {

using std::chrono::milliseconds;
using testing::says;

TEST(ProgressLine, TellsHowFarHowFastHowLong) {
  EXPECT_EQ(progress_line(1'500'000'000, 3'000'000'000, "Loading", 10, "B", 200),
            "Loading  50 % [##########..........] 1.50 GB of 3.00 GB, 150 MB/s, 10 s left");
  EXPECT_EQ(progress_line(30, 120, "Scoring", 60, "tokens", 200),
            "Scoring  25 % [#####...............] 30 of 120 tokens, 0.5/s, 3 min 0 s left");
  EXPECT_EQ(progress_line(7, 0, "Reading", 2, "lines", 200), "Reading  7 lines, 3.5/s");
  EXPECT_TRUE(says(progress_line(0, 10, "x", 5, "steps", 200), "0 %", "0 of 10 steps"));
  EXPECT_TRUE(says(progress_line(1999, 2000, "x", 5, "steps", 200), " 99 %")) << "100 % means done";
  EXPECT_TRUE(says(progress_line(2000, 2000, "x", 5, "steps", 200), "100 %", "0 s left"));
  EXPECT_EQ(progress_line(1, 2, "Reading", 2, "", 200),
            "Reading  50 % [##########..........] 1 of 2, 0.5/s, 2 s left");
  EXPECT_EQ(progress_line(30, 120, "Scoring", 60, "tokens", 60),
            "Scoring  25 % 30 of 120 tokens, 0.5/s, 3 min 0 s left");
  EXPECT_EQ(progress_line(30, 120, "a long label", 60, "tokens", 54),
            "a long l  25 % 30 of 120 tokens, 0.5/s, 3 min 0 s left");
  EXPECT_EQ(progress_line(1, 2, "a long label", 1, "B", 6), "a long");
}

// A pseudo-terminal: what is written to `terminal` can be read from `screen`.
class Terminal {
 public:
  Terminal() : screen_(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK)) {
    if (grantpt(screen_) == 0 && unlockpt(screen_) == 0)
      fd_ = open(ptsname(screen_), O_RDWR | O_NOCTTY);
  }
  ~Terminal() {
    close(fd_);
    close(screen_);
  }
  int fd() const { return fd_; }
  std::string seen() const {
    std::string text(4096, '\0');
    const ssize_t n = read(screen_, text.data(), text.size());
    text.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return text;
  }

 private:
  int screen_;
  int fd_ = -1;
};

TEST(ProgressBar, IsShownOnATerminalAndErased) {
  const Terminal terminal;
  if (terminal.fd() < 0) GTEST_SKIP() << "no pseudo-terminal here";
  {
    ProgressBar bar({.unit = "steps", .fd = terminal.fd(), .delay = milliseconds(0)});
    bar.update(1, 4, "Working");
    EXPECT_TRUE(says(terminal.seen(), "\r\x1b[K", "Working  25 %"));
    bar.update(2, 4, "Working");
    EXPECT_EQ(terminal.seen(), "") << "not redrawn at once";
  }
  EXPECT_EQ(terminal.seen(), "\r\x1b[K");
}

TEST(ProgressBar, QuickWorkLeavesNoTrace) {
  const Terminal terminal;
  if (terminal.fd() < 0) GTEST_SKIP() << "no pseudo-terminal here";
  {
    ProgressBar bar({.unit = "B", .fd = terminal.fd(), .delay = milliseconds(100000)});
    bar.update(1, 4, "Working");
  }
  EXPECT_EQ(terminal.seen(), "");
}

TEST(ProgressBar, NothingGoesIntoAPipe) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_NONBLOCK), 0);
  {
    ProgressBar bar({.unit = "B", .fd = ends[1], .delay = milliseconds(0)});
    bar.update(1, 4, "Working");
  }
  char byte;
  EXPECT_EQ(read(ends[0], &byte, 1), -1);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace vitrine::cli
