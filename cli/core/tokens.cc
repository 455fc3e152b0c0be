// SPDX-License-Identifier: MIT
#include "cli/core/tokens.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/quote.h"
#include "base/text_file.h"
#include "base/utf8.h"
#include "cli/core/context.h"

namespace vitrine::cli {
using namespace internal;
namespace {

class Reader {
 public:
  Reader(const PromptArgs& args, std::shared_ptr<const Tokenizer> tokenizer, std::string name,
         const Model* model = nullptr)
      : args_(args), tokenizer_(std::move(tokenizer)), name_(std::move(name)), model_(model) {}

  std::vector<Prompt> read() {
    for (const std::string& text : args_.prompts) add_text(args_.prompt_option, text);
    if (!args_.prompt_file.empty()) read_lines();
    if (!args_.text_file.empty()) add_text(args_.text_file, read_text(args_.text_file));
    for (const std::string& ids : args_.ids) add_ids(args_.ids_option, parse_ids(ids));
    if (prompts_.empty())
      user_error(
          "missing prompt: expected --prompt TEXT, --prompt-file FILE, --text-file FILE or --ids "
          "1,2,3");
    say_how_texts_end();
    return std::move(prompts_);
  }

 private:
  void add_text(const std::string& where, const std::string& text) {
    if (text.empty()) user_error("{}: the prompt is empty: expected at least one character", where);
    if (!tokenizer_) fail_without_tokenizer();
    const auto special = args_.special ? Tokenizer::Special::kAllow : Tokenizer::Special::kText;
    prompts_.push_back(
        {text, model_ ? model_->encode(text, special) : tokenizer_->encode(text, special)});
    if (prompts_.back().ids.empty())
      user_error("{}: the prompt has no tokens: expected at least one", where);
    check_tokens(where, prompts_.back());
    const std::string_view end = unwanted_end(text);
    if (!end.empty() && ends_++ == 0) first_end_ = fmt::format("{}: the prompt {}", where, end);
  }

  [[noreturn]] void fail_without_tokenizer() const {
    std::string reason = fmt::format("missing tokenizer of model '{}'", name_);
    try {
      if (model_ != nullptr) model_->tokenizer();
    } catch (const Error& error) {
      reason = error.what();
    }
    user_error("{}; to give token ids: {}", reason, args_.ids_option);
  }

  /// A tokenizer may have more tokens than the model.
  void check_tokens(const std::string& where, const Prompt& prompt) const {
    for (const int32_t id : prompt.ids) {
      if (model_ != nullptr && id >= model_->config().vocab)
        user_error("{}: the token {} (id {}) is one that model '{}' of {} tokens does not have",
                   where, quote(tokenizer_->token_bytes(id)), id, name_, model_->config().vocab);
    }
  }

  /// What is wrong with an end that is hardly meant; empty for any other.
  static std::string_view unwanted_end(std::string_view text) {
    if (text.substr(0, text.find_last_not_of(" .?!") + 1).ends_with("___"))
      return "ends in ___, which the model reads as text: end it with the last word before the "
             "gap, without a blank, which belongs to the next token (\" London\")";
    if (text.ends_with(' ') || text.ends_with('\t'))
      return "ends in a blank, which belongs to the next token (\" London\"): leave it out";
    return "";
  }

  void say_how_texts_end() const {
    if (ends_ == 0 || !args_.hints) return;
    note(first_end_ + (ends_ > 1 ? fmt::format("; {} more prompts end so", ends_ - 1) : ""));
  }

  void add_ids(const std::string& where, std::vector<int32_t> ids) {
    if (ids.empty()) user_error("{}: the prompt is empty: expected at least one id", where);
    std::string text;
    const bool known = tokenizer_ && std::all_of(ids.begin(), ids.end(), [&](int32_t id) {
                         return id >= 0 && id < tokenizer_->vocab_size();
                       });
    if (known) text = tokenizer_->decode(ids);
    prompts_.push_back({std::move(text), std::move(ids)});
  }

  /// One prompt a line; in a .jsonl file each line is {"text": ...} or {"ids": [...]}.
  void read_lines() {
    const bool jsonl = args_.prompt_file.ends_with(".jsonl");
    const std::vector<std::string> lines =
        text_lines(read_text(args_.prompt_file), args_.prompt_file);
    if (lines.empty()) user_error("{}: missing prompts: expected one per line", args_.prompt_file);
    for (size_t i = 0; i < lines.size(); ++i) {
      const std::string where = fmt::format("{}:{}", args_.prompt_file, i + 1);
      if (jsonl)
        add_json_line(where, lines[i]);
      else
        add_text(where, lines[i]);
    }
  }

  void add_json_line(const std::string& where, const std::string& line) {
    const Json json = parse_json(line, where);
    const JsonFields fields(json, where);
    if (const auto text = fields.text("text")) return add_text(where, *text);
    const Json* ids = fields.find("ids");
    if (!ids || !ids->is_array())
      user_error("{}: expected an object with \"text\" or \"ids\"", where);
    std::vector<int32_t> numbers;
    for (const Json& id : *ids) {
      if (!id.is_number_integer() || id < 0 || id > 0x7fffffff)
        user_error("{}: invalid token id {}", where, describe_json(id));
      numbers.push_back(id.get<int32_t>());
    }
    add_ids(where, std::move(numbers));
  }

  const PromptArgs& args_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::string name_;
  const Model* model_;  ///< null: only the tokenizer is known
  std::vector<Prompt> prompts_;
  size_t ends_ = 0;        ///< texts with an unwanted end
  std::string first_end_;  ///< what is said of the first of them
};

}  // namespace

void add_prompt_options(Command& command, PromptArgs& args) {
  const auto group = "Input";
  // One value each: CLI11 would otherwise take following words too, and split a text in brackets at
  // its commas.
  command.add_option("-p,--prompt", args.prompts, "Prompt; repeatable")
      ->allow_extra_args(false)
      ->type_name("TEXT")
      ->group(group);
  command
      .add_option("--prompt-file", args.prompt_file,
                  "File of prompts, one per line; .jsonl: objects with \"text\" or \"ids\"; - is "
                  "standard input")
      ->type_name("FILE")
      ->group(group);
  command
      .add_option("--text-file", args.text_file,
                  "File that is one prompt, line breaks included; - is standard input")
      ->type_name("FILE")
      ->group(group);
  command.add_option("--ids", args.ids, "Prompt as token ids: 1,2,3; repeatable")
      ->allow_extra_args(false)
      ->type_name("IDS")
      ->group(group);
  command
      .add_flag("--special", args.special, "Read text such as <|endoftext|> as the special token")
      ->group(group)
      ->only_with({{"--prompt"}, {"--prompt-file"}, {"--text-file"}});
}

std::vector<Prompt> read_prompts(const PromptArgs& args, const Model& model) {
  return Reader(args, model.shared_tokenizer(), model.name(), &model).read();
}

std::vector<Prompt> read_prompts(const PromptArgs& args,
                                 const std::shared_ptr<const Tokenizer>& tokenizer,
                                 const std::string& model) {
  return Reader(args, tokenizer, model).read();
}

Batch ids_of(const std::vector<Prompt>& prompts) {
  Batch batch;
  for (const Prompt& prompt : prompts) batch.push_back(prompt.ids);
  return batch;
}

std::string heading(const Prompt& prompt, const Terminal& out) {
  return out.paint(Style::kTitle, prompt.text.empty() ? fmt::format("{} ids", prompt.ids.size())
                                                      : printable(prompt.text)) +
         "\n";
}

std::vector<int32_t> parse_ids(std::string_view text) {
  std::vector<int32_t> ids;
  for (std::string item : split_list(text)) {
    item.erase(0, item.find_first_not_of(' '));
    item.erase(item.find_last_not_of(' ') + 1);
    int32_t id = 0;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), id);
    if (error != std::errc() || end != item.data() + item.size() || id < 0) {
      user_error("invalid token id {}: expected integers >= 0, such as 1,2,3", quote(item));
    }
    ids.push_back(id);
  }
  return ids;
}

void add_token_option(Command& command, const std::string& name, std::string& text, int& id,
                      const std::string& help, const std::string& group) {
  command.add_option(name, text, help)->type_name("TOKEN")->group(group);
  command.add_option(name + "-id", id, "The same as a token id")
      ->check(not_negative())
      ->type_name("ID")
      ->group(group)
      ->not_with(name);
}

void add_text_option(Command& command, const std::string& name, std::string& text, std::string& ids,
                     const std::string& help, const std::string& group) {
  command.add_option(name, text, help)->type_name("TEXT")->group(group);
  command.add_option(name + "-ids", ids, "The same as token ids: 1,2,3")
      ->type_name("IDS")
      ->group(group)
      ->not_with(name);
}

std::optional<int32_t> token_from(const std::string& text, int id, const Model& model) {
  if (!text.empty()) return model.tokenizer().single_token(text);
  if (id >= 0) return id;
  return std::nullopt;
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> items(1);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == ',')
      items.back() += text[++i];
    else if (text[i] == ',')
      items.emplace_back();
    else
      items.back() += text[i];
  }
  return items;
}

}  // namespace vitrine::cli
