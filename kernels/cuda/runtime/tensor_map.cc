// SPDX-License-Identifier: MIT
#include "kernels/cuda/runtime/tensor_map.h"

#include <cuda.h>
#include <cuda_runtime.h>

#include <cstring>

#include "base/check.h"

namespace vitrine::internal::cuda {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

/// The driver's function, resolved at run time: linking the driver's library would restrict the
/// program to machines with a driver.
Encode encoder() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
  const cudaError_t status = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function,
                                                              12000, cudaEnableDefault, &found);
#else
  const cudaError_t status =
      cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found);
#endif
  if (status != cudaSuccess || found != cudaDriverEntryPointSuccess)
    internal_error("missing cuTensorMapEncodeTiled in the NVIDIA driver");
  return reinterpret_cast<Encode>(function);
}

}  // namespace

TensorMap tensor_map(const void* data, int64_t rows, int64_t columns, int64_t row_bytes,
                     int tile_rows) {
  static const Encode encode = encoder();
  CUtensorMap map;
  const cuuint64_t size[] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  const cuuint64_t stride[] = {static_cast<cuuint64_t>(row_bytes)};
  const cuuint32_t tile[] = {kTileDepth, static_cast<cuuint32_t>(tile_rows)}, step[] = {1, 1};
  // Elements are only moved, so 16-bit integers stand for both types of weights.
  const CUresult status =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT16, 2, const_cast<void*>(data), size, stride, tile,
             step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    internal_error(
        "cannot create a tensor map of {} x {} elements with a row stride of {} bytes: driver "
        "error {}",
        rows, columns, row_bytes, static_cast<int>(status));
  }
  TensorMap result;
  static_assert(sizeof result == sizeof map && alignof(TensorMap) >= alignof(CUtensorMap));
  std::memcpy(&result, &map, sizeof map);
  return result;
}

}  // namespace vitrine::internal::cuda
