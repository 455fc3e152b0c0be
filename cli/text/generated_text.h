// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/core/terminal.h"
#include "cli/core/tokens.h"
#include "vitrine/generate.h"

namespace vitrine::cli {
using namespace internal;

/// How generated tokens are shown.
class GeneratedText {
 public:
  GeneratedText(const Model& model, std::vector<int32_t> stop_ids);

  const Names& names() const { return names_; }
  const std::vector<int32_t>& stop_ids() const { return stop_ids_; }
  bool stops(int32_t id) const;
  /// A prompt's text; its ids without one.
  std::string shown(const Prompt& prompt) const;
  /// Text of new tokens after a prompt, without a token that stops.
  std::string after(const Prompt& prompt, const std::vector<int32_t>& ids) const;

  /// A line for each token, with the most likely ones; empty if none were kept.
  std::string log_probabilities(const Generation::Sequence& sequence, const Terminal& out) const;
  JsonValue log_probabilities_json(const Generation::Sequence& sequence) const;

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  Names names_;
  std::vector<int32_t> stop_ids_;
};

}  // namespace vitrine::cli
