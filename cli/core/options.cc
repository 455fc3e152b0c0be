// SPDX-License-Identifier: MIT
#include "cli/core/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/atomic_file.h"
#include "base/quote.h"
#include "cli/core/help.h"
#include "cli/core/help_export.h"
#include "cli/core/hooks_option.h"
#include "cli/core/option_checks.h"
#include "cli/core/output_files.h"

namespace vitrine::cli {
using namespace internal;
namespace {

const std::vector<OptionRule>& rules_of(const CLI::Option& option, const OptionTable& table) {
  static const std::vector<OptionRule> kNone;
  const auto found = table.find(&option);
  return found == table.end() ? kNone : found->second;
}

/// An option's description, then its default in brackets, then what it has an effect with.
std::string option_text(const CLI::Option& option, const OptionTable& table) {
  std::string text = option.get_description();
  if (!option.get_default_str().empty()) text += " [" + option.get_default_str() + "]";
  return text + rules_text(rules_of(option, table));
}

/// Help as we want it: names and the kind of value on the left, the description wrapped on the
/// right, the default in brackets at its end.
class HelpFormatter : public CLI::Formatter {
 public:
  explicit HelpFormatter(const OptionTable& table) : table_(table) {}
  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    std::string name = is_positional ? option->get_name(true) : option->get_name(false, true);
    const std::string value = value_name(*option);
    if (!is_positional && !value.empty()) name += " " + value;
    return help_entry(name, option_text(*option, table_));
  }
  std::string make_description(const CLI::App* command) const override {
    return fit_lines(CLI::Formatter::make_description(command), help_width());
  }
  std::string make_subcommand(const CLI::App* command) const override {
    return help_entry(command->get_name(), command->get_description());
  }

 private:
  const OptionTable& table_;
};

OptionHelp option_help(const CLI::Option& option, const OptionTable& table) {
  OptionHelp help;
  for (const std::string& name : option.get_snames()) help.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) help.names.push_back("--" + name);
  help.positional = help.names.empty();
  if (help.positional) help.names.push_back(option.get_name(true));
  help.value = value_name(option);
  help.choices = choices_of(option);
  help.group = option.get_group();
  help.text = option_text(option, table);
  help.fallback = option.get_default_str();
  help.required = option.get_required();
  help.rules = rules_of(option, table);
  return help;
}

CommandHelp command_help(const CLI::App& app, const std::string& name, const OptionTable& table) {
  CommandHelp help{
      .name = name, .text = app.get_description(), .options = {}, .footer = app.get_footer()};
  for (const CLI::Option* option : app.get_options({})) {
    if (!option->get_group().empty()) help.options.push_back(option_help(*option, table));
  }
  return help;
}

/// Values that were given, or else the default; none for an option without either.
std::vector<std::string> values_of(const CLI::Option& option) {
  if (option.count() > 0) return option.results();
  if (option.get_default_str().empty()) return {};
  return {option.get_default_str()};
}

/// " rollout", after an option's name; empty for a flag, and for an option without a value.
std::string shown_values(const CLI::Option& option) {
  const std::vector<std::string> values = values_of(option);
  return option.get_type_size() == 0 || values.empty() ? ""
                                                       : fmt::format(" {}", fmt::join(values, ","));
}

bool is_value(const std::string& value, const std::string& wanted) {
  if (wanted == kAboveZero) {
    double number = 0;
    return CLI::detail::lexical_cast(value, number) && number > 0;
  }
  if (wanted.ends_with('*')) return value.starts_with(wanted.substr(0, wanted.size() - 1));
  return value == wanted;
}

bool is_so(const With& with, const CLI::App& app) {
  const CLI::Option& option = *app.get_option(with.option);
  bool so = with.values.empty() && option.count() > 0;
  for (const std::string& wanted : with.values) {
    for (const std::string& value : values_of(option)) so = so || is_value(value, wanted);
  }
  return so != with.absent;
}

/// "with --mode rollout" or "without --fit": why an option has no effect.
std::string present_state(const OptionRule& rule, const CLI::App& app) {
  for (const With& with : rule.with) {
    if (with.absent) return "with " + with.option + shown_values(*app.get_option(with.option));
  }
  const With& with = rule.with.front();
  const std::string values = shown_values(*app.get_option(with.option));
  if (with.values.empty() || values.empty()) return "without " + words_of(rule);
  return "with " + with.option + values;
}

/// What is wrong with this option beside the others; empty: nothing.
std::string problem_of(const CLI::Option& option, const OptionRule& rule, const CLI::App& app) {
  const std::string name = option.get_name();
  if (rule.holds) {
    return rule.holds()
               ? ""
               : fmt::format("{0} has no effect without {1}: expected {1}, or leave {0} out", name,
                             rule.words);
  }
  for (const With& with : rule.with) {
    if (!is_so(with, app)) continue;
    if (rule.kind == OptionRule::Kind::kOnly) return "";
    return fmt::format("{} cannot be used with {}{}: leave one of them out", name, with.option,
                       with.values.empty() ? "" : shown_values(*app.get_option(with.option)));
  }
  if (rule.kind == OptionRule::Kind::kNot) return "";
  return fmt::format("{0} has no effect {1}: expected {2}, or leave {0} out", name,
                     present_state(rule, app), words_of(rule));
}

/// Throws UsageError for an option of the chosen command that has no effect beside the others.
void check_rules(const CLI::App& app, const OptionTable& table) {
  for (const CLI::Option* option : app.get_options({})) {
    if (option->count() == 0) continue;
    for (const OptionRule& rule : rules_of(*option, table)) {
      const std::string problem = problem_of(*option, rule, app);
      if (!problem.empty()) throw UsageError(problem, app.get_name());
    }
  }
}

/// Throws UsageError for `--name=` with nothing after it, which CLI11 takes for the name alone.
void check_empty_values(const CLI::App& app, int argc, const char* const* argv) {
  const auto takes_value = [&](const std::string& name) {
    const CLI::Option* option = name.starts_with('-') ? app.get_option_no_throw(name) : nullptr;
    return option && option->get_type_size() > 0;
  };
  for (int i = 2; i < argc; ++i) {
    std::string name = argv[i];
    if (!name.starts_with("--") || !name.ends_with('=') || takes_value(argv[i - 1])) continue;
    name.pop_back();
    if (takes_value(name))
      throw UsageError(
          fmt::format("{}: empty value: expected {}", name, value_name(*app.get_option(name))),
          app.get_name());
  }
}

/// The arguments with those that the files of --hooks stand for after them.
std::vector<std::string> with_hooks(const CLI::App& app, int argc, const char* const* argv) {
  const auto has = [&](const std::string& name) {
    return app.get_option_no_throw(name) != nullptr;
  };
  const std::string equals = std::string(kHooksOption) + "=";
  std::vector<std::string> words(argv, argv + argc);
  if (!has(kSaveHooksOption)) return words;  // --hooks of bench is another option
  for (int i = 2; i < argc; ++i) {
    std::string file;
    if (argv[i] == std::string_view(kHooksOption) && i + 1 < argc)
      file = argv[i + 1];
    else if (std::string_view(argv[i]).starts_with(equals))
      file = argv[i] + equals.size();
    if (file.empty()) continue;
    const auto given = [&](const std::string& name) {
      return std::any_of(argv + 2, argv + argc, [&](const std::string& word) {
        return word == name || word.starts_with(name + "=");
      });
    };
    const auto more = words_of_hooks(file, has, given);
    words.insert(words.end(), more.begin(), more.end());
    break;  // of a second one the parser says that it is one too many
  }
  return words;
}

/// The JSON of --save-hooks; empty if that was not given.
std::string hooks_to_save(const CLI::App& app) {
  const auto values_of = [&](const std::string& name) {
    const CLI::Option* option = app.get_option_no_throw(name);
    return option ? option->results() : std::vector<std::string>();
  };
  return values_of(kSaveHooksOption).empty() ? "" : hooks_of_values(values_of).json();
}

}  // namespace

Option Option::check(const Check& check) {
  option_->check(*check.validator_);
  return *this;
}
Option Option::type_name(const std::string& name) {
  option_->type_name(name);
  return *this;
}
Option Option::group(const std::string& name) {
  option_->group(name);
  return *this;
}
Option Option::capture_default_str() {
  option_->capture_default_str();
  return *this;
}
Option Option::allow_extra_args(bool allow) {
  option_->allow_extra_args(allow);
  return *this;
}
Option Option::delimiter(char separator) {
  option_->delimiter(separator);
  return *this;
}
Option Option::required() {
  option_->required();
  return *this;
}

Option Option::with_rule(OptionRule rule) {
  (*table_)[option_].push_back(std::move(rule));
  return *this;
}
Option Option::only_with(const std::string& option, std::vector<std::string> values) {
  return only_with({{.option = option, .values = std::move(values)}});
}
Option Option::only_with(std::vector<With> any) { return with_rule({.with = std::move(any)}); }
Option Option::only_if(std::string words, std::function<bool()> holds) {
  return with_rule({.holds = std::move(holds), .words = std::move(words)});
}
Option Option::not_with(const std::string& option, std::vector<std::string> values) {
  return with_rule(
      {.kind = OptionRule::Kind::kNot, .with = {{.option = option, .values = std::move(values)}}});
}

Option Command::added(CLI::Option* option) const {
  if (option->get_type_size() > 0) {
    const auto not_empty = [option](const std::string& value) -> std::string {
      return value.empty() ? "empty value: expected " + value_name(*option) : "";
    };
    option->check(not_empty, "");
  }
  return {option, table_};
}

Command Command::add_subcommand(const std::string& name, const std::string& description) {
  return {app_->add_subcommand(name, description), table_};
}
Option Command::add_flag(const std::string& name, bool& to, const std::string& help) {
  return added(app_->add_flag(name, to, help));
}
Option Command::add_option(const std::string& name, std::string& to, const std::string& help) {
  return added(app_->add_option(name, to, help));
}
Option Command::add_option(const std::string& name, int& to, const std::string& help) {
  return added(decimal<int>(app_->add_option(name, to, help)));
}
Option Command::add_option(const std::string& name, int64_t& to, const std::string& help) {
  return added(decimal<int64_t>(app_->add_option(name, to, help)));
}
Option Command::add_option(const std::string& name, uint64_t& to, const std::string& help) {
  return added(decimal<uint64_t>(app_->add_option(name, to, help)));
}
Option Command::add_option(const std::string& name, float& to, const std::string& help) {
  return added(decimal<float>(app_->add_option(name, to, help)));
}
Option Command::add_option(const std::string& name, double& to, const std::string& help) {
  return added(decimal<double>(app_->add_option(name, to, help)));
}
Option Command::add_option(const std::string& name, std::optional<int>& to,
                           const std::string& help) {
  return added(decimal<int>(app_->add_option(name, to, help)));
}
Option Command::add_option(const std::string& name, std::optional<int64_t>& to,
                           const std::string& help) {
  return added(decimal<int64_t>(app_->add_option(name, to, help)));
}
Option Command::add_option(const std::string& name, std::vector<std::string>& to,
                           const std::string& help) {
  return added(app_->add_option(name, to, help));
}
Option Command::add_option(const std::string& name, std::vector<int>& to, const std::string& help) {
  return added(decimal<int>(app_->add_option(name, to, help)));
}
Option Command::add_option(const std::string& name, std::vector<int64_t>& to,
                           const std::string& help) {
  return added(decimal<int64_t>(app_->add_option(name, to, help)));
}
Option Command::add_option(const std::string& name, std::vector<uint64_t>& to,
                           const std::string& help) {
  return added(decimal<uint64_t>(app_->add_option(name, to, help)));
}
Option Command::add_option(const std::string& name, std::vector<double>& to,
                           const std::string& help) {
  return added(decimal<double>(app_->add_option(name, to, help)));
}
Option Command::add_text(const std::string& name, const std::string& help) {
  return added(app_->add_option(
      name, [](const CLI::results_t&) { return true; }, help));
}
Option Command::option(const std::string& name) const { return {app_->get_option(name), table_}; }
void Command::remove_option(const std::string& name) {
  table_->erase(app_->get_option(name));
  app_->remove_option(app_->get_option(name));
}
void Command::only_uses(const std::string& option, const std::vector<std::string>& used) {
  for (CLI::Option* other : app_->get_options({})) {
    const auto is = [&](const std::string& name) { return other->check_name(name); };
    const bool shows = other->get_group() == "Output" && value_name(*other) != "FILE";
    if (is(option) || is("--help") || shows || std::any_of(used.begin(), used.end(), is)) continue;
    auto& rules = (*table_)[other];
    rules.insert(
        rules.begin(),
        {.kind = OptionRule::Kind::kNot, .with = {{.option = option}}, .said_there = true});
  }
  CLI::Option& by = *app_->get_option(option);
  by.description(fmt::format("{}. Used with it: {}", by.get_description(), fmt::join(used, ", ")));
}
void Command::callback(std::function<void()> action) { app_->callback(std::move(action)); }
void Command::footer(const std::string& text) { app_->footer(text); }
void Command::hide() { app_->group(""); }

std::vector<CommandHelp> Command::help_table() const {
  const CLI::App& app = *app_;
  std::vector<CommandHelp> commands{command_help(app, "", *table_)};
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_group().empty())
      commands.push_back(command_help(*command, command->get_name(), *table_));
  }
  return commands;
}

CommandLine::CommandLine(const std::string& name, const std::string& description,
                         const std::string& version)
    : app_(std::make_unique<CLI::App>(description, name)) {
  app_->formatter(std::make_shared<HelpFormatter>(table_));  // the commands inherit it
  app_->set_version_flag("--version", version);
  app_->set_help_flag("-h,--help", "Print this help and exit");
  app_->require_subcommand(1);
}

CommandLine::~CommandLine() = default;

std::string CommandLine::with_flags(const std::string& message) const {
  const auto named = app_->get_subcommands();
  std::string text = message;
  for (size_t at = 0; !named.empty() && (at = text.find('`', at)) != std::string::npos;) {
    const size_t end = text.find('`', at + 1);
    if (end == std::string::npos) break;
    constexpr std::string_view kOr = ", or use ";
    std::string flag = "--" + text.substr(at + 1, end - at - 1);
    std::replace(flag.begin(), flag.end(), '_', '-');
    if (named.front()->get_option_no_throw(flag)) {
      text.replace(at, end + 1 - at, flag);
      at += flag.size();
    } else if (std::string_view(text).substr(0, at).ends_with(kOr)) {
      at -= kOr.size();  // the clause, with the option's value
      text.erase(at, std::min(text.find_first_of(",;:", end), text.size()) - at);
    } else {
      at = end + 1;
    }
  }
  return text;
}

bool CommandLine::parse(int argc, const char* const* argv) {
  try {
    const auto is_named = [&](const CLI::App* app) {
      return argc > 1 && app->get_name() == argv[1];
    };
    for (const CLI::App* named : app_->get_subcommands(is_named))
      check_empty_values(*named, argc, argv);
    std::vector<std::string> words(argv, argv + argc);
    for (const CLI::App* named : app_->get_subcommands(is_named))
      words = with_hooks(*named, argc, argv);
    std::vector<const char*> expanded;
    for (const std::string& word : words) expanded.push_back(word.c_str());
    app_->parse(static_cast<int>(expanded.size()), expanded.data());
    for (const CLI::App* chosen : app_->get_subcommands()) {
      check_rules(*chosen, table_);
      saved_hooks_ = hooks_to_save(*chosen);
    }
    return false;
  } catch (const CLI::Success& success) {  // --help, --version
    app_->exit(success);
    return true;
  } catch (const CLI::ParseError& error) {
    const auto chosen = app_->get_subcommands();
    if (chosen.empty()) throw UsageError(error.what(), "");
    throw UsageError(words_of(error, *chosen.front()), chosen.front()->get_name());
  }
}

void CommandLine::save_hooks() const {
  if (saved_hooks_.empty()) return;
  write_file(app_->get_subcommands().front()->get_option(kSaveHooksOption)->as<std::string>(),
             saved_hooks_);
}

}  // namespace vitrine::cli
