// SPDX-License-Identifier: MIT
#include "cli/core/options.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "base/quote.h"
#include "cli/core/help.h"
#include "cli/core/help_export.h"

namespace vitrine::cli {
using namespace internal;
namespace {

/// The kind of value that an option takes: "FILE"; empty for a flag.
std::string value_name(const CLI::Option& option) {
  if (option.get_type_size() == 0) return "";
  const std::string type = option.get_type_name();
  // After a colon CLI11 describes the checks; the option's own text does that better.
  return type.substr(0, type.find(':'));
}

/// An option's description, then its default in brackets.
std::string option_text(const CLI::Option& option) {
  std::string text = option.get_description();
  if (!option.get_default_str().empty()) text += " [" + option.get_default_str() + "]";
  return text;
}

/// Help as we want it: names and the kind of value on the left, the description wrapped on the
/// right, the default in brackets at its end.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    std::string name = is_positional ? option->get_name(true) : option->get_name(false, true);
    const std::string value = value_name(*option);
    if (!is_positional && !value.empty()) name += " " + value;
    return help_entry(name, option_text(*option));
  }
  std::string make_subcommand(const CLI::App* command) const override {
    return help_entry(command->get_name(), command->get_description());
  }
};

/// "a", "b" from CLI11's description of a closed list: "WHAT:{a,b}".
std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find(":{"), end = type.find('}', begin);
  if (end == std::string::npos) return {};
  return CLI::detail::split(type.substr(begin + 2, end - begin - 2), ',');
}

OptionHelp option_help(const CLI::Option& option) {
  OptionHelp help;
  for (const std::string& name : option.get_snames()) help.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) help.names.push_back("--" + name);
  help.positional = help.names.empty();
  if (help.positional) help.names.push_back(option.get_name(true));
  help.value = value_name(option);
  help.choices = choices_of(option);
  help.group = option.get_group();
  help.text = option_text(option);
  return help;
}

CommandHelp command_help(const CLI::App& app, const std::string& name) {
  CommandHelp help{
      .name = name, .text = app.get_description(), .options = {}, .footer = app.get_footer()};
  for (const CLI::Option* option : app.get_options({})) {
    if (!option->get_group().empty()) help.options.push_back(option_help(*option));
  }
  return help;
}

Check checked(const CLI::Validator& validator) {
  return Check(std::make_shared<const CLI::Validator>(validator));
}

/// `wanted`: what `accepts` takes, in words.
Check number_check(bool (*accepts)(double), const char* wanted) {
  return Check([=](const std::string& text) -> std::string {
    double value = 0;
    const bool number = CLI::detail::lexical_cast(text, value);
    return number && accepts(value)
               ? ""
               : fmt::format("invalid value {}: expected {}", quote(text), wanted);
  });
}

}  // namespace

Check::Check(std::function<std::string(const std::string&)> problem)
    : validator_(std::make_shared<const CLI::Validator>(std::move(problem), "")) {}
Check::Check(std::shared_ptr<const CLI::Validator> validator) : validator_(std::move(validator)) {}

Check one_of(std::initializer_list<const char*> names) {
  return one_of(std::vector<std::string>(names.begin(), names.end()));
}
Check one_of(const std::vector<std::string>& names) { return checked(CLI::IsMember(names)); }
Check in_range(int min, int max) { return checked(CLI::Range(min, max)); }
Check in_range(int64_t min, int64_t max) { return checked(CLI::Range(min, max)); }
Check in_range(double min, double max) { return checked(CLI::Range(min, max)); }

Check not_negative() {
  return number_check([](double value) { return value >= 0; }, "a number >= 0");
}

Check above_zero() {
  return number_check([](double value) { return value > 0; }, "a number > 0");
}

Option Option::check(const Check& check) { return Option(option_->check(*check.validator_)); }
Option Option::type_name(const std::string& name) { return Option(option_->type_name(name)); }
Option Option::group(const std::string& name) { return Option(option_->group(name)); }
Option Option::capture_default_str() { return Option(option_->capture_default_str()); }
Option Option::allow_extra_args(bool allow) { return Option(option_->allow_extra_args(allow)); }
Option Option::delimiter(char separator) { return Option(option_->delimiter(separator)); }
Option Option::required() { return Option(option_->required()); }
Option Option::needs(const std::string& other) { return Option(option_->needs(other)); }
Option Option::excludes(Option other) { return Option(option_->excludes(other.option_)); }
Option Option::excludes(const std::string& other) { return Option(option_->excludes(other)); }
Option Option::excludes(const std::string& one, const std::string& two) {
  return Option(option_->excludes(one, two));
}
Option Option::excludes(const std::string& one, const std::string& two, const std::string& three) {
  return Option(option_->excludes(one, two, three));
}

Command Command::add_subcommand(const std::string& name, const std::string& description) {
  return Command(app_->add_subcommand(name, description));
}
Option Command::add_flag(const std::string& name, bool& to, const std::string& help) {
  return Option(app_->add_flag(name, to, help));
}
Option Command::add_option(const std::string& name, std::string& to, const std::string& help) {
  return Option(app_->add_option(name, to, help));
}
Option Command::add_option(const std::string& name, int& to, const std::string& help) {
  return Option(app_->add_option(name, to, help));
}
Option Command::add_option(const std::string& name, int64_t& to, const std::string& help) {
  return Option(app_->add_option(name, to, help));
}
Option Command::add_option(const std::string& name, uint64_t& to, const std::string& help) {
  return Option(app_->add_option(name, to, help));
}
Option Command::add_option(const std::string& name, float& to, const std::string& help) {
  return Option(app_->add_option(name, to, help));
}
Option Command::add_option(const std::string& name, double& to, const std::string& help) {
  return Option(app_->add_option(name, to, help));
}
Option Command::add_option(const std::string& name, std::optional<int>& to,
                           const std::string& help) {
  return Option(app_->add_option(name, to, help));
}
Option Command::add_option(const std::string& name, std::optional<int64_t>& to,
                           const std::string& help) {
  return Option(app_->add_option(name, to, help));
}
Option Command::add_option(const std::string& name, std::vector<std::string>& to,
                           const std::string& help) {
  return Option(app_->add_option(name, to, help));
}
Option Command::add_option(const std::string& name, std::vector<int>& to, const std::string& help) {
  return Option(app_->add_option(name, to, help));
}
Option Command::add_option(const std::string& name, std::vector<int64_t>& to,
                           const std::string& help) {
  return Option(app_->add_option(name, to, help));
}
Option Command::add_option(const std::string& name, std::vector<uint64_t>& to,
                           const std::string& help) {
  return Option(app_->add_option(name, to, help));
}
Option Command::add_option(const std::string& name, std::vector<double>& to,
                           const std::string& help) {
  return Option(app_->add_option(name, to, help));
}
void Command::remove_option(const std::string& name) {
  app_->remove_option(app_->get_option(name));
}
void Command::callback(std::function<void()> action) { app_->callback(std::move(action)); }
void Command::footer(const std::string& text) { app_->footer(text); }
void Command::hide() { app_->group(""); }

std::vector<CommandHelp> Command::help_table() const {
  const CLI::App& app = *app_;
  std::vector<CommandHelp> commands{command_help(app, "")};
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_group().empty())
      commands.push_back(command_help(*command, command->get_name()));
  }
  return commands;
}

CommandLine::CommandLine(const std::string& name, const std::string& description,
                         const std::string& version)
    : app_(std::make_unique<CLI::App>(description, name)) {
  app_->formatter(std::make_shared<HelpFormatter>());  // the commands inherit it
  app_->set_version_flag("--version", version);
  app_->set_help_flag("-h,--help", "Print this help and exit");
  app_->require_subcommand(1);
}

CommandLine::~CommandLine() = default;

std::optional<int> CommandLine::parse(int argc, const char* const* argv) {
  try {
    app_->parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::Success& success) {  // --help, --version
    return app_->exit(success);
  } catch (const CLI::ParseError& error) {
    const auto chosen = app_->get_subcommands();
    throw UsageError(error.what(), chosen.empty() ? "" : chosen.front()->get_name());
  }
}

}  // namespace vitrine::cli
