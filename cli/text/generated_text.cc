// SPDX-License-Identifier: MIT
#include "cli/text/generated_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace vitrine::cli {
using namespace internal;

GeneratedText::GeneratedText(const Model& model, std::vector<int32_t> stop_ids)
    : tokenizer_(model.shared_tokenizer()), names_(tokenizer_), stop_ids_(std::move(stop_ids)) {}

bool GeneratedText::stops(int32_t id) const {
  return std::find(stop_ids_.begin(), stop_ids_.end(), id) != stop_ids_.end();
}

std::string GeneratedText::shown(const Prompt& prompt) const {
  std::string text = prompt.text;
  if (text.empty()) {
    for (const int32_t id : prompt.ids) text += (text.empty() ? "" : " ") + names_.shown(id);
  }
  return text;
}

std::string GeneratedText::after(const Prompt& prompt, const std::vector<int32_t>& ids) const {
  std::string text;
  if (!tokenizer_) {
    for (const int32_t id : ids) text += " " + names_.shown(id);
    return text;
  }
  StreamDecoder decoder(tokenizer_);
  for (const int32_t id : prompt.ids) {
    if (id < tokenizer_->vocab_size()) decoder.push(id);
  }
  for (const int32_t id : ids) {
    if (id < tokenizer_->vocab_size() && !stops(id)) text += decoder.push(id);
  }
  return text + decoder.flush();
}

std::string GeneratedText::log_probabilities(const Generation::Sequence& sequence,
                                             const Terminal& out) const {
  if (sequence.log_probabilities.empty()) return "";
  const size_t count = sequence.top_ids.size() / sequence.ids.size();
  std::string text =
      out.paint(Style::kDim, fmt::format("{}{:>9}{:>10}{}", left("token", 20), "log p", "p",
                                         count > 0 ? "   most likely, log p" : "")) +
      "\n";
  for (size_t i = 0; i < sequence.ids.size(); ++i) {
    const auto value = static_cast<double>(sequence.log_probabilities[i]);
    text += fmt::format("{}{:>9.3f}{:>10}", left(clip(names_.shown(sequence.ids[i]), 19), 20),
                        value, percent(std::exp(value)));
    for (size_t k = i * count; k < (i + 1) * count; ++k)
      text += fmt::format("{}{} {:.3f}", k == i * count ? "   " : "  ",
                          names_.shown(sequence.top_ids[k]), sequence.top_log_probabilities[k]);
    text += "\n";
  }
  return text;
}

JsonValue GeneratedText::log_probabilities_json(const Generation::Sequence& sequence) const {
  JsonValue list = JsonValue::array();
  const size_t count = sequence.top_ids.size() / std::max<size_t>(sequence.ids.size(), 1);
  for (size_t i = 0; i < sequence.ids.size(); ++i) {
    JsonValue top = JsonValue::array();
    for (size_t k = i * count; k < (i + 1) * count; ++k)
      top.push_back({{"token", names_.json(sequence.top_ids[k])},
                     {"log_probability", sequence.top_log_probabilities[k]}});
    list.push_back({{"log_probability", sequence.log_probabilities[i]}, {"top", std::move(top)}});
  }
  return list;
}

}  // namespace vitrine::cli
