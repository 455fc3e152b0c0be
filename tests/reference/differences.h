// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

// Derivatives from values alone: what an adjoint is held against.

namespace vitrine::reference {

/// d f / d x_i = (f(x + step e_i) - f(x - step e_i)) / (2 step), for each i. In double precision
/// the error is about step^2 of a third derivative plus 1e-16 / step of f: with 1e-5, some 1e-10 of
/// numbers about 1.
template <class Function>
std::vector<double> central_differences(std::vector<double> x, const Function& f,
                                        double step = 1e-5) {
  std::vector<double> result(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double at = x[i];
    x[i] = at + step;
    const double above = f(std::as_const(x));
    x[i] = at - step;
    const double below = f(std::as_const(x));
    x[i] = at;
    result[i] = (above - below) / (2.0 * step);
  }
  return result;
}

}  // namespace vitrine::reference
