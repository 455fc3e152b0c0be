// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vitrine/model.h"

namespace vitrine::internal {

/// Texts that end a sequence. As Hugging Face's StopStringCriteria: a text counts if its last byte
/// is in the newest token; it may begin in the prompt, and the token may go on after it.
class StopStrings {
 public:
  /// Throws Error (user) for texts of a model without a tokenizer.
  StopStrings(std::vector<std::string> texts, const Model& model);

  bool empty() const { return texts_.empty(); }
  /// Whether the last of `fresh`, which follow `prompt`, completes one.
  bool completed_by(std::span<const int32_t> prompt, std::span<const int32_t> fresh) const;

 private:
  std::vector<std::string> texts_;
  size_t longest_ = 0;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

}  // namespace vitrine::internal
