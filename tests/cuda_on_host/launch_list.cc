// SPDX-License-Identifier: MIT
#include "tests/cuda_on_host/launch_list.h"

#include <fmt/format.h>

namespace vitrine::internal::cuda_on_host {

std::string launch_line(const Shape& shape) {
  return fmt::format("launch\t{}\t{}\t{}\t{}\t{}\t{}\t{:d}\t{}", shape.kernel, shape.grid.x,
                     shape.grid.y, shape.grid.z, shape.block.x * shape.block.y * shape.block.z,
                     shape.shared, shape.starts_early, shape.cluster);
}

std::string range_line(const char* name, double bytes, double flops) {
  return fmt::format("begin\t{}\t{:.0f}\t{:.0f}", name, bytes, flops);
}

std::string bytes_line(const char* what, size_t bytes) {
  return fmt::format("{}\t{}", what, bytes);
}

}  // namespace vitrine::internal::cuda_on_host
