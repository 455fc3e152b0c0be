// SPDX-License-Identifier: MIT
#include "python/src/model.h"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <chrono>

#include "base/check.h"
#include "python/src/arguments.h"
#include "python/src/arrays.h"
#include "python/src/bindings.h"
#include "python/src/hooks.h"
#include "python/src/keywords.h"
#include "python/src/runs.h"
#include "python/src/shared_object.h"

namespace vitrine::python {
using namespace internal;
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kBetweenChecks{100};

/// Whether kBetweenChecks have passed since this last said yes on this thread.
bool is_due(Clock::time_point& last) {
  const Clock::time_point now = Clock::now();
  if (now - last < kBetweenChecks) return false;
  last = now;
  return true;
}

/// The keyword arguments that load() and random() share.
ModelOptions options_of(Keywords& arguments) {
  ModelOptions options;
  std::optional<std::string> dtype;
  std::optional<std::filesystem::path> tokenizer;
  arguments.take("device", options.device);
  arguments.take("gemm", options.gemm);
  arguments.take("dtype", dtype);
  if (dtype) options.dtype = dtype_from_name(*dtype);
  arguments.take("threads", options.threads);
  arguments.take("memory_limit", options.memory_limit);
  arguments.take("tokenizer", tokenizer);
  if (tokenizer) options.tokenizer = tokenizer->string();
  const nb::object bos = arguments.take("bos");
  if (!bos.is_none()) options.bos = shown(bos);
  options.between_layers = check_interrupt;
  return options;
}

Model load(const std::filesystem::path& name, const nb::kwargs& arguments) {
  Keywords keywords(arguments);
  ModelOptions options = options_of(keywords);
  std::optional<std::filesystem::path> adapter;
  keywords.take("adapter", adapter);
  if (adapter) options.adapter = *adapter;
  PythonProgress report(keywords.take("progress"));
  options.progress = &report;
  keywords.finish();
  const nb::gil_scoped_release release;
  return Model::load(name.string(), options);
}

Model random(const Config& config, uint64_t seed, const nb::kwargs& arguments) {
  Keywords keywords(arguments);
  const ModelOptions options = options_of(keywords);
  keywords.finish();
  const nb::gil_scoped_release release;
  return Model::random(config, seed, options);
}

#define VITRINE_LOAD_TYPES                                                                       \
  "device: str = 'cpu', dtype: str | None = None, tokenizer: vitrine.types.Path | None = None, " \
  "bos: str | int = 'auto', threads: int = 0, memory_limit: int = 0, gemm: str = 'exact'"

/// One pass, with the GIL released.
std::shared_ptr<const Run> pass(const Model& model, const Batch& batch, const HookPlan& plan,
                                const std::string& logits) {
  const ForwardOptions options{.logits = logit_rows_of(logits)};
  const nb::gil_scoped_release release;
  return std::make_shared<const Run>(model.forward(batch, plan, options));
}

/// The plan of a call: the one given, or the hooks compiled.
HookPlan plan_of(const Model& model, const HookArgs& args, const HookPlan* plan) {
  if (!plan) return compiled(model, args);
  const auto given = [](const nb::object& items) {
    return items.is_valid() && !items.is_none() && nb::len(items) > 0;
  };
  if (given(args.capture) || given(args.edits))
    user_error("invalid capture= or edits= with plan=: a plan has its own; compile() takes them");
  return *plan;
}

std::shared_ptr<const Tokenizer> tokenizer_of(const Model& model) {
  if (const auto tokenizer = model.shared_tokenizer()) return tokenizer;
  static_cast<void>(model.tokenizer());  // says why there is none
  return nullptr;
}

nb::dict stats_of(LogitStats stats) {
  const int64_t rows = stats.rows, k = stats.top_k;
  const auto count = [&](const auto& values) {
    return rows > 0 ? static_cast<int64_t>(values.size()) / rows : 0;
  };
  nb::dict found;
  const auto add = [&](const char* name, auto& values, bool wide) {
    if (values.empty()) return;
    if (wide)
      found[name] = array_of(values, {rows, count(values)});
    else
      found[name] = array_of(values, {rows});
  };
  if (k > 0) {
    add("top_ids", stats.top_ids, true);
    add("top_logits", stats.top_logits, true);
  }
  add("log_sum_exp", stats.lse, false);
  add("entropy", stats.entropy, false);
  add("target_logits", stats.target_logits, false);
  add("target_ranks", stats.target_ranks, false);
  add("watch_logits", stats.watch_logits, true);
  add("watch_ranks", stats.watch_ranks, true);
  return found;
}

/// Rows of a table of the model's, with the GIL released.
Array table_rows(const Model& model, const TokensArg& tokens,
                 Tensor (Model::*rows_of)(std::span<const int32_t>) const) {
  const std::vector<int32_t> ids = tokens_of(model, tokens);
  Tensor rows;
  {
    const nb::gil_scoped_release release;
    rows = (model.*rows_of)(ids);
  }
  return array_of(rows);
}

nb::dict unembed(const Model& model, const ArrayArg& rows, bool final_layernorm,
                 bool rows_are_logits, int top_k, const TokensArg& targets,
                 const TokensArg& watch) {
  const Tensor values = tensor_of(rows);
  UnembedOptions options;
  options.final_layernorm = final_layernorm && !rows_are_logits;
  options.rows_are_logits = rows_are_logits;
  options.top_k = top_k;
  options.targets = tokens_of(model, targets);
  options.watch = tokens_of(model, watch);
  LogitStats stats;
  {
    const nb::gil_scoped_release release;
    stats = model.unembed(values, options);
  }
  return stats_of(std::move(stats));
}

void bind_config(nb::module_& module) {
  nb::class_<Config>(module, "Config", "Sizes of a GPT-2.")
      .def(
          "__init__",
          [](Config* self, int layers, int heads, int64_t width, int64_t inner, int64_t vocab,
             int64_t context, const std::string& activation) {
            new (self) Config{.layers = layers,
                              .heads = heads,
                              .width = width,
                              .inner = inner > 0 ? inner : 4 * width,
                              .vocab = vocab,
                              .context = context,
                              .activation = activation};
          },
          nb::kw_only(), nb::arg("layers"), nb::arg("heads"), nb::arg("width"),
          nb::arg("inner") = 0, nb::arg("vocab"), nb::arg("context"),
          nb::arg("activation") = "gelu_new", "For Model.random(). `inner`: 0 is 4 * width.")
      .def_ro("layers", &Config::layers, "L")
      .def_ro("heads", &Config::heads, "H")
      .def_ro("width", &Config::width, "D, width of the residual stream")
      .def_ro("inner", &Config::inner, "M, number of MLP neurons of a layer")
      .def_ro("vocab", &Config::vocab, "V")
      .def_ro("context", &Config::context, "maximum number of tokens")
      .def_ro("layer_norm_epsilon", &Config::layer_norm_epsilon)
      .def_ro("activation", &Config::activation, "Hugging Face's name")
      .def_ro("tied_unembedding", &Config::tied_unembedding)
      .def_prop_ro("head_width", &Config::head_width, "K = D / H")
      .def_prop_ro("parameters", &Config::parameters, "How many numbers the weights have.");
}

void bind_plan(nb::module_& module) {
  nb::class_<HookPlan>(
      module, "Plan",
      "Captures and edits compiled for one model by Model.compile(), for many passes.")
      .def(
          "describe",
          [](const HookPlan& plan, const std::vector<int64_t>& lengths) {
            nb::list sites;
            for (const CaptureSpec& spec : plan.describe(lengths)) {
              nb::dict site;
              site["name"] = spec.name;
              site["dtype"] = std::string(dtype_name(spec.dtype));
              nb::list shapes;
              for (const Shape& shape : spec.shapes)
                shapes.append(nb::tuple(
                    nb::cast(std::vector<int64_t>(shape.sizes().begin(), shape.sizes().end()))));
              site["shapes"] = shapes;
              site["bytes"] = spec.bytes;
              sites.append(site);
            }
            return sites;
          },
          nb::arg("lengths"),
          nb::sig("def describe(self, lengths: collections.abc.Sequence[int]) -> list[dict[str, "
                  "typing.Any]]"),
          "What a pass over sequences of these lengths captures, without running it: name, dtype,\n"
          "shapes (one a sequence) and bytes of each site.");
}

void bind_passes(nb::class_<Model>& model) {
  const char* doc =
      R"(One pass. `prompt`: a text, or its token ids; a list of prompts is one batch, and a RunBatch.

`capture`: site names with globs ("blocks.*.hook_resid_post"), Capture objects, or a sequence of
them. `edits`: Edit objects, applied in this order; a capture reads a site after its edits. `plan`:
from compile(), instead of both. `logits`: "all", "last" or "none".

A text gets the tokens that `bos` of load() says. Each sequence has the same bits alone and in any batch. Raises
Error for an empty prompt, more tokens than the context, an id outside the vocabulary, a site that
does not exist, and a run that does not fit in memory. Other threads run meanwhile.)";
  model
      .def(
          "run",
          [](const Model& self, const PromptArg& prompt, nb::object capture, nb::object edits,
             const HookPlan* plan, const std::string& logits) {
            const Batch batch = {ids_of(self, prompt)};
            return RunOfSequence{
                pass(self, batch, plan_of(self, {std::move(capture), std::move(edits)}, plan),
                     logits),
                0};
          },
          nb::arg("prompt"), nb::kw_only(), nb::arg("capture") = nb::tuple(),
          nb::arg("edits") = nb::tuple(), nb::arg("plan") = nb::none(), nb::arg("logits") = "all",
          nb::sig("def run(self, prompt: vitrine.types.Prompt, *, capture: vitrine.types.Captured "
                  "= (), edits: vitrine.types.Edits = (), plan: Plan | None = None, logits: "
                  "vitrine.types.Logits = 'all') -> Run"),
          doc)
      .def(
          "run",
          [](const Model& self, const BatchArg& prompts, nb::object capture, nb::object edits,
             const HookPlan* plan, const std::string& logits) {
            const Batch batch = batch_of(self, prompts);
            return RunBatch{pass(
                self, batch, plan_of(self, {std::move(capture), std::move(edits)}, plan), logits)};
          },
          nb::arg("prompts"), nb::kw_only(), nb::arg("capture") = nb::tuple(),
          nb::arg("edits") = nb::tuple(), nb::arg("plan") = nb::none(), nb::arg("logits") = "all",
          nb::sig("def run(self, prompts: vitrine.types.Prompts, *, capture: "
                  "vitrine.types.Captured = (), edits: vitrine.types.Edits = (), plan: Plan | None "
                  "= None, logits: vitrine.types.Logits = 'all') -> RunBatch"))
      .def(
          "compile",
          [](const Model& self, nb::object capture, nb::object edits, nb::object wrt) {
            return compiled(self, {std::move(capture), std::move(edits), std::move(wrt)});
          },
          nb::kw_only(), nb::arg("capture") = nb::tuple(), nb::arg("edits") = nb::tuple(),
          nb::arg("wrt") = nb::tuple(),
          nb::sig("def compile(self, *, capture: vitrine.types.Captured = (), edits: "
                  "vitrine.types.Edits = (), wrt: vitrine.types.Captured = ()) -> Plan"),
          "Resolves captures, edits and gradients (`wrt`) once, for many passes.")
      .def(
          "encode", [](const Model& self, const std::string& text) { return self.encode(text); },
          nb::arg("text"),
          "Token ids of a text, with the tokens that `bos` of load() puts around it.")
      .def(
          "unembed", &unembed, nb::arg("rows"), nb::kw_only(), nb::arg("final_layernorm") = true,
          nb::arg("rows_are_logits") = false, nb::arg("top_k") = 0, nb::arg("targets") = nb::none(),
          nb::arg("watch") = nb::none(),
          nb::sig("def unembed(self, rows: numpy.typing.ArrayLike, *, final_layernorm: bool = "
                  "True, rows_are_logits: bool = False, top_k: int = 0, targets: "
                  "vitrine.types.Tokens | None = None, watch: vitrine.types.Tokens | None = None) "
                  "-> dict[str, numpy.typing.NDArray[typing.Any]]"),
          R"(Statistics of the next-token distributions of rows [N, D] of the residual stream, without [N, V].

`rows_are_logits`: rows [N, V] are logits already. `targets`: a token for each row; `watch`: tokens
looked up in every row. Keys of the result: log_sum_exp, entropy [N] (nats); top_ids, top_logits
[N, k], ties by smaller id; target_logits, target_ranks [N]; watch_logits, watch_ranks [N, W]. A
rank is 1 + the number of tokens with a strictly greater logit.)");
}

void bind_weights(nb::class_<Model>& model) {
  model
      .def(
          "embed",
          [](const Model& self, const TokensArg& tokens) {
            return table_rows(self, tokens, &Model::embed);
          },
          nb::arg("tokens"),
          nb::sig("def embed(self, tokens: vitrine.types.Tokens) -> "
                  "numpy.typing.NDArray[numpy.float32]"),
          "Token embeddings [N, D] float32: rows of W_E.")
      .def(
          "unembedding",
          [](const Model& self, const TokensArg& tokens) {
            return table_rows(self, tokens, &Model::unembedding);
          },
          nb::arg("tokens"),
          nb::sig("def unembedding(self, tokens: vitrine.types.Tokens) -> "
                  "numpy.typing.NDArray[numpy.float32]"),
          "Unembedding vectors [N, D] float32: columns of W_U, as the checkpoint has them.")
      .def(
          "unembedding_bias",
          [](const Model& self, const TokensArg& tokens) {
            return table_rows(self, tokens, &Model::unembedding_bias);
          },
          nb::arg("tokens"),
          nb::sig("def unembedding_bias(self, tokens: vitrine.types.Tokens) -> "
                  "numpy.typing.NDArray[numpy.float32]"),
          "b_U [N] float32, which is added to the logits; zero for a model without.");
}

void bind_description(nb::class_<Model>& model) {
  model.def_prop_ro("config", &Model::config, nb::rv_policy::reference_internal)
      .def_prop_ro("name", &Model::name)
      .def_prop_ro("device", &Model::device_description)
      .def_prop_ro(
          "dtype", [](const Model& self) { return std::string(dtype_name(self.dtype())); },
          "Storage type of the weights.")
      .def_prop_ro("weight_bytes", &Model::weight_bytes)
      .def_prop_ro("end_ids", &Model::end_ids,
                   "Tokens that end a text, from generation_config.json or config.json.")
      .def_prop_ro("tokenizer", &tokenizer_of, nb::sig("def tokenizer(self) -> Tokenizer"),
                   "Error with the reason if the checkpoint has none that can be used.")
      .def_prop_ro(
          "load_warning", [](const Model& self) { return self.load_report().warning; },
          "What the checkpoint holds and the model does not use, in one line; or \"\".")
      .def_prop_ro("unread_tensors",
                   [](const Model& self) { return self.load_report().unread_tensors; })
      .def("__repr__", [](const Model& self) {
        const Config& config = self.config();
        return fmt::format("<vitrine.Model {} ({} layers, {} heads, width {}, {}, {})>",
                           self.name(), config.layers, config.heads, config.width,
                           dtype_name(self.dtype()), self.device_description());
      });
}

}  // namespace

void check_interrupt() {
  thread_local Clock::time_point last = Clock::now();
  if (!is_due(last)) return;
  const nb::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

PythonProgress::PythonProgress(const nb::object& report)
    : report_(report.is_none() ? nullptr : share(report)) {}

void PythonProgress::update(uint64_t done, uint64_t total, std::string_view label) {
  if (!report_) return check_interrupt();
  const nb::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
  (*report_)(done, total, std::string(label));
}

LogitRows logit_rows_of(const std::string& name) {
  if (name == "all") return LogitRows::kAll;
  if (name == "last") return LogitRows::kLast;
  if (name == "none") return LogitRows::kNone;
  user_error("invalid logits='{}': expected 'all', 'last' or 'none'", name);
}

nb::class_<Model> bind_model(nb::module_& module) {
  bind_config(module);
  bind_plan(module);
  nb::class_<Model> model(
      module, "Model",
      R"(A GPT-2. Immutable: threads may share it; passes of several threads run at the same time.

Sites have TransformerLens's names: "blocks.3.hook_resid_post", "blocks.0.attn.hook_pattern",
"logits". sites() lists them.)");
  model
      .def_static(
          "load", &load, nb::arg("name"), nb::arg("arguments"),
          nb::sig("def load(name: vitrine.types.Path, *, " VITRINE_LOAD_TYPES
                  ", adapter: vitrine.types.Path | None = None, progress: vitrine.types.Progress | "
                  "None = None) -> Model"),
          R"(Loads a checkpoint: a directory or file, "demo", or a name in the Hugging Face cache ("gpt2").

Never uses the network. `device`: "cpu", "cuda" or "cuda:N". `dtype`: storage type of the weights,
"f32", "f16", "bf16" or "i8" (CPU); None: the checkpoint's. `tokenizer`: file or directory of another
one. `bos`: tokens around each text, "auto" (as transformers), "none", or an id before it. `adapter`: a
LoRA adapter's directory, merged into the weights. `threads`: 0 chooses. `memory_limit`: maximum bytes of
weights, caches and activations; 0: what is free. `progress`: called as progress(done_bytes, total_bytes,
label).)")
      .def_static(
          "random", &random, nb::arg("config"), nb::arg("seed") = 0, nb::arg("arguments"),
          nb::sig("def random(config: Config, seed: int = 0, *, " VITRINE_LOAD_TYPES ") -> Model"),
          "A model with random weights, the same on every machine; it has a tokenizer if\n"
          "`tokenizer` names one.");
  bind_passes(model);
  bind_weights(model);
  bind_description(model);
  return model;
}

}  // namespace vitrine::python
