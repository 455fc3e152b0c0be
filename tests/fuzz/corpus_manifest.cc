// SPDX-License-Identifier: MIT
#include "analysis/corpus/manifest.h"
#include "tests/fuzz/fuzz.h"

// Any manifest.json: it is rejected, or its shards are as promised.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vitrine::internal::CorpusManifest;
  return vitrine::fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const vitrine::fuzz::MemoryFile file(bytes);
    const CorpusManifest manifest = CorpusManifest::read(file.path());
    (void)manifest.total(&vitrine::internal::ShardEntry::tokens);
    for (const auto& shard : manifest.shards) {
      if (shard.checksum.size() != 16 || shard.windows < 1 || shard.tokens < 1) __builtin_trap();
    }
  });
}
