// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

namespace vitrine {

/// The tokens of an answer: one, or several that count together, such as spellings of one word.
class AnswerTokens {
 public:
  AnswerTokens() = default;
  // NOLINTBEGIN(google-explicit-constructor): ids are what callers have
  AnswerTokens(int32_t id) : ids_{id} {}
  AnswerTokens(std::initializer_list<int32_t> ids) : ids_(ids) {}
  AnswerTokens(std::vector<int32_t> ids) : ids_(std::move(ids)) {}
  // NOLINTEND(google-explicit-constructor)

  const std::vector<int32_t>& ids() const { return ids_; }
  bool empty() const { return ids_.empty(); }
  size_t size() const { return ids_.size(); }
  auto begin() const { return ids_.begin(); }
  auto end() const { return ids_.end(); }
  bool contains(int32_t id) const { return std::find(begin(), end(), id) != end(); }
  friend bool operator==(const AnswerTokens&, const AnswerTokens&) = default;

 private:
  std::vector<int32_t> ids_;
};

}  // namespace vitrine
