// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

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

/// One option of a command, which owns it.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}
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
  Option needs(const std::string& other);
  Option excludes(Option other);
  Option excludes(const std::string& other);
  Option excludes(const std::string& one, const std::string& two);
  Option excludes(const std::string& one, const std::string& two, const std::string& three);

 private:
  CLI::Option* option_;
};

struct CommandHelp;

/// A command and its options; CommandLine owns it. The variables must live until the action has
/// run.
class Command {
 public:
  explicit Command(CLI::App* app) : app_(app) {}

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
  void remove_option(const std::string& name);
  /// Runs when the arguments have named this command.
  void callback(std::function<void()> action);
  /// Text below the options.
  void footer(const std::string& text);
  /// --help does not list this command.
  void hide();

  /// This command, then those of its subcommands that --help lists, in its order.
  std::vector<CommandHelp> help_table() const;

 private:
  CLI::App* app_;
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

  Command root() { return Command(app_.get()); }
  /// Calls the named command's callback. The status to exit with, where --help or --version has
  /// been answered; throws UsageError.
  std::optional<int> parse(int argc, const char* const* argv);

 private:
  std::unique_ptr<CLI::App> app_;
};

}  // namespace vitrine::cli
