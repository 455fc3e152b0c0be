// SPDX-License-Identifier: MIT
#include "cli/saliency/saliency_args.h"

#include <fmt/core.h>

#include "analysis/saliency/words.h"
#include "cli/core/generation_args.h"
#include "cli/core/site_syntax.h"

namespace vitrine::cli {
using namespace internal;
namespace {

void add_step_options(Command& command, SaliencyArgs& args) {
  const auto group = "What comes next";
  add_token_option(
      command, "--target", args.target, args.target_id,
      "Next token to explain [the model's top-ranked token]; leading spaces count: \" London\"",
      group);
  add_token_option(command, "--contrast", args.contrast, args.contrast_id,
                   "Contrast token: its value is subtracted from the target's", group);
  add_text_option(command, "--continuation", args.continuation, args.continuation_ids,
                  "Text after the prompt, each of whose tokens is explained", group);
  add_text_option(
      command, "--contrast-text", args.contrast_text, args.contrast_text_ids,
      "Contrast text, one token for each explained token: at each step the value of its "
      "token is subtracted",
      group);
  command
      .add_option("-n,--generate", args.generate,
                  "Continue the prompt, and explain each of up to N tokens")
      ->check(above_zero())
      ->type_name("N")
      ->group(group)
      ->not_with("--continuation")
      ->not_with("--continuation-ids");
  for (const char* name : {"--continuation", "--continuation-ids", "--generate"})
    command.option(name)->not_with("--target")->not_with("--target-id");
  for (const char* name : {"--contrast-text", "--contrast-text-ids"})
    command.option(name)
        ->only_with({{"--continuation"}, {"--continuation-ids"}, {"--generate"}})
        ->not_with("--contrast")
        ->not_with("--contrast-id");
}

void add_method_options(Command& command, SaliencyArgs& args) {
  const auto group = "Saliency";
  command
      .add_option(
          "--method", args.method,
          "Method: grad-x-input, gradient-norm, smooth-grad, integrated-gradients, occlusion, "
          "span-occlusion")
      ->check(one_of({"grad-x-input", "gradient-norm", "smooth-grad", "integrated-gradients",
                      "occlusion", "span-occlusion"}))
      ->capture_default_str()
      ->type_name("METHOD")
      ->group(group);
  command.add_option("--of", args.of, "Explained value of the target: logit, log-prob, prob")
      ->check(one_of({"logit", "log-prob", "prob"}))
      ->capture_default_str()
      ->type_name("VALUE")
      ->group(group);
  command.add_option("--seed", args.seed, "Seed of noise and masks")
      ->check(not_negative())
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->only_with("--method", {"smooth-grad", "span-occlusion"});
}

void add_gradient_options(Command& command, SaliencyArgs& args) {
  const auto group = "Saliency";
  command.add_option("--steps", args.steps, "Number of points between baseline and input")
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->only_with("--method", {"integrated-gradients"});
  command.add_option("--rule", args.rule, "Quadrature: gauss-legendre, trapezoid, left, right")
      ->check(one_of({"gauss-legendre", "trapezoid", "left", "right"}))
      ->capture_default_str()
      ->type_name("RULE")
      ->group(group)
      ->only_with("--method", {"integrated-gradients"});
  command
      .add_option("--baseline", args.baseline,
                  "Baseline: zero, mean (of the vocabulary's embeddings), "
                  "token:TEXT, "
                  "id:N, or a file [D] or [T, D]: x.npy, "
                  "x.safetensors#NAME")
      ->capture_default_str()
      ->type_name("WHAT")
      ->group(group)
      ->only_with("--method", {"integrated-gradients"});
  command.add_option("--samples", args.samples, "Number of noisy inputs")
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->only_with("--method", {"smooth-grad"});
  command
      .add_option("--noise", args.noise,
                  "Standard deviation of the noise, as a share of max - min of the embeddings")
      ->capture_default_str()
      ->type_name("X")
      ->group(group)
      ->only_with("--method", {"smooth-grad"});
  command
      .add_flag("--norm", args.norm,
                "Length of the mean gradient, without multiplying by the input")
      ->group(group)
      ->only_with("--method", {"smooth-grad"});
}

void add_mask_options(Command& command, SaliencyArgs& args) {
  const auto group = "Saliency";
  command.add_option("--mask", args.mask, "Replacement of a token: delete, or as --baseline")
      ->capture_default_str()
      ->type_name("WHAT")
      ->group(group)
      ->only_with("--method", {"occlusion", "span-occlusion"});
  command.add_option("--draws", args.draws, "Number of masks per kind")
      ->capture_default_str()
      ->type_name("N")
      ->group(group)
      ->only_with("--method", {"span-occlusion"});
  command.add_option("--budget", args.budget, "Share of tokens to mask, 0..1")
      ->capture_default_str()
      ->type_name("X")
      ->group(group)
      ->only_with("--method", {"span-occlusion"});
}

}  // namespace

Replacement parse_replacement(const std::string& text, const Model& model) {
  using Kind = Replacement::Kind;
  if (text == "zero") return {.kind = Kind::kZero};
  if (text == "mean") return {.kind = Kind::kMean};
  if (text == "delete") return {.kind = Kind::kDelete};
  if (text.starts_with("token:"))
    return {.kind = Kind::kToken, .token = model.tokenizer().single_token(text.substr(6))};
  if (text.starts_with("id:")) return {.kind = Kind::kToken, .token = parse_ids(text.substr(3))[0]};
  return {.kind = Kind::kTensor, .tensor = read_tensor(text)};
}

void add_saliency_options(Command& command, SaliencyArgs& args) {
  add_step_options(command, args);
  add_method_options(command, args);
  add_gradient_options(command, args);
  add_mask_options(command, args);
}

SaliencyOptions saliency_options(const SaliencyArgs& args, const Model& model) {
  SaliencyOptions options;
  options.method = saliency_method_from_name(args.method);
  options.value = saliency_value_from_name(args.of);
  options.target = token_from(args.target, args.target_id, model);
  options.contrast = token_from(args.contrast, args.contrast_id, model);
  if (!args.continuation.empty())
    options.continuation = model.tokenizer().encode(args.continuation);
  if (!args.continuation_ids.empty()) options.continuation = parse_ids(args.continuation_ids);
  if (!args.contrast_text.empty())
    options.contrast_text = model.tokenizer().encode(args.contrast_text);
  if (!args.contrast_text_ids.empty()) options.contrast_text = parse_ids(args.contrast_text_ids);
  if (args.generate > 0) options.generate = generation_of(args.generate, {}, model);
  const bool integrated = options.method == SaliencyMethod::kIntegratedGradients;
  const bool masked = options.method == SaliencyMethod::kOcclusion ||
                      options.method == SaliencyMethod::kSpanOcclusion;
  if (integrated) {
    options.integrated = {.rule = quadrature_from_name(args.rule),
                          .steps = args.steps,
                          .baseline = parse_replacement(args.baseline, model)};
  }
  if (masked) options.mask = parse_replacement(args.mask, model);
  options.smooth = {
      .samples = args.samples, .noise = args.noise, .seed = args.seed, .times_input = !args.norm};
  options.spans.draws = args.draws;
  options.spans.budget = args.budget;
  options.spans.seed = args.seed;
  options.edits = parse_edits(args.edits);
  return options;
}

std::string describe(const SaliencyArgs& args, const Names& names, const SaliencyOptions& options) {
  std::string text = fmt::format("{} of the {}", args.method, value_in_words(options.value));
  if (options.contrast) text += fmt::format(" less that of {}", names.shown(*options.contrast));
  if (!options.contrast_text.empty()) text += " less that of the contrast text's token";
  switch (options.method) {
    case SaliencyMethod::kSmoothGrad:
      return text + fmt::format(", {} samples of noise {}, seed {}{}", args.samples, args.noise,
                                args.seed, args.norm ? ", the gradient's length" : "");
    case SaliencyMethod::kIntegratedGradients:
      return text + fmt::format(", {} {} steps from {}", args.steps, args.rule, args.baseline);
    case SaliencyMethod::kOcclusion:
      return text + fmt::format(", mask: {}", args.mask);
    case SaliencyMethod::kSpanOcclusion:
      return text + fmt::format(", {} draws of {} of the tokens, mask: {}, seed {}", args.draws,
                                args.budget, args.mask, args.seed);
    default:
      return text;
  }
}

JsonValue settings_json(const SaliencyArgs& args) {
  switch (saliency_method_from_name(args.method)) {
    case SaliencyMethod::kSmoothGrad:
      return {{"samples", args.samples},
              {"noise", args.noise},
              {"seed", args.seed},
              {"times_input", !args.norm}};
    case SaliencyMethod::kIntegratedGradients:
      return {{"rule", args.rule}, {"steps", args.steps}, {"baseline", args.baseline}};
    case SaliencyMethod::kOcclusion:
      return {{"mask", args.mask}};
    case SaliencyMethod::kSpanOcclusion:
      return {
          {"mask", args.mask}, {"draws", args.draws}, {"budget", args.budget}, {"seed", args.seed}};
    default:
      return JsonValue::object();
  }
}

}  // namespace vitrine::cli
