// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "base/finite.h"
#include "bench/measure/checks.h"
#include "bench/measure/random_matrix.h"
#include "bench/measure/timing.h"
#include "bench/measure/turns.h"
#include "bench/workloads/workloads.h"
#include "engine/device_name.h"
#include "engine/model_state.h"

namespace vitrine::bench {
using namespace internal;
namespace {

constexpr size_t kOperations = 5;

/// What one row is of.
struct Variant {
  size_t operation = 0;
  int64_t rows = 0;
};

std::vector<Variant> variants_of(const BenchOptions& options) {
  std::vector<Variant> variants;
  for (size_t operation = 0; operation < kOperations; ++operation) {
    for (const int64_t rows : options.rows) variants.push_back({operation, rows});
  }
  return variants;
}

/// A product of the pass with all that is fused to it. One weight a layer: no repetition finds its
/// weight in a cache.
struct Operation {
  const char* name;
  std::vector<const PackedMatrix*> weights;
  std::vector<const float*> biases;
  Activation activation = Activation::kNone;
  bool residual = false;
  DType out = DType::kF32;

  int64_t in() const { return weights.front()->in; }
  int64_t outputs() const { return weights.front()->out; }
};

std::array<Operation, kOperations> operations_of(const ModelState& state) {
  const DType narrow = state.activation_dtype();
  std::array<Operation, kOperations> list = {
      {{"qkv", {}, {}, Activation::kNone, false, narrow},
       {"out", {}, {}, Activation::kNone, true},
       {"mlp_in", {}, {}, state.activation, false, narrow},
       {"mlp_out", {}, {}, Activation::kNone, true},
       {"unembedding", {&state.weights.unembedding}, {nullptr}}}};
  for (const LayerWeights& layer : state.weights.layers) {
    const std::pair<const PackedMatrix*, const float*> parts[] = {
        {&layer.qkv, layer.qkv_bias},
        {&layer.attn_out, layer.attn_out_bias},
        {&layer.mlp_in, layer.mlp_in_bias},
        {&layer.mlp_out, layer.mlp_out_bias}};
    for (size_t i = 0; i < std::size(parts); ++i) {
      list[i].weights.push_back(parts[i].first);
      list[i].biases.push_back(parts[i].second);
    }
  }
  return list;
}

/// One operation at one number of rows, with all of its memory.
class LinearCase {
 public:
  LinearCase(const ModelState& state, const Operation& operation, int64_t rows)
      : operation_(operation),
        backend_(*state.backend),
        x_(backend_, rows, operation.in(), state.activation_dtype(), 11),
        residual_(backend_, operation.residual ? rows : 1, operation.outputs(), DType::kF32, 12),
        out_(backend_.allocate(static_cast<size_t>(rows * operation.outputs()) * sizeof(float))) {}

  /// As the pass issues it.
  void fused(Backend& by) { by.linear(args(x_.mat.rows, layer_++ % operation_.weights.size())); }
  /// The product alone, which is what libraries are compared by.
  void product(Backend& by) {
    by.linear({.x = x_.mat,
               .weight = operation_.weights[layer_++ % operation_.weights.size()],
               .out = Mat(out_.f32(), x_.mat.rows, operation_.outputs())});
  }

  /// Finite, and the first row the same as alone.
  void check() {
    backend_.linear(args(x_.mat.rows, 0));
    const std::vector<float> first = download(backend_, out(x_.mat.rows).row_range(0, 1)),
                             last =
                                 download(backend_, out(x_.mat.rows).row_range(x_.mat.rows - 1, 1));
    for (const auto* row : {&first, &last}) {
      require(!first_non_finite(row->data(), DType::kF32, static_cast<int64_t>(row->size())),
              "a linear operation's results are finite");
    }
    backend_.linear(args(1, 0));
    require(download(backend_, out(1)) == first,
            "a row through a linear operation is the same bits alone as among others");
  }

  /// The first layer's product by both, to a tolerance that their orders of summation need.
  void check_against(Backend& other) {
    layer_ = 0;
    product(backend_);
    const std::vector<float> ours = download(backend_, last_sums());
    layer_ = 0;
    product(other);
    const std::vector<float> theirs = download(other, last_sums());
    float largest = 0, apart = 0;
    for (size_t i = 0; i < ours.size(); ++i) {
      largest = std::max(largest, std::abs(ours[i]));
      apart = std::max(apart, std::abs(ours[i] - theirs[i]));
    }
    require(
        apart <= 2e-3f * largest,
        "two ways to multiply give the same sums, within their rounding");  // false for NaN, too
  }

 private:
  Mat out(int64_t rows) const {
    return {out_.data(), rows, operation_.outputs(), operation_.outputs(), operation_.out};
  }
  Mat last_sums() const {
    return Mat(out_.f32(), x_.mat.rows, operation_.outputs()).row_range(x_.mat.rows - 1, 1);
  }

  LinearArgs args(int64_t rows, size_t layer) const {
    LinearArgs args{.x = x_.mat.row_range(0, rows),
                    .weight = operation_.weights[layer],
                    .bias = operation_.biases[layer]};
    args.activation = operation_.activation;
    if (operation_.residual) args.residual = residual_.mat.row_range(0, rows);
    args.out = out(rows);
    return args;
  }

  const Operation& operation_;
  Backend& backend_;
  RandomMatrix x_, residual_;
  Buffer out_;
  size_t layer_ = 0;
};

class LinearBench {
 public:
  explicit LinearBench(const Bench& bench)
      : bench_(bench),
        state_(state_of(bench.model)),
        backend_(*state_.backend),
        operations_(operations_of(state_)) {
    if (const auto gpu = gpu_index(bench.device)) {
      try {
        library_ = make_cuda_backend({.device = *gpu, .gemm = Gemm::kCublas});
      } catch (const Error&) {
        absent_ = "cuBLASLt is not here to compare with";
      }
    }
  }

  void measure() {
    const auto lock = backend_.exclusive();
    for (const auto& [operation, rows] : variants_of(bench_.options))
      measure(operations_[operation], rows);
  }

 private:
  void measure(const Operation& operation, int64_t rows) {
    Row row = bench_.row("linear", fmt::format("{} x {}", operation.name, rows));
    bench_.step("linear " + row.shape);
    const double activation = static_cast<double>(dtype_size(state_.activation_dtype())),
                 residual = operation.residual ? 4 : 0;
    const Work work = linear(rows, operation.in(), operation.outputs(), bench_.model.dtype(),
                             activation, static_cast<double>(dtype_size(operation.out)) + residual);
    set_floor(row, work, bench_.best(), !backend_.host_memory());
    row.note = absent_;
    try {
      LinearCase here(state_, operation, rows);
      here.check();
      if (library_) here.check_against(*library_);
      take(here, row);
    } catch (const Error& error) {
      if (error.kind() != Error::Kind::kUser) throw;
      row.note = error.what();  // it does not fit in memory
    }
    bench_.on_row(row);
  }

  void take(LinearCase& here, Row& row) const {
    const auto fused = [&] { here.fused(backend_); };
    const auto ours = [&] { here.product(backend_); };
    const auto theirs = [&] { here.product(*library_); };
    const int repetitions = enough_repetitions(backend_, fused);
    const int own_repetitions = library_ ? enough_repetitions(backend_, ours) : 0,
              their_repetitions = library_ ? enough_repetitions(*library_, theirs) : 0;
    if (library_) row.against = "cuBLASLt";
    for (int turn = 0; turn < bench_.options.repeat; ++turn) {
      bench_.step("linear " + row.shape);
      measure_once(bench_, row, [&] { return seconds_each(backend_, repetitions, fused); });
      if (library_)
        row.ratio.add(seconds_each(*library_, their_repetitions, theirs) /
                      seconds_each(backend_, own_repetitions, ours));
    }
  }

  const Bench& bench_;
  const ModelState& state_;
  Backend& backend_;
  std::array<Operation, kOperations> operations_;
  std::unique_ptr<Backend> library_;
  std::string absent_;
};

}  // namespace

Cases linear_cases(const BenchOptions& options) {
  const size_t rows = variants_of(options).size();
  const auto measure = [](const Bench& bench) { LinearBench(bench).measure(); };
  return {{.checks = rows, .turns = rows, .measure = measure}};
}

}  // namespace vitrine::bench
