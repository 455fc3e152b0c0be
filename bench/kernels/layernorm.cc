// SPDX-License-Identifier: MIT
// Layernorm, its halves, and the gradients of all.

#include "bench/kernels/kernels_bench.h"

namespace vitrine::bench {
using namespace internal;
namespace {

/// Rows of the residual stream with a layernorm's parameters, and all that its operations read or
/// write.
struct Norm {
  Norm(Backend& backend, int64_t rows)
      : x(random_rows(backend, rows, shape().width)),
        parameters(random_rows(backend, 2, shape().width)),
        out(random_rows(backend, rows, shape().width)),
        scale(random_rows(backend, rows, 1)),
        dy(random_rows(backend, rows, shape().width)),
        dscale(random_rows(backend, rows, 1)) {
    backend.layernorm_scale(x.mat, shape().layer_norm_epsilon, scale.mat);
  }

  LayerNormArgs forward(bool scaled) const {
    LayerNormArgs args;
    args.x = x.mat;
    args.weight = parameters.mat.row(0);
    args.bias = parameters.mat.row(1);
    args.epsilon = shape().layer_norm_epsilon;
    args.out = out.mat;
    if (scaled) args.scale = scale.mat;
    return args;
  }
  LayerNormBackwardArgs backward(bool scaled) const {
    LayerNormBackwardArgs args;
    args.x = x.mat;
    args.weight = parameters.mat.row(0);
    args.epsilon = shape().layer_norm_epsilon;
    args.dy = dy.mat;
    args.dx = out.mat;
    if (scaled) args.scale = scale.mat, args.dscale = dscale.mat;
    return args;
  }

  RandomMatrix x, parameters, out, scale, dy, dscale;
};

/// `matrices`: how many of [rows, D] the operation must read and write.
void measure(benchmark::State& state, void (*operation)(Backend&, const Norm&), double matrices) {
  const auto backend = backend_of(state);
  const Norm norm(*backend, state.range(1));
  Laps laps(state);
  laps.run([&] { operation(*backend, norm); });
  laps.report_bytes(4.0 * matrices * static_cast<double>(state.range(1) * shape().width));
}

}  // namespace

void add_layernorm() {
  const std::vector<std::vector<int64_t>> rows = {{1, 512}};
  const auto norm = [&](const char* name, double matrices,
                        void (*operation)(Backend&, const Norm&)) {
    add(name, rows, measure, operation, matrices);
  };
  norm("layernorm", 2,
       [](Backend& backend, const Norm& n) { backend.layernorm(n.forward(false)); });
  norm("layernorm_scale", 1, [](Backend& backend, const Norm& n) {
    backend.layernorm_scale(n.x.mat, shape().layer_norm_epsilon, n.scale.mat);
  });
  norm("layernorm_apply", 2,
       [](Backend& backend, const Norm& n) { backend.layernorm_apply(n.forward(true)); });
  norm("layernorm_backward", 3,
       [](Backend& backend, const Norm& n) { backend.layernorm_backward(n.backward(false)); });
  norm("layernorm_backward_scale", 2,
       [](Backend& backend, const Norm& n) { backend.layernorm_backward_scale(n.backward(true)); });
  norm("layernorm_backward_apply", 3,
       [](Backend& backend, const Norm& n) { backend.layernorm_backward_apply(n.backward(true)); });
}

}  // namespace vitrine::bench
