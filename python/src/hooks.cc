// SPDX-License-Identifier: MIT
#include "python/src/hooks.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "analysis/patching/values.h"
#include "base/check.h"
#include "python/src/arrays.h"
#include "python/src/bindings.h"
#include "python/src/collected.h"
#include "python/src/immutable.h"
#include "python/src/parameters.h"
#include "python/src/shared_object.h"

namespace vitrine::python {
using namespace internal;
namespace {

/// What a function edit is told besides the values.
struct Place {
  std::string name, site;
  int layer, sequence;
  std::vector<int64_t> positions;
};

/// Shape of the values: that of a capture of the same part.
std::vector<size_t> shape_of(const EditView& view, const Where& where, const Config& config) {
  const SiteShape shape = site_info(view.site).shape;
  const auto size = [](auto number) { return static_cast<size_t>(number); };
  const size_t rows = view.positions.size(), width = size(view.width);
  const auto refuse = [](auto) {};
  const size_t heads = where.heads.empty() ? size(config.heads)
                                           : where.heads.resolve(0, config.heads, refuse).size();
  if (shape == SiteShape::kMap) return {heads, rows, width};
  if (shape == SiteShape::kHeads || shape == SiteShape::kResults)
    return {rows, heads, width / heads};
  return {rows, width};
}

/// Calls a Python function with a writable array of the values, which it changes in place or
/// returns anew.
void call(const nb::object& function, const Where& where, const Config& config, EditView& view) {
  const nb::gil_scoped_acquire gil;
  const std::vector<size_t> shape = shape_of(view, where, config);
  using Values = nb::ndarray<nb::numpy, float, nb::c_contig>;
  // The memory is valid during the call only, so the function gets a copy to keep.
  const nb::module_ numpy = nb::module_::import_("numpy");
  const Values shared(view.values.data(), shape.size(), shape.data(), nb::none());
  nb::object values = nb::cast(shared, nb::rv_policy::reference).attr("copy")();
  const Place place{std::string(view.name), std::string(site_info(view.site).name), view.layer,
                    view.sequence,
                    std::vector<int64_t>(view.positions.begin(), view.positions.end())};
  const nb::object returned = function(values, place);
  if (!returned.is_none()) {
    const nb::object array = numpy.attr("asarray")(returned, numpy.attr("float32"));
    if (!array.attr("shape").equal(values.attr("shape")))
      user_error("the edit function returned an array of shape {} at {}: expected {}, or None",
                 shown(array.attr("shape")), view.name, shown(values.attr("shape")));
    values = array;
  }
  const nb::object flat = numpy.attr("ascontiguousarray")(values, numpy.attr("float32"));
  const auto result = nb::cast<nb::ndarray<const float, nb::c_contig>>(flat);
  std::copy_n(result.data(), view.values.size(), view.values.begin());
}

/// A Python function in an Edit. Copies share one reference to it.
struct FunctionEdit {
  std::shared_ptr<nb::object> function;
  Where where;
  Config config;

  void operator()(EditView& view) const { call(*function, where, config, view); }
};

Edit function_edit(const EditRequest& request, const Config& config) {
  const auto calling = [&](const nb::object& function) -> std::function<void(EditView&)> {
    if (!function.is_valid() || function.is_none()) return {};
    return FunctionEdit{share(function), request.where, config};
  };
  return callback(calling(request.function), calling(request.adjoint));
}

void add_edit(Hooks& hooks, const EditRequest& request, const Config& config) {
  Edit edit = request.edit ? *request.edit : function_edit(request, config);
  if (request.straight_through) edit = straight_through(std::move(edit));
  hooks.edit(request.sites, std::move(edit), request.where);
}

/// Calls `take` for one item or each of a sequence.
template <typename Take>
void for_each_item(const nb::object& items, const char* name, const char* expected, Take take) {
  if (!items.is_valid() || items.is_none()) return;
  if (take(items)) return;
  const auto refuse = [&](nb::handle item) {
    throw nb::type_error(fmt::format("invalid {}: expected {} or a sequence of them, not {}", name,
                                     expected, name_of_type(item))
                             .c_str());
  };
  if (!PySequence_Check(items.ptr())) refuse(items);
  for (const nb::handle item : items) {
    if (!take(item)) refuse(item);
  }
}

template <typename Add>
void add_captures(const nb::object& captures, const char* name, Add add) {
  for_each_item(captures, name, "str, Capture", [&](nb::handle item) {
    if (PyUnicode_Check(item.ptr())) {
      add(CaptureRequest{nb::cast<std::string>(item), {}, DType::kF32});
    } else if (const CaptureRequest* request = nullptr; nb::try_cast(item, request) && request) {
      add(*request);
    } else {
      return false;
    }
    return true;
  });
}

Where::Tokens tokens_from_name(const std::string& name) {
  if (name == "prompt") return Where::Tokens::kPrompt;
  if (name == "generated") return Where::Tokens::kGenerated;
  user_error("invalid tokens='{}': expected 'prompt', 'generated', or None for all", name);
}

/// The part of a site, of every capture and edit.
template <typename Values, typename Place>
void add_where(Parameters<Values>& parameters, Place where) {
  parameters.keywords()
      .value("layers", at(where, &Where::layers))
      .value("positions", at(where, &Where::positions))
      .value("heads", at(where, &Where::heads))
      .value("neurons", at(where, &Where::neurons))
      .value("sequences", at(where, &Where::sequences));
}

/// The arguments of an edit. `operand`: of those that have one.
struct EditValues : EditRequest {
  float factor = 0;
  Tensor operand;
  std::shared_ptr<const ActivationSource> source;
};

/// Adds a static method: `add_own` adds its own parameters, `change` makes its edit of the values.
template <typename AddOwn, typename Change>
void bind_change(nb::class_<EditRequest>& edit, const char* name, const char* doc, AddOwn add_own,
                 Change change) {
  Parameters<EditValues> parameters;
  parameters.required("sites", &EditValues::sites);
  add_own(parameters);
  add_where(parameters, &EditValues::where);
  parameters.maybe_named("tokens", at(&EditValues::where, &Where::tokens), tokens_from_name);
  const std::string signature = parameters.signature().text(name, "Edit");
  edit.def_static(
      name,
      [name, parameters, change](const nb::args& args, const nb::kwargs& kwargs) {
        Call call;
        EditValues values = parameters.read(name, call, args, kwargs);
        change(values);
        return EditRequest(std::move(values));
      },
      nb::sig(signature.c_str()), doc);
}

/// The same of an edit with an array.
template <typename Change>
void bind_change_by_array(nb::class_<EditRequest>& edit, const char* name, const char* operand,
                          const char* doc, Change change) {
  bind_change(
      edit, name, doc,
      [operand](auto& parameters) {
        parameters.add({operand, "numpy.typing.ArrayLike", ""},
                       [operand](Call&, EditValues& v, const nb::object& given) {
                         v.operand = tensor_of(given, operand);
                       });
      },
      [change](EditValues& v) { v.edit = change(std::move(v.operand)); });
}

constexpr const char* kFunctionDoc =
    R"(What function(values, place) makes of the selected part of one site of one sequence.

`values` is a writable float32 array in the shape of a capture ([P, D], [P, H, K], [H, P, N], ...);
change it in place and return None, or return a new array of that shape. `place` has the name, site,
layer, sequence and positions. `adjoint` maps the gradient after the edit to the gradient before it;
without one, gradients through the edit are refused. The pass runs natively up to and after each
edited site; an exception ends it.)";

void add_function(Parameters<EditValues>& parameters) {
  const std::string type = "collections.abc.Callable[[vitrine.types.Values, Place], object]";
  const auto keep = [&](Parameter parameter, nb::object EditRequest::*place) {
    const char* name = parameter.name;
    parameters.add(std::move(parameter),
                   [name, place](Call&, EditValues& v, const nb::object& given) {
                     if (!PyCallable_Check(given.ptr())) refuse_type(name, "a function", given);
                     v.*place = given;
                   });
  };
  keep({"function", type, ""}, &EditRequest::function);
  keep({"adjoint", type + " | None", "None", true}, &EditRequest::adjoint);
}

void bind_changes(nb::class_<EditRequest>& edit) {
  const auto nothing = [](auto&) {};
  bind_change_by_array(edit, "add", "values", "x + values", &vitrine::add);
  bind_change(
      edit, "scale", "x * factor",
      [](auto& parameters) { parameters.required("factor", &EditValues::factor); },
      [](EditValues& v) { v.edit = scale(v.factor); });
  bind_change(edit, "zero", "0: zero ablation", nothing, [](EditValues& v) { v.edit = zero(); });
  bind_change_by_array(edit, "replace", "values",
                       "values; with a mean over other texts (Captures.mean) it is mean ablation",
                       &vitrine::replace);
  bind_change_by_array(edit, "project_out", "direction",
                       "x - (x . u) u with u = direction / |direction|", &vitrine::project_out);
  bind_change(
      edit, "replace_from",
      R"(The values of another run (its .captures) at the same site and position. It must have
captured the site with the same heads and neurons.)",
      [](auto& parameters) {
        parameters.add({"captures", "Captures", ""}, [](Call&, EditValues& v, const nb::object& o) {
          const SequenceCaptures* run = nullptr;
          if (!nb::try_cast(o, run) || !run) refuse_type("captures", "Captures", o);
          v.source = std::make_shared<RunValues>(BothCaptures(run->all()), run->sequence());
        });
      },
      [](EditValues& v) { v.edit = replace_from(std::move(v.source)); });
  bind_change(edit, "function", kFunctionDoc, &add_function, [](EditValues&) {});
}

void bind_edit(nb::module_& module) {
  const auto held = [](EditRequest& request, auto take) {
    take(request.function);
    take(request.adjoint);
  };
  nb::class_<EditRequest> edit(
      module, "Edit", collected<EditRequest>(held),
      R"(One change of activations: made by its static methods, passed as edits=.

All take `sites`, a glob over site names ("blocks.*.attn.hook_z", "blocks.{3..5}.hook_mlp_out"), and
the part of each site: `layers`, `positions`, `heads`, `neurons` (indices along the last axis) and
`sequences`. Each of these is an int, a slice, a range, or a sequence of them; negative indices count
from the end; None is all. `tokens`: in Model.generate(), "prompt" or "generated" limits an edit to the
prompt's tokens or to the new ones, in place of `positions`.

An operand is a float32 array of W numbers (W: selected elements of a row), of one head's width, of
[P, W] (a row for each position that `positions` names), or of one number. NaN is refused.)");
  bind_changes(edit);
  immutable(edit, "save edits with save_hooks(), or make them where they are used");
  edit.def(
          "straight_through",
          [](EditRequest request) {
            request.straight_through = true;
            return request;
          },
          "The same edit, treated as the identity by gradients (Bengio 2013).")
      .def_ro("sites", &EditRequest::sites)
      .def("__repr__",
           [](const EditRequest& request) { return "<vitrine.Edit of " + request.sites + ">"; });
}

void bind_capture(nb::module_& module) {
  Parameters<CaptureRequest> parameters;
  parameters.required("sites", &CaptureRequest::sites);
  add_where(parameters, &CaptureRequest::where);
  parameters.named("store", &CaptureRequest::store, dtype_from_name, dtype_name);
  nb::class_<CaptureRequest> capture(module, "Capture",
                                     "Sites to capture, and which part of them.");
  immutable(capture, "save captures with save_hooks(), or make them where they are used");
  capture
      .def(
          "__init__",
          [parameters](CaptureRequest* self, const nb::args& args, const nb::kwargs& kwargs) {
            Call call;
            new (self) CaptureRequest(parameters.read("Capture", call, args, kwargs));
          },
          nb::sig(parameters.signature().text("__init__", "None", "self").c_str()),
          "`sites` and its parts: see Edit. `store`: \"f32\", \"f16\" or \"bf16\".")
      .def_ro("sites", &CaptureRequest::sites)
      .def("__repr__", [](const CaptureRequest& request) {
        return "<vitrine.Capture of " + request.sites + ">";
      });
}

}  // namespace

Hooks hooks_of(const Model& model, const HookArgs& args) { return hooks_of(model.config(), args); }

Hooks hooks_of(const Config& config, const HookArgs& args) {
  Hooks hooks = edits_of(config, args.edits);
  add_captures(args.capture, "capture", [&](const CaptureRequest& request) {
    hooks.capture(request.sites, request.where, request.store);
  });
  add_captures(args.gradients, "wrt", [&](const CaptureRequest& request) {
    hooks.gradient(request.sites, request.where, request.store);
  });
  return hooks;
}

HookPlan compiled(const Model& model, const HookArgs& args) {
  const Hooks hooks = hooks_of(model, args);
  const nb::gil_scoped_release release;
  return model.compile(hooks);
}

Hooks edits_of(const Model& model, const nb::object& edits) {
  return edits_of(model.config(), edits);
}

Hooks edits_of(const Config& config, const nb::object& edits) {
  Hooks hooks;
  for_each_item(edits, "edits", "Edit", [&](nb::handle item) {
    const EditRequest* request = nullptr;
    if (!nb::try_cast(item, request) || !request) return false;  // of None it is null
    add_edit(hooks, *request, config);
    return true;
  });
  return hooks;
}

void for_each_function(const Hooks& hooks, const std::function<void(nb::object&)>& take) {
  for (const Hooks::Change& change : hooks.edits()) {
    for (const auto* held : {&change.edit.function(), &change.edit.adjoint()}) {
      if (const auto* edit = held->target<FunctionEdit>()) take(*edit->function);
    }
  }
}

void bind_hooks(nb::module_& module) {
  nb::class_<Place>(module, "Place", "Where a function edit is called.")
      .def_ro("name", &Place::name, "\"blocks.3.attn.hook_z\"")
      .def_ro("site", &Place::site, "\"attn.hook_z\"")
      .def_ro("layer", &Place::layer, "0 for sites without a layer")
      .def_ro("sequence", &Place::sequence, "index in the batch")
      .def_ro("positions", &Place::positions, "positions of the rows");
  bind_capture(module);
  bind_edit(module);
}

}  // namespace vitrine::python
