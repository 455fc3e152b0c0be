// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <chrono>
#include <memory>

#include "base/quote.h"
#include "cli/core/context.h"
#include "cli/core/progress_bar.h"
#include "cli/pull/pull.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct PullBytes {
  uint64_t all = 0, missing = 0;
};

PullBytes bytes_of(const PullResult& result) {
  PullBytes bytes;
  for (const PulledFile& file : result.files) {
    bytes.all += file.bytes;
    if (!file.present) bytes.missing += file.bytes;
  }
  return bytes;
}

JsonValue pull_json(const PullOptions& options, const PullResult& result) {
  const PullBytes bytes = bytes_of(result);
  JsonValue files = JsonValue::array();
  for (const PulledFile& file : result.files) {
    files.push_back({{"name", file.name},
                     {"bytes", file.bytes},
                     {"checksum", file.checksum},
                     {"present", file.present}});
  }
  return {{"vitrine", VITRINE_VERSION},
          {"command", "pull"},
          {"name", result.name},
          {"revision", result.revision},
          {"commit", result.commit},
          {"endpoint", result.endpoint},
          {"path", result.snapshot.string()},
          {"dry_run", options.dry_run},
          {"bytes", bytes.all},
          {"missing_bytes", bytes.missing},
          {"files", std::move(files)}};
}

void print_pull(const Context& context, const PullOptions& options, const PullResult& result,
                double seconds) {
  const auto line = [&](const char* name, const std::string& value) {
    print(context.out.paint(Style::kDim, left(name, 10)) + value + "\n");
  };
  const PullBytes bytes = bytes_of(result);
  print(context.out.paint(Style::kTitle, result.name) + "\n");
  line("revision", result.revision == result.commit
                       ? result.commit
                       : result.revision + ", commit " + result.commit);
  line("folder", result.snapshot.string());
  for (const PulledFile& file : result.files) {
    line(&file == &result.files.front() ? "files" : "",
         right(human_bytes(static_cast<double>(file.bytes)), 8) + "  " + file.name +
             (file.present ? context.out.paint(Style::kDim, "  in the cache") : ""));
  }
  const auto missing = static_cast<double>(bytes.missing);
  std::string total = human_bytes(static_cast<double>(bytes.all));
  if (options.dry_run)
    total += ", " + human_bytes(missing) + " to download; nothing was written";
  else if (bytes.missing > 0)
    total += fmt::format(", {} in {:.1f} s", human_bytes(missing), seconds);
  line("total", total);
}

void run(const Context& context, const PullOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  PullResult result;
  {
    ProgressBar progress;
    result = pull(options, progress);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  if (context.json)
    print_json(pull_json(options, result));
  else
    print_pull(context, options, result, took.count());
}

}  // namespace

void add_pull(Command& app, Context& context) {
  Command command = app.add_subcommand(
      "pull", "Download a model from the Hugging Face hub into its cache; resumes what was begun");
  const auto options = std::make_shared<PullOptions>();
  command
      .add_option("NAME", options->model,
                  "Model: NAME or ORGANISATION/NAME, with @REVISION for a branch, tag or commit")
      ->required();
  add_output_options(command, context);
  add_progress_option(command, context);
  const auto group = "Download";
  command.add_option("--revision", options->revision, "Branch, tag or commit [main]")
      ->type_name("REVISION")
      ->group(group);
  command
      .add_flag("--dry-run", options->dry_run,
                "List the files, their bytes and what is in the cache; write nothing")
      ->group(group);
  command.add_option("--parallel", options->parallel, "Files at a time")
      ->check(in_range(1, 64))
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  set_examples(command,
               "  vitrine pull openai-community/gpt2\n"
               "  vitrine pull distilbert/distilgpt2@main --dry-run");
  command.callback(
      [&context, options] { context.action = [&context, options] { run(context, *options); }; });
}

}  // namespace vitrine::cli
