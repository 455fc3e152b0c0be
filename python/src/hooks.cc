// SPDX-License-Identifier: MIT
#include "python/src/hooks.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "base/check.h"
#include "python/src/arguments.h"
#include "python/src/arrays.h"
#include "python/src/bindings.h"
#include "python/src/shared_object.h"

namespace vitrine::python {
using namespace internal;
namespace {

/// The keyword arguments of every capture and edit.
Where where_of(const IndicesArg& layers, const IndicesArg& positions, const IndicesArg& heads,
               const IndicesArg& neurons, const IndicesArg& sequences) {
  Where where;
  where.layers = indices_of<int>(layers, "layers");
  where.positions = indices_of<int64_t>(positions, "positions");
  where.heads = indices_of<int>(heads, "heads");
  where.neurons = indices_of<int64_t>(neurons, "neurons");
  where.sequences = indices_of<int>(sequences, "sequences");
  return where;
}

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

Edit function_edit(const EditRequest& request, const Config& config) {
  const auto calling = [&](const nb::object& function) -> std::function<void(EditView&)> {
    if (!function.is_valid() || function.is_none()) return {};
    return [held = share(function), where = request.where, config](EditView& view) {
      call(*held, where, config, view);
    };
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

/// Activations of one sequence of another run, for whatever sequence they replace.
class OneSequence : public ActivationSource {
 public:
  OneSequence(std::shared_ptr<const Captures> run, int sequence)
      : run_(std::move(run)), sequence_(sequence) {}
  std::optional<std::vector<float>> row(Site site, int layer, int,
                                        int64_t position) const override {
    return run_->row(site, layer, sequence_, position);
  }
  std::optional<TensorView> row_view(Site site, int layer, int, int64_t position) const override {
    return run_->row_view(site, layer, sequence_, position);
  }
  const void* device() const override { return run_->device(); }

 private:
  std::shared_ptr<const Captures> run_;
  int sequence_;
};

#define VITRINE_WHERE                                                               \
  nb::kw_only(), nb::arg("layers") = nb::none(), nb::arg("positions") = nb::none(), \
                 nb::arg("heads") = nb::none(), nb::arg("neurons") = nb::none(),    \
                 nb::arg("sequences") = nb::none()

using Arg = const IndicesArg&;

void bind_edit(nb::module_& module) {
  nb::class_<EditRequest>(
      module, "Edit", R"(One change of activations: made by its static methods, passed as edits=.

All take `sites`, a glob over site names ("blocks.*.attn.hook_z", "blocks.{3..5}.hook_mlp_out"), and
the part of each site: `layers`, `positions`, `heads`, `neurons` (indices along the last axis) and
`sequences`. Each of these is an int, a slice, a range, or a sequence of them; negative indices count
from the end; None is all.

An operand is a float32 array of W numbers (W: selected elements of a row), of one head's width, of
[P, W] (a row for each position that `positions` names), or of one number. NaN is refused.)")
      .def_static(
          "add",
          [](std::string sites, const ArrayArg& values, Arg layers, Arg positions, Arg heads,
             Arg neurons, Arg sequences) {
            return EditRequest{std::move(sites),
                               where_of(layers, positions, heads, neurons, sequences),
                               add(tensor_of(values))};
          },
          nb::arg("sites"), nb::arg("values"), VITRINE_WHERE, "x + values")
      .def_static(
          "scale",
          [](std::string sites, float factor, Arg layers, Arg positions, Arg heads, Arg neurons,
             Arg sequences) {
            return EditRequest{std::move(sites),
                               where_of(layers, positions, heads, neurons, sequences),
                               scale(factor)};
          },
          nb::arg("sites"), nb::arg("factor"), VITRINE_WHERE, "x * factor")
      .def_static(
          "zero",
          [](std::string sites, Arg layers, Arg positions, Arg heads, Arg neurons, Arg sequences) {
            return EditRequest{std::move(sites),
                               where_of(layers, positions, heads, neurons, sequences), zero()};
          },
          nb::arg("sites"), VITRINE_WHERE, "0: zero ablation")
      .def_static(
          "replace",
          [](std::string sites, const ArrayArg& values, Arg layers, Arg positions, Arg heads,
             Arg neurons, Arg sequences) {
            return EditRequest{std::move(sites),
                               where_of(layers, positions, heads, neurons, sequences),
                               replace(tensor_of(values))};
          },
          nb::arg("sites"), nb::arg("values"), VITRINE_WHERE,
          "values; with a mean over other texts (Captures.mean) it is mean ablation")
      .def_static(
          "project_out",
          [](std::string sites, const ArrayArg& direction, Arg layers, Arg positions, Arg heads,
             Arg neurons, Arg sequences) {
            return EditRequest{std::move(sites),
                               where_of(layers, positions, heads, neurons, sequences),
                               project_out(tensor_of(direction))};
          },
          nb::arg("sites"), nb::arg("direction"), VITRINE_WHERE,
          "x - (x . u) u with u = direction / |direction|")
      .def_static(
          "replace_from",
          [](std::string sites, const SequenceCaptures& run, Arg layers, Arg positions, Arg heads,
             Arg neurons, Arg sequences) {
            return EditRequest{
                std::move(sites), where_of(layers, positions, heads, neurons, sequences),
                replace_from(std::make_shared<OneSequence>(run.all(), run.sequence()))};
          },
          nb::arg("sites"), nb::arg("captures"), VITRINE_WHERE,
          "The values of another run (its .captures) at the same site and position. It must have\n"
          "captured the site with the same heads and neurons.")
      .def_static(
          "function",
          [](std::string sites, nb::callable function, const nb::object& adjoint, Arg layers,
             Arg positions, Arg heads, Arg neurons, Arg sequences) {
            EditRequest request{std::move(sites),
                                where_of(layers, positions, heads, neurons, sequences),
                                std::nullopt};
            request.function = std::move(function);
            request.adjoint = adjoint;
            return request;
          },
          nb::arg("sites"), nb::arg("function"), nb::arg("adjoint") = nb::none(), VITRINE_WHERE,
          nb::sig(
              "def function(sites: str, function: collections.abc.Callable[[vitrine.types.Values, "
              "Place], object], adjoint: collections.abc.Callable[[vitrine.types.Values, Place], "
              "object] | None = None, *, layers: vitrine.types.Indices | None = None, positions: "
              "vitrine.types.Indices | None = None, heads: vitrine.types.Indices | None = None, "
              "neurons: vitrine.types.Indices | None = None, sequences: vitrine.types.Indices | "
              "None = None) -> Edit"),
          R"(What function(values, place) makes of the selected part of one site of one sequence.

`values` is a writable float32 array in the shape of a capture ([P, D], [P, H, K], [H, P, N], ...);
change it in place and return None, or return a new array of that shape. `place` has the name, site,
layer, sequence and positions. `adjoint` maps the gradient after the edit to the gradient before it;
without one, gradients through the edit are refused. The pass runs natively up to and after each
edited site; an exception ends it.)")
      .def(
          "straight_through",
          [](EditRequest edit) {
            edit.straight_through = true;
            return edit;
          },
          "The same edit, treated as the identity by gradients (Bengio 2013).")
      .def_ro("sites", &EditRequest::sites)
      .def("__repr__",
           [](const EditRequest& edit) { return "<vitrine.Edit of " + edit.sites + ">"; });
}

}  // namespace

Hooks hooks_of(const Model& model, const HookArgs& args) {
  Hooks hooks = edits_of(model, args.edits);
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
  Hooks hooks;
  for_each_item(edits, "edits", "Edit", [&](nb::handle item) {
    const EditRequest* request = nullptr;
    if (!nb::try_cast(item, request) || !request) return false;  // of None it is null
    add_edit(hooks, *request, model.config());
    return true;
  });
  return hooks;
}

void bind_hooks(nb::module_& module) {
  nb::class_<Place>(module, "Place", "Where a function edit is called.")
      .def_ro("name", &Place::name, "\"blocks.3.attn.hook_z\"")
      .def_ro("site", &Place::site, "\"attn.hook_z\"")
      .def_ro("layer", &Place::layer, "0 for sites without a layer")
      .def_ro("sequence", &Place::sequence, "index in the batch")
      .def_ro("positions", &Place::positions, "positions of the rows");
  nb::class_<CaptureRequest>(module, "Capture", "Sites to capture, and which part of them.")
      .def(
          "__init__",
          [](CaptureRequest* self, std::string sites, Arg layers, Arg positions, Arg heads,
             Arg neurons, Arg sequences, const std::string& store) {
            new (self) CaptureRequest{std::move(sites),
                                      where_of(layers, positions, heads, neurons, sequences),
                                      dtype_from_name(store)};
          },
          nb::arg("sites"), VITRINE_WHERE, nb::arg("store") = "f32",
          "`sites` and its parts: see Edit. `store`: \"f32\", \"f16\" or \"bf16\".")
      .def_ro("sites", &CaptureRequest::sites)
      .def("__repr__", [](const CaptureRequest& capture) {
        return "<vitrine.Capture of " + capture.sites + ">";
      });
  bind_edit(module);
}

}  // namespace vitrine::python
