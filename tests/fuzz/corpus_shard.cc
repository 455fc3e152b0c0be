// SPDX-License-Identifier: MIT
#include <algorithm>

#include "analysis/corpus/manifest.h"
#include "analysis/corpus/stored_rows.h"
#include "base/xxhash64.h"
#include "tests/fuzz/fuzz.h"

// Any shard, with a manifest that was written for it: what is wrong with it can be said, and rows
// of sites can be read.
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
    const vitrine::SafetensorsFile shard(file.path());
    for (const std::string& name : shard.names()) {
      if (shard.tensor(name).shape().rank() < 2) continue;
      std::vector<float> values;
      const StoredRows rows = stored_rows(shard, name);
      rows.append(0, std::min<int64_t>(rows.rows(), 3), values);
    }
  });
}
