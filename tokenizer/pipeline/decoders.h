// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"

namespace vitrine::internal {

/// One step from the names of tokens to text: takes one token after the other and hands on what is
/// certain, as one token or several.
class DecodeStage {
 public:
  using Next = std::function<void(std::string token)>;
  virtual ~DecodeStage() = default;
  /// The same step, at the beginning of a text.
  virtual std::unique_ptr<DecodeStage> fresh() const = 0;
  virtual void push(std::string token, const Next& next) = 0;
  /// After the last token: hands on what was held back.
  virtual void finish(const Next& next) { (void)next; }
};

/// The steps of a tokenizer, in order.
using DecodeStages = std::vector<std::shared_ptr<const DecodeStage>>;

/// Reads "decoder" of a tokenizer.json; null: tokens are words, with a space between them. Throws
/// Error (user), which calls it `where`, for a type or a value that is not supported.
DecodeStages read_decoder(const Json* json, const std::string& where);

/// One text in the making.
class DecodeRun {
 public:
  explicit DecodeRun(const DecodeStages& stages);
  void push(std::string token, std::string& out) { feed(0, std::move(token), out); }
  void finish(std::string& out);

 private:
  void feed(size_t stage, std::string token, std::string& out);

  std::vector<std::unique_ptr<DecodeStage>> stages_;
};

}  // namespace vitrine::internal
