// SPDX-License-Identifier: MIT
#include "cli/core/progress_bar.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/quote.h"

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr std::chrono::milliseconds kBetweenDrawings{100};
constexpr size_t kBarWidth = 20;

constexpr size_t kShortLabel = 8;  // that much of a label stays, however long it is

std::string amount(double value, std::string_view unit) {
  return unit == "B" ? human_bytes(value)
                     : fmt::format("{:.0f}{}{}", value, unit.empty() ? "" : " ", unit);
}

std::string part_of(double done, double all, std::string_view unit) {
  return unit == "B" ? amount(done, unit) + " of " + amount(all, unit)
                     : fmt::format("{:.0f} of {}", done, amount(all, unit));
}

std::string rate(double value, std::string_view unit) {
  return unit == "B" ? human_bytes(value) + "/s"
                     : fmt::format("{:.{}f}/s", value, value < 10 ? 1 : 0);
}

std::string duration(double seconds) {
  const auto whole = static_cast<uint64_t>(std::min(seconds, 1e9) + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

size_t terminal_width(int fd) {
  winsize size = {};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void put(int fd, std::string_view text) {
  // Errors of drawing the bar are ignored.
  [[maybe_unused]] const ssize_t written = write(fd, text.data(), text.size());
}

}  // namespace

// Where the line is too narrow, the bar goes first, then the label's end: how far and how long
// still is what the line is for.
std::string progress_line(uint64_t done, uint64_t total, std::string_view label, double seconds,
                          std::string_view unit, size_t width) {
  const auto count = static_cast<double>(done), all = static_cast<double>(total);
  const double speed = seconds > 0 ? count / seconds : 0;
  std::string figures;
  if (total == 0) {
    figures = fmt::format("  {}, {}", amount(count, unit), rate(speed, unit));
  } else {
    const double part = std::min(count / all, 1.0);
    const auto filled = static_cast<size_t>(part * kBarWidth);
    const std::string bar = fmt::format(" [{:#<{}}{:.<{}}]", "", filled, "", kBarWidth - filled);
    figures = fmt::format(" {}", part_of(count, all, unit));
    if (speed > 0)
      figures += fmt::format(", {}, {} left", rate(speed, unit),
                             duration((all - std::min(count, all)) / speed));
    const std::string percent =
        fmt::format(" {:3.0f} %", std::min(99.0 + (done >= total), 100 * part));
    figures = percent +
              (label.size() + percent.size() + bar.size() + figures.size() <= width ? bar : "") +
              figures;
  }
  if (figures.size() + kShortLabel <= width) label = label.substr(0, width - figures.size());
  std::string line = std::string(label) + figures;
  line.resize(std::min(line.size(), width));
  return line;
}

ProgressBar::ProgressBar(Options options)
    : options_(std::move(options)), terminal_(isatty(options_.fd) == 1) {}

ProgressBar::~ProgressBar() { erase(); }

void ProgressBar::update(uint64_t done, uint64_t total, std::string_view label) {
  if (!terminal_) return;
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  if (now - start_ < options_.delay || (visible_ && now - drawn_ < kBetweenDrawings)) return;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  // The last column stays free: some terminals wrap when it is written to.
  put(options_.fd, "\r\x1b[K" + progress_line(done, total, label, seconds, options_.unit,
                                              terminal_width(options_.fd) - 1));
  drawn_ = now;
  visible_ = true;
}

void ProgressBar::erase() {
  const std::lock_guard lock(mutex_);
  if (visible_) put(options_.fd, "\r\x1b[K");
  visible_ = false;
}

}  // namespace vitrine::cli
