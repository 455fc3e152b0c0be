// SPDX-License-Identifier: MIT
#include "cli/core/hooks_option.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/check.h"

namespace vitrine::cli {
using namespace internal;

void add_hooks_options(Command& command) {
  const auto group = "Hooks";
  command
      .add_text(kHooksOption,
                "Captures, edits and seed of an experiment from a file (docs/CLI.md); its entries "
                "count as options of their own")
      ->type_name("FILE")
      ->group(group);
  command
      .add_text(kSaveHooksOption,
                "Write the captures, edits and seed of this run to a file for --hooks")
      ->type_name("FILE")
      ->group(group);
}

std::vector<std::string> words_of_hooks(const std::string& path,
                                        const std::function<bool(const std::string&)>& has,
                                        const std::function<bool(const std::string&)>& given) {
  const HookFile file = read_hook_file(path);
  std::vector<std::string> words;
  const auto add = [&](const char* field, const std::string& option, const std::string& value) {
    if (!has(option))
      user_error("{}: {}: this command has no {}: remove it from the file", path, field, option);
    words.push_back(option + "=" + value);
  };
  for (const std::string& site : file.captures) add("captures", "--capture", site);
  for (const std::string& site : file.gradients) add("gradients", "--gradient", site);
  for (const std::string& edit : file.edits) add("edits", "--edit", edit);
  const auto add_single = [&](const char* field, const std::string& option,
                              const std::string& value) {
    if (given(option))
      user_error("{}: {}: also given by {}: expected one of the two", path, field, option);
    add(field, option, value);
  };
  if (file.store) add_single("store", "--store", std::string(dtype_name(*file.store)));
  if (file.seed) add_single("seed", "--seed", fmt::format("{}", *file.seed));
  return words;
}

HookFile hooks_of_values(
    const std::function<std::vector<std::string>(const std::string&)>& values_of) {
  HookFile file{.captures = values_of("--capture"),
                .gradients = values_of("--gradient"),
                .edits = values_of("--edit")};
  if (const auto store = values_of("--store"); !store.empty())
    file.store = dtype_from_name(store.front());
  if (const auto seed = values_of("--seed"); !seed.empty())
    file.seed = std::strtoull(seed.front().c_str(), nullptr, 10);
  if (file.captures.empty() && file.gradients.empty() && file.edits.empty() && !file.seed)
    user_error("{}: nothing to save: expected captures, edits or a seed", kSaveHooksOption);
  return file;
}

}  // namespace vitrine::cli
