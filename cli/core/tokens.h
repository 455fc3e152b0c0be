// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_value.h"
#include "cli/core/options.h"
#include "cli/core/terminal.h"
#include "report/names.h"
#include "vitrine/model.h"
#include "vitrine/tokenizer.h"

namespace vitrine::cli {
using namespace internal;

// Text in, text out: prompts from the command line and from files, tokens for people and for JSON.

/// The options that name prompts; see add_prompt_options.
struct PromptArgs {
  std::vector<std::string> prompts = {};
  std::string prompt_file = {}, text_file = {};
  std::vector<std::string> ids = {};
  bool special = false;
  bool hints = true;  ///< whether a note tells of ends that are hardly meant
  /// How errors name the options of `prompts` and `ids`.
  std::string prompt_option = "--prompt", ids_option = "--ids";
};

/// --prompt, --prompt-file, --text-file, --ids, --special.
void add_prompt_options(Command& command, PromptArgs& args);

struct Prompt {
  std::string text;  ///< as given; for ids, what they decode to (empty without a tokenizer)
  std::vector<int32_t> ids;
};

/// All prompts, in the order --prompt, --prompt-file, --text-file, --ids. Throws Error (user) for
/// none at all, an empty one, a file that cannot be read, ids that are no numbers, text without a
/// tokenizer (with what is wrong with the model's, if it has one), and text with a token that the
/// model lacks.
std::vector<Prompt> read_prompts(const PromptArgs& args, const Model& model);
/// The same for a tokenizer alone; `model` is what errors call its model.
std::vector<Prompt> read_prompts(const PromptArgs& args,
                                 const std::shared_ptr<const Tokenizer>& tokenizer,
                                 const std::string& model);

Batch ids_of(const std::vector<Prompt>& prompts);

/// A line with the prompt's text, or with the number of its ids.
std::string heading(const Prompt& prompt, const Terminal& out);

/// "1,2, 3". Throws Error (user) naming the invalid id.
std::vector<int32_t> parse_ids(std::string_view text);

/// `name` TOKEN, a token by its text, and `name`-id ID, the same by id; token_from() reads what
/// they leave.
void add_token_option(Command& command, const std::string& name, std::string& text, int& id,
                      const std::string& help, const std::string& group);
/// `name` TEXT and `name`-ids IDS, the same by token ids.
void add_text_option(Command& command, const std::string& name, std::string& text, std::string& ids,
                     const std::string& help, const std::string& group);

/// A token's text or its id, whichever was given: an empty text and a negative id are nothing.
/// Throws Error (user) for text that is not one token.
std::optional<int32_t> token_from(const std::string& text, int id, const Model& model);

/// " is, are" -> " is", " are"; "\," is a comma.
std::vector<std::string> split_list(std::string_view text);

}  // namespace vitrine::cli
