// SPDX-License-Identifier: MIT
#include <memory>

#include "base/check.h"
#include "base/quote.h"
#include "cli/core/context.h"
#include "cli/core/tokens.h"
#include "cli/model/config_json.h"
#include "cli/model/site_table.h"

namespace vitrine::cli {
using namespace internal;
namespace {

JsonValue info_json(const Model& model, const Names& names) {
  JsonValue json = json_head("info", model);
  json["config"] = config_json(model.config());
  json["parameters"] = model.config().parameters();
  json["weight_bytes"] = model.weight_bytes();
  const LoadReport& report = model.load_report();
  json["tokenizer"] = nullptr;
  if (const auto tokenizer = model.shared_tokenizer()) {
    json["tokenizer"] = {{"description", tokenizer->description()},
                         {"vocab", tokenizer->vocab_size()},
                         {"file", report.tokenizer},
                         {"begin_of_text", nullptr},
                         {"end_of_text", nullptr},
                         {"before", model.frame().before},
                         {"after", model.frame().after}};
    if (const auto begin = tokenizer->begin_of_text())
      json["tokenizer"]["begin_of_text"] = names.json(*begin);
    if (const auto end = tokenizer->end_of_text())
      json["tokenizer"]["end_of_text"] = names.json(*end);
  }
  json["end_ids"] = model.end_ids();
  json["unread"] = {{"tensors", report.unread_tensors}, {"fields", report.unread_fields}};
  json["notes"] = report.notes;
  json["sites"] = sites_json(model.config(), all_sites(model.config()));
  return json;
}

/// "<|endoftext|> (0)", ...
std::string token_list(const std::vector<int32_t>& ids, const Names& names) {
  std::string text;
  for (const int32_t id : ids)
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", names.shown(id), id);
  return text;
}

/// What is around a text, and where one ends.
std::string texts_line(const Model& model, const Names& names) {
  const Tokenizer::Frame& frame = model.frame();
  std::string line = frame.before.empty() && frame.after.empty() ? "as they are" : "";
  if (!frame.before.empty()) line += "after " + token_list(frame.before, names);
  if (!frame.after.empty())
    line += (line.empty() ? "" : ", ") + ("before " + token_list(frame.after, names));
  if (model.end_ids().empty()) return line + "; generation has no end";
  return line + "; generation ends at " + token_list(model.end_ids(), names);
}

void print_info(const Context& context, const Model& model, const Names& names) {
  const Config& c = model.config();
  const auto line = [&](const char* name, const std::string& value) {
    print(context.out.paint(Style::kDim, left(name, 12)) + value + "\n");
  };
  print(context.out.paint(Style::kTitle, model.name()) + "\n");
  line("shape",
       fmt::format("{} layers (L), width {} (D), {} heads (H) of {} (K), inner width {} (M)",
                   c.layers, c.width, c.heads, c.head_width(), c.inner));
  line("vocabulary",
       fmt::format("{} tokens (V); context {} tokens", thousands(c.vocab), thousands(c.context)));
  line("variant",
       fmt::format("{}, layernorm epsilon {}, {} unembedding{}{}{}", c.activation,
                   c.layer_norm_epsilon, c.tied_unembedding ? "tied" : "separate",
                   c.unembedding_bias ? " with a bias" : "",
                   c.scale_attention ? "" : ", attention not scaled",
                   c.scale_attention_by_inverse_layer ? ", attention scaled by 1 / layer" : ""));
  line("weights", fmt::format("{} parameters, {} as {}", thousands(c.parameters()),
                              human_bytes(static_cast<double>(model.weight_bytes())),
                              dtype_name(model.dtype())));
  line("device", model.device_description());
  const auto tokenizer = model.shared_tokenizer();
  const LoadReport& report = model.load_report();
  line("tokenizer",
       tokenizer ? tokenizer->description() + "; " + report.tokenizer : "none (use token ids)");
  if (tokenizer) line("texts", texts_line(model, names));
  const auto list = [&](const char* name, const std::vector<std::string>& items) {
    for (size_t i = 0; i < items.size(); ++i) line(i == 0 ? name : "", printable(items[i]));
  };
  list("not read", report.unread_tensors);
  list("fields", report.unread_fields);
  list("note", report.notes);
  print("\n" + context.out.paint(Style::kTitle, "sites") +
        context.out.paint(Style::kDim, ", of a sequence of T tokens") + "\n");
  print(site_table(context.out, c, all_sites(c)));
}

void show_info(const Context& context) {
  const Model model = load_model(context);
  const Names names(model.shared_tokenizer());
  if (context.json)
    print_json(info_json(model, names));
  else
    print_info(context, model, names);
}

}  // namespace

void add_info(Command& app, Context& context) {
  Command command =
      app.add_subcommand("info", "Describe a model: its shape, tokenizer, size in bytes and sites");
  add_model_options(command, context);
  add_output_options(command, context);
  set_examples(command,
               "  vitrine info\n"
               "  vitrine info --model gpt2 --dtype f16 --json");
  command.callback([&context] { context.action = [&context] { show_info(context); }; });
}

}  // namespace vitrine::cli
