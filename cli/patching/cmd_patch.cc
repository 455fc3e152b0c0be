// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <memory>

#include "cli/core/context.h"
#include "cli/core/output_files.h"
#include "cli/core/progress_bar.h"
#include "cli/patching/patch_args.h"
#include "cli/patching/patch_view.h"
#include "report/results/patch_parts.h"
#include "report/results/patch_result.h"

namespace vitrine::cli {
using namespace internal;
namespace {

using Mode = PatchArgs::Mode;

/// One run of the command.
class PatchCommand {
 public:
  PatchCommand(const Context& context, const PatchArgs& args, const Model& model)
      : context_(context),
        args_(args),
        model_(model),
        source_(PageSource::of(model, context.command_line)),
        request_(patch_request(args, model)),
        subject_{.clean = request_.clean.ids,
                 .corrupt = request_.corrupt.ids,
                 .metric = request_.metric,
                 .direction = args.noising ? PatchDirection::kNoise : PatchDirection::kDenoise,
                 .pairs = std::ssize(request_.pairs)} {}

  Result run() {
    const Mode mode = args_.mode();
    return mode == Mode::kAblate  ? ablated()
           : mode == Mode::kTrace ? traced()
           : mode == Mode::kPaths ? paths()
                                  : patched();
  }

  /// What the terminal says.
  std::string text(const Result& result) const {
    return draw_patch(result, metric_in_words(request_.metric, Names(source_.tokenizer)),
                      subject_.note, args_.top, context_.out);
  }

  const PageSource& source() const { return source_; }

 private:
  Result patched() {
    ProgressBar bar({.unit = subject_.pairs > 0 ? "pairs" : "cells"});
    PatchOptions options = patch_options(args_, request_);
    options.progress = &bar;
    subject_.note = args_.noising ? "activations of the corrupt prompt in the clean one"
                                  : "activations of the clean prompt in the corrupt one";
    if (subject_.pairs > 0)
      return patched_pairs_result(patch_pairs(model_, request_.pairs, options), subject_, source_);
    return patching_result(patch(model_, request_.clean.ids, request_.corrupt.ids, options),
                           subject_, source_);
  }

  Result ablated() {
    ProgressBar bar({.unit = "cells"});
    AblationOptions options = ablation_options(args_, request_, model_);
    options.progress = &bar;
    subject_.note = args_.ablate + " ablation";
    Result result = ablation_result(ablate(model_, request_.clean.ids, options), subject_, source_);
    result.facts["ablation"] = args_.ablate;
    return result;
  }

  Result traced() {
    ProgressBar bar({.unit = "cells"});
    TraceOptions options = trace_options(args_, request_, model_);
    options.progress = &bar;
    const Trace found = causal_trace(model_, request_.clean.ids, options);
    std::string hidden;
    for (const int64_t position : found.subject)
      hidden += Names(source_.tokenizer).shown(request_.clean.ids[static_cast<size_t>(position)]);
    subject_.note =
        fmt::format("{} under noise of standard deviation {:.3g}, mean of {} draws, seed {}",
                    hidden, found.deviation, args_.draws, args_.seed);
    Result result = trace_result(found, subject_, source_);
    result.facts["seed"] = args_.seed;
    return result;
  }

  Result paths() {
    ProgressBar bar({.unit = subject_.pairs > 0 ? "pairs" : "senders"});
    PathOptions options = path_options(args_, request_);
    options.progress = &bar;
    std::vector<std::string> receivers;
    for (const PathNode& node : options.receivers) receivers.push_back(node.name());
    subject_.note = fmt::format("what each component of the {} prompt's run tells {}{}",
                                args_.noising ? "corrupt" : "clean", fmt::join(receivers, ", "),
                                args_.through_mlps ? ", by way of MLPs too" : "");
    Result result =
        subject_.pairs > 0
            ? path_pairs_result(path_patch_pairs(model_, request_.pairs, options), subject_,
                                source_)
            : path_result(path_patch(model_, request_.clean.ids, request_.corrupt.ids, options),
                          subject_, source_);
    result.facts["receivers"] = receivers;
    result.facts["through_mlps"] = args_.through_mlps;
    return result;
  }

  const Context& context_;
  const PatchArgs& args_;
  const Model& model_;
  PageSource source_;
  PatchRequest request_;
  PatchSubject subject_;
};

void run(const Context& context, const PatchArgs& args) {
  const Model model = load_model(context);
  PatchCommand command(context, args, model);
  const Result result = command.run();
  write_results(args.output, {{result}}, command.source());
  if (!context.json) return print(command.text(result));
  JsonValue json = json_head("patch", model);
  json.update(result_json(result, Names(command.source().tokenizer)));
  print_json(json);
}

}  // namespace

void add_patch(Command& app, Context& context) {
  Command command = app.add_subcommand(
      "patch",
      "Replace activations by those of another prompt, and show their effect on the answer");
  const auto args = std::make_shared<PatchArgs>();
  add_patch_options(command, *args);
  add_model_options(command, context);
  add_output_options(command, context);
  set_examples(command,
               "  vitrine patch --clean \"Heathrow airport is located in the city of\" --corrupt "
               "\"Orly airport is located in "
               "the city of\" --answer \" London\" --wrong \" Paris\"\n"
               "  vitrine patch --clean \"The keys to the cabinet\" --ablate zero --answer \" "
               "are\" --wrong \" is\"\n"
               "  vitrine patch --pairs pairs.jsonl --sweep heads");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
