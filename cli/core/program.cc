// SPDX-License-Identifier: MIT
#include "cli/core/program.h"

#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <new>

#include "base/check.h"
#include "base/cpu_unit.h"
#include "base/nearest_names.h"
#include "base/profile.h"
#include "base/quote.h"
#include "base/system_error.h"
#include "cli/core/build_facts.h"
#include "cli/core/help_export.h"
#include "cli/core/interrupt.h"
#include "cli/core/output_files.h"
#include "cli/core/progress_bar.h"
#include "vitrine/error.h"

namespace vitrine::cli {
using namespace internal;
namespace {

ExitStatus status_of(Error::Kind kind) {
  return kind == Error::Kind::kUser ? ExitStatus::kBadInput : ExitStatus::kFailed;
}

ExitStatus complain(ExitStatus status, const std::string& message) {
  std::string line = message;
  for (char& c : line) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  std::fflush(stdout);  // what was printed before comes before
  std::fprintf(stderr, "vitrine: %s\n", line.c_str());
  return status;
}

std::string unknown_command(const std::string& name, const Command& app) {
  std::vector<std::string> names;
  for (const CommandHelp& command : app.help_table()) names.push_back(command.name);
  return fmt::format("unknown command {}: the nearest is {}; see vitrine --help", quote(name),
                     nearest_names(name, names, 1).front());
}

ExitStatus run(int argc, const char* const* argv, AddCommands add_commands) {
  CommandLine line("vitrine", "Vitrine runs GPT-2 models and shows their internal activations.",
                   version_text(build_facts()));
  Command app = line.root();
  Context context;
  context.arguments.assign(argv, argv + argc);
  context.command_line = shell_line(argc, argv);
  app.footer(
      "vitrine COMMAND --help describes a command. Example:\n  vitrine lens --prompt \"Heathrow "
      "airport is located in the city of\"");
  add_commands(app, context);
  try {
    if (line.parse(argc, argv)) return ExitStatus::kDone;
  } catch (const UsageError& error) {
    const std::string command = error.command().empty() ? "" : error.command() + " ";
    if (command.empty() && argc > 1 && argv[1][0] != '-') {
      return complain(ExitStatus::kBadInput, unknown_command(argv[1], app));
    }
    return complain(ExitStatus::kBadInput,
                    fmt::format("{}; see vitrine {}--help", error.what(), command));
  }
  set_progress_style(progress_style_from_name(context.progress));
  context.out = Terminal(context.color, context.width);
  set_line_width(context.out.break_after());
  profiling();  // refuses an invalid VITRINE_PROFILE before any work
  cpu_unit();   // and an invalid VITRINE_CPU
  try {
    context.action();
    line.save_hooks();
  } catch (const Error& error) {
    throw Error(error.kind(), line.with_flags(error.what()));
  }
  return context.status;
}

ExitStatus run_safely(int argc, const char* const* argv, AddCommands add_commands) {
  try {
    return run(argc, argv, add_commands);
  } catch (const Interrupted&) {
    std::fflush(stdout);
    end_interrupted();
  } catch (const Error& error) {
    return complain(status_of(error.kind()), error.what());
  } catch (const std::filesystem::filesystem_error& error) {
    return complain(status_of(kind_of_failure(error.code().value())), error.what());
  } catch (const std::bad_alloc&) {
    return complain(ExitStatus::kFailed,
                    "out of memory; use a shorter prompt, fewer captures or a smaller model");
  } catch (const std::exception& error) {
    return complain(ExitStatus::kFailed, error.what());
  }
}

}  // namespace

int run_program(int argc, const char* const* argv, AddCommands add_commands) {
  std::setlocale(
      LC_CTYPE,
      "C.UTF-8");  // for the widths of characters; everything else stays as in the C locale
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is then an error like a full disk,
                                  // with a line and nothing left
  obey_signals();
  ExitStatus status = run_safely(argc, argv, add_commands);
  if (status == ExitStatus::kDone || status == ExitStatus::kIncomplete) {
    const bool flushed = std::fflush(stdout) == 0;
    if (!flushed || std::ferror(stdout) != 0)  // the latter by an earlier flush, as of --help
      status = complain(ExitStatus::kFailed,
                        std::string("cannot write to standard output") +
                            (flushed ? "" : std::string(": ") + std::strerror(errno)));
    else
      std::fputs(profile_tables().c_str(), stderr);
  }
  return static_cast<int>(status);
}

}  // namespace vitrine::cli
