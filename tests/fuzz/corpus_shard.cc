// SPDX-License-Identifier: MIT
#include "analysis/corpus/manifest.h"
#include "base/xxhash64.h"
#include "tests/fuzz/fuzz.h"

// Any shard, with a manifest that was written for it: what is wrong with it can be said.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine::internal;
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    const vitrine::fuzz::MemoryFile file(bytes);
    ShardEntry entry;
    entry.bytes = bytes.size();
    entry.checksum = hex64(xxh64_of_file(file.path()));
    entry.windows = 2;
    (void)shard_problem(file.path(), entry, true);
  });
}
