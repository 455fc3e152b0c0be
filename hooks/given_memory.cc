// SPDX-License-Identifier: MIT
#include "hooks/given_memory.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/check.h"

namespace vitrine::internal {

TensorMemory given_memory(const Hooks::Capture& request, size_t place, size_t places,
                          bool host_memory) {
  TensorMemory memory = *request.into;
  const std::string& pattern = request.sites.pattern();
  if (memory.residence == Residence::kDevice && host_memory)
    user_error("the memory for '{}' is a GPU's: expected host memory, the model runs on the CPU",
               pattern);
  if (memory.data == nullptr && memory.shape.elements() > 0)
    user_error("missing memory for '{}': the pointer is null", pattern);
  if (reinterpret_cast<uintptr_t>(memory.data) % dtype_size(memory.dtype) != 0)
    user_error("the memory for '{}' begins inside an element: expected a multiple of {} bytes",
               pattern, dtype_size(memory.dtype));
  if (places == 1) return memory;
  const std::span<const int64_t> sizes = memory.shape.sizes();
  if (sizes.empty() || sizes.front() != static_cast<int64_t>(places))
    user_error("the memory for '{}' has shape {}: expected {} sites along the first axis", pattern,
               memory.shape.to_string(), places);
  memory.shape = Shape(sizes.subspan(1));
  memory.data = static_cast<std::byte*>(memory.data) +
                place * static_cast<size_t>(memory.shape.elements()) * dtype_size(memory.dtype);
  return memory;
}

bool kernels_may_write(const TensorMemory& memory, bool host_memory) {
  const bool near = host_memory || memory.residence == Residence::kDevice;
  return near && reinterpret_cast<uintptr_t>(memory.data) % whole_lines(1) == 0;
}

void check_overlap(const std::vector<PlannedCapture>& captures) {
  std::vector<std::pair<std::span<const std::byte>, const PlannedCapture*>> parts;
  for (const PlannedCapture& capture : captures) {
    if (!capture.into) continue;
    const TensorMemory& m = *capture.into;
    parts.push_back({{static_cast<const std::byte*>(m.data),
                      static_cast<size_t>(m.shape.elements()) * dtype_size(m.dtype)},
                     &capture});
  }
  const auto begin = [](const auto& part) { return part.first.data(); };
  std::ranges::stable_sort(parts, {}, begin);
  for (size_t i = 1; i < parts.size(); ++i) {
    if (begin(parts[i]) < begin(parts[i - 1]) + parts[i - 1].first.size())
      user_error("the memory for '{}' overlaps that for '{}'", parts[i].second->name,
                 parts[i - 1].second->name);
  }
}

}  // namespace vitrine::internal
