// SPDX-License-Identifier: MIT
#include "cli/core/progress_bar.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "base/check.h"
#include "base/quote.h"
#include "cli/core/interrupt.h"

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

size_t terminal_width(int fd) {
  winsize size = {};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/// The local date and time, "2026-11-29 17:40:03".
std::string time_stamp() {
  const std::time_t now = std::time(nullptr);
  std::tm local = {};
  localtime_r(&now, &local);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%F %T", &local)};
}

ProgressStyle progress_style = ProgressStyle::kAuto;

/// "42 %": 100 % only where all is done.
std::string percent_done(double done, double all) {
  const double part = std::min(done / all, 1.0);
  return fmt::format("{:3.0f} %", std::min(99.0 + (done >= all), 100 * part));
}

/// "30 of 120 tokens, 5/s, 18 s left".
std::string amounts(double done, double all, double seconds, std::string_view unit) {
  const double speed = seconds > 0 ? done / seconds : 0;
  if (all == 0) return fmt::format("{}, {}", amount(done, unit), rate(speed, unit));
  std::string text = part_of(done, all, unit);
  if (speed > 0)
    text += fmt::format(", {}, {} left", rate(speed, unit),
                        duration((all - std::min(done, all)) / speed));
  return text;
}

void put(int fd, std::string_view text) {
  // Errors of drawing the bar are ignored.
  [[maybe_unused]] const ssize_t written = write(fd, text.data(), text.size());
}

}  // namespace

std::string duration(double seconds) {
  const auto whole = static_cast<uint64_t>(std::min(seconds, 1e9) + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

// Where the line is too narrow, the bar goes first, then the label's end: how far and how long
// still is what the line is for.
std::string progress_line(uint64_t done, uint64_t total, std::string_view label, double seconds,
                          std::string_view unit, size_t width) {
  const auto count = static_cast<double>(done), all = static_cast<double>(total);
  std::string figures = amounts(count, all, seconds, unit);
  if (total == 0) {
    figures = "  " + figures;
  } else {
    const double part = std::min(count / all, 1.0);
    const auto filled = static_cast<size_t>(part * kBarWidth);
    const std::string bar = fmt::format(" [{:#<{}}{:.<{}}]", "", filled, "", kBarWidth - filled);
    const std::string percent = " " + percent_done(count, all);
    const bool fits = label.size() + percent.size() + bar.size() + 1 + figures.size() <= width;
    figures = percent + (fits ? bar : "") + " " + figures;
  }
  if (figures.size() + kShortLabel <= width) label = label.substr(0, width - figures.size());
  std::string line = std::string(label) + figures;
  line.resize(std::min(line.size(), width));
  return line;
}

std::string plain_progress(uint64_t done, uint64_t total, std::string_view label, double seconds,
                           std::string_view unit) {
  const auto count = static_cast<double>(done), all = static_cast<double>(total);
  std::string percent = total == 0 ? "" : percent_done(count, all) + ", ";
  percent.erase(0, percent.find_first_not_of(' '));
  return fmt::format("{}: {}{}", label, percent, amounts(count, all, seconds, unit));
}

ProgressStyle progress_style_from_name(const std::string& name) {
  if (name == "auto") return ProgressStyle::kAuto;
  if (name == "plain") return ProgressStyle::kPlain;
  if (name == "none") return ProgressStyle::kNone;
  user_error("unknown progress style {}: expected auto, plain or none", quote(name));
}

void set_progress_style(ProgressStyle wanted) { progress_style = wanted; }

ProgressBar::ProgressBar(Options options)
    : options_(std::move(options)), start_(options_.now()), drawn_(start_), parts_from_(start_) {
  const bool automatic = progress_style == ProgressStyle::kAuto;
  kind_ = progress_style == ProgressStyle::kNone  ? Kind::kNothing
          : automatic && isatty(options_.fd) == 1 ? Kind::kBar
                                                  : Kind::kLines;
  if (automatic) parts_from_ += options_.interval;
}

ProgressBar::~ProgressBar() { erase(); }

void ProgressBar::update(uint64_t done, uint64_t total, std::string_view label) {
  if (options_.stops) stop_if_interrupted();
  if (kind_ == Kind::kNothing) return;
  const std::lock_guard lock(mutex_);
  const auto now = options_.now();
  if (!begun_ || done < done_) {  // the first update, or the first of another phase
    begun_ = true;
    first_ = done;
    first_at_ = now;
  }
  done_ = done;
  total_ = total;
  if (kind_ == Kind::kLines) {
    if (now - drawn_ >= options_.interval) print_line(label);
    return;
  }
  if (now - start_ < options_.delay || (visible_ && now - drawn_ < kBetweenDrawings)) return;
  // The last column stays free: some terminals wrap when it is written to.
  put(options_.fd, "\r\x1b[K" + progress_line(done, total, label, seconds(), options_.unit,
                                              terminal_width(options_.fd) - 1));
  drawn_ = now;
  visible_ = true;
}

void ProgressBar::finished(std::string_view part) {
  const std::lock_guard lock(mutex_);
  if (kind_ == Kind::kLines && options_.now() >= parts_from_)
    print_line(fmt::format("{} is complete", part));
}

// What an earlier run had done took no time in this one.
double ProgressBar::seconds() const {
  const auto now = options_.now();
  if (done_ <= first_ || now == first_at_)
    return std::chrono::duration<double>(now - start_).count();
  return std::chrono::duration<double>(now - first_at_).count() * static_cast<double>(done_) /
         static_cast<double>(done_ - first_);
}

void ProgressBar::print_line(std::string_view what) {
  put(options_.fd,
      time_stamp() + " " + plain_progress(done_, total_, what, seconds(), options_.unit) + "\n");
  drawn_ = options_.now();
}

void ProgressBar::erase() {
  const std::lock_guard lock(mutex_);
  if (visible_) put(options_.fd, "\r\x1b[K");
  visible_ = false;
}

}  // namespace vitrine::cli
