// SPDX-License-Identifier: MIT
#include "base/large_pages.h"

#include <sys/mman.h>

#include <cstdint>
#include <limits>

namespace vitrine::internal {
namespace {

uintptr_t round_up(uintptr_t bytes) { return (bytes + kLargePage - 1) / kLargePage * kLargePage; }

}  // namespace

// Maps more than wanted to find a boundary inside, and gives the rest back.
std::shared_ptr<std::byte> map_large_pages(size_t bytes) {
  if (bytes > std::numeric_limits<size_t>::max() - 2 * kLargePage) return nullptr;
  const size_t length = round_up(bytes);
  void* whole = mmap(nullptr, length + kLargePage, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (whole == MAP_FAILED) return nullptr;
  auto* begin = static_cast<std::byte*>(whole);
  auto* data = reinterpret_cast<std::byte*>(round_up(reinterpret_cast<uintptr_t>(begin)));
  if (data != begin) munmap(begin, static_cast<size_t>(data - begin));
  if (data != begin + kLargePage)
    munmap(data + length, static_cast<size_t>(begin + kLargePage - data));
  madvise(data, length,
          MADV_HUGEPAGE);  // a kernel without large pages says no, which costs speed only
  return {data, [length](std::byte* p) { munmap(p, length); }};
}

void prefer_large_pages(void* data, size_t bytes) {
  const uintptr_t begin = round_up(reinterpret_cast<uintptr_t>(data)),
                  end = (reinterpret_cast<uintptr_t>(data) + bytes) / kLargePage * kLargePage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

}  // namespace vitrine::internal
