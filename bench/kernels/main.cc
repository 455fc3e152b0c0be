// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdio>
#include <map>
#include <string_view>

#include "bench/kernels/kernels_bench.h"
#include "bench/measure/ceilings.h"
#include "bench/measure/sizes.h"
#include "bench/measure/timing.h"
#include "vitrine/error.h"

namespace vitrine::bench {
using namespace internal;
namespace {

Config chosen_shape;

struct Ceiling {
  double bytes = 0, operations = 0;  ///< a second
};

/// Best of a few, measured on first use.
const Ceiling& ceiling(int threads) {
  static std::map<int, Ceiling> known;
  const auto [it, is_new] = known.try_emplace(threads);
  if (!is_new) return it->second;
  constexpr int kTries = 3;
  Ceilings machine(threads, size_t{256} << 20);
  for (int i = 0; i < kTries; ++i) {
    it->second.bytes = std::max(it->second.bytes, 1e9 * machine.read_bandwidth());
    it->second.operations = std::max(it->second.operations, 1e9 * machine.fma_peak());
  }
  return it->second;
}

/// Takes --size NAME or --size=NAME out of the arguments; the rest is Google Benchmark's.
std::string take_size(int& argc, char** argv) {
  std::string size = "gpt2";
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--size" && i + 1 < argc)
      size = argv[++i];
    else if (argument.starts_with("--size="))
      size = argument.substr(7);
    else
      argv[kept++] = argv[i];
  }
  argc = kept;
  return size;
}

void add_context(int64_t threads) {
  const Ceiling& found = ceiling(static_cast<int>(threads));
  char text[96];
  std::snprintf(text, sizeof text, "%.1f GB/s read, %.1f GFLOP/s of fused multiply-adds",
                1e-9 * found.bytes, 1e-9 * found.operations);
  benchmark::AddCustomContext(
      "ceilings of " + std::to_string(threads) + (threads == 1 ? " thread" : " threads"), text);
}

int run(int argc, char** argv) {
  const std::string size = take_size(argc, argv);
  chosen_shape = size_config(size);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("shape", size);
  for (const int64_t threads : kThreads) add_context(threads);
  for (void (*add_kind)() :
       {add_linear, add_attention, add_layernorm, add_elementwise, add_logits, add_hooks})
    add_kind();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace

const Config& shape() { return chosen_shape; }

std::unique_ptr<Backend> backend_of(const benchmark::State& state) {
  return make_cpu_backend({.threads = threads_of(state)});
}

RandomMatrix random_rows(Backend& backend, int64_t rows, int64_t cols) {
  return {backend, rows, cols, DType::kF32, 1};
}

RandomWeight::RandomWeight(Backend& backend, int64_t in, int64_t out, DType dtype) {
  const std::vector<float> host = random_values(in * out, 2);
  buffer = backend.allocate(backend.packed_bytes(in, out, dtype));
  packed = backend.pack({host.data(), DType::kF32, in, out, out, 1}, dtype, buffer.data());
}

double Laps::now() { return bench::now(); }

void Laps::finish() {
  std::sort(seconds_.begin(), seconds_.end());
  state_.counters["median_us"] = 1e6 * median();
}

void Laps::report_bytes(double bytes) const {
  state_.counters["GB/s"] = 1e-9 * bytes / median();
  state_.counters["of_read"] = bytes / median() / ceiling(threads_of(state_)).bytes;
}

void Laps::report_operations(double operations) const {
  state_.counters["GFLOP/s"] = 1e-9 * operations / median();
  state_.counters["of_fma"] = operations / median() / ceiling(threads_of(state_)).operations;
}

}  // namespace vitrine::bench

int main(int argc, char** argv) {
  try {
    return vitrine::bench::run(argc, argv);
  } catch (const vitrine::Error& error) {
    std::fprintf(stderr, "kernels_bench: %s\n", error.what());
    return error.kind() == vitrine::Error::Kind::kUser ? 2 : 1;
  }
}
