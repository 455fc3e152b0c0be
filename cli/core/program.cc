// SPDX-License-Identifier: MIT
#include "cli/core/program.h"

#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>

#include "base/check.h"
#include "base/profile.h"
#include "base/quote.h"
#include "cli/core/output_files.h"
#include "vitrine/error.h"

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr int kFailed = 1, kBadInput = 2;

int complain(int status, const std::string& message) {
  std::string line = message;
  for (char& c : line) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  std::fflush(stdout);  // what was printed before comes before
  std::fprintf(stderr, "vitrine: %s\n", line.c_str());
  return status;
}

int run(int argc, const char* const* argv, AddCommands add_commands) {
  CommandLine line("vitrine", "Vitrine runs GPT-2 models and shows their internal activations.",
                   "vitrine " VITRINE_VERSION);
  Command app = line.root();
  Context context;
  context.arguments.assign(argv, argv + argc);
  context.command_line = shell_line(argc, argv);
  app.footer(
      "vitrine COMMAND --help describes a command. Example:\n  vitrine lens --prompt \"Heathrow "
      "airport is located in the city of\"");
  add_commands(app, context);
  try {
    if (const auto status = line.parse(argc, argv)) return *status;
  } catch (const UsageError& error) {
    const std::string command = error.command().empty() ? "" : error.command() + " ";
    if (command.empty() && argc > 1 && argv[1][0] != '-') {
      return complain(kBadInput,
                      fmt::format("unknown command {}: see vitrine --help", quote(argv[1])));
    }
    return complain(kBadInput, fmt::format("{}; see vitrine {}--help", error.what(), command));
  }
  context.out = Terminal(context.color, context.width);
  profiling();  // refuses an invalid VITRINE_PROFILE before any work
  context.action();
  return 0;
}

int run_safely(int argc, const char* const* argv, AddCommands add_commands) {
  try {
    return run(argc, argv, add_commands);
  } catch (const Error& error) {
    return complain(error.kind() == Error::Kind::kUser ? kBadInput : kFailed, error.what());
  } catch (const std::bad_alloc&) {
    return complain(kFailed,
                    "out of memory; use a shorter prompt, fewer captures or a smaller model");
  } catch (const std::exception& error) {
    return complain(kFailed, error.what());
  }
}

}  // namespace

int run_program(int argc, const char* const* argv, AddCommands add_commands) {
  std::setlocale(
      LC_CTYPE,
      "C.UTF-8");  // for the widths of characters; everything else stays as in the C locale
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is then an error like a full disk,
                                  // with a line and nothing left
  const int status = run_safely(argc, argv, add_commands);
  if (status != 0) return status;
  if (std::fflush(stdout) != 0)
    return complain(kFailed,
                    std::string("cannot write to standard output: ") + std::strerror(errno));
  std::fputs(profile_tables().c_str(), stderr);
  return 0;
}

}  // namespace vitrine::cli
