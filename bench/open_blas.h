// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace vitrine::bench {

/// OpenBLAS, if it is installed: found when the program runs, so that nothing depends on it.
class OpenBlas {
 public:
  OpenBlas();
  bool found() const { return sgemm_ != nullptr; }
  std::string description() const;
  /// GFLOP/s of the four products of one GPT-2 layer, `rows` tokens, width `width`, inner width
  /// `inner`.
  double layer_rate(int threads, int rows, int width, int inner);

 private:
  using Sgemm = void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int,
                         float, float*, int);
  Sgemm sgemm_ = nullptr;
  void (*set_threads_)(int) = nullptr;
  char* (*config_)() = nullptr;
  std::vector<float> x_, w_, y_;
};

}  // namespace vitrine::bench
