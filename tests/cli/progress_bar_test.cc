// SPDX-License-Identifier: MIT
#include "cli/core/progress_bar.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <regex>
#include <sstream>
#include <string>
#include <vector>

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

// A clock that the test sets.
ProgressBar::Clock::time_point fake_now;
ProgressBar::Clock::time_point fake_clock() { return fake_now; }

/// What bars of a style write into a pipe: `work` gets the bar.
template <typename Work>
std::vector<std::string> lines_of(ProgressStyle style, const Work& work) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_NONBLOCK), 0);
  set_progress_style(style);
  {
    ProgressBar bar({.unit = "tokens", .fd = ends[1], .now = fake_clock});
    work(bar);
  }
  set_progress_style(ProgressStyle::kAuto);
  std::string text(65536, '\0');
  const ssize_t count = read(ends[0], text.data(), text.size());
  text.resize(count > 0 ? static_cast<size_t>(count) : 0);
  close(ends[0]);
  close(ends[1]);
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    const std::regex stamp("^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} ");
    EXPECT_TRUE(std::regex_search(line, stamp)) << line;
    lines.push_back(std::regex_replace(line, stamp, ""));
  }
  return lines;
}

/// Five minutes of work, an update every 10 seconds, a shard after 30 s and 270 s.
void five_minutes(ProgressBar& bar) {
  for (uint64_t i = 1; i <= 30; ++i) {
    fake_now += std::chrono::seconds(10);
    bar.update(i * 100, 3000, "Capturing");
    if (i == 3 || i == 27) bar.finished("shard-" + std::to_string(i));
  }
}

TEST(PlainProgress, IsALineAMinuteAndOneForEachShard) {
  const std::vector<std::string> wanted = {
      "shard-3 is complete: 10 %, 300 of 3000 tokens, 10/s, 4 min 30 s left",
      "Capturing: 30 %, 900 of 3000 tokens, 10/s, 3 min 30 s left",
      "Capturing: 50 %, 1500 of 3000 tokens, 10/s, 2 min 30 s left",
      "Capturing: 70 %, 2100 of 3000 tokens, 10/s, 1 min 30 s left",
      "Capturing: 90 %, 2700 of 3000 tokens, 10/s, 30 s left",
      "shard-27 is complete: 90 %, 2700 of 3000 tokens, 10/s, 30 s left"};
  EXPECT_EQ(lines_of(ProgressStyle::kPlain, five_minutes), wanted);
}

TEST(PlainProgress, IsAutomaticWhereThereIsNoTerminalAfterTheFirstMinute) {
  const std::vector<std::string> wanted = {
      "Capturing: 20 %, 600 of 3000 tokens, 10/s, 4 min 0 s left",
      "Capturing: 40 %, 1200 of 3000 tokens, 10/s, 3 min 0 s left",
      "Capturing: 60 %, 1800 of 3000 tokens, 10/s, 2 min 0 s left",
      "Capturing: 80 %, 2400 of 3000 tokens, 10/s, 1 min 0 s left",
      "shard-27 is complete: 90 %, 2700 of 3000 tokens, 10/s, 30 s left"};
  EXPECT_EQ(lines_of(ProgressStyle::kAuto, five_minutes), wanted);
}

// A resumed run begins at what the earlier one had done, which says nothing of its speed.
TEST(PlainProgress, ARateIsThatOfThisRun) {
  const auto resumed = [](ProgressBar& bar) {
    for (uint64_t i = 0; i <= 12; ++i) {
      bar.update(100'000 + i * 100, 102'400, "Capturing");
      fake_now += std::chrono::seconds(10);
    }
  };
  EXPECT_EQ(
      lines_of(ProgressStyle::kAuto, resumed),
      (std::vector<std::string>{"Capturing: 98 %, 100600 of 102400 tokens, 10/s, 3 min 0 s left",
                                "Capturing: 99 %, 101200 of 102400 tokens, 10/s, 2 min 0 s left"}));
}

TEST(PlainProgress, NoneIsNone) {
  EXPECT_EQ(lines_of(ProgressStyle::kNone, five_minutes), std::vector<std::string>{});
  const Terminal terminal;
  if (terminal.fd() < 0) GTEST_SKIP() << "no pseudo-terminal here";
  set_progress_style(ProgressStyle::kNone);
  {
    ProgressBar bar({.unit = "steps", .fd = terminal.fd(), .delay = milliseconds(0)});
    bar.update(1, 4, "Working");
  }
  set_progress_style(ProgressStyle::kAuto);
  EXPECT_EQ(terminal.seen(), "");
}

TEST(PlainProgress, TellsWhatIsKnown) {
  EXPECT_EQ(plain_progress(7, 0, "Reading", 2, "lines"), "Reading: 7 lines, 3.5/s");
  EXPECT_EQ(plain_progress(0, 10, "x", 5, "steps"), "x: 0 %, 0 of 10 steps");
  EXPECT_EQ(plain_progress(1'500'000'000, 3'000'000'000, "Loading", 10, "B"),
            "Loading: 50 %, 1.50 GB of 3.00 GB, 150 MB/s, 10 s left");
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
