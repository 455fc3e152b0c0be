// SPDX-License-Identifier: MIT
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include "base/atomic_file.h"
#include "base/check.h"
#include "python/src/analysis.h"
#include "python/src/bindings.h"
#include "vitrine/checkpoint/convert.h"
#include "vitrine/checkpoint/random_checkpoint.h"
#include "vitrine/hook_file.h"

// Checkpoints and hooks as files.

namespace vitrine::python {
using namespace internal;
namespace {

struct ConvertValues : ConvertOptions {
  std::filesystem::path source, target;
};

Parameters<ConvertValues> convert_parameters() {
  using Values = ConvertValues;
  Parameters<Values> parameters;
  parameters.required("source", &Values::source)
      .required("target", &Values::target)
      .keywords()
      .maybe_named("dtype", &Values::dtype, dtype_from_name)
      .maybe("adapter", &Values::adapter)
      .value("shard_bytes", &Values::shard_bytes)
      .value("force", &Values::force)
      .progress(&Values::progress);
  return parameters;
}

nb::dict convert(const Call&, const ConvertValues& v) {
  ConvertedCheckpoint made;
  {
    const nb::gil_scoped_release release;
    made = convert_checkpoint(v.source.string(), v.target, v);
  }
  nb::dict found;
  found["path"] = v.target.string();
  found["dtype"] = std::string(dtype_name(made.dtype));
  found["bytes"] = made.bytes;
  found["files"] = nb::cast(made.files);
  found["notes"] = nb::cast(made.notes);
  return found;
}

std::string_view name_of_init(RandomInit init) {
  return init == RandomInit::kGpt2 ? "gpt2" : "wide";
}

struct RandomValues : RandomCheckpoint {
  std::filesystem::path folder;
  Progress* progress = nullptr;
};

Parameters<RandomValues> random_checkpoint_parameters() {
  using Values = RandomValues;
  Parameters<Values> parameters;
  parameters.required("folder", &Values::folder)
      .add({"config", "Config", ""},
           [](Call&, Values& v, const nb::object& given) {
             if (given.is_none() || !nb::try_cast(given, v.config))
               refuse_type("config", "Config", given);
           })
      .keywords()
      .value("seed", &Values::seed)
      .named("init", &Values::init, random_init_from_name, name_of_init)
      .named("dtype", &Values::dtype, dtype_from_name, dtype_name)
      .maybe("tokenizer", &Values::tokenizer)
      .progress(&Values::progress);
  return parameters;
}

uint64_t make_random_checkpoint(const Call&, const RandomValues& v) {
  const nb::gil_scoped_release release;
  return write_random_checkpoint(v.folder, v, {.progress = v.progress});
}

/// A file of hooks as Python's objects.
struct LoadedHooks {
  std::vector<CaptureRequest> captures = {}, gradients = {};
  std::vector<EditRequest> edits = {};
  std::optional<uint64_t> seed = {};
};

LoadedHooks load_hooks(const std::filesystem::path& path) {
  const HookFile file = read_hook_file(path);
  const Hooks hooks = file.hooks();
  LoadedHooks loaded{.seed = file.seed};
  for (const Hooks::Capture& each : hooks.captures())
    loaded.captures.push_back({each.sites.pattern(), each.where, each.store});
  for (const Hooks::Capture& each : hooks.gradients())
    loaded.gradients.push_back({each.sites.pattern(), each.where, each.store});
  for (const Hooks::Change& each : hooks.edits())
    loaded.edits.push_back({each.sites.pattern(), each.where, each.edit});
  return loaded;
}

struct SaveValues {
  std::filesystem::path path;
  HookArgs hooks;
  std::optional<uint64_t> seed;
};

Parameters<SaveValues> save_parameters() {
  using Values = SaveValues;
  Parameters<Values> parameters;
  parameters.required("path", &Values::path)
      .keywords()
      .object("capture", "vitrine.types.Captured", "()", at(&Values::hooks, &HookArgs::capture))
      .object("edits", "vitrine.types.Edits", "()", at(&Values::hooks, &HookArgs::edits))
      .object("wrt", "vitrine.types.Captured", "()", at(&Values::hooks, &HookArgs::gradients))
      .value("seed", &Values::seed);
  return parameters;
}

void bind_hook_files(nb::module_& module) {
  nb::class_<LoadedHooks>(module, "LoadedHooks", "What a file of hooks holds, from load_hooks().")
      .def_ro("captures", &LoadedHooks::captures, "For capture=.")
      .def_ro("edits", &LoadedHooks::edits, "For edits=, in their order.")
      .def_ro("gradients", &LoadedHooks::gradients, "For wrt=.")
      .def_ro("seed", &LoadedHooks::seed, "For seed=, or None.");
  module.def(
      "load_hooks", &load_hooks, nb::arg("path"),
      nb::sig("def load_hooks(path: vitrine.types.Path) -> LoadedHooks"),
      "Captures, edits and seed of a file that save_hooks() or the command's --save-hooks wrote.");
  bind_function(
      module, "save_hooks", save_parameters(), "None",
      R"(Writes captures, edits, gradients and a seed to a JSON file, for load_hooks() and --hooks.

Error for what a file cannot hold: functions, values of another run, straight-through gradients.)",
      [](const Call&, const SaveValues& v) {
        HookFile file = HookFile::of(hooks_of(Config(), v.hooks));
        file.seed = v.seed;
        write_file(v.path, file.json());
      });
}

}  // namespace

void bind_files(nb::module_& module) {
  bind_function(
      module, "convert", convert_parameters(), "dict[str, typing.Any]",
      R"(Writes any checkpoint that Model.load() reads as safetensors with transformers' names.

`target`: a folder, with the configuration and the tokenizer, or FILE.safetensors. `dtype`: "f32", "f16",
"bf16"; None: each tensor's own, with the same bits. `adapter`: a LoRA adapter to merge. `shard_bytes`:
maximum size of a file (0: one file). `force`: replaces what is there. Returns path, dtype, bytes, files
and notes: what the source holds and the result does not.)",
      &convert);
  bind_function(
      module, "write_random_checkpoint", random_checkpoint_parameters(), "int",
      R"(Writes a checkpoint with random weights, a function of `seed` alone; returns their bytes.

`init`: "gpt2" (as GPT-2's training begins) or "wide" (as Model.random). `tokenizer`: a folder whose
tokenizer files are copied. The folder must be empty or missing.)",
      &make_random_checkpoint);
  bind_hook_files(module);
}

}  // namespace vitrine::python
