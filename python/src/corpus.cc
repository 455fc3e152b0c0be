// SPDX-License-Identifier: MIT
#include "vitrine/corpus/corpus.h"

#include <nanobind/stl/vector.h>

#include "base/check.h"
#include "python/src/analysis.h"
#include "python/src/bindings.h"
#include "python/src/gradients.h"
#include "vitrine/analysis/tuned_lens.h"
#include "vitrine/corpus/capture_file.h"
#include "vitrine/corpus/corpus_capture.h"
#include "vitrine/corpus/corpus_estimate.h"

// Captures that go to files, and what is fitted on a corpus.

namespace vitrine::python {
using namespace internal;
namespace {

constexpr const char* kPaths = "vitrine.types.Path | collections.abc.Sequence[vitrine.types.Path]";

/// Where documents come from, and how they are cut.
struct CorpusValues {
  std::vector<std::string> paths;
  CorpusOptions corpus;
  WindowOptions windows;

  WindowReader open(const Model& model) const {
    CorpusOptions options = corpus;
    options.vocab = model.config().vocab;
    return {model, DocumentReader(paths, options), windows};
  }
};

template <typename Values>
void add_paths_of_corpus(Parameters<Values>& parameters) {
  parameters.add({"paths", kPaths, ""}, [](Call& call, Values& v, const nb::object& given) {
    const auto add = [&](nb::handle path) {
      v.paths.push_back(Conversion<std::filesystem::path>::from(call, path, "paths").string());
    };
    const bool one =
        PyUnicode_Check(given.ptr()) || PyObject_HasAttrString(given.ptr(), "__fspath__");
    if (one) return add(given);
    if (!is_iterable(given.ptr())) refuse_type("paths", "a path or a sequence of them", given);
    for (const nb::handle path : given) add(path);
  });
}

template <typename Values>
void add_documents(Parameters<Values>& parameters) {
  const auto corpus = &Values::corpus;
  const auto windows = &Values::windows;
  parameters
      .named("split", at(corpus, &CorpusOptions::split), document_split_from_name,
             document_split_name)
      .value("field", at(corpus, &CorpusOptions::field))
      .value("skip_bad", at(corpus, &CorpusOptions::skip_bad))
      .value("rank", at(corpus, &CorpusOptions::rank))
      .value("world", at(corpus, &CorpusOptions::world))
      .value("window", at(windows, &WindowOptions::window))
      .value("overlap", at(windows, &WindowOptions::overlap))
      .token("prepend", at(windows, &WindowOptions::prepend))
      .value("special", at(windows, &WindowOptions::special));
}

struct CaptureCorpusValues : CorpusValues {
  std::filesystem::path folder;
  HookArgs hooks;
  CorpusCaptureOptions options;
  bool repair = false, dry_run = false;
};

Parameters<CaptureCorpusValues> capture_corpus_parameters() {
  using Values = CaptureCorpusValues;
  using Options = CorpusCaptureOptions;
  auto parameters = model_parameters<Values>();
  add_paths_of_corpus(parameters);
  parameters.required("folder", &Values::folder)
      .keywords()
      .object("capture", "vitrine.types.Captured", "", at(&Values::hooks, &HookArgs::capture))
      .object("edits", "vitrine.types.Edits", "()", at(&Values::hooks, &HookArgs::edits));
  add_documents(parameters);
  parameters.value("shard_tokens", at(&Values::options, &Options::shard_tokens))
      .value("batch_tokens", at(&Values::options, &Options::batch_tokens))
      .value("int8", at(&Values::options, &Options::int8))
      .value("covariance", at(&Values::options, &Options::covariance))
      .value("repair", &Values::repair)
      .value("dry_run", &Values::dry_run)
      .progress(at(&Values::options, &Options::progress));
  return parameters;
}

/// The digest of the files that the model was loaded from; empty if its name finds none.
std::string digest_of(const Model& model) {
  try {
    return checkpoint_digest(Model::locate(model.name()));
  } catch (const Error&) {
    return {};
  }
}

nb::dict described(const CorpusRepair& found) {
  nb::dict json;
  json["path"] = found.folder.string();
  json["complete"] = found.complete;
  json["shards"] = found.shards;
  json["windows"] = found.windows;
  json["tokens"] = found.tokens;
  json["bytes"] = found.bytes;
  json["repaired"] = nb::cast(found.repaired);
  return json;
}

nb::list described(const std::vector<NonFiniteSite>& sites, const char* text) {
  nb::list found;
  for (const NonFiniteSite& site : sites) {
    nb::dict one;
    one["site"] = site.name;
    one["count"] = site.count;
    one[text] = site.text;
    one["position"] = site.position;
    found.append(one);
  }
  return found;
}

nb::dict described(const CorpusCaptureSummary& found) {
  nb::dict json;
  json["path"] = found.folder.string();
  json["complete"] = found.complete;
  json["shards"] = found.shards;
  json["resumed_shards"] = found.resumed_shards;
  json["documents"] = found.documents;
  json["windows"] = found.windows;
  json["tokens"] = found.tokens;
  json["bytes"] = found.bytes;
  json["shard_tokens"] = found.shard_tokens;
  json["buffer_bytes"] = found.buffer_bytes;
  json["non_finite"] = described(found.non_finite, "document");
  json["skipped"] = found.skipped;
  json["first_skipped"] =
      found.first_skipped.empty() ? nb::none() : nb::object(nb::cast(found.first_skipped));
  return json;
}

nb::dict described(const CorpusEstimate& found) {
  nb::list sites;
  for (const CorpusEstimate::Site& site : found.sites) {
    nb::dict one;
    one["name"] = site.name;
    one["dtype"] = std::string(dtype_name(site.dtype));
    one["shape"] = nb::tuple(nb::cast(site.shape));
    one["rows"] = site.rows;
    one["bytes"] = site.bytes;
    sites.append(one);
  }
  nb::dict json;
  json["counted"] = found.counted;
  json["sampled_documents"] = found.sampled_documents;
  json["bad_documents"] = found.bad_documents;
  json["first_bad"] = found.first_bad.empty() ? nb::none() : nb::object(nb::cast(found.first_bad));
  json["documents"] = found.documents;
  json["windows"] = found.windows;
  json["tokens"] = found.tokens;
  json["bytes"] = found.bytes;
  json["sites"] = sites;
  json["rank_tokens"] = found.rank_tokens;
  json["rank_bytes"] = found.rank_bytes;
  json["shards"] = found.shards;
  json["shard_tokens"] = found.shard_tokens;
  json["buffer_bytes"] = found.buffer_bytes;
  json["tokens_per_second"] = found.tokens_per_second;
  json["compute_seconds"] = found.compute_seconds;
  json["write_seconds"] = found.write_seconds;
  json["seconds"] = found.seconds;
  json["read_seconds"] = found.read_seconds;
  json["disk_rate"] = found.disk_rate;
  json["free_bytes"] = found.free_bytes;
  json["exceeds_disk"] = found.exceeds_disk();
  json["recomputing_is_faster"] = found.recomputing_is_faster();
  return json;
}

nb::dict estimate_a_corpus(const Model& model, const Hooks& hooks, const CaptureCorpusValues& v) {
  if (v.repair) user_error("`dry_run` cannot be used with `repair`: leave one of them out");
  CorpusEstimate found;
  {
    const nb::gil_scoped_release release;
    found = estimate_corpus_capture(model, v.open(model), hooks, v.folder, v.options);
  }
  return described(found);
}

nb::dict capture_a_corpus(const Call& call, CaptureCorpusValues& v) {
  const Model& model = call.model();
  const Hooks hooks = hooks_of(model, v.hooks);
  if (v.dry_run) return estimate_a_corpus(model, hooks, v);
  CorpusRepair repaired;
  CorpusCaptureSummary summary;
  {
    const nb::gil_scoped_release release;
    v.options.weights_digest = digest_of(model);
    if (v.repair)
      repaired = repair_corpus(model, v.open(model), hooks, v.folder, v.options);
    else
      summary = capture_corpus(model, v.open(model), hooks, v.folder, v.options);
  }
  return v.repair ? described(repaired) : described(summary);
}

nb::dict check_corpus(const Call&, const std::pair<std::filesystem::path, Progress*>& v) {
  CorpusCheck found;
  {
    const nb::gil_scoped_release release;
    found = check_corpus_capture(v.first, v.second);
  }
  nb::dict json;
  json["path"] = v.first.string();
  json["ranks"] = found.ranks;
  json["world"] = found.world;
  json["shards"] = found.shards;
  json["windows"] = found.windows;
  json["tokens"] = found.tokens;
  json["bytes"] = found.bytes;
  json["complete"] = found.complete;
  json["problems"] = nb::cast(found.problems);
  return json;
}

struct CaptureFileValues : CaptureFileOptions {
  Batch prompts;
  std::filesystem::path path;
  HookArgs hooks;
};

Parameters<CaptureFileValues> capture_file_parameters() {
  using Values = CaptureFileValues;
  auto parameters = model_parameters<Values>();
  parameters
      .add({"prompts", "vitrine.types.Prompt | vitrine.types.Prompts", ""},
           [](Call& call, Values& v, const nb::object& given) {
             v.prompts = prompts_of(call.model(), given);
           })
      .required("path", &Values::path)
      .keywords()
      .object("capture", "vitrine.types.Captured", "()", at(&Values::hooks, &HookArgs::capture))
      .object("edits", "vitrine.types.Edits", "()", at(&Values::hooks, &HookArgs::edits))
      .object("wrt", "vitrine.types.Captured", "()", at(&Values::hooks, &HookArgs::gradients))
      .add({"target", "Target | None", "None", true},
           [](Call& call, Values& v, const nb::object& given) {
             const TargetRequest* target = nullptr;
             if (!nb::try_cast(given, target) || !target) refuse_type("target", "Target", given);
             v.target = target_of(call.model(), *target);
           })
      .value("batch_tokens", &Values::batch_tokens)
      .progress(&Values::progress);
  return parameters;
}

nb::dict capture_a_file(const Call& call, const CaptureFileValues& v) {
  const Hooks hooks = hooks_of(call.model(), v.hooks);
  CaptureFileSummary summary;
  {
    const nb::gil_scoped_release release;
    summary = capture_to_file(call.model(), v.prompts, hooks, v.path, v);
  }
  nb::dict json, shapes;
  for (const CaptureFileSummary::Tensor& site : summary.sites)
    shapes[site.name.c_str()] = nb::tuple(
        nb::cast(std::vector<int64_t>(site.shape.sizes().begin(), site.shape.sizes().end())));
  json["path"] = v.path.string();
  json["prompts"] = summary.prompts;
  json["tokens"] = summary.tokens;
  json["bytes"] = summary.bytes;
  json["shapes"] = shapes;
  json["non_finite"] = described(summary.non_finite, "prompt");
  return json;
}

struct FitValues : CorpusValues {
  std::filesystem::path folder;
  TunedLensFitOptions options;
};

Parameters<FitValues> fit_parameters() {
  using Values = FitValues;
  using Options = TunedLensFitOptions;
  auto parameters = model_parameters<Values>();
  add_paths_of_corpus(parameters);
  parameters.required("folder", &Values::folder)
      .keywords()
      .value("alpha", at(&Values::options, &Options::alpha))
      .value("max_tokens", at(&Values::options, &Options::max_tokens))
      .value("held_out_every", at(&Values::options, &Options::held_out_every))
      .value("max_held_out", at(&Values::options, &Options::max_held_out))
      .edits(at(&Values::options, &Options::edits));
  add_documents(parameters);
  parameters.progress(at(&Values::options, &Options::progress));
  return parameters;
}

nb::dict fit_lens(const Call& call, const FitValues& v) {
  TunedLensFit fit;
  {
    const nb::gil_scoped_release release;
    WindowReader windows = v.open(call.model());
    const auto next = [&]() -> std::optional<std::vector<int32_t>> {
      Window window;
      return windows.next(window) ? std::optional(std::move(window.ids)) : std::nullopt;
    };
    fit = fit_tuned_lens(call.model(), next, v.options);
    save_tuned_lens(v.folder, fit.lens);
  }
  nb::list rows;
  for (const TunedLensRow& row : fit.rows) {
    nb::dict one;
    one["layer"] = row.layer;
    one["normalized_loss"] = row.normalized_loss;
    one["tuned_loss"] = row.tuned_loss;
    one["normalized_kl"] = row.normalized_kl;
    one["tuned_kl"] = row.tuned_kl;
    rows.append(one);
  }
  nb::dict json;
  json["translators"] = v.folder.string();
  json["alpha"] = fit.alpha;
  json["fitted_tokens"] = fit.fitted_tokens;
  json["held_out_tokens"] = fit.held_out_tokens;
  json["model_loss"] = fit.model_loss;
  json["rows"] = rows;
  return json;
}

}  // namespace

void bind_corpus(nb::module_& module) {
  const char* dict = "dict[str, typing.Any]";
  bind_function(module, "capture_corpus", capture_corpus_parameters(), dict,
                R"(Captures over a whole corpus, in shards on disk, as `vitrine corpus` writes them.

`paths`: text files, or .jsonl files with "text" or "ids" a line. `split`: "file", "line" or "paragraph",
what of a text file is a document; `field`: of a .jsonl line; `skip_bad`: counts documents that are not
text instead of refusing them. `rank`, `world`: this process's share of the documents. `window`: tokens a
pass reads (0: the context); `overlap`: of them repeated; `prepend`: a token before each document. An
interrupted run in `folder` is resumed; `repair`: makes missing and damaged shards again; `dry_run`: writes
nothing and estimates size and time; `covariance`: statistics have covariances; `int8`: rows are stored
as int8 with a scale each. Returns what the command's --json prints.)",
                &capture_a_corpus);
  Parameters<std::pair<std::filesystem::path, Progress*>> folder;
  folder.required("folder", &std::pair<std::filesystem::path, Progress*>::first)
      .progress(&std::pair<std::filesystem::path, Progress*>::second);
  bind_function(
      module, "check_corpus", folder, dict,
      "Compares every shard of a folder with its manifest: `problems` is empty if all match.",
      &check_corpus);
  bind_function(
      module, "capture_to_file", capture_file_parameters(), dict,
      R"(Runs prompts and writes what is captured to FILE.safetensors, FILE.npy or a folder of arrays.

Rows of all prompts one after the other, with `ids` and `offsets`. `wrt`: sites whose gradients of `target`
are written, as grad.SITE. The file appears whole or not at all.)",
      &capture_a_file);
  bind_function(
      module, "fit_lens", fit_parameters(), dict,
      R"(Fits a tuned lens on a corpus and writes its translators to `folder`, for lens(translators=).

Ridge regression with the strength `alpha` over at most `max_tokens` (0: all); each `held_out_every`th text
is kept for the evaluation, of at most `max_held_out` tokens: `rows` has losses and KL by layer, in nats.
The corpus: see capture_corpus().)",
      &fit_lens);
}

}  // namespace vitrine::python
