// SPDX-License-Identifier: MIT
#include <filesystem>
#include <memory>

#include "base/check.h"
#include "base/quote.h"
#include "cli/core/context.h"
#include "cli/core/tokens.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct TokenizeArgs {
  PromptArgs prompt;
  bool decode = false, only_ids = false;
};

/// Spans of text prompts; ids that were given have none.
struct Tokens {
  std::string text;
  std::vector<Tokenizer::Piece> pieces;
  bool from_text = true;
};

/// The tokens of a text with those around it, which have empty spans.
std::vector<Tokenizer::Piece> framed(const std::string& text, std::vector<Tokenizer::Piece> pieces,
                                     const Tokenizer::Frame& frame) {
  std::vector<Tokenizer::Piece> all;
  for (const int32_t id : frame.before) all.push_back({id, 0, 0});
  all.insert(all.end(), pieces.begin(), pieces.end());
  for (const int32_t id : frame.after) all.push_back({id, text.size(), text.size()});
  return all;
}

std::vector<Tokens> tokenize(const TokenizeArgs& args,
                             const std::shared_ptr<const Tokenizer>& tokenizer,
                             const std::string& model, const Tokenizer::Frame& frame) {
  PromptArgs texts = args.prompt, ids = args.prompt;
  texts.ids.clear();
  ids.prompts.clear();
  ids.prompt_file.clear();
  ids.text_file.clear();
  const bool any_text =
      !texts.prompts.empty() || !texts.prompt_file.empty() || !texts.text_file.empty();
  std::vector<Tokens> all;
  const auto special = args.prompt.special ? Tokenizer::Special::kAllow : Tokenizer::Special::kText;
  if (any_text || ids.ids.empty()) {
    for (const Prompt& prompt : read_prompts(texts, tokenizer, model))
      all.push_back({prompt.text,
                     framed(prompt.text, tokenizer->encode_with_spans(prompt.text, special), frame),
                     true});
  }
  if (ids.ids.empty()) return all;
  for (const Prompt& prompt : read_prompts(ids, tokenizer, model)) {
    Tokens tokens{tokenizer->decode(prompt.ids), {}, false};
    for (const int32_t id : prompt.ids) tokens.pieces.push_back({.id = id});
    all.push_back(std::move(tokens));
  }
  return all;
}

JsonValue tokens_json(const Tokens& tokens, const Names& names) {
  JsonValue json = {{"count", tokens.pieces.size()},
                    {"bytes", tokens.text.size()},
                    {"tokens", JsonValue::array()}};
  add_text(json, tokens.text);
  for (const Tokenizer::Piece& piece : tokens.pieces) {
    JsonValue token = names.json(piece.id);
    if (tokens.from_text) token["span"] = {piece.begin, piece.end};
    json["tokens"].push_back(std::move(token));
  }
  return json;
}

void print_table(const Context& context, const Tokens& tokens, const Names& names) {
  const Terminal& out = context.out;
  print_as_is(out.paint(Style::kDim, fmt::format("{:>8}  {:>6}  {:>15}  {}", "position", "id",
                                                 tokens.from_text ? "bytes" : "", "token")) +
              "\n");
  for (size_t i = 0; i < tokens.pieces.size(); ++i) {
    const Tokenizer::Piece& piece = tokens.pieces[i];
    const std::string span = tokens.from_text ? fmt::format("{}..{}", piece.begin, piece.end) : "";
    print_as_is(fmt::format("{:>8}  {:>6}  {}  {}\n", i, piece.id,
                            out.paint(Style::kDim, fmt::format("{:>15}", span)),
                            names.shown(piece.id)));
  }
  const double per_token = tokens.pieces.empty() ? 0
                                                 : static_cast<double>(tokens.text.size()) /
                                                       static_cast<double>(tokens.pieces.size());
  print(out.paint(Style::kDim, fmt::format("{} tokens, {} bytes, {:.2f} bytes a token",
                                           tokens.pieces.size(), tokens.text.size(), per_token)) +
        "\n");
}

void run(const Context& context, const TokenizeArgs& args) {
  const std::filesystem::path path = context.tokenizer;
  const auto tokenizer = Tokenizer::load(path.empty() ? Model::locate(context.model) : path);
  const Tokenizer::Frame frame = frame_from(context.bos, tokenizer.get());
  const Names names(tokenizer);
  const std::vector<Tokens> all = tokenize(args, tokenizer, context.model, frame);
  if (context.json) {
    JsonValue json = {{"vitrine", VITRINE_VERSION},
                      {"command", "tokenize"},
                      {"tokenizer", tokenizer->description()},
                      {"results", JsonValue::array()}};
    for (const Tokens& tokens : all) json["results"].push_back(tokens_json(tokens, names));
    return print_json(json);
  }
  for (size_t i = 0; i < all.size(); ++i) {
    if (args.decode) {
      print_as_is(all[i].text + (all.size() > 1 || context.out.interactive() ? "\n" : ""));
    } else if (args.only_ids) {
      std::string line;
      for (const Tokenizer::Piece& piece : all[i].pieces)
        line += (line.empty() ? "" : ",") + std::to_string(piece.id);
      print_as_is(line + "\n");
    } else {
      if (i > 0) print("\n");
      print_table(context, all[i], names);
    }
  }
}

}  // namespace

void add_tokenize(Command& app, Context& context) {
  Command command =
      app.add_subcommand("tokenize", "Show the tokens of a text, or the text of token ids");
  const auto args = std::make_shared<TokenizeArgs>();
  add_prompt_options(command, args->prompt);
  command.add_flag("--decode", args->decode, "Print only the text of --ids, as unchanged bytes")
      ->group("Tokens")
      ->not_with("--json");
  command
      .add_flag("--only-ids", args->only_ids,
                "Print only the ids in the format of --ids, one line per prompt")
      ->group("Tokens")
      ->not_with("--decode")
      ->not_with("--json");
  command
      .add_option(
          "-m,--model", context.model,
          "Model directory, tokenizer file, demo, or a name in the Hugging Face cache (gpt2)")
      ->capture_default_str()
      ->type_name("MODEL")
      ->group("Model");
  add_tokenizer_options(command, context);
  command.option("--bos")->only_with({{"--prompt"}, {"--prompt-file"}, {"--text-file"}});
  add_output_options(command, context);
  set_examples(command,
               "  vitrine tokenize --prompt \"The keys to the cabinet are\"\n"
               "  vitrine tokenize --ids 1,2,3 --decode");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
