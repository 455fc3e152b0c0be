// SPDX-License-Identifier: MIT
#include "python/src/model.h"

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <tuple>

#include "base/check.h"
#include "python/src/arrays.h"
#include "python/src/bindings.h"
#include "python/src/collected.h"
#include "python/src/hooks.h"
#include "python/src/immutable.h"
#include "python/src/parameters.h"
#include "python/src/runs.h"
#include "python/src/shared_object.h"
#include "vitrine/gpu.h"

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

struct LoadValues : ModelOptions {
  std::filesystem::path name;      ///< of load()
  const Config* config = nullptr;  ///< of random()
  uint64_t weights_seed = 0;
};

/// Those that load() and random() share.
void add_options(Parameters<LoadValues>& parameters) {
  using Values = LoadValues;
  parameters.keywords()
      .value("device", &Values::device)
      .maybe_named("dtype", &Values::dtype, dtype_from_name)
      .add({"tokenizer", "vitrine.types.Path | None", "None", true},
           [](Call& call, Values& v, const nb::object& given) {
             v.tokenizer = Conversion<std::filesystem::path>::from(call, given, "tokenizer");
           })
      .add({"bos", "str | int", represented(nb::cast(ModelOptions().bos)), true},
           [](Call&, Values& v, const nb::object& given) { v.bos = shown(given); })
      .value("threads", &Values::threads)
      .value("memory_limit", &Values::memory_limit)
      .value("gemm", &Values::gemm)
      .value("arithmetic", &Values::arithmetic);
}

Parameters<LoadValues> load_parameters() {
  Parameters<LoadValues> parameters;
  parameters.required("name", &LoadValues::name);
  add_options(parameters);
  parameters.maybe("adapter", &LoadValues::adapter).progress(&LoadValues::progress);
  return parameters;
}

Parameters<LoadValues> random_parameters() {
  Parameters<LoadValues> parameters;
  parameters
      .add({"config", "Config", ""},
           [](Call&, LoadValues& v, const nb::object& given) {
             if (!nb::try_cast(given, v.config) || !v.config)
               refuse_type("config", "Config", given);
           })
      .value("seed", &LoadValues::weights_seed);
  add_options(parameters);
  return parameters;
}

Model load(LoadValues& v) {
  v.between_layers = check_interrupt;
  const nb::gil_scoped_release release;
  return Model::load(v.name.string(), v);
}

Model random(LoadValues& v) {
  v.between_layers = check_interrupt;
  const nb::gil_scoped_release release;
  return Model::random(*v.config, v.weights_seed, v);
}

/// A static method that makes a model.
template <typename Make>
void bind_making(nb::class_<Model>& model, const char* name, Parameters<LoadValues> parameters,
                 const char* doc, Make make) {
  const std::string signature = parameters.signature().text(name, "Model");
  model.def_static(
      name, reading(name, std::move(parameters), [make](Call&, LoadValues& v) { return make(v); }),
      nb::sig(signature.c_str()), doc);
}

/// One pass, with the GIL released. `on_device`: results stay on the model's GPU, complete.
RunBatch pass(const Model& model, const Batch& batch, const HookPlan& plan,
              const std::string& logits, bool on_device) {
  const ForwardOptions options{.logits = logit_rows_of(logits),
                               .residence = on_device ? Residence::kDevice : Residence::kHost};
  const nb::gil_scoped_release release;
  auto run = std::make_shared<const Run>(model.forward(batch, plan, options));
  if (!on_device) return {std::move(run)};
  finish_passes(model);
  return {std::move(run), gpu_of(model)};
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
  const Tensor values = tensor_of(rows, "rows");
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

/// All fields, for comparison and pickle.
auto fields_of(const Config& c) {
  return std::tuple(c.layers, c.heads, c.width, c.inner, c.vocab, c.context, c.layer_norm_epsilon,
                    c.activation, c.scale_attention, c.scale_attention_by_inverse_layer,
                    c.tied_unembedding, c.unembedding_bias, c.windows);
}

void bind_state(nb::class_<Config>& bound) {
  using Fields = decltype(fields_of(Config()));
  bound.def("__getstate__", &fields_of, nb::sig("def __getstate__(self) -> tuple[typing.Any, ...]"))
      .def(
          "__setstate__",
          [](Config& self, const Fields& fields) {
            new (&self) Config();
            std::tie(self.layers, self.heads, self.width, self.inner, self.vocab, self.context,
                     self.layer_norm_epsilon, self.activation, self.scale_attention,
                     self.scale_attention_by_inverse_layer, self.tied_unembedding,
                     self.unembedding_bias, self.windows) = fields;
          },
          nb::sig("def __setstate__(self, state: tuple[typing.Any, ...], /) -> None"))
      .def(
          "__eq__",
          [](const Config& self, nb::handle other) -> nb::object {
            const Config* config = nullptr;
            if (!nb::try_cast(nb::borrow(other), config) || !config)
              return nb::borrow(nb::handle(Py_NotImplemented));
            return nb::bool_(fields_of(self) == fields_of(*config));
          },
          nb::arg("other").none(), nb::sig("def __eq__(self, other: object, /) -> bool"))
      // Of the text: a list of windows has no hash.
      .def("__hash__",
           [](const Config& self) { return nb::hash(nb::repr(nb::cast(fields_of(self)))); })
      .def("__repr__", [](const Config& self) {
        return fmt::format(
            "vitrine.Config(layers={}, heads={}, width={}, inner={}, vocab={}, context={}, "
            "activation='{}')",
            self.layers, self.heads, self.width, self.inner, self.vocab, self.context,
            self.activation);
      });
}

void bind_config(nb::module_& module) {
  nb::class_<Config> bound(module, "Config", "Sizes of a GPT-2. Equal if all fields are.");
  bind_state(immutable(bound));
  bound
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
  const auto held = [](HookPlan& plan, auto take) { for_each_function(plan.hooks(), take); };
  nb::class_<HookPlan> bound(
      module, "Plan", collected<HookPlan>(held),
      "Captures and edits compiled for one model by Model.compile(), for many passes.");
  immutable(bound, "compile it in each process");
  bound
      .def("__repr__",
           [](const HookPlan& plan) {
             const Hooks& hooks = plan.hooks();
             return fmt::format("<vitrine.Plan of {} captures, {} edits, {} gradients>",
                                hooks.captures().size(), hooks.edits().size(),
                                hooks.gradients().size());
           })
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
from compile(), instead of both. `logits`: "all", "last" or "none". `on_device`: results stay on the model's
GPU, for dlpack(); on a CPU it changes nothing.

A text gets the tokens that `bos` of load() says. Each sequence has the same bits alone and in any batch. Raises
Error for an empty prompt, more tokens than the context, an id outside the vocabulary, a site that
does not exist, and a run that does not fit in memory. Other threads run meanwhile.)";
  model
      .def(
          "run",
          [](const Model& self, const PromptArg& prompt, nb::object capture, nb::object edits,
             const HookPlan* plan, const std::string& logits, bool on_device) {
            const Batch batch = {ids_of(self, prompt)};
            const RunBatch found =
                pass(self, batch, plan_of(self, {std::move(capture), std::move(edits)}, plan),
                     logits, on_device);
            return RunOfSequence{found.run, 0, found.gpu};
          },
          nb::arg("prompt"), nb::kw_only(), nb::arg("capture") = nb::tuple(),
          nb::arg("edits") = nb::tuple(), nb::arg("plan") = nb::none(), nb::arg("logits") = "all",
          nb::arg("on_device") = false,
          nb::sig("def run(self, prompt: vitrine.types.Prompt, *, capture: vitrine.types.Captured "
                  "= (), edits: vitrine.types.Edits = (), plan: Plan | None = None, logits: "
                  "vitrine.types.Logits = 'all', on_device: bool = False) -> Run"),
          doc)
      .def(
          "run",
          [](const Model& self, const BatchArg& prompts, nb::object capture, nb::object edits,
             const HookPlan* plan, const std::string& logits, bool on_device) {
            const Batch batch = batch_of(self, prompts);
            return pass(self, batch, plan_of(self, {std::move(capture), std::move(edits)}, plan),
                        logits, on_device);
          },
          nb::arg("prompts"), nb::kw_only(), nb::arg("capture") = nb::tuple(),
          nb::arg("edits") = nb::tuple(), nb::arg("plan") = nb::none(), nb::arg("logits") = "all",
          nb::arg("on_device") = false,
          nb::sig("def run(self, prompts: vitrine.types.Prompts, *, capture: "
                  "vitrine.types.Captured = (), edits: vitrine.types.Edits = (), plan: Plan | None "
                  "= None, logits: vitrine.types.Logits = 'all', on_device: bool = False) -> "
                  "RunBatch"))
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
      .def_prop_ro(
          "unread_fields", [](const Model& self) { return self.load_report().unread_fields; },
          "Fields of config.json that GPT-2 does not have.")
      .def_prop_ro(
          "load_notes", [](const Model& self) { return self.load_report().notes; },
          "Fields that were read and change nothing here, a line each.")
      .def_prop_ro(
          "tokenizer_file", [](const Model& self) { return self.load_report().tokenizer; },
          "The tokenizer's file, and why that one; \"\" if there is none.")
      .def_prop_ro(
          "text_frame",
          [](const Model& self) { return std::pair(self.frame().before, self.frame().after); },
          "Token ids before and after each text, by `bos` of load().")
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
  immutable(model, "load it by its name in each process");
  bind_making(
      model, "load", load_parameters(),
      R"(Loads a checkpoint: a directory or file, "demo", or a name in the Hugging Face cache ("gpt2").

Never uses the network. `device`: "cpu", "cuda" or "cuda:N". `dtype`: storage type of the weights,
"f32", "f16", "bf16" or "i8" (CPU); None: the checkpoint's. `tokenizer`: file or directory of another
one. `bos`: tokens around each text, "auto" (as transformers), "none", or an id before it. `adapter`: a
LoRA adapter's directory, merged into the weights. `threads`: 0 chooses. `memory_limit`: maximum bytes of
weights, caches and activations; 0: what is free. `progress`: called as progress(done_bytes, total_bytes,
label).)",
      &load);
  bind_making(model, "random", random_parameters(),
              R"(A model with random weights, the same on every machine; it has a tokenizer if
`tokenizer` names one.)",
              &random);
  bind_passes(model);
  bind_weights(model);
  bind_description(model);
  return model;
}

}  // namespace vitrine::python
