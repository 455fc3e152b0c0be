// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <memory>

#include "base/check.h"
#include "cli/core/context.h"
#include "cli/core/output_files.h"
#include "cli/core/progress_bar.h"
#include "cli/patching/patch_args.h"
#include "cli/patching/patch_data.h"
#include "cli/patching/patch_view.h"

namespace vitrine::cli {
using namespace internal;
namespace {

using Mode = PatchArgs::Mode;

/// What a mode has to say, in the three forms of output.
struct PatchAnswer {
  JsonValue json;
  Arrays arrays;
  std::string text;
  std::function<std::string(const PageSource&)> page = {};
  std::function<std::string(const PageSource&, FigureFormat)> figure = {};
};

/// One run of the command.
class PatchCommand {
 public:
  PatchCommand(const Context& context, const PatchArgs& args, const Model& model)
      : context_(context),
        args_(args),
        model_(model),
        names_(model.shared_tokenizer()),
        request_(patch_request(args, model)) {}

  PatchAnswer patched() {
    ProgressBar bar({.unit = "cells"});
    PatchOptions options = patch_options(args_, request_);
    options.progress = &bar;
    const Patching found = patch(model_, request_.clean.ids, request_.corrupt.ids, options);
    bar.erase();
    const Prompt& base = args_.noising ? request_.clean : request_.corrupt;
    const std::string how = args_.noising ? "activations of the corrupt prompt in the clean one"
                                          : "activations of the clean prompt in the corrupt one";
    const PatchSubject about = subject(base, how);
    const PatchPicture picture{names_, context_.out, base.ids, scale(), request_.metric.kind};
    PatchAnswer answer{.json = {{"direction", args_.noising ? "noising" : "denoising"},
                                {"clean", found.clean},
                                {"corrupt", found.corrupt}},
                       .arrays = {},
                       .text = ends(found.clean, found.corrupt) + dim(how),
                       .page = [found, about](const PageSource& source) {
                         return patching_page(found, about, source);
                       }};
    add_grids(answer, picture, found.grids, found.work, about);
    return answer;
  }

  PatchAnswer ablated() {
    ProgressBar bar({.unit = "cells"});
    AblationOptions options = ablation_options(args_, request_, model_);
    options.progress = &bar;
    const Ablations found = ablate(model_, request_.clean.ids, options);
    bar.erase();
    const PatchSubject about = subject(request_.clean, args_.ablate + " ablation");
    const PatchPicture picture{names_, context_.out, request_.clean.ids,
                               PatchPicture::Scale::kMetric, request_.metric.kind};
    PatchAnswer answer{
        .json = {{"ablation", args_.ablate}, {"value", found.value}},
        .arrays = {},
        .text = fmt::format("{}: {:.4f}\n", describe(request_.metric, names_), found.value) +
                dim(about.note),
        .page = [found, about](const PageSource& source) {
          return ablation_page(found, about, source);
        }};
    add_grids(answer, picture, found.grids, found.work, about);
    return answer;
  }

  PatchAnswer traced() {
    ProgressBar bar({.unit = "cells"});
    TraceOptions options = trace_options(args_, request_, model_);
    options.progress = &bar;
    const Trace found = causal_trace(model_, request_.clean.ids, options);
    bar.erase();
    const PatchPicture picture{names_, context_.out, request_.clean.ids,
                               PatchPicture::Scale::kMetric, request_.metric.kind};
    std::string hidden;
    for (const int64_t position : found.subject)
      hidden += names_.shown(request_.clean.ids[static_cast<size_t>(position)]);
    const std::string how =
        fmt::format("{} under noise of standard deviation {:.3g}, mean of {} draws, seed {}",
                    hidden, found.deviation, args_.draws, args_.seed);
    const PatchSubject about = subject(request_.clean, how);
    PatchAnswer answer{.json = {{"clean", found.clean},
                                {"corrupt", found.corrupt},
                                {"draws", found.draws},
                                {"subject", found.subject},
                                {"deviation", found.deviation},
                                {"seed", args_.seed}},
                       .arrays = {},
                       .text = ends(found.clean, found.corrupt) + dim(how),
                       .page = [found, about](const PageSource& source) {
                         return trace_page(found, about, source);
                       }};
    add_grids(answer, picture, found.grids, found.work, about);
    return answer;
  }

  PatchAnswer paths() {
    ProgressBar bar({.unit = "senders"});
    PathOptions options = path_options(args_, request_);
    options.progress = &bar;
    const PathPatching found =
        path_patch(model_, request_.clean.ids, request_.corrupt.ids, options);
    bar.erase();
    std::vector<std::string> receivers;
    for (const PathNode& node : options.receivers) receivers.push_back(node.name());
    const PatchPicture picture{names_, context_.out, request_.clean.ids, scale(),
                               request_.metric.kind};
    const std::string how =
        fmt::format("what each component of the {} prompt's run tells {}{}",
                    args_.noising ? "corrupt" : "clean", fmt::join(receivers, ", "),
                    args_.through_mlps ? ", by way of MLPs too" : "");
    const PatchSubject about = subject(args_.noising ? request_.clean : request_.corrupt, how);
    PatchAnswer answer{
        .json = {{"direction", args_.noising ? "noising" : "denoising"},
                 {"clean", found.clean},
                 {"corrupt", found.corrupt},
                 {"receivers", receivers},
                 {"through_mlps", args_.through_mlps},
                 {"senders", paths_json(found)},
                 {"work", work_json(found.work)}},
        .arrays = {},
        .text = ends(found.clean, found.corrupt) + dim(how),
        .page = [found,
                 about](const PageSource& source) { return path_page(found, about, source); },
        .figure = [found, about](
                      const PageSource& source,
                      FigureFormat format) { return path_figure(found, about, source, format); }};
    answer.arrays = {
        {"values", tensor_of(DType::kF64, found.values, {std::ssize(found.values)})},
        {"effects", tensor_of(DType::kF64, found.effects, {std::ssize(found.effects)})}};
    answer.text += draw_paths(picture, found, args_.top) + draw_work(picture, found.work);
    return answer;
  }

  /// What all modes say first.
  JsonValue head() const {
    JsonValue json = json_head("patch", model_);
    json["mode"] = args_.mode() == Mode::kAblate  ? "ablation"
                   : args_.mode() == Mode::kTrace ? "trace"
                   : args_.mode() == Mode::kPaths ? "paths"
                                                  : "patching";
    json["metric"] = metric_json(request_.metric, names_);
    json["clean_prompt"] = prompt_json(request_.clean);
    if (!request_.corrupt.ids.empty()) json["corrupt_prompt"] = prompt_json(request_.corrupt);
    return json;
  }

 private:
  PatchPicture::Scale scale() const {
    return args_.noising ? PatchPicture::Scale::kFromClean : PatchPicture::Scale::kFromCorrupt;
  }

  /// For a page, which may be made when this is gone.
  PatchSubject subject(const Prompt& base, const std::string& note) const {
    return {.clean = request_.clean.ids,
            .corrupt = request_.corrupt.ids,
            .metric = request_.metric,
            .base = base.ids,
            .note = note};
  }

  std::string dim(const std::string& text) const {
    return context_.out.paint(Style::kDim, text) + "\n";
  }

  std::string ends(double clean, double corrupt) const {
    return fmt::format("{}: {:.4f} clean, {:.4f} corrupt\n", describe(request_.metric, names_),
                       clean, corrupt);
  }

  void add_grids(PatchAnswer& answer, const PatchPicture& picture,
                 const std::vector<PatchGrid>& grids, const PatchWork& work,
                 const PatchSubject& about) const {
    answer.json.update({{"grids", grids_json(grids)}, {"work", work_json(work)}});
    answer.arrays = grid_arrays(grids);
    for (const PatchGrid& grid : grids) answer.text += draw_grid(picture, grid, args_.top);
    if (work.cells > 0) answer.text += draw_work(picture, work);
    answer.figure = [grids, about](const PageSource& source, FigureFormat format) {
      return patch_figure(grids, about, source, format);
    };
  }

  JsonValue prompt_json(const Prompt& prompt) const {
    JsonValue json;
    add_text(json, prompt.text);
    json["tokens"] = names_.json(prompt.ids);
    return json;
  }

  const Context& context_;
  const PatchArgs& args_;
  const Model& model_;
  Names names_;
  PatchRequest request_;
};

void run(const Context& context, const PatchArgs& args) {
  if (!args.out.empty()) check_array_path(args.out);
  const Model model = load_model(context);
  PatchCommand command(context, args, model);
  const PatchAnswer answer = args.mode() == Mode::kAblate  ? command.ablated()
                             : args.mode() == Mode::kTrace ? command.traced()
                             : args.mode() == Mode::kPaths ? command.paths()
                                                           : command.patched();
  if (!args.out.empty())
    write_arrays(args.out, answer.arrays, {{"vitrine", VITRINE_VERSION}, {"model", model.name()}});
  write_page(args.page, context, model, answer.page);
  write_figures(args.page,
                [&](FigureFormat format) { return answer.figure(PageSource::of(model), format); });
  if (!context.json) return print(answer.text);
  JsonValue json = command.head();
  json.update(answer.json);
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
  add_page_options(command, args->page);
  add_figure_options(command, args->page);
  set_examples(command,
               "  vitrine patch --clean \"Heathrow airport is located in the city of\" --corrupt "
               "\"Orly airport is located in "
               "the city of\" --answer \" London\" --wrong \" Paris\"\n"
               "  vitrine patch --clean \"The keys to the cabinet\" --ablate zero --answer \" "
               "are\" --wrong \" is\"");
  command.callback(
      [&context, args] { context.action = [&context, args] { run(context, *args); }; });
}

}  // namespace vitrine::cli
