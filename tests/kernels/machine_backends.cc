// SPDX-License-Identifier: MIT
#include <hwy/highway.h>
#include <hwy/targets.h>

#include "kernels/backend/arithmetic.h"
#include "tests/kernels/harness.h"
#include "vitrine/error.h"

namespace vitrine::testing {
using namespace internal;
namespace {

template <int64_t kTarget>
std::unique_ptr<Backend> make_cpu_for_target(int threads) {
  hwy::SetSupportedTargetsForTest(kTarget);
  hwy::GetChosenTarget().DeInit();
  return make_cpu_backend({.threads = threads});
}

template <int64_t kTarget>
void add_cpu(std::vector<BackendCase>& list) {
  if constexpr ((HWY_TARGETS & kTarget) != 0) {
    if (hwy::SupportedTargets() & kTarget)
      list.push_back(
          {std::string("cpu_") + hwy::TargetName(kTarget), make_cpu_for_target<kTarget>});
  }
}

/// Reason why no GPU is tested; empty if one is.
std::string gpu_missing() {
  try {
    make_cuda_backend();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

std::vector<BackendCase> find_backends() {
  std::vector<BackendCase> list;
  add_cpu<HWY_AVX3>(list);
  add_cpu<HWY_AVX2>(list);
  add_cpu<HWY_SSE4>(list);
  add_cpu<HWY_NEON>(list);
  add_cpu<HWY_EMU128>(list);
  add_cpu<HWY_SCALAR>(list);
  list.push_back({"cpu_bf16", [](int threads) {
                    return make_cpu_backend({.threads = threads}, Arithmetic::kBf16);
                  }});
  if (gpu_missing().empty()) {
    list.push_back({"cuda", [](int) { return make_cuda_backend(); }, true});
  }
  return list;
}

TEST(CudaTest, AGpuIsThereToRunTheKernelsOn) {
  const std::string missing = gpu_missing();
  if (!missing.empty()) GTEST_SKIP() << missing;
  EXPECT_NE(make_cuda_backend()->description().find("cuda"), std::string::npos);
}

}  // namespace

const std::vector<BackendCase>& backends() {
  static const std::vector<BackendCase> list = find_backends();
  return list;
}

const std::vector<GemmCase>& gemm_cases() {
  static const std::vector<GemmCase> list = [] {
    std::vector<GemmCase> found;
    if (gpu_missing().empty() &&
        make_cuda_backend()->description().find("sm_90,") != std::string::npos) {
      found.push_back(
          {"cuda", [](Gemm gemm) { return make_cuda_backend(CudaOptions{.gemm = gemm}); }});
    }
    return found;
  }();
  return list;
}

void forget_backend() {
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

}  // namespace vitrine::testing
