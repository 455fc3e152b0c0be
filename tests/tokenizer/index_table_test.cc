// SPDX-License-Identifier: MIT
#include "tokenizer/index_table.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <map>

namespace vitrine::internal {
namespace {

TEST(IndexTable, FindsWhatWasPutIn) {
  // Hashes that all differ, that meet by the hundred, that differ above the kept bits alone, and
  // that lie at the table's end.
  const auto hashes = {+[](uint64_t key) { return key * 0x9E3779B97F4A7C15u; },
                       +[](uint64_t key) { return key % 30; },
                       +[](uint64_t key) { return key << 32; },
                       +[](uint64_t key) { return 0xFFFFFFFFu - key % 3; }};
  for (const auto hash : hashes) {
    for (const size_t expected : {size_t{0}, size_t{5}, size_t{3000}}) {
      IndexTable table(expected);
      std::map<uint64_t, uint32_t> wanted;
      const auto find = [&](uint64_t key) {
        return table.find(hash(key), [&](uint32_t index) {
          const auto it = wanted.find(key);
          return it != wanted.end() && it->second == index;
        });
      };
      for (uint64_t key = 0; key < 3000; key += 3) {
        ASSERT_EQ(find(key), IndexTable::kNone);
        const auto index = static_cast<uint32_t>(wanted.size());
        wanted.emplace(key, index);
        table.insert(hash(key), index);
      }
      for (uint64_t key = 0; key < 3000; ++key)
        ASSERT_EQ(find(key), key % 3 == 0 ? wanted.at(key) : IndexTable::kNone) << key;
    }
  }
}

}  // namespace
}  // namespace vitrine::internal
