// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "vitrine/progress.h"

namespace vitrine::cli {

/// How progress is shown: --progress.
enum class ProgressStyle : uint8_t {
  kAuto,   ///< a bar on a terminal; elsewhere plain lines, from the second interval on
  kPlain,  ///< plain lines
  kNone,
};
/// Parses "auto", "plain" or "none". Throws Error (user) that lists them.
ProgressStyle progress_style_from_name(const std::string& name);
/// The style of all bars made from now on.
void set_progress_style(ProgressStyle style);

/// How far, how fast, how long still. On a terminal one line, which is erased at the end; nothing
/// is shown for the first second, so that quick work leaves no trace. Elsewhere a line with the
/// date and time each minute and for each finished part.
class ProgressBar : public Progress {
 public:
  using Clock = std::chrono::steady_clock;

  struct Options {
    std::string unit = "B";  ///< what is counted; "B" is shown as kB, MB, GB
    int fd = 2;              ///< where to; 2 is stderr
    std::chrono::milliseconds delay{1000};
    std::chrono::milliseconds interval{60'000};  ///< between two plain lines
    bool stops = true;                           ///< update() throws Interrupted after Ctrl-C
    Clock::time_point (*now)() = Clock::now;
  };

  ProgressBar() : ProgressBar(Options()) {}
  explicit ProgressBar(Options options);
  ~ProgressBar() override;
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(uint64_t done, uint64_t total, std::string_view label) override;
  void finished(std::string_view part) override;
  /// Erases the line, for example before something else is printed.
  void erase();

 private:
  enum class Kind : uint8_t { kBar, kLines, kNothing };

  /// That all of it would take at the speed since the first update.
  double seconds() const;
  void print_line(std::string_view what);

  Options options_;
  Kind kind_;
  Clock::time_point start_;
  Clock::time_point drawn_;       ///< the bar, or a plain line
  Clock::time_point parts_from_;  ///< finished parts get a line from then on
  std::mutex mutex_;
  bool visible_ = false, begun_ = false;
  Clock::time_point first_at_;     ///< the first update
  uint64_t first_ = 0;             ///< what it reported
  uint64_t done_ = 0, total_ = 0;  ///< of the last update
};

/// "7 s", "2 min 5 s", "3 h 20 min".
std::string duration(double seconds);

/// The text of the bar, at most `width` characters: "Loading  42 % [####......] 1.20 GB of 2.86 GB,
/// 250 MB/s, 7 s left". A narrow line loses the bar and then the label's end.
std::string progress_line(uint64_t done, uint64_t total, std::string_view label, double seconds,
                          std::string_view unit, size_t width);
/// The same without a bar, as a line of a log: "Loading: 42 %, 1.20 GB of 2.86 GB, 250 MB/s, 7 s
/// left".
std::string plain_progress(uint64_t done, uint64_t total, std::string_view label, double seconds,
                           std::string_view unit);

}  // namespace vitrine::cli
