// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "cli/core/option_rules.h"

namespace CLI {
class App;
class Option;
class Validator;
}  // namespace CLI

// The options of commands, read by CLI11. Its templates are instantiated in options.cc and nowhere
// else: commands see the types they use.

namespace vitrine::cli {

/// What an option's value must be.
class Check {
 public:
  /// `problem` returns what is wrong with a value; empty: nothing.
  explicit Check(std::function<std::string(const std::string&)> problem);
  explicit Check(std::shared_ptr<const CLI::Validator> validator);

 private:
  friend class Option;
  std::shared_ptr<const CLI::Validator> validator_;
};

Check one_of(std::initializer_list<const char*> names);
Check one_of(const std::vector<std::string>& names);
/// Both ends included.
Check in_range(int min, int max);
Check in_range(int64_t min, int64_t max);
Check in_range(double min, double max);
/// Checks that say in words what they want; CLI11's own print the largest double.
Check not_negative();
Check above_zero();

/// The rules of all options of a program.
using OptionTable = std::map<const CLI::Option*, std::vector<OptionRule>>;

/// One option of a command, which owns it. An option takes no empty value. One that takes a single
/// value is given at most once; a flag may be repeated.
class Option {
 public:
  Option(CLI::Option* option, OptionTable* table) : option_(option), table_(table) {}
  Option* operator->() { return this; }

  Option check(const Check& check);
  /// What the help calls the value: FILE.
  Option type_name(const std::string& name);
  /// The heading it is listed under.
  Option group(const std::string& name);
  /// The help shows the variable's present value.
  Option capture_default_str();
  /// Whether a list takes all following words, rather than one value each time it is given.
  Option allow_extra_args(bool allow);
  Option delimiter(char separator);
  Option required();
  // What it has an effect with; without it the option is rejected. Several calls: all must hold.
  Option only_with(const std::string& option, std::vector<std::string> values = {});
  /// One of several.
  Option only_with(std::vector<With> any);
  /// `words`: what `holds` tests, such as "a .jsonl file".
  Option only_if(std::string words, std::function<bool()> holds);
  /// The option cannot be used with this one (with any of these values of it).
  Option not_with(const std::string& option, std::vector<std::string> values = {});

 private:
  Option with_rule(OptionRule rule);

  CLI::Option* option_;
  OptionTable* table_;
};

struct CommandHelp;

/// A command and its options; CommandLine owns it. The variables must live until the action has
/// run.
class Command {
 public:
  Command(CLI::App* app, OptionTable* table) : app_(app), table_(table) {}

  Command add_subcommand(const std::string& name, const std::string& description);
  Option add_flag(const std::string& name, bool& to, const std::string& help);
  Option add_option(const std::string& name, std::string& to, const std::string& help);
  Option add_option(const std::string& name, int& to, const std::string& help);
  Option add_option(const std::string& name, int64_t& to, const std::string& help);
  Option add_option(const std::string& name, uint64_t& to, const std::string& help);
  Option add_option(const std::string& name, float& to, const std::string& help);
  Option add_option(const std::string& name, double& to, const std::string& help);
  Option add_option(const std::string& name, std::optional<int>& to, const std::string& help);
  Option add_option(const std::string& name, std::optional<int64_t>& to, const std::string& help);
  Option add_option(const std::string& name, std::vector<std::string>& to, const std::string& help);
  Option add_option(const std::string& name, std::vector<int>& to, const std::string& help);
  Option add_option(const std::string& name, std::vector<int64_t>& to, const std::string& help);
  Option add_option(const std::string& name, std::vector<uint64_t>& to, const std::string& help);
  Option add_option(const std::string& name, std::vector<double>& to, const std::string& help);
  /// An option whose value CommandLine alone reads.
  Option add_text(const std::string& name, const std::string& help);
  /// One of those that were added.
  Option option(const std::string& name) const;
  void remove_option(const std::string& name);
  /// With `option` no others of the present options have an effect than it, `used` and those that
  /// say how results are shown (--json, ...).
  void only_uses(const std::string& option, const std::vector<std::string>& used);
  /// Runs when the arguments have named this command.
  void callback(std::function<void()> action);
  /// Text below the options.
  void footer(const std::string& text);
  /// --help does not list this command.
  void hide();

  /// This command, then those of its subcommands that --help lists, in its order.
  std::vector<CommandHelp> help_table() const;

 private:
  Option added(CLI::Option* option) const;

  CLI::App* app_;
  OptionTable* table_;
};

/// Arguments that are not understood.
class UsageError : public std::runtime_error {
 public:
  UsageError(const std::string& what, std::string command)
      : std::runtime_error(what), command_(std::move(command)) {}
  /// The command that was named; empty: none.
  const std::string& command() const { return command_; }

 private:
  std::string command_;
};

/// A program of several commands, one of which must be named.
class CommandLine {
 public:
  /// `version` is what --version prints.
  CommandLine(const std::string& name, const std::string& description, const std::string& version);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  Command root() { return Command(app_.get(), &table_); }
  /// Checks the rules of its options and calls the named command's callback. Returns true
  /// where it has answered --help or --version instead; throws UsageError, and Error (user) for the
  /// file of --hooks.
  bool parse(int argc, const char* const* argv);
  /// Writes the file of --save-hooks, if that was given; after the command has done its work.
  void save_hooks() const;
  /// A message of the library with the flags of the named command in place of the names of options
  /// that it has in backquotes: `max_work` is --max-work. An alternative of another command's
  /// (", or use `skip_bad`") is left out.
  std::string with_flags(const std::string& message) const;

 private:
  std::unique_ptr<CLI::App> app_;
  OptionTable table_;
  std::string saved_hooks_;  ///< what save_hooks() writes
};

}  // namespace vitrine::cli
