// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include "cli/core/exit_status.h"
#include "cli/core/help_export.h"
#include "vitrine/version.h"

namespace vitrine::cli {
namespace {

/// Text as roff prints it: backslashes and hyphens as they are, no line a request.
std::string roff(std::string_view text) {
  std::string out;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\'') {
      out += "\\(aq";
    } else {
      out += c;
    }
    line_begins = c == '\n';
  }
  return out;
}

std::string bold(std::string_view text) { return "\\fB" + roff(text) + "\\fR"; }

std::string option_entry(const OptionHelp& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.names) names.push_back(bold(name));
  std::string head = fmt::format("{}", fmt::join(names, ", "));
  if (!option.positional && !option.value.empty()) head += " \\fI" + roff(option.value) + "\\fR";
  return fmt::format(".TP\n{}\n{}\n", head, roff(option.text));
}

/// Options by group, as --help has them.
std::string option_list(const CommandHelp& command) {
  std::string text, group;
  for (const OptionHelp& option : command.options) {
    if (!command.name.empty() && option.names.back() == "--help") continue;  // said at the top
    if (option.group != group) text += fmt::format(".PP\n\\fI{}\\fR\n", roff(option.group));
    group = option.group;
    text += option_entry(option);
  }
  return text;
}

std::string example_block(const std::string& footer) {
  const size_t lines = footer.find('\n');
  if (lines == std::string::npos) return "";
  return fmt::format(".PP\n{}\n.PP\n.EX\n{}\n.EE\n", roff(footer.substr(0, lines)),
                     roff(footer.substr(lines + 1)));
}

}  // namespace

std::string man_page(const std::vector<CommandHelp>& commands) {
  const CommandHelp& all = commands[0];
  std::string text = fmt::format(
      ".TH VITRINE 1 \"\" \"vitrine {}\" \"User Commands\"\n"
      ".ad l\n"  // lists without spaces cannot be justified
      ".SH NAME\nvitrine \\- run GPT\\-2 models and show what happens inside them\n"
      ".SH SYNOPSIS\n{} {} [\\fIOPTIONS\\fR]\n"
      ".SH DESCRIPTION\n{}\n{}{}.SH COMMANDS\n",
      VITRINE_VERSION, bold("vitrine"), "\\fICOMMAND\\fR", roff(all.text), option_list(all),
      example_block(all.footer));
  for (const CommandHelp& command : commands) {
    if (command.name.empty()) continue;
    text += fmt::format(".SS {}\n{}.\n{}{}", roff(command.name), roff(command.text),
                        option_list(command), example_block(command.footer));
  }
  text += ".SH EXIT STATUS\n";
  for (const ExitStatusInfo& info : kExitStatuses)
    text += fmt::format(".TP\n{}\n{}\n", bold(info.status), roff(info.text));
  return text;
}

}  // namespace vitrine::cli
