// SPDX-License-Identifier: MIT
#include "runner.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

namespace vitrine::testing {
using namespace internal;
namespace {

/// In the child: sets everything up and becomes the command.
[[noreturn]] void become_command(const std::vector<std::string>& arguments,
                                 const CliOptions& options) {
  unsetenv("NO_COLOR");
  unsetenv("COLUMNS");
  setenv("TERM", "xterm-256color", 1);
  for (const auto& [name, value] : options.environment) {
    if (value.empty())
      unsetenv(name.c_str());
    else
      setenv(name.c_str(), value.c_str(), 1);
  }
  std::signal(SIGINT, options.ignores_interrupt ? SIG_IGN : SIG_DFL);
  if (options.file_size_limit > 0) {
    const rlimit limit{static_cast<rlim_t>(options.file_size_limit),
                       static_cast<rlim_t>(options.file_size_limit)};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  if (options.memory_limit > 0) {
    const rlimit limit{static_cast<rlim_t>(options.memory_limit),
                       static_cast<rlim_t>(options.memory_limit)};
    setrlimit(RLIMIT_AS, &limit);
  }
  std::vector<char*> argv = {const_cast<char*>(VITRINE_BINARY)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(VITRINE_BINARY, argv.data());
  _exit(127);
}

/// Reads from both until both are at their end.
void collect(int out, int err, CliResult& result) {
  std::array<pollfd, 2> polls = {pollfd{out, POLLIN, 0}, pollfd{err, POLLIN, 0}};
  std::array<std::string*, 2> texts = {&result.out, &result.err};
  while (polls[0].fd >= 0 || polls[1].fd >= 0) {
    poll(polls.data(), polls.size(), -1);
    for (size_t i = 0; i < polls.size(); ++i) {
      if (polls[i].fd < 0 || polls[i].revents == 0) continue;
      std::array<char, 65536> buffer;
      const ssize_t count = read(polls[i].fd, buffer.data(),
                                 buffer.size());  // a terminal whose other side is gone says EIO
      if (count <= 0)
        polls[i].fd = -1;
      else
        texts[i]->append(buffer.data(), static_cast<size_t>(count));
    }
  }
}

int wait_for(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

CliResult run_on_terminal(const std::vector<std::string>& arguments, const CliOptions& options) {
  CliResult result;
  int terminal = -1;
  winsize size{.ws_row = 40, .ws_col = options.columns, .ws_xpixel = 0, .ws_ypixel = 0};
  const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  if (child == 0) become_command(arguments, options);
  if (options.meanwhile) options.meanwhile(child);
  collect(terminal, -1, result);
  close(terminal);
  result.status = wait_for(child);
  return result;
}

}  // namespace

CliResult run_cli(const std::vector<std::string>& arguments, const CliOptions& options) {
  if (options.terminal) return run_on_terminal(arguments, options);
  std::array<int, 2> in{}, out{}, err{};
  EXPECT_EQ(
      pipe2(in.data(), O_CLOEXEC) | pipe2(out.data(), O_CLOEXEC) | pipe2(err.data(), O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    become_command(arguments, options);
  }
  for (const int fd : {in[0], out[1], err[1]}) close(fd);
  if (!options.input.empty()) {
    EXPECT_EQ(write(in[1], options.input.data(), options.input.size()),
              static_cast<ssize_t>(options.input.size()));
  }
  if (!options.keep_input_open) close(in[1]);
  if (options.meanwhile) options.meanwhile(child);
  CliResult result;
  collect(out[0], err[0], result);
  close(out[0]);
  close(err[0]);
  if (options.keep_input_open) close(in[1]);
  result.status = wait_for(child);
  return result;
}

Json run_json(std::vector<std::string> arguments) {
  arguments.emplace_back("--json");
  const CliResult result = run_cli(arguments);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.err, "");
  Json json = Json::parse(result.out, nullptr, false);
  EXPECT_FALSE(json.is_discarded()) << result.out.substr(0, 500);
  return json;
}

std::string plain() {
  return (std::filesystem::path(VITRINE_SOURCE_DIR) / "tests" / "goldens" / "plain").string();
}

std::filesystem::path demo_folder() {
  return std::filesystem::path(VITRINE_SOURCE_DIR) / "models" / "demo";
}
bool has_demo() { return std::filesystem::exists(demo_folder() / "model.safetensors"); }

}  // namespace vitrine::testing
