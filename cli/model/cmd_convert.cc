// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <memory>

#include "base/check.h"
#include "base/quote.h"
#include "cli/core/context.h"
#include "cli/core/interrupt.h"
#include "cli/core/progress_bar.h"
#include "vitrine/checkpoint/convert.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct ConvertCommandArgs {
  std::string source, out, dtype, shard_size, adapter;
  bool force = false;
};

/// "5GB", "500MB", "1000000": as transformers' max_shard_size.
uint64_t shard_bytes(const std::string& text) {
  constexpr double kMax = 1e18;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  const double factor = unit == "GB" ? 1e9 : unit == "MB" ? 1e6 : unit == "KB" ? 1e3 : 1;
  const bool known = factor > 1 || unit.empty();
  const double bytes = std::floor(value * factor);
  if (error != std::errc() || !known || !(bytes >= 1 && bytes <= kMax)) {
    user_error("invalid --shard-size {}: expected bytes, or a number with KB, MB or GB such as 5GB",
               quote(text));
  }
  return static_cast<uint64_t>(bytes);
}

void print_converted(const Context& context, const ConvertCommandArgs& args,
                     const ConvertedCheckpoint& made) {
  print(context.out.paint(Style::kTitle, args.out) + "\n");
  const auto line = [&](const char* name, const std::string& value) {
    print(context.out.paint(Style::kDim, left(name, 9)) + value + "\n");
  };
  line("weights", fmt::format("{} as {}", human_bytes(static_cast<double>(made.bytes)),
                              dtype_name(made.dtype)));
  line("files", fmt::format("{}", fmt::join(made.files, ", ")));
}

void run(const Context& context, const ConvertCommandArgs& args) {
  ConvertOptions options{.force = args.force, .keep_going = [] { return !interrupted(); }};
  options.adapter = args.adapter;
  if (!args.dtype.empty()) options.dtype = dtype_from_name(args.dtype);
  if (!args.shard_size.empty()) options.shard_bytes = shard_bytes(args.shard_size);
  ConvertedCheckpoint made;
  {
    ProgressBar progress;
    options.progress = &progress;
    made = convert_checkpoint(args.source, args.out, options);
  }
  stop_if_interrupted();
  for (const std::string& line : made.notes) note(line);
  if (!context.json) return print_converted(context, args, made);
  print_json({{"vitrine", VITRINE_VERSION},
              {"command", "convert"},
              {"source", args.source},
              {"path", args.out},
              {"dtype", dtype_name(made.dtype)},
              {"bytes", made.bytes},
              {"files", made.files},
              {"notes", made.notes}});
}

}  // namespace

void add_convert(Command& app, Context& context) {
  Command command = app.add_subcommand(
      "convert", "Write any checkpoint that Vitrine reads as safetensors for transformers");
  const auto args = std::make_shared<ConvertCommandArgs>();
  command
      .add_option("SOURCE", args->source,
                  "Model: directory or file of a checkpoint, demo, or a name in the Hugging Face "
                  "cache")
      ->required();
  add_output_options(command, context);
  add_progress_option(command, context);
  const auto group = "Conversion";
  command
      .add_option(
          "-o,--out", args->out,
          "Folder to create, with config.json and the tokenizer's files; or FILE.safetensors "
          "for the weights alone")
      ->required()
      ->type_name("PATH")
      ->group(group);
  command
      .add_option(
          "--adapter", args->adapter,
          "LoRA adapter of the model, merged into its weights: folder of PEFT, or a name in "
          "the Hugging Face cache")
      ->type_name("DIR")
      ->group(group);
  command
      .add_option("--dtype", args->dtype,
                  "Storage type of weights: f32, f16, bf16 [each tensor's own, with its bits]")
      ->check(one_of({"f32", "f16", "bf16"}))
      ->type_name("DTYPE")
      ->group(group);
  command
      .add_option("--shard-size", args->shard_size,
                  "Maximum size of a file of weights: bytes, or as in 500MB, 5GB [one file]")
      ->type_name("SIZE")
      ->group(group);
  command
      .add_flag("--force", args->force,
                "Replace what is there; a folder only if it contains nothing else than a model")
      ->group(group);
  set_examples(command,
               "  vitrine convert ckpt.pt --out model\n"
               "  vitrine convert demo --out demo-f16 --dtype f16 --shard-size 5MB");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
