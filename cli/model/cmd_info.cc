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
  json["tokenizer"] = nullptr;
  if (const auto tokenizer = model.shared_tokenizer()) {
    json["tokenizer"] = {{"description", tokenizer->description()},
                         {"vocab", tokenizer->vocab_size()},
                         {"end_of_text", nullptr}};
    if (const auto end = tokenizer->end_of_text())
      json["tokenizer"]["end_of_text"] = names.json(*end);
  }
  const LoadReport& report = model.load_report();
  json["unread"] = {{"tensors", report.unread_tensors}, {"fields", report.unread_fields}};
  json["notes"] = report.notes;
  json["sites"] = sites_json(model.config(), all_sites(model.config()));
  return json;
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
  const auto end = tokenizer ? tokenizer->end_of_text() : std::nullopt;
  line("tokenizer", !tokenizer
                        ? "none (use token ids)"
                        : tokenizer->description() +
                              (end ? fmt::format("; {} is {}", names.shown(*end), *end) : ""));
  const LoadReport& report = model.load_report();
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
