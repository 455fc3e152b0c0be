// SPDX-License-Identifier: MIT
#include "bench/measure/device_rates.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "base/check.h"
#include "base/default_threads.h"
#include "bench/measure/ceilings.h"
#include "bench/measure/random_matrix.h"
#include "bench/measure/timing.h"
#include "engine/device_name.h"
#include "kernels/cuda/runtime/device.h"

namespace vitrine::bench {
using namespace internal;
namespace {

void measure_cpu(const RateOptions& options, DeviceRates& rates) {
  rates.device = make_cpu_backend({.threads = options.threads})->description();
  rates.threads = options.threads > 0 ? options.threads : default_threads().threads;
  const size_t bytes = options.sizes.memory > 0 ? options.sizes.memory : size_t{512} << 20;
  Ceilings ceilings(rates.threads, bytes), small(rates.threads, bytes, Pages::kSmall);
  Samples operations;
  for (int i = 0; i < options.repeat; ++i) {
    if (options.on_step) options.on_step("the machine");
    rates.bandwidth.add(ceilings.read_bandwidth() * 1e9);
    rates.small_pages.add(small.read_bandwidth() * 1e9);
    operations.add(ceilings.fma_peak() * 1e9);
    rates.barrier.add(ceilings.barrier());
  }
  // Narrow weights are widened to float32 before they are multiplied.
  for (const DType dtype : options.dtypes)
    rates.arithmetic[dtype] = {operations, "float32 multiply-adds"};
}

void measure_copy(int gpu, const RateOptions& options, Samples& bandwidth) {
  constexpr int kCopies = 8;
  const size_t bytes = options.sizes.memory > 0 ? options.sizes.memory : size_t{1} << 30;
  const std::shared_ptr<cuda::Device> device = cuda::Device::open(gpu);
  device->make_current();
  const auto allocate = [&] {
    return std::shared_ptr<void>(device->allocate(bytes),
                                 [device](void* memory) { device->release(memory); });
  };
  const std::shared_ptr<void> from = allocate(), to = allocate();
  if (!from || !to)
    user_error(
        "out of GPU memory for two buffers of {} bytes, needed to measure the bandwidth; free some "
        "of it",
        bytes);
  const std::vector<float> values = random_values(1 << 20, 4);
  for (size_t at = 0; at < bytes; at += values.size() * sizeof(float)) {
    device->copy_in(static_cast<std::byte*>(from.get()) + at, values.data(),
                    std::min(bytes - at, values.size() * sizeof(float)));
  }
  for (int i = -1; i < options.repeat; ++i) {  // the first warms up
    if (options.on_step) options.on_step("the machine: memory");
    device->synchronize();
    const double start = now();
    for (int copy = 0; copy < kCopies; ++copy) device->copy_within(to.get(), from.get(), bytes);
    device->synchronize();
    if (i >= 0) bandwidth.add(2.0 * kCopies * static_cast<double>(bytes) / (now() - start));
  }
}

/// NVIDIA's library where it is installed: then the rate is the machine's and not ours.
std::pair<std::unique_ptr<Backend>, std::string> multiplier(int gpu) {
  try {
    return {make_cuda_backend({.device = gpu, .gemm = Gemm::kCublas}), "cuBLASLt"};
  } catch (const Error&) {
    return {make_cuda_backend({.device = gpu}), "own kernels: cuBLASLt is not here"};
  }
}

void measure_products(int gpu, DType dtype, const RateOptions& options, DeviceRates& rates) {
  const auto [backend, by] = multiplier(gpu);
  const auto lock = backend->exclusive();
  const int64_t n = options.sizes.matrix > 0 ? options.sizes.matrix : 8192;
  const std::vector<float> values = random_values(n * n, 2);
  const Buffer memory = backend->allocate(
      backend->packed_bytes(n, n, dtype));  // refuses a type that the GPU cannot multiply with
  const RandomMatrix x(*backend, n, n, backend->activation_dtype(dtype), 1);
  const PackedMatrix weight =
      backend->pack({values.data(), DType::kF32, n, n, n, 1}, dtype, memory.data());
  const Buffer sums = backend->allocate(static_cast<size_t>(n * n) * sizeof(float));
  const auto product = [&, &device = *backend] {
    device.linear({.x = x.mat, .weight = &weight, .out = Mat(sums.f32(), n, n)});
  };
  const int repetitions = enough_repetitions(*backend, product);
  DeviceRates::Arithmetic& found = rates.arithmetic[dtype];
  found.by = by;
  for (int i = 0; i < options.repeat; ++i) {
    if (options.on_step)
      options.on_step(fmt::format("the machine: {} products", dtype_name(dtype)));
    found.operations.add(2.0 * static_cast<double>(n) * static_cast<double>(n * n) /
                         seconds_each(*backend, repetitions, product));
  }
}

void measure_launches(Backend& backend, const RateOptions& options, Samples& launch) {
  constexpr int kOperations = 1000;
  const auto lock = backend.exclusive();
  const RandomMatrix a(backend, 1, 64, DType::kF32, 3), b(backend, 1, 64, DType::kF32, 4),
      sum(backend, 1, 64, DType::kF32, 5);
  backend.add(a.mat, b.mat, sum.mat);  // what is loaded at first use is loaded now
  backend.begin_recording();
  for (int i = 0; i < kOperations; ++i) backend.add(a.mat, b.mat, sum.mat);
  const std::unique_ptr<Recording> recording = backend.end_recording();
  const auto replay = [&] { recording->replay(); };
  const int repetitions = enough_repetitions(backend, replay);
  for (int i = 0; i < options.repeat; ++i) {
    if (options.on_step) options.on_step("the machine: launches");
    launch.add(seconds_each(backend, repetitions, replay) / kOperations);
  }
}

}  // namespace

DeviceRates measure_rates(const RateOptions& options) {
  DeviceRates rates;
  const std::optional<int> gpu = gpu_index(options.device);
  if (!gpu) {
    measure_cpu(options, rates);
    return rates;
  }
  const std::unique_ptr<Backend> backend = make_cuda_backend({.device = *gpu});
  rates.device = backend->description();
  measure_copy(*gpu, options, rates.bandwidth);
  for (const DType dtype : options.dtypes) measure_products(*gpu, dtype, options, rates);
  if (backend->records()) measure_launches(*backend, options, rates.launch);
  return rates;
}

uint64_t rate_steps(const RateOptions& options) {
  const auto repeat = static_cast<uint64_t>(options.repeat);
  if (!gpu_index(options.device)) return repeat;
  const uint64_t copies = 1 + repeat, launches = repeat;
  return copies + options.dtypes.size() * repeat + launches;
}

Rates DeviceRates::best(DType dtype) const {
  return {bandwidth.max(), arithmetic.at(dtype).operations.max()};
}

Json DeviceRates::json() const {
  Json rates = {{"device", device},
                {"threads", threads > 0 ? Json(threads) : Json(nullptr)},
                {"bytes_per_second", samples_json(bandwidth)},
                {"small_pages_bytes_per_second", samples_json(small_pages)},
                {"barrier_seconds", samples_json(barrier)},
                {"launch_seconds", samples_json(launch)}};
  for (const auto& [dtype, found] : arithmetic) {
    rates["operations_per_second"][std::string(dtype_name(dtype))] = {
        {"by", found.by}, {"rate", samples_json(found.operations)}};
  }
  return rates;
}

}  // namespace vitrine::bench
