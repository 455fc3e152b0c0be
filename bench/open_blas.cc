// SPDX-License-Identifier: MIT
#include "bench/open_blas.h"

#include <dlfcn.h>

#include "bench/measure/timing.h"

namespace vitrine::bench {
using namespace internal;

OpenBlas::OpenBlas() {
  void* library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!library) return;
  sgemm_ = reinterpret_cast<Sgemm>(dlsym(library, "cblas_sgemm"));
  set_threads_ = reinterpret_cast<void (*)(int)>(dlsym(library, "openblas_set_num_threads"));
  config_ = reinterpret_cast<char* (*)()>(dlsym(library, "openblas_get_config"));
}

std::string OpenBlas::description() const { return found() && config_ ? config_() : "not found"; }

double OpenBlas::layer_rate(int threads, int rows, int width, int inner) {
  constexpr int kRowMajor = 101, kNoTranspose = 111;
  const int shapes[4][2] = {{width, 3 * width}, {width, width}, {width, inner}, {inner, width}};
  const size_t most =
      static_cast<size_t>(width) * static_cast<size_t>(inner > 3 * width ? inner : 3 * width);
  if (w_.size() != most) {
    w_.resize(most);
    x_.resize(static_cast<size_t>(rows) *
              static_cast<size_t>(inner > 3 * width ? inner : 3 * width));
    y_.resize(x_.size());
    for (size_t i = 0; i < w_.size(); ++i) w_[i] = static_cast<float>(i % 977) * 1e-3f - 0.5f;
    for (size_t i = 0; i < x_.size(); ++i) x_[i] = static_cast<float>(i % 1009) * 1e-3f - 0.5f;
  }
  if (set_threads_) set_threads_(threads);
  double operations = 0;
  const double start = now();
  for (const auto& [in, out] : shapes) {
    sgemm_(kRowMajor, kNoTranspose, kNoTranspose, rows, out, in, 1.0f, x_.data(), in, w_.data(),
           out, 0.0f, y_.data(), out);
    operations += 2.0 * rows * static_cast<double>(in) * out;
  }
  return operations / (now() - start) * 1e-9;
}

}  // namespace vitrine::bench
