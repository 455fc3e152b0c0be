// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/json_value.h"
#include "report/names.h"

namespace vitrine::internal {

/// The tokens that a page speaks of, each once. Arrays hold places in this table, which are small
/// numbers.
class TokenTable {
 public:
  explicit TokenTable(std::shared_ptr<const Tokenizer> tokenizer) : names_(std::move(tokenizer)) {}

  /// The place of an id; it gets one if it has none.
  int32_t place(int32_t id);
  /// Packed places.
  JsonValue places(std::span<const int32_t> ids);
  std::string shown(int32_t id) const { return names_.shown(id); }
  /// {"ids": packed, "texts": [...]}; call it last.
  JsonValue json() const;

 private:
  Names names_;
  std::unordered_map<int32_t, int32_t> places_;
  std::vector<int32_t> ids_;
};

}  // namespace vitrine::internal
