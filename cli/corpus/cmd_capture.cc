// SPDX-License-Identifier: MIT
#include <memory>

#include "cli/core/capture_args.h"
#include "cli/core/context.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/core/tokens.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct CaptureCommandArgs {
  PromptArgs prompt;
  CaptureArgs capture;
  std::vector<std::string> edits;
};

CaptureFileSummary capture(const Model& model, const Batch& prompts, const Hooks& hooks,
                           const CaptureCommandArgs& args) {
  ProgressBar progress({.unit = "tokens"});
  CaptureFileOptions options;
  options.metadata = {{"vitrine", VITRINE_VERSION}, {"model", model.name()}};
  options.progress = &progress;
  return capture_to_file(model, prompts, hooks, args.capture.out, options);
}

void run(const Context& context, const CaptureCommandArgs& args) {
  Hooks hooks = parse_edits(args.edits);
  add_captures(hooks, args.capture);
  const Model model = load_model(context);
  const auto prompts = read_prompts(args.prompt, model.shared_tokenizer(), model.name());
  const CaptureFileSummary summary = capture(model, ids_of(prompts), hooks, args);
  if (!context.json) return print(summary_text(context.out, summary, args.capture.out));
  JsonValue json = json_head("capture", model);
  json["capture"] = summary_json(summary, args.capture.out);
  print_json(json);
}

}  // namespace

void add_capture(Command& app, Context& context) {
  Command command = app.add_subcommand("capture", "Write activations on given prompts to a file");
  const auto args = std::make_shared<CaptureCommandArgs>();
  add_prompt_options(command, args->prompt);
  add_capture_options(command, args->capture, true);
  add_edit_option(command, args->edits);
  add_model_options(command, context);
  add_output_options(command, context);
  set_examples(command,
               "  vitrine capture --prompt \"The keys to the cabinet\" --capture "
               "\"blocks.*.hook_resid_post\" --out residual.safetensors\n"
               "  vitrine capture --prompt-file prompts.txt --capture "
               "\"blocks.3.mlp.hook_post[positions=-1]\" --store f16 --out neurons.npy");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
