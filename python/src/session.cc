// SPDX-License-Identifier: MIT
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <mutex>

#include "base/check.h"
#include "python/src/arguments.h"
#include "python/src/bindings.h"
#include "python/src/hooks.h"
#include "python/src/model.h"
#include "python/src/runs.h"
#include "vitrine/resume.h"

namespace vitrine::python {
using namespace internal;
namespace {

/// A session with its model. Calls of several threads take turns. None waits with the GIL, which
/// the function edits of the pass that it waits for need.
class PythonSession {
 public:
  PythonSession(const Model& model, Session session)
      : model_(model), session_(std::move(session)) {}

  RunBatch run(const BatchArg& tokens, const HookArgs& hooks, const std::string& logits) {
    return pass(batch_of(model_, tokens), hooks, logits);
  }
  RunOfSequence run(const PromptArg& tokens, const HookArgs& hooks, const std::string& logits) {
    return {pass({ids_of(model_, tokens)}, hooks, logits).run, 0};
  }

  RunBatch run_from(int layer, nb::handle residuals, const HookArgs& args,
                    const std::string& logits) {
    const std::vector<Tensor> rows = tensors_of(residuals, "residuals");
    const std::vector<TensorView> views(rows.begin(), rows.end());
    const Hooks hooks = hooks_of(model_, args);
    const ForwardOptions options{.logits = logit_rows_of(logits)};
    const nb::gil_scoped_release release;
    const std::lock_guard lock(mutex_);
    return {std::make_shared<const Run>(session_.forward_from(layer, views, hooks, options))};
  }

  std::unique_ptr<PythonSession> fork(int sequence, int copies) {
    const nb::gil_scoped_release release;
    const std::lock_guard lock(mutex_);
    return std::make_unique<PythonSession>(model_, session_.fork(sequence, copies));
  }
  int64_t length(int sequence) {
    const nb::gil_scoped_release release;
    const std::lock_guard lock(mutex_);
    return session_.length(sequence);
  }
  void truncate(int64_t length, int sequence) {
    const nb::gil_scoped_release release;
    const std::lock_guard lock(mutex_);
    session_.truncate(sequence, length);
  }

 private:
  RunBatch pass(const Batch& batch, const HookArgs& args, const std::string& logits) {
    const Hooks hooks = hooks_of(model_, args);
    const ForwardOptions options{.logits = logit_rows_of(logits)};
    const nb::gil_scoped_release release;
    const std::lock_guard lock(mutex_);
    return {std::make_shared<const Run>(session_.forward(batch, hooks, options))};
  }

  Model model_;
  Session session_;
  std::mutex mutex_;
};

RunBatch run_from(const Model& model, int layer, nb::handle residuals, const HookArgs& args,
                  const std::string& logits) {
  const std::vector<Tensor> rows = tensors_of(residuals, "residuals");
  const std::vector<TensorView> views(rows.begin(), rows.end());
  const HookPlan plan = compiled(model, args);
  const ForwardOptions options{.logits = logit_rows_of(logits)};
  const nb::gil_scoped_release release;
  return {std::make_shared<const Run>(forward_from(model, layer, views, plan, options))};
}

}  // namespace

void bind_session(nb::module_& module, nb::class_<Model>& model) {
  nb::class_<PythonSession>(module, "Session",
                            R"(Growing sequences with a key/value cache, from Model.session().

Each pass appends tokens and gives the same bits as one pass over the whole sequences.)")
      .def(
          "run",
          [](PythonSession& self, const PromptArg& tokens, nb::object capture, nb::object edits,
             const std::string& logits) {
            return self.run(tokens, {std::move(capture), std::move(edits)}, logits);
          },
          nb::arg("tokens"), nb::kw_only(), nb::arg("capture") = nb::tuple(),
          nb::arg("edits") = nb::tuple(), nb::arg("logits") = "all",
          nb::sig(
              "def run(self, tokens: vitrine.types.Prompt, *, capture: vitrine.types.Captured = "
              "(), edits: vitrine.types.Edits = (), logits: vitrine.types.Logits = 'all') -> Run"),
          "Appends tokens to the only sequence, or to each of several (a list; an empty one "
          "leaves\n"
          "its sequence unchanged).")
      .def(
          "run",
          [](PythonSession& self, const BatchArg& tokens, nb::object capture, nb::object edits,
             const std::string& logits) {
            return self.run(tokens, {std::move(capture), std::move(edits)}, logits);
          },
          nb::arg("tokens"), nb::kw_only(), nb::arg("capture") = nb::tuple(),
          nb::arg("edits") = nb::tuple(), nb::arg("logits") = "all",
          nb::sig("def run(self, tokens: vitrine.types.Prompts, *, capture: vitrine.types.Captured "
                  "= (), edits: vitrine.types.Edits = (), logits: vitrine.types.Logits = 'all') -> "
                  "RunBatch"))
      .def(
          "run_from",
          [](PythonSession& self, int layer, nb::object residuals, nb::object capture,
             nb::object edits, const std::string& logits) {
            return self.run_from(layer, residuals, {std::move(capture), std::move(edits)}, logits);
          },
          nb::arg("layer"), nb::arg("residuals"), nb::kw_only(), nb::arg("capture") = nb::tuple(),
          nb::arg("edits") = nb::tuple(), nb::arg("logits") = "all",
          nb::sig("def run_from(self, layer: int, residuals: "
                  "collections.abc.Sequence[numpy.typing.ArrayLike], *, capture: "
                  "vitrine.types.Captured = (), edits: vitrine.types.Edits = (), logits: "
                  "vitrine.types.Logits = 'all') -> RunBatch"),
          "Resumes at block `layer` from blocks.<layer>.hook_resid_pre of each sequence's next\n"
          "tokens: one [t, D] array a sequence. Later passes must resume at the same layer.")
      .def("fork", &PythonSession::fork, nb::arg("sequence") = 0, nb::arg("copies") = 1,
           "A session of `copies` sequences, each with the tokens of `sequence` so far.")
      .def("length", &PythonSession::length, nb::arg("sequence") = 0,
           "Number of tokens of a sequence.")
      .def("truncate", &PythonSession::truncate, nb::arg("length"), nb::arg("sequence") = 0,
           "Discards all positions from `length` on.");
  model.def(
      "run_from",
      [](const Model& self, int layer, nb::object residuals, nb::object capture, nb::object edits,
         const std::string& logits) {
        return run_from(self, layer, residuals, {std::move(capture), std::move(edits)}, logits);
      },
      nb::arg("layer"), nb::arg("residuals"), nb::kw_only(), nb::arg("capture") = nb::tuple(),
      nb::arg("edits") = nb::tuple(), nb::arg("logits") = "all",
      nb::sig("def run_from(self, layer: int, residuals: "
              "collections.abc.Sequence[numpy.typing.ArrayLike], *, capture: "
              "vitrine.types.Captured = (), edits: vitrine.types.Edits = (), logits: "
              "vitrine.types.Logits = 'all') -> RunBatch"),
      "One pass of block `layer` and the later ones over blocks.<layer>.hook_resid_pre of each\n"
      "sequence, one [T, D] array each. Earlier blocks do not run, nor with logits=\"none\" those\n"
      "after the last captured or edited site.");
  model.def(
      "session",
      [](const Model& self, int sequences, int64_t capacity) {
        const nb::gil_scoped_release release;
        return std::make_unique<PythonSession>(self, self.session(sequences, capacity));
      },
      nb::arg("sequences") = 1, nb::kw_only(), nb::arg("capacity") = 0,
      "Sequences with a cache of `capacity` positions each (0: the context).");
}

}  // namespace vitrine::python
