// SPDX-License-Identifier: MIT
// Products with weights, their gradients, and packing. OpenBLAS beside them where the build has
// found it.

#include "bench/kernels/kernels_bench.h"

#ifdef VITRINE_BENCH_CBLAS
#include <cblas.h>
extern "C" void openblas_set_num_threads(int);
#endif

namespace vitrine::bench {
using namespace internal;
namespace {

struct Product {
  const char* name;
  int64_t in, out;
  Activation activation;  ///< of the output
};

std::vector<Product> products() {
  const int64_t d = shape().width, m = shape().inner;
  return {{"qkv", d, 3 * d, Activation::kNone},
          {"attn_out", d, d, Activation::kNone},
          {"mlp_in", d, m, Activation::kGeluTanh},
          {"mlp_out", m, d, Activation::kNone},
          {"unembed", d, shape().vocab, Activation::kNone}};
}

/// As many copies of a weight as a model has layers, so that one product does not find it in the
/// cache; one where rows hide that.
std::vector<RandomWeight> copies(Backend& backend, const Product& product, DType dtype,
                                 int64_t rows) {
  const size_t enough = rows <= 8 ? size_t{128} << 20 : 1;
  std::vector<RandomWeight> weights;
  for (size_t bytes = 0; bytes < enough; bytes += weights.back().buffer.bytes())
    weights.emplace_back(backend, product.in, product.out, dtype);
  return weights;
}

void report(const Laps& laps, const Product& product, int64_t rows, size_t weight_bytes) {
  if (rows <= 8) laps.report_bytes(static_cast<double>(weight_bytes));
  if (rows > 1) laps.report_operations(2.0 * static_cast<double>(rows * product.in * product.out));
}

void linear(benchmark::State& state, const Product& product, DType dtype) {
  const auto backend = backend_of(state);
  const int64_t rows = state.range(1);
  const std::vector<RandomWeight> weights = copies(*backend, product, dtype, rows);
  const RandomMatrix x = random_rows(*backend, rows, product.in),
                     y = random_rows(*backend, rows, product.out),
                     bias = random_rows(*backend, 1, product.out);
  size_t next = 0;
  Laps laps(state);
  laps.run([&] {
    LinearArgs args;
    args.x = x.mat;
    args.weight = &weights[next++ % weights.size()].packed;
    args.bias = bias.mat.f32();
    args.activation = product.activation;
    args.out = y.mat;
    backend->linear(args);
  });
  report(laps, product, rows, weights[0].buffer.bytes());
}

/// With respect to the input. That of mlp_out passes the activation in front of it as well.
void linear_backward(benchmark::State& state, const Product& product, DType dtype) {
  const auto backend = backend_of(state);
  const int64_t rows = state.range(1);
  const bool activated = product.in == shape().inner;
  const std::vector<RandomWeight> weights = copies(*backend, product, dtype, rows);
  const RandomMatrix dy = random_rows(*backend, rows, product.out),
                     dx = random_rows(*backend, rows, product.in),
                     before = random_rows(*backend, rows, product.in);
  size_t next = 0;
  Laps laps(state);
  laps.run([&] {
    LinearBackwardArgs args;
    args.dy = dy.mat;
    args.weight = &weights[next++ % weights.size()].packed;
    if (activated) args.activation = Activation::kGeluTanh, args.before = before.mat;
    args.dx = dx.mat;
    backend->linear_backward(args);
  });
  report(laps, product, rows, weights[0].buffer.bytes());
}

#ifdef VITRINE_BENCH_CBLAS
void openblas(benchmark::State& state, const Product& product) {
  const auto backend = make_cpu_backend({.threads = 1});
  openblas_set_num_threads(threads_of(state));
  const auto rows = static_cast<int>(state.range(1)), k = static_cast<int>(product.in),
             n = static_cast<int>(product.out);
  const RandomMatrix x = random_rows(*backend, rows, k), w = random_rows(*backend, k, n),
                     y = random_rows(*backend, rows, n);
  Laps laps(state);
  laps.run([&] {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, n, k, 1.0f, x.mat.f32(), k,
                w.mat.f32(), n, 0.0f, y.mat.f32(), n);
  });
  laps.report_operations(2.0 * static_cast<double>(rows) *
                         static_cast<double>(product.in * product.out));
}
#endif

void pack(benchmark::State& state, const Product& product, bool transposed, DType store) {
  const auto backend = backend_of(state);
  const int64_t in = product.in, out = product.out;
  const RandomMatrix source = random_rows(*backend, in, out);
  const Buffer buffer = backend->allocate(backend->packed_bytes(in, out, store));
  const HostWeight weight{source.mat.data,      DType::kF32,        in, out,
                          transposed ? 1 : out, transposed ? in : 1};
  Laps laps(state);
  laps.run([&] { benchmark::DoNotOptimize(backend->pack(weight, store, buffer.data())); });
  laps.report_bytes(4.0 * static_cast<double>(in * out));  // of the source
}

}  // namespace

void add_linear() {
  const std::vector<DType> dtypes = {DType::kF32, DType::kF16, DType::kBF16, DType::kI8};
  for (const Product& product : products()) {
    for (const DType dtype : dtypes) {
      const std::string name = std::string(product.name) + "/" + std::string(dtype_name(dtype));
      add("linear/" + name, {{1, 4, 8, 16, 64, 512}}, linear, product, dtype);
      add("linear_backward/" + name, {{1, 64, 512}}, linear_backward, product, dtype);
    }
#ifdef VITRINE_BENCH_CBLAS
    add(std::string("openblas/") + product.name, {{16, 64, 512}}, openblas, product);
#endif
  }
  const Product mlp_in = products()[2], unembed = products()[4];
  for (const DType dtype : dtypes) {
    const std::string name(dtype_name(dtype));
    add("pack/conv1d/" + name, {}, pack, mlp_in, false, dtype);
    add("pack/wte/" + name, {}, pack, unembed, true, dtype);
  }
}

}  // namespace vitrine::bench
