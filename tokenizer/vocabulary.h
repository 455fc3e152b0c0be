// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/json.h"
#include "base/xxhash64.h"
#include "tokenizer/bpe.h"
#include "tokenizer/index_table.h"
#include "tokenizer/merge_list.h"

namespace vitrine::internal {

/// Names and their ids.
class TokenIds {
 public:
  struct Token {
    std::string_view name;
    int32_t id = 0;
  };

  explicit TokenIds(size_t expected) : table_(expected) { places_.reserve(expected); }
  /// A name that is there already keeps its id. Returns the id that it has then.
  int32_t add(std::string_view name, int32_t id);
  /// The id, or -1.
  int32_t find(std::string_view name) const;
  size_t size() const { return places_.size(); }
  /// In the order of add(). The name is valid until the next one.
  Token operator[](size_t index) const {
    const Place& place = places_[index];
    return {std::string_view(text_).substr(place.begin, place.length), place.id};
  }

 private:
  struct Place {
    size_t begin = 0;
    uint32_t length = 0;
    int32_t id = 0;
  };
  uint32_t index_of(std::string_view name, size_t hash) const;

  std::string text_;  // the names, one after the other
  std::vector<Place> places_;
  IndexTable table_;
};

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

  /// Everything together. To be called once, last.
  BpeSpec build();

 private:
  [[noreturn]] void refuse_ids() const;
  int32_t find_for_merge(std::string_view name, const MergePlace& place) const;

  std::string what_;
  TokenIds ids_;
  std::unordered_set<std::string, SecretHash> added_;
  IndexTable merges_;                  // of spec_.merges
  std::vector<size_t> merge_numbers_;  // as the file counts them
  std::string product_;                // of the present merge
  BpeSpec spec_;
};

}  // namespace vitrine::internal
