// SPDX-License-Identifier: MIT
#include <cublasLt.h>
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <type_traits>

#include "base/check.h"
#include "kernels/cuda/linear/paths.h"

// cuBLASLt, for comparison. The library is opened on request and not linked, because it is larger
// than everything else and programs must start on machines with only a driver.
//
// cuBLASLt is column-major, so it computes the transposed product: sums^T [out, rows] = W^T x^T. It
// reads the packed weights [out][in] as an [in, out] matrix to be transposed, and x [rows][in] as
// an [in, rows] matrix.

namespace vitrine::internal::cuda {
namespace {

/// The version that the header describes.
const std::string kLibrary = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);

/// The functions that are called, found by name.
struct Functions {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtGetStatusString) status_text = nullptr;
  decltype(&cublasLtMatmulDescInit_internal) init_matmul = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) set_matmul = nullptr;
  decltype(&cublasLtMatrixLayoutInit_internal) init_layout = nullptr;
  decltype(&cublasLtMatmulPreferenceInit_internal) init_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) choose = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
};

/// It stays open to the end of the program.
const Functions& functions() {
  static const Functions found = [] {
    void* library = dlopen(kLibrary.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      user_error(
          "missing library {}: install cuBLAS, add its folder to LD_LIBRARY_PATH, or use exact or "
          "fast instead of cublas",
          kLibrary);
    }
    const auto find = [&](auto& function, const char* name) {
      function =
          reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      if (function == nullptr) {
        user_error(
            "{}: missing function {}; install another version of cuBLAS, or use exact or fast "
            "instead of cublas",
            kLibrary, name);
      }
    };
    Functions f;
    find(f.create, "cublasLtCreate");
    find(f.destroy, "cublasLtDestroy");
    find(f.status_text, "cublasLtGetStatusString");
    find(f.init_matmul, "cublasLtMatmulDescInit_internal");
    find(f.set_matmul, "cublasLtMatmulDescSetAttribute");
    find(f.init_layout, "cublasLtMatrixLayoutInit_internal");
    find(f.init_preference, "cublasLtMatmulPreferenceInit_internal");
    find(f.set_preference, "cublasLtMatmulPreferenceSetAttribute");
    find(f.choose, "cublasLtMatmulAlgoGetHeuristic");
    find(f.matmul, "cublasLtMatmul");
    return f;
  }();
  return found;
}

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    internal_error("cuBLASLt failed at {}: {}", what, functions().status_text(status));
}

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return CUDA_R_16F;
    case DType::kBF16:
      return CUDA_R_16BF;
    default:
      return CUDA_R_32F;
  }
}

/// How many bytes, 16 at most, an address is a multiple of.
uint32_t alignment(const void* data) {
  const auto address = reinterpret_cast<uintptr_t>(data) | 16u;
  return static_cast<uint32_t>(address & -address);
}

/// All that the library's choice depends on.
struct Case {
  int64_t rows, out, in, x_stride, weight_stride, sums_stride;
  DType dtype;
  std::array<uint32_t, 3> alignments;  // of weights, x and sums
  auto operator<=>(const Case&) const = default;
};

struct Plan {
  cublasLtMatmulDescOpaque_t product;
  cublasLtMatrixLayoutOpaque_t weight, x, sums;
  cublasLtMatmulAlgo_t algorithm;
  bool possible = false;
};

class Library : public Cublas {
 public:
  explicit Library(Device& device) : stream_(static_cast<cudaStream_t>(device.stream())) {
    device.make_current();
    check(functions().create(&handle_), "opening");
  }
  ~Library() override { functions().destroy(handle_); }

  bool product(const Mat& x, const PackedMatrix& weight, const Mat& sums,
               std::byte* workspace) override {
    const auto size = static_cast<int64_t>(dtype_size(weight.dtype));
    const Case which{x.rows,
                     weight.out,
                     weight.in,
                     x.stride,
                     weight.panel_stride / size,
                     sums.stride,
                     weight.dtype,
                     {alignment(weight.data), alignment(x.data), alignment(sums.data)}};
    const auto [at, is_new] = plans_.try_emplace(which);
    Plan& plan = at->second;
    if (is_new) prepare(which, plan);
    if (!plan.possible) return false;
    const float one = 1.0f, zero = 0.0f;
    check(functions().matmul(handle_, &plan.product, &one, weight.data, &plan.weight, x.data,
                             &plan.x, &zero, sums.data, &plan.sums, sums.data, &plan.sums,
                             &plan.algorithm, workspace, kWorkspace, stream_),
          "a product");
    return true;
  }

 private:
  void prepare(const Case& which, Plan& plan) const {
    const Functions& f = functions();
    const cudaDataType_t type = type_of(which.dtype);
    // For float32 this is float32: TF32 would have to be requested.
    check(f.init_matmul(&plan.product, sizeof plan.product, CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "describing a product");
    const cublasOperation_t transposed = CUBLAS_OP_T;
    check(f.set_matmul(&plan.product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed),
          "describing a product");
    const auto layout = [&](cublasLtMatrixLayoutOpaque_t& to, cudaDataType_t element, int64_t rows,
                            int64_t columns, int64_t stride) {
      check(f.init_layout(&to, sizeof to, element, static_cast<uint64_t>(rows),
                          static_cast<uint64_t>(columns), stride),
            "describing a matrix");
    };
    layout(plan.weight, type, which.in, which.out, which.weight_stride);
    layout(plan.x, type, which.in, which.rows, which.x_stride);
    layout(plan.sums, CUDA_R_32F, which.out, which.rows, which.sums_stride);
    choose(which, plan);
  }

  void choose(const Case& which, Plan& plan) const {
    const Functions& f = functions();
    cublasLtMatmulPreferenceOpaque_t preference;
    check(f.init_preference(&preference, sizeof preference), "choosing");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      check(f.set_preference(&preference, attribute, &value, sizeof value), "choosing");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspace});
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, which.alignments[0]);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, which.alignments[1]);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, which.alignments[2]);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, which.alignments[2]);
    cublasLtMatmulHeuristicResult_t best{};
    int count = 0;
    const cublasStatus_t status = f.choose(handle_, &plan.product, &plan.weight, &plan.x,
                                           &plan.sums, &plan.sums, &preference, 1, &best, &count);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && count == 0))
      return;
    check(status, "choosing");
    plan.algorithm = best.algo;
    plan.possible = true;
  }

  cublasLtHandle_t handle_ = nullptr;
  cudaStream_t stream_;
  std::map<Case, Plan> plans_;
};

}  // namespace

std::unique_ptr<Cublas> Cublas::open(Device& device) { return std::make_unique<Library>(device); }

}  // namespace vitrine::internal::cuda
