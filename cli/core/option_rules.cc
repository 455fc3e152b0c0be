// SPDX-License-Identifier: MIT
#include "cli/core/option_rules.h"

namespace vitrine::cli {
namespace {

/// "a, b or c"
std::string listed(const std::vector<std::string>& items) {
  std::string text;
  for (size_t i = 0; i < items.size(); ++i)
    text += (i == 0 ? "" : i + 1 == items.size() ? " or " : ", ") + items[i];
  return text;
}

std::string words_of(const With& with) {
  std::vector<std::string> values;
  for (const std::string& value : with.values)
    values.push_back(value.ends_with('*') ? value.substr(0, value.size() - 1) : value);
  return (with.absent ? "no " : "") + with.option + (values.empty() ? "" : " " + listed(values));
}

}  // namespace

std::string words_of(const OptionRule& rule) {
  if (rule.holds) return rule.words;
  std::vector<std::string> words;
  for (const With& with : rule.with) words.push_back(words_of(with));
  return listed(words);
}

std::string rules_text(const std::vector<OptionRule>& rules) {
  std::string only, never;
  for (const OptionRule& rule : rules) {
    if (rule.said_there) continue;
    std::string& text = rule.kind == OptionRule::Kind::kOnly ? only : never;
    text += (text.empty()                           ? ""
             : rule.kind == OptionRule::Kind::kOnly ? " and "
                                                    : ", ") +
            words_of(rule);
  }
  if (!only.empty()) only = "only with " + only;
  if (!never.empty()) only += (only.empty() ? "not with " : "; not with ") + never;
  return only.empty() ? "" : " (" + only + ")";
}

}  // namespace vitrine::cli
