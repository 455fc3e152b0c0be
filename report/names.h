// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_value.h"
#include "vitrine/tokenizer.h"

namespace vitrine::internal {

/// How ids are shown, with or without a tokenizer. Copies share it.
class Names {
 public:
  explicit Names(std::shared_ptr<const Tokenizer> tokenizer) : tokenizer_(std::move(tokenizer)) {}

  /// On one line (see printable()); "#17" if the id has no text.
  std::string shown(int32_t id) const;
  /// The text itself, as JSON and CSV hold it (see add_text()); "#17" if the id has none.
  std::string text(int32_t id) const;
  /// {"id": 17, "text": ...} as add_text makes it; without text where there is none.
  JsonValue json(int32_t id) const;
  JsonValue json(std::span<const int32_t> ids) const;

 private:
  bool has(int32_t id) const { return tokenizer_ && id >= 0 && id < tokenizer_->vocab_size(); }
  std::shared_ptr<const Tokenizer> tokenizer_;
};

/// Adds "text" to a JSON object. JSON holds Unicode only: each byte that is not part of valid UTF-8
/// is written as \xNN (a backslash, an x, two hexadecimal digits), and then "text_hex" has all of
/// the bytes exactly. Without "text_hex", "text" is exact.
void add_text(JsonValue& object, std::string_view bytes);

/// 12345 as "12,345".
std::string thousands(int64_t value);
/// A probability for people: "87.3 %", "0.04 %", "< 0.01 %".
std::string percent(double probability);

/// Sites as an axis shows them: "3" where all sites of blocks are the same one, or after the block
/// in the residual stream; "embed" for what enters the first block; "3 mlp_out" where sites differ.
std::vector<std::string> site_labels(const std::vector<std::string>& sites);

}  // namespace vitrine::internal
