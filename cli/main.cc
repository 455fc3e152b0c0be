// SPDX-License-Identifier: MIT
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <new>

#include "base/check.h"
#include "base/quote.h"
#include "cli/core/context.h"
#include "cli/core/help_export.h"
#include "cli/core/options.h"
#include "cli/core/output_files.h"
#include "vitrine/error.h"

// Exit status: 0 done, 1 our fault or the machine's, 2 bad input. Errors are one line on stderr.

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

int run(int argc, char** argv) {
  CommandLine line("vitrine", "Vitrine runs GPT-2 models and shows their internal activations.",
                   "vitrine " VITRINE_VERSION);
  Command app = line.root();
  Context context;
  context.command_line = shell_line(argc, argv);
  app.footer(
      "vitrine COMMAND --help describes a command. Example:\n  vitrine lens --prompt \"Heathrow "
      "airport is located in the city of\"");
  add_lens(app, context);
  add_saliency(app, context);
  add_attribute(app, context);
  add_patch(app, context);
  add_noise(app, context);
  add_predictivity(app, context);
  add_generate(app, context);
  add_score(app, context);
  add_attention(app, context);
  add_similarity(app, context);
  add_factors(app, context);
  add_concept(app, context);
  add_capture(app, context);
  add_corpus(app, context);
  add_covariance(app, context);
  add_tokenize(app, context);
  add_sites(app, context);
  add_info(app, context);
  add_bench(app, context);
  add_make_random(app, context);
  add_doctor(app, context);
  add_help_export(app, context);
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
  context.action();
  return 0;
}

int run_safely(int argc, char** argv) {
  try {
    return run(argc, argv);
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
}  // namespace vitrine::cli

int main(int argc, char** argv) {
  std::setlocale(
      LC_CTYPE,
      "C.UTF-8");  // for the widths of characters; everything else stays as in the C locale
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is then an error like a full disk,
                                  // with a line and nothing left
  const int status = vitrine::cli::run_safely(argc, argv);
  if (status != 0 || std::fflush(stdout) == 0) return status;
  return vitrine::cli::complain(
      vitrine::cli::kFailed,
      std::string("cannot write to standard output:  ") + std::strerror(errno));
}
