// SPDX-License-Identifier: MIT
#include "bench/measure/records.h"
#include "tests/fuzz/fuzz.h"

// Any file of earlier measurements: it is rejected, or can be compared with.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  return fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const fuzz::MemoryFile file(bytes);
    const bench::Records records = bench::read_records(file.path());
    const bench::Comparison comparison(records);
    for (const bench::Record& record : records.rows)
      fuzz::require(record.seconds.min <= record.seconds.median &&
                    record.seconds.median <= record.seconds.max);
    fuzz::require(comparison.only_there().size() == records.rows.size());
    (void)comparison.json({{"cpu", "x"}, {"cores", 2}, {"gpu", "y"}});
  });
}
