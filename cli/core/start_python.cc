// SPDX-License-Identifier: MIT
#include "cli/core/start_python.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/quote.h"
#include "base/system_error.h"
#include "vitrine/version.h"

namespace vitrine::cli {
using namespace internal;
namespace {

// Without the working directory, in which a folder may be called as a package.
constexpr const char* kProgram = R"(
import sys
sys.path[:1] = [folder for folder in sys.path[:1] if folder]
try:
    from vitrine.from_command import main
except ImportError as error:
    sys.exit(sys.stderr.write(f"vitrine: {sys.argv[1]} needs the Python package vitrine in "
                              f"{sys.executable}: {error}; VITRINE_PYTHON names another interpreter\n") and 2)
main()
)";

}  // namespace

void start_python(const std::string& option, JsonValue request) {
  request["version"] = VITRINE_VERSION;
  std::FILE* file = std::tmpfile();
  if (file == nullptr) system_failure(errno, P_tmpdir, "cannot create a temporary file");
  const std::string text = request.dump();
  if (std::fwrite(text.data(), 1, text.size(), file) != text.size() || std::fflush(file) != 0 ||
      lseek(fileno(file), 0, SEEK_SET) != 0 || dup2(fileno(file), STDIN_FILENO) < 0)
    system_failure(errno, P_tmpdir, "cannot write a temporary file");
  std::fclose(file);
  std::fflush(stdout);
  const char* named = std::getenv("VITRINE_PYTHON");
  const char* python = named != nullptr && *named != '\0' ? named : "python3";
  execlp(python, python, "-c", kProgram, option.c_str(), static_cast<char*>(nullptr));
  user_error(
      "{} needs Python with the package vitrine, and {} cannot be started: {}; VITRINE_PYTHON "
      "names another interpreter",
      option, quote(python), std::strerror(errno));
}

}  // namespace vitrine::cli
