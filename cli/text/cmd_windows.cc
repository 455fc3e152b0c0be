// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <memory>

#include "base/check.h"
#include "cli/core/context.h"
#include "cli/core/output_files.h"
#include "cli/core/tokens.h"
#include "report/results/results.h"
#include "vitrine/analysis/score.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct WindowArgs {
  PromptArgs prompt;
  int64_t window = 0, stride = 0;
  ResultArgs output;
};

std::string shown(std::span<const int32_t> ids, const Names& names, size_t room) {
  std::string text;
  for (const int32_t id : ids) {
    if (text.size() > 4 * room) break;  // in bytes: more than is shown
    text += (text.empty() ? "" : " ") + names.shown(id);
  }
  return clip(text, room);
}

/// All windows, two lines each: a figure has room for the first ones only.
void print_windows(const Terminal& out, const WindowedText& text, const Names& names) {
  const auto windows = training_windows(text.ids, text.window, text.stride);
  const size_t room = out.width() > 20 ? out.width() - 20 : 1;
  for (const TrainingWindow& window : windows) {
    print(fmt::format("{:>8}  {}  {}\n{:8}  {}  {}\n", window.begin,
                      out.paint(Style::kLess, left("input", 6)), shown(window.inputs, names, room),
                      "", out.paint(Style::kMore, "target"), shown(window.targets, names, room)));
  }
  print(out.paint(Style::kTitle,
                  fmt::format("{} windows of {} tokens, stride {}", thousands(std::ssize(windows)),
                              text.window, text.stride)) +
        fmt::format(", of a text of {} tokens\n", thousands(std::ssize(text.ids))));
}

void run(const Context& context, const WindowArgs& args) {
  if (args.window == 0) user_error("missing number of tokens of a window: use --window N");
  const Model model = load_model(context);
  const auto prompts = read_prompts(args.prompt, model);
  const PageSource source = PageSource::of(model, context.command_line);
  const ResultArgs& files = args.output;
  std::vector<WindowedText> texts;
  for (const Prompt& prompt : prompts)
    texts.push_back({prompt.ids, args.window, args.stride > 0 ? args.stride : args.window});
  // A description holds every window: those of a book with a stride of 1 are many times the book.
  if (context.json || files.lists_all() || !files.svg.empty() || !files.png.empty()) {
    const auto results = described(std::span<const WindowedText>(texts),
                                   [&](const auto& text) { return windows_result(text, source); });
    write_results(files, results, source);
    if (context.json) return print_json(results_json("windows", model, results, prompts));
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) print("\n");
    print_windows(context.out, texts[i], Names(source.tokenizer));
  }
}

}  // namespace

void add_windows(Command& app, Context& context) {
  Command command = app.add_subcommand(
      "windows", "Show the training windows of a text: inputs and their targets");
  const auto args = std::make_shared<WindowArgs>();
  add_prompt_options(command, args->prompt);
  const auto group = "Windows";
  command.add_option("--window", args->window, "Tokens per window")
      ->check(above_zero())
      ->type_name("TOKENS")
      ->group(group);
  command.add_option("--stride", args->stride, "Tokens between windows [the window]")
      ->check(above_zero())
      ->type_name("TOKENS")
      ->group(group);
  add_model_options(command, context);
  add_output_options(command, context);
  add_result_options(command, args->output);
  set_examples(
      command,
      "  vitrine windows --prompt \"The keys to the cabinet are on the table.\" --window 4 "
      "--stride 3\n"
      "  vitrine windows --text-file book.txt --window 256 --out windows.safetensors");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
