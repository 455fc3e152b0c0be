// SPDX-License-Identifier: MIT
#include "cli/text/training_windows.h"

#include <fmt/core.h>

#include "cli/core/arrays.h"
#include "vitrine/analysis/score.h"
#include "vitrine/version.h"

namespace vitrine::cli {
using namespace internal;
namespace {

using Windows = std::vector<TrainingWindow>;

JsonValue windows_json(const Windows& windows, const Names& names) {
  JsonValue list = JsonValue::array();
  for (const TrainingWindow& window : windows) {
    list.push_back({{"begin", window.begin},
                    {"inputs", names.json(window.inputs)},
                    {"targets", names.json(window.targets)}});
  }
  return list;
}

std::string shown(std::span<const int32_t> ids, const Names& names) {
  std::string text;
  for (const int32_t id : ids) text += (text.empty() ? "" : " ") + names.shown(id);
  return text;
}

void print_windows(const Terminal& out, const Windows& windows, const Names& names) {
  for (const TrainingWindow& window : windows) {
    const std::string begin = right(std::to_string(window.begin), 8);
    const size_t room = out.width() > 20 ? out.width() - 20 : 1;
    print(fmt::format("{}  {}  {}\n", begin, out.paint(Style::kDim, left("input", 6)),
                      clip(shown(window.inputs, names), room)));
    print(fmt::format("{}  {}  {}\n", left("", 8), out.paint(Style::kDim, "target"),
                      clip(shown(window.targets, names), room)));
  }
}

void save(const std::string& path, const std::vector<Windows>& results, const WindowArgs& args) {
  Arrays tensors;
  for (size_t i = 0; i < results.size(); ++i) {
    std::vector<int64_t> begins;
    std::vector<int32_t> inputs, targets;
    for (const TrainingWindow& window : results[i]) {
      begins.push_back(window.begin);
      inputs.insert(inputs.end(), window.inputs.begin(), window.inputs.end());
      targets.insert(targets.end(), window.targets.begin(), window.targets.end());
    }
    const auto count = static_cast<int64_t>(begins.size());
    tensors.emplace_back(fmt::format("begins.{}", i), tensor_of(DType::kI64, begins, {count}));
    tensors.emplace_back(fmt::format("inputs.{}", i),
                         tensor_of(DType::kI32, inputs, {count, args.window}));
    tensors.emplace_back(fmt::format("targets.{}", i),
                         tensor_of(DType::kI32, targets, {count, args.window}));
  }
  write_arrays(path, tensors,
               {{"vitrine", VITRINE_VERSION},
                {"window", std::to_string(args.window)},
                {"stride", std::to_string(args.stride)}});
}

}  // namespace

void show_windows(const Context& context, const Model& model, const std::vector<Prompt>& prompts,
                  const WindowArgs& args) {
  const Names names(model.shared_tokenizer());
  WindowArgs used = args;
  if (used.stride == 0) used.stride = used.window;
  std::vector<Windows> results;
  for (const Prompt& prompt : prompts)
    results.push_back(training_windows(prompt.ids, used.window, used.stride));
  if (!args.out.empty()) save(args.out, results, used);
  JsonValue json = json_head("score", model);
  for (size_t i = 0; i < results.size(); ++i) {
    if (context.json) {
      JsonValue one = {{"window", used.window},
                       {"stride", used.stride},
                       {"tokens", prompts[i].ids.size()},
                       {"windows", windows_json(results[i], names)}};
      add_text(one["prompt"], prompts[i].text);
      json["results"].push_back(std::move(one));
      continue;
    }
    if (i > 0) print("\n");
    print_windows(context.out, results[i], names);
    print(context.out.paint(Style::kTitle,
                            fmt::format("{} windows of {} tokens, stride {}",
                                        thousands(static_cast<int64_t>(results[i].size())),
                                        used.window, used.stride)) +
          fmt::format(", of a text of {} tokens\n",
                      thousands(static_cast<int64_t>(prompts[i].ids.size()))));
  }
  if (context.json) print_json(json);
}

}  // namespace vitrine::cli
