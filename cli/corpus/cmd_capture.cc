// SPDX-License-Identifier: MIT
#include <memory>
#include <optional>

#include "base/check.h"
#include "cli/core/capture_args.h"
#include "cli/core/context.h"
#include "cli/core/progress_bar.h"
#include "cli/core/site_syntax.h"
#include "cli/core/tokens.h"
#include "vitrine/gradients.h"

namespace vitrine::cli {
using namespace internal;
namespace {

struct CaptureCommandArgs {
  PromptArgs prompt;
  CaptureArgs capture;
  std::vector<std::string> gradients, edits;
  std::string target, contrast;
  int target_id = -1, contrast_id = -1;
  int64_t at = -1;
};

Hooks hooks_of(const CaptureCommandArgs& args) {
  if (args.capture.sites.empty() && args.gradients.empty())
    user_error("missing site: expected --capture SITE or --gradient SITE");
  capture_format(args.capture.out);
  Hooks hooks = parse_edits(args.edits);
  add_sites(hooks, args.capture);
  for (const std::string& text : args.gradients) {
    SiteArg site = parse_site(text);
    hooks.gradient(std::move(site.pattern), std::move(site.where),
                   dtype_from_name(args.capture.store));
  }
  return hooks;
}

/// What --gradient differentiates, and the same as the file's metadata tells it.
struct GradientTarget {
  std::optional<Target> target;
  JsonValue json;
};

GradientTarget target_of(const CaptureCommandArgs& args, const Model& model) {
  if (args.gradients.empty()) return {};
  const auto token = token_from(args.target, args.target_id, model),
             contrast = token_from(args.contrast, args.contrast_id, model);
  if (!token) user_error("missing target of --gradient: add --target TOKEN");
  const Names names(model.shared_tokenizer());
  Target f = target::logit(*token, args.at);
  if (contrast) f = std::move(f) - target::logit(*contrast, args.at);
  return {std::move(f),
          {{"target", names.json(*token)},
           {"contrast", contrast ? names.json(*contrast) : JsonValue(nullptr)},
           {"position", args.at}}};
}

CaptureFileSummary capture(const Model& model, const Batch& prompts, const Hooks& hooks,
                           const GradientTarget& of, const std::string& out) {
  ProgressBar progress({.unit = "tokens"});
  CaptureFileOptions options;
  options.target = of.target;
  options.metadata = {{"vitrine", VITRINE_VERSION}, {"model", model.name()}};
  if (of.target) options.metadata["gradient"] = of.json.dump();
  options.progress = &progress;
  return capture_to_file(model, prompts, hooks, out, options);
}

void run(const Context& context, const CaptureCommandArgs& args) {
  const Hooks hooks = hooks_of(args);
  const Model model = load_model(context);
  const GradientTarget of = target_of(args, model);
  const auto prompts = read_prompts(args.prompt, model);
  const CaptureFileSummary summary = capture(model, ids_of(prompts), hooks, of, args.capture.out);
  if (!context.json) return print(summary_text(context.out, summary, args.capture.out));
  JsonValue json = json_head("capture", model);
  json["capture"] = summary_json(summary, args.capture.out);
  if (of.target) json["capture"]["gradient"] = of.json;
  print_json(json);
}

void add_gradient_sites(Command& command, CaptureCommandArgs& args) {
  const auto group = "Gradients";
  command
      .add_option("--gradient", args.gradients,
                  "Sites whose gradient is written, as grad.SITE: of the logit of --target after a "
                  "position, with respect to the site. Names and selections as in --capture. "
                  "Repeatable")
      ->allow_extra_args(false)
      ->type_name("SITE")
      ->group(group);
  add_token_option(command, "--target", args.target, args.target_id,
                   "Next token whose logit is differentiated; leading spaces count: \" London\"",
                   group);
  add_token_option(command, "--contrast", args.contrast, args.contrast_id,
                   "Contrast token: its logit is subtracted from the target's", group);
  command
      .add_option("--at", args.at,
                  "Position after which the target comes, from 0, negative from the end")
      ->capture_default_str()
      ->type_name("POSITION")
      ->group(group);
  for (const char* name : {"--target", "--target-id", "--contrast", "--contrast-id", "--at"})
    command.option(name)->only_with("--gradient");
}

}  // namespace

void add_capture(Command& app, Context& context) {
  Command command =
      app.add_subcommand("capture", "Write activations on given prompts, or gradients, to a file");
  const auto args = std::make_shared<CaptureCommandArgs>();
  add_prompt_options(command, args->prompt);
  add_capture_options(command, args->capture, {{"--capture"}, {"--gradient"}})->required();
  add_gradient_sites(command, *args);
  add_edit_option(command, args->edits);
  add_model_options(command, context);
  add_output_options(command, context);
  set_examples(command,
               "  vitrine capture --prompt \"The keys to the cabinet\" --capture "
               "\"blocks.*.hook_resid_post\" --out residual.safetensors\n"
               "  vitrine capture --prompt-file prompts.txt --capture "
               "\"blocks.3.mlp.hook_post[positions=-1]\" --store f16 --out neurons.npy\n"
               "  vitrine capture --prompt \"The keys to the cabinet\" --gradient "
               "\"blocks.*.hook_resid_pre\" --target \" are\" --contrast \" is\" --out "
               "gradients.safetensors");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
