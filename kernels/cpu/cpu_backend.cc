// SPDX-License-Identifier: MIT
#include "kernels/cpu/cpu_backend.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cstring>

#include "base/check.h"
#include "base/cpu_unit.h"
#include "base/default_threads.h"

namespace vitrine::internal {
namespace {

int checked_threads(int wanted) {
  if (wanted < 0)
    user_error("invalid number of threads {}: expected 0 (the default) or more", wanted);
  return wanted == 0 ? default_threads().threads : wanted;
}

}  // namespace

CpuBackend::CpuBackend(const CpuOptions& options) : threads_(checked_threads(options.threads)) {
  cpu_unit();  // before the first kernel is dispatched
}

std::string CpuBackend::description() const {
  const int64_t targets = hwy::SupportedTargets();
  const int64_t best = targets & -targets;  // Highway numbers better targets lower
  const char* name = best == HWY_AVX3 ? "AVX-512" : hwy::TargetName(best);
  return fmt::format("cpu ({}, {} {})", name, threads_, threads_ == 1 ? "thread" : "threads");
}

Buffer CpuBackend::allocate(size_t bytes) {
  Buffer buffer = cpu::allocate_memory(bytes);
  ++allocated_;
  return buffer;
}

void CpuBackend::upload(void* device, const void* host, size_t bytes) {
  if (bytes > 0) std::memcpy(device, host, bytes);
}

void CpuBackend::download(void* host, const void* device, size_t bytes) {
  if (bytes > 0) std::memcpy(host, device, bytes);
}

void CpuBackend::copy(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void CpuBackend::clear(void* device, size_t bytes) {
  if (bytes > 0) std::memset(device, 0, bytes);
}

std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options) {
  return std::make_unique<CpuBackend>(options);
}

}  // namespace vitrine::internal
