// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json_value.h"
#include "cli/core/exit_status.h"
#include "cli/core/options.h"
#include "cli/core/terminal.h"
#include "vitrine/model.h"
#include "vitrine/version.h"

namespace vitrine::cli {
using namespace internal;

/// What every command shares. A command's `add_...` declares its options and, when it was chosen,
/// sets `action`; nothing runs while arguments are parsed.
struct Context {
  std::function<void()> action;
  ExitStatus status = ExitStatus::kDone;  ///< how the program ends unless the action throws

  // Options of every command, by add_output_options.
  bool json = false;
  std::string color = "auto";
  int width = -1;
  std::string progress = "auto";  ///< by add_progress_option

  // Options of every command that runs a model, by add_model_options.
  std::string model = "demo";
  std::string device = "cpu";
  std::string gemm = "exact";
  std::string arithmetic = "exact";
  std::string dtype;
  std::string adapter;
  std::string tokenizer;
  std::string bos = "auto";
  int threads = 0;

  std::vector<std::string> arguments;  ///< the program's own name first
  std::string command_line;            ///< as a shell reads it
  Terminal out;                        ///< ready when the action runs
};

void add_output_options(Command& command, Context& context);
/// --progress, for commands that may take long.
void add_progress_option(Command& command, Context& context);
/// --model alone.
void add_model_option(Command& command, Context& context);
/// --tokenizer and --bos, for commands that read text.
void add_tokenizer_options(Command& command, Context& context);
/// The options of the model, and --progress.
void add_model_options(Command& command, Context& context);
/// `names` with the options of add_model_options() and add_edit_option(), for Command::only_uses().
std::vector<std::string> with_model_options(std::vector<std::string> names);
Model load_model(const Context& context);

/// Two runs that a newcomer can copy, shown below the options.
void set_examples(Command& command, const std::string& examples);

/// What every JSON answer begins with: {"vitrine": version, "command": ..., "model": {"name",
/// "device", "dtype"}}.
JsonValue json_head(const std::string& command, const Model& model);
/// To stdout, with a newline. Numbers have all their digits; NaN and infinities are null.
void print_json(const JsonValue& json);
/// In lines of at most set_line_width() columns; see fit_lines().
void print(const std::string& text);
/// Text that is not ours to break: the model's, another program's input.
void print_as_is(const std::string& text);
/// Columns of a line of stdout; unlimited before.
void set_line_width(size_t columns);
/// One line to stderr: "vitrine: warning: LINE".
void warn(const std::string& line);
/// "vitrine: note: LINE": what a newcomer may not have meant, and nothing is wrong with.
void note(const std::string& line);
/// Warns of each environment variable of the default number of threads that says no number.
void warn_of_thread_variables();

/// What cmd_NAME.cc defines; main.cc lists all.
using AddCommand = void(Command& app, Context& context);
AddCommand add_bench;

}  // namespace vitrine::cli
