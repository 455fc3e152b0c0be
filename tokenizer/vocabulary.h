// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/json.h"
#include "base/xxhash64.h"
#include "tokenizer/bpe.h"
#include "tokenizer/merge_list.h"

namespace vitrine::internal {

/// Gathers a byte-level BPE's tokens and merges from its files, in the files' spelling, and checks
/// that they fit together. All functions throw Error (user) naming the file, the thing and its
/// value.
class VocabularyBuilder {
 public:
  /// `json` is the object of names and ids; errors call it `what`, such as "vocab.json" or
  /// "tokenizer.json: model.vocab".
  VocabularyBuilder(const Json& json, std::string what);

  /// A token besides those, or one of those, which must then have this id.
  void add(AddedToken token, const std::string& what);
  /// Ranks follow the order of calls.
  void merge(std::string_view left, std::string_view right, const MergePlace& place);

  /// The token's id, or -1.
  int32_t find(std::string_view name) const;
  /// Everything together. To be called once, last.
  BpeSpec build();

 private:
  [[noreturn]] void refuse_ids() const;
  int32_t find_for_merge(std::string_view name, const MergePlace& place) const;

  std::string what_;
  std::unordered_map<std::string, int32_t, SecretHash, std::equal_to<>> ids_;
  std::unordered_set<std::string, SecretHash> added_;
  std::unordered_map<uint64_t, size_t, SecretHash> merge_numbers_;
  std::string product_;  // of the present merge
  BpeSpec spec_;
};

}  // namespace vitrine::internal
