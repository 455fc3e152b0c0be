// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "support.h"
#include "vitrine/corpus/corpus.h"

namespace vitrine::testing {
using namespace internal;

/// A .jsonl file of documents of ids for small_model(): `count` of them, of 1 to 40 tokens.
inline std::string ids_corpus(const TempFolder& folder, int count,
                              const std::string& name = "corpus.jsonl", uint64_t seed = 3) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    std::string ids;
    const uint64_t key = seed * 100 + static_cast<uint64_t>(i);
    for (const int32_t id : some_ids(1 + mix64(key) % 40, key))
      ids.append(ids.empty() ? "" : ",").append(std::to_string(id));
    text.append("{\"ids\": [").append(ids).append("]}\n");
  }
  return folder.write(name, text);
}

inline WindowReader windows_of(const Model& model, const std::string& path,
                               const WindowOptions& options = {},
                               const CorpusOptions& corpus = {}) {
  return WindowReader(model, DocumentReader({path}, corpus), options);
}

}  // namespace vitrine::testing
