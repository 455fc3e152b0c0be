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

/// One line on a terminal: how far, how fast, how long still. Nothing is shown for the first
/// second, so that quick work leaves no trace, nor when the output is not a terminal. The line is
/// erased at the end.
class ProgressBar : public Progress {
 public:
  struct Options {
    std::string unit = "B";  ///< what is counted; "B" is shown as kB, MB, GB
    int fd = 2;              ///< where to; 2 is stderr
    std::chrono::milliseconds delay{1000};
  };

  ProgressBar() : ProgressBar(Options()) {}
  explicit ProgressBar(Options options);
  ~ProgressBar() override;
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(uint64_t done, uint64_t total, std::string_view label) override;
  /// Erases the line, for example before something else is printed.
  void erase();

 private:
  using Clock = std::chrono::steady_clock;

  Options options_;
  bool terminal_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point drawn_;
  std::mutex mutex_;
  bool visible_ = false;
};

/// The text of the bar, at most `width` characters: "Loading  42 % [####......] 1.20 GB of 2.86 GB,
/// 250 MB/s, 7 s left". A narrow line loses the bar and then the label's end.
std::string progress_line(uint64_t done, uint64_t total, std::string_view label, double seconds,
                          std::string_view unit, size_t width);

}  // namespace vitrine::cli
