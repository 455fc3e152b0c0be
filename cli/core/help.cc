// SPDX-License-Identifier: MIT
#include "cli/core/help.h"

#include <string>
#include <string_view>

namespace vitrine::cli {
namespace {

constexpr size_t kColumn = 26, kWidth = 100;

/// `name` on the left, `text` wrapped on the right.
std::string entry(const std::string& name, std::string_view text) {
  std::string out = "  " + name;
  size_t at = out.size();
  if (at + 2 > kColumn) {
    out += '\n';
    at = 0;
  }
  out.append(kColumn - at, ' ');
  at = kColumn;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (at > kColumn && at + 1 + end > kWidth) {
      out += '\n' + std::string(kColumn, ' ');
      at = kColumn;
    }
    if (at > kColumn) {
      out += ' ';
      ++at;
    }
    out += text.substr(0, end);
    at += end;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out + '\n';
}

class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    std::string name = is_positional ? option->get_name(true) : option->get_name(false, true);
    const std::string value = value_name(*option);
    if (!is_positional && !value.empty()) name += " " + value;
    return entry(name, option_text(*option));
  }
  std::string make_subcommand(const CLI::App* command) const override {
    return entry(command->get_name(), command->get_description());
  }
};

}  // namespace

std::string value_name(const CLI::Option& option) {
  if (option.get_type_size() == 0) return "";
  const std::string type = option.get_type_name();
  // After a colon CLI11 describes the checks; the option's own text does that better.
  return type.substr(0, type.find(':'));
}

std::string option_text(const CLI::Option& option) {
  std::string text = option.get_description();
  if (!option.get_default_str().empty()) text += " [" + option.get_default_str() + "]";
  return text;
}

std::shared_ptr<CLI::FormatterBase> make_help_formatter() {
  return std::make_shared<HelpFormatter>();
}

}  // namespace vitrine::cli
