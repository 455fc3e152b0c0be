// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <system_error>

#include "base/check.h"
#include "base/quote.h"
#include "cli/bench/bench_options.h"

// `vitrine bench` in the command itself: the options, and the start of the program that measures. A
// build of the command alone does not compile what measures.

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr const char* kProgram = "vitrine-bench";

/// The folder of the running program; empty where the system does not say.
std::filesystem::path own_folder() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

/// Becomes the program: beside this one, in libexec/vitrine of the same prefix, or in PATH. Throws
/// Error (internal) if there is none.
[[noreturn]] void start(const Context& context) {
  std::vector<char*> words = {const_cast<char*>(kProgram)};
  for (size_t i = 2; i < context.arguments.size(); ++i)  // after "vitrine bench"
    words.push_back(const_cast<char*>(context.arguments[i].c_str()));
  words.push_back(nullptr);
  const std::filesystem::path folder = own_folder();
  if (!folder.empty()) {
    execv((folder / kProgram).c_str(), words.data());
    execv((folder.parent_path() / "libexec" / "vitrine" / kProgram).c_str(), words.data());
  }
  execvp(kProgram, words.data());
  internal_error(
      "missing program {}: expected it in {}, in libexec/vitrine or in PATH; build it with `cmake "
      "--build build --target vitrine_bench_cli`",
      kProgram, quote(folder.string()));
}

}  // namespace

void add_bench(Command& app, Context& context) {
  const auto args = std::make_shared<BenchArgs>();
  Command command = add_bench_options(app, context, *args);
  command.callback([&context, args] { context.action = [&context] { start(context); }; });
}

}  // namespace vitrine::cli
