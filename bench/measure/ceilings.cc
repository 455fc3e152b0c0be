// SPDX-License-Identifier: MIT
// Highway compiles the part between the two guards once for each instruction set and picks the best
// when the program runs.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/measure/ceilings.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace vitrine::bench::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Four cache lines an iteration: the loop costs nothing next to the memory.
uint64_t ReadAll(const uint64_t* data, size_t count) {
  const hn::ScalableTag<uint64_t> d;
  const size_t n = hn::Lanes(d);
  auto a = hn::Zero(d), b = hn::Zero(d), c = hn::Zero(d), e = hn::Zero(d);
  for (size_t i = 0; i + 4 * n <= count; i += 4 * n) {
    a = hn::Xor(a, hn::Load(d, data + i));
    b = hn::Xor(b, hn::Load(d, data + i + n));
    c = hn::Xor(c, hn::Load(d, data + i + 2 * n));
    e = hn::Xor(e, hn::Load(d, data + i + 3 * n));
  }
  return hn::GetLane(hn::Xor(hn::Xor(a, b), hn::Xor(c, e)));
}

void WriteAll(uint64_t* data, size_t count, uint64_t value) {
  const hn::ScalableTag<uint64_t> d;
  const size_t n = hn::Lanes(d);
  const auto v = hn::Set(d, value);
  for (size_t i = 0; i + n <= count; i += n) hn::Store(v, d, data + i);
}

// Twelve chains hide the latency of every core so far (two units of latency 4 or 5). Each begins
// elsewhere: a compiler that sees the same chain twelve times computes it once. Returns the
// floating-point operations.
double FmaLoop(int64_t rounds, float* sink) {
  constexpr size_t kChains = 12;
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const auto scale = hn::Set(d, 0.999f), shift = hn::Set(d, 0.001f);
  const auto start = [&](float i) HWY_ATTR { return hn::Set(d, *sink + i); };
  V a0 = start(0), a1 = start(1), a2 = start(2), a3 = start(3), a4 = start(4), a5 = start(5),
    a6 = start(6), a7 = start(7), a8 = start(8), a9 = start(9), a10 = start(10), a11 = start(11);
  for (int64_t i = 0; i < rounds; ++i) {
    for (V* a : {&a0, &a1, &a2, &a3, &a4, &a5, &a6, &a7, &a8, &a9, &a10, &a11})
      *a = hn::MulAdd(*a, scale, shift);
  }
  const auto low = hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(a4, a5));
  const auto high = hn::Add(hn::Add(hn::Add(a6, a7), hn::Add(a8, a9)), hn::Add(a10, a11));
  *sink = hn::GetLane(hn::Add(low, high));
  return static_cast<double>(rounds) * kChains * 2.0 * static_cast<double>(hn::Lanes(d));
}

}  // namespace vitrine::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <sys/mman.h>

#include "bench/measure/ceilings.h"
#include "bench/measure/timing.h"
#include "kernels/cpu/parallel.h"

namespace vitrine::bench {
using namespace internal;

HWY_EXPORT(ReadAll);
HWY_EXPORT(WriteAll);
HWY_EXPORT(FmaLoop);

namespace {
volatile uint64_t g_sink = 0;  // keeps the compiler from dropping unread results
}

Ceilings::Ceilings(int threads, size_t bytes, Pages pages)
    : threads_(threads), memory_(make_cpu_backend({.threads = threads})) {
  buffer_ = memory_->allocate(bytes);
  // Large pages were requested at allocation; that can be undone until the memory is touched. Small
  // buffers have none.
  if (pages == Pages::kSmall) madvise(buffer_.data(), bytes, MADV_NOHUGEPAGE);
  write_bandwidth();  // touches the pages
}

Ceilings::~Ceilings() = default;

double Ceilings::read_bandwidth() {
  const auto* data = reinterpret_cast<const uint64_t*>(buffer_.data());
  const size_t part = buffer_.bytes() / 8 / static_cast<size_t>(threads_) / 64 * 64;
  std::atomic<uint64_t> all = 0;
  const double start = now();
  cpu::parallel_for(threads_, threads_, [&](int64_t i) {
    all += HWY_DYNAMIC_DISPATCH(ReadAll)(data + static_cast<size_t>(i) * part, part);
  });
  const double seconds = now() - start;
  g_sink = all;
  return static_cast<double>(part * 8 * static_cast<size_t>(threads_)) / seconds * 1e-9;
}

double Ceilings::write_bandwidth() {
  auto* data = reinterpret_cast<uint64_t*>(buffer_.data());
  const size_t part = buffer_.bytes() / 8 / static_cast<size_t>(threads_) / 64 * 64;
  const double start = now();
  cpu::parallel_for(threads_, threads_, [&](int64_t i) {
    HWY_DYNAMIC_DISPATCH(WriteAll)(data + static_cast<size_t>(i) * part, part, 0x5bd1e995u + part);
  });
  return static_cast<double>(part * 8 * static_cast<size_t>(threads_)) / (now() - start) * 1e-9;
}

double Ceilings::fma_peak() {
  constexpr int64_t kRounds = 8'000'000;
  std::atomic<double> operations = 0;
  std::atomic<float> sinks = 0;
  const double start = now();
  cpu::parallel_for(threads_, threads_, [&](int64_t) {
    float sink = 0.5f;
    operations += HWY_DYNAMIC_DISPATCH(FmaLoop)(kRounds, &sink);
    sinks += sink;
  });
  const double seconds = now() - start;
  g_sink = static_cast<uint64_t>(sinks);
  return operations / seconds * 1e-9;
}

double Ceilings::barrier() {
  constexpr int kRegions = 1000;
  const double start = now();
  for (int i = 0; i < kRegions; ++i) cpu::parallel_for(threads_, threads_, [](int64_t) {});
  return (now() - start) / kRegions;
}

}  // namespace vitrine::bench

#endif  // HWY_ONCE
