// SPDX-License-Identifier: MIT
#include "engine/stop_strings.h"

#include <algorithm>
#include <utility>

namespace vitrine::internal {

StopStrings::StopStrings(std::vector<std::string> texts, const Model& model)
    : texts_(std::move(texts)) {
  if (texts_.empty()) return;
  static_cast<void>(model.tokenizer());  // which says why there is none
  tokenizer_ = model.shared_tokenizer();
  for (const std::string& text : texts_) longest_ = std::max(longest_, text.size());
}

bool StopStrings::completed_by(std::span<const int32_t> prompt,
                               std::span<const int32_t> fresh) const {
  if (empty()) return false;
  const auto bytes = [&](int32_t id) {  // a model may have more tokens than its tokenizer
    return id < tokenizer_->vocab_size() ? tokenizer_->token_bytes(id) : std::string();
  };
  const std::string newest = bytes(fresh.back());
  std::string text = newest;
  for (size_t back = 1;
       text.size() < newest.size() + longest_ - 1 && back < prompt.size() + fresh.size(); ++back) {
    text = bytes(back < fresh.size() ? fresh[fresh.size() - 1 - back]
                                     : prompt[prompt.size() - 1 - (back - fresh.size())]) +
           text;
  }
  const size_t before = text.size() - newest.size();
  return std::any_of(texts_.begin(), texts_.end(), [&](const std::string& stop) {
    const size_t first = before >= stop.size() ? before - stop.size() + 1 : 0;
    return text.find(stop, first) != std::string::npos;
  });
}

}  // namespace vitrine::internal
