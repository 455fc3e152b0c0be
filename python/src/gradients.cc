// SPDX-License-Identifier: MIT
#include "python/src/gradients.h"

#include <nanobind/operators.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "base/check.h"
#include "python/src/arguments.h"
#include "python/src/arrays.h"
#include "python/src/bindings.h"
#include "python/src/collected.h"
#include "python/src/hooks.h"
#include "python/src/immutable.h"
#include "python/src/model.h"
#include "python/src/runs.h"
#include "vitrine/resume.h"

namespace vitrine::python {
using namespace internal;
namespace {

/// One sequence of a forward and a backward pass.
struct GradientsOfSequence {
  std::shared_ptr<const Backward> backward;
  int sequence;

  SequenceCaptures gradients() const { return {backward->gradients, sequence}; }
};

TargetRequest of_tokens(const Target& target, const TokensArg& tokens) {
  TargetRequest request;
  const bool one = PyUnicode_Check(tokens.ptr()) || PyIndex_Check(tokens.ptr());
  const auto add = [&](nb::handle token, double weight) {
    Target::Term term = target.terms().front();
    term.weight *= weight;
    request.terms.push_back({term, nb::borrow(token)});
  };
  if (one) {
    add(tokens, 1.0);
  } else {
    const size_t count = nb::len(tokens);
    if (count == 0) user_error("invalid tokens=[]: expected at least one token");
    for (const nb::handle token : tokens) add(token, 1.0 / static_cast<double>(count));
  }
  return request;
}

TargetRequest without_token(const Target& target) {
  TargetRequest request;
  for (const Target::Term& term : target.terms()) request.terms.push_back({term});
  return request;
}

TargetRequest sum(TargetRequest a, const TargetRequest& b, double factor) {
  for (TargetRequest::Term term : b.terms) {
    term.term.weight *= factor;
    a.terms.push_back(std::move(term));
  }
  return a;
}

TargetRequest times(TargetRequest request, double factor) {
  for (TargetRequest::Term& term : request.terms) term.term.weight *= factor;
  return request;
}

std::vector<Target> targets_of(const Model& model, const nb::object& targets) {
  const TargetRequest* one = nullptr;
  if (nb::try_cast(targets, one) && one) return {target_of(model, *one)};
  std::vector<Target> found;
  for (const nb::handle item : targets) {
    if (!nb::try_cast(nb::borrow(item), one) || !one)
      throw nb::type_error("invalid target: expected Target, or a sequence of them");
    found.push_back(target_of(model, *one));
  }
  return found;
}

/// `pass` is called with the targets, the plan and the options.
template <typename Pass>
std::shared_ptr<const Backward> run(const Model& model, const nb::object& target,
                                    const HookArgs& args, const std::string& logits,
                                    const Linearised& linearised, Pass pass) {
  const HookPlan plan = compiled(model, args);
  const std::vector<Target> targets = targets_of(model, target);
  BackwardOptions options;
  options.logits = logit_rows_of(logits);
  options.linearised = linearised;
  const nb::gil_scoped_release release;
  return std::make_shared<const Backward>(pass(targets, plan, options));
}

std::shared_ptr<const Backward> run(const Model& model, const Batch& batch,
                                    const nb::object& target, const HookArgs& args,
                                    const std::string& logits, const Linearised& linearised) {
  return run(model, target, args, logits, linearised,
             [&](const auto& targets, const auto& plan, const auto& options) {
               return backward(model, batch, targets, plan, options);
             });
}

std::vector<GradientsOfSequence> each_of(const std::shared_ptr<const Backward>& found) {
  std::vector<GradientsOfSequence> all;
  for (int i = 0; i < found->run.sequences(); ++i) all.push_back({found, i});
  return all;
}

std::vector<GradientsOfSequence> gradients_from(const Model& model, int layer, nb::handle residuals,
                                                const nb::object& target, const HookArgs& args,
                                                const std::string& logits,
                                                const Linearised& linearised) {
  const std::vector<Tensor> rows = tensors_of(residuals, "residuals");
  const std::vector<TensorView> views(rows.begin(), rows.end());
  return each_of(run(model, target, args, logits, linearised,
                     [&](const auto& targets, const auto& plan, const auto& options) {
                       return backward_from(model, layer, views, targets, plan, options);
                     }));
}

void bind_target(nb::module_& module) {
  const auto held = [](TargetRequest& request, auto take) {
    for (TargetRequest::Term& term : request.terms) take(term.token);
  };
  nb::class_<TargetRequest> bound(module, "Target", collected<TargetRequest>(held),
                                  R"(A number to differentiate, made by the static methods.

Targets can be added, subtracted and multiplied by numbers. A token is a single-token text or an id; of
several tokens it is their mean. Position -1 is the last; its logits predict the next token.)");
  immutable(bound, "make it where it is used");
  bound
      .def("__repr__",
           [](const TargetRequest& self) {
             return fmt::format("<vitrine.Target of {} {}>", self.terms.size(),
                                self.terms.size() == 1 ? "term" : "terms");
           })
      .def_static(
          "logit",
          [](const TokensArg& token, int64_t position) {
            return of_tokens(target::logit(0, position), token);
          },
          nb::arg("token"), nb::arg("position") = -1)
      .def_static(
          "log_prob",
          [](const TokensArg& token, int64_t position) {
            return of_tokens(target::log_prob(0, position), token);
          },
          nb::arg("token"), nb::arg("position") = -1, "In nats.")
      .def_static(
          "prob",
          [](const TokensArg& token, int64_t position) {
            return of_tokens(target::prob(0, position), token);
          },
          nb::arg("token"), nb::arg("position") = -1)
      .def_static(
          "logit_difference",
          [](const TokensArg& token, const TokensArg& against, int64_t position) {
            const Target logit = target::logit(0, position);
            return sum(of_tokens(logit, token), of_tokens(logit, against), -1.0);
          },
          nb::arg("token"), nb::arg("against"), nb::arg("position") = -1)
      .def_static(
          "cross_entropy", [] { return without_token(target::cross_entropy()); },
          "Mean over the tokens after the first of -log p, in nats.")
      .def_static(
          "entropy", [](int64_t position) { return without_token(target::entropy(position)); },
          nb::arg("position") = -1)
      .def_static(
          "kl",
          [](const ArrayArg& reference, int64_t position) {
            return without_token(target::kl(tensor_of(reference, "reference"), position));
          },
          nb::arg("reference"), nb::arg("position") = -1,
          "KL(reference || model) in nats; `reference`: logits [V].")
      .def_static(
          "norm",
          [](std::string site, int64_t position) {
            return without_token(target::norm(std::move(site), position));
          },
          nb::arg("site"), nb::arg("position") = -1, "Length of a site's row.")
      .def_static(
          "linear",
          [](std::string site, const ArrayArg& coefficients, int64_t position) {
            return without_token(
                target::linear(std::move(site), tensor_of(coefficients, "coefficients"), position));
          },
          nb::arg("site"), nb::arg("coefficients"), nb::arg("position") = -1,
          "Sum of coefficients times the elements of a site's row.")
      .def("__add__", [](const TargetRequest& a, const TargetRequest& b) { return sum(a, b, 1.0); })
      .def("__sub__",
           [](const TargetRequest& a, const TargetRequest& b) { return sum(a, b, -1.0); })
      .def("__mul__", [](const TargetRequest& a, double factor) { return times(a, factor); })
      .def("__rmul__", [](const TargetRequest& a, double factor) { return times(a, factor); })
      .def("__neg__", [](const TargetRequest& a) { return times(a, -1.0); });
}

constexpr const char* kGradientsDoc = R"(A forward and a backward pass.

Gradients of `target` at the sites `wrt`, with `edits` applied and differentiated; `capture` keeps
activations of the forward pass. A list of prompts is one batch, with one target for all or one each.
`constant_patterns`, `constant_scales`: attention patterns, or layernorms' scales, count as constants.)";

#define VITRINE_GRADIENT_ARGUMENTS                                      \
  nb::arg("target"), nb::kw_only(), nb::arg("wrt"),                     \
      nb::arg("capture") = nb::tuple(), nb::arg("edits") = nb::tuple(), \
      nb::arg("logits") = "none", nb::arg("constant_patterns") = false, \
      nb::arg("constant_scales") = false
#define VITRINE_RESIDUALS "collections.abc.Sequence[numpy.typing.ArrayLike]"
#define VITRINE_GRADIENT_SIGNATURE(name, arguments, target, result)                              \
  nb::sig("def " name "(self, " arguments ", target: " target                                    \
          ", *, wrt: vitrine.types.Captured, capture: vitrine.types.Captured = (), edits: "      \
          "vitrine.types.Edits = (), logits: vitrine.types.Logits = 'none', constant_patterns: " \
          "bool = False, constant_scales: bool = False) -> " result)

void bind_result(nb::module_& module) {
  nb::class_<GradientsOfSequence> bound(module, "Gradients", R"(Gradients of one sequence's target.

gradients[site] has the shape of a capture. At an edited site it is with respect to the edited value.)");
  immutable(bound, "keep its arrays, which can be");
  bound
      .def("__repr__",
           [](const GradientsOfSequence& self) {
             return fmt::format("<vitrine.Gradients at {} sites, value {}>",
                                self.backward->gradients->entries().size(),
                                self.backward->values.at(static_cast<size_t>(self.sequence)));
           })
      .def_prop_ro(
          "value",
          [](const GradientsOfSequence& self) {
            return self.backward->values.at(static_cast<size_t>(self.sequence));
          },
          "The target's value.")
      .def_prop_ro("gradients", &GradientsOfSequence::gradients)
      .def_prop_ro(
          "run",
          [](const GradientsOfSequence& self) {
            return RunOfSequence{{self.backward, &self.backward->run}, self.sequence};
          },
          "The forward pass.")
      .def(
          "__getitem__",
          [](const GradientsOfSequence& self, const std::string& site) {
            return self.gradients()[site];
          },
          nb::sig("def __getitem__(self, site: str, /) -> numpy.typing.NDArray[numpy.float32]"),
          "gradients[site]");
}

}  // namespace

Target target_of(const Model& model, const TargetRequest& request) {
  Target target;
  for (const TargetRequest::Term& each : request.terms) {
    Target::Term term = each.term;
    if (each.token.is_valid()) term.token = token_of(model, each.token);
    target += Target(term);
  }
  return target;
}

void bind_gradients(nb::module_& module, nb::class_<Model>& model) {
  bind_target(module);
  bind_result(module);
  model
      .def(
          "gradients",
          [](const Model& self, const PromptArg& prompt, const nb::object& target, nb::object wrt,
             nb::object capture, nb::object edits, const std::string& logits, bool patterns,
             bool scales) {
            return GradientsOfSequence{run(self, {ids_of(self, prompt)}, target,
                                           {std::move(capture), std::move(edits), std::move(wrt)},
                                           logits, {patterns, scales}),
                                       0};
          },
          nb::arg("prompt"), VITRINE_GRADIENT_ARGUMENTS,
          VITRINE_GRADIENT_SIGNATURE("gradients", "prompt: vitrine.types.Prompt", "Target",
                                     "Gradients"),
          kGradientsDoc)
      .def(
          "gradients",
          [](const Model& self, const BatchArg& prompts, const nb::object& target, nb::object wrt,
             nb::object capture, nb::object edits, const std::string& logits, bool patterns,
             bool scales) {
            return each_of(run(self, batch_of(self, prompts), target,
                               {std::move(capture), std::move(edits), std::move(wrt)}, logits,
                               {patterns, scales}));
          },
          nb::arg("prompts"), VITRINE_GRADIENT_ARGUMENTS,
          VITRINE_GRADIENT_SIGNATURE("gradients", "prompts: vitrine.types.Prompts",
                                     "Target | collections.abc.Sequence[Target]",
                                     "list[Gradients]"))
      .def(
          "gradients_from",
          [](const Model& self, int layer, const nb::object& residuals, const nb::object& target,
             nb::object wrt, nb::object capture, nb::object edits, const std::string& logits,
             bool patterns, bool scales) {
            return gradients_from(self, layer, residuals, target,
                                  {std::move(capture), std::move(edits), std::move(wrt)}, logits,
                                  {patterns, scales});
          },
          nb::arg("layer"), nb::arg("residuals"), VITRINE_GRADIENT_ARGUMENTS,
          VITRINE_GRADIENT_SIGNATURE("gradients_from", "layer: int, residuals: " VITRINE_RESIDUALS,
                                     "Target | collections.abc.Sequence[Target]",
                                     "list[Gradients]"),
          "gradients() of passes that begin at block `layer`: see run_from().");
}

}  // namespace vitrine::python
