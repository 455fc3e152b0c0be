// SPDX-License-Identifier: MIT
#include "python/src/runs.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "base/check.h"
#include "python/src/bindings.h"
#include "python/src/immutable.h"

namespace vitrine::python {
using namespace internal;
namespace {

std::vector<std::string> names_of(const Captures& captures) {
  std::vector<std::string> names;
  for (const Captures::Entry& entry : captures.entries()) names.push_back(entry.name);
  return names;
}

constexpr const char* kKeepArrays = "keep its arrays, which can be";

std::string counted_sites(const Captures& captures) {
  const size_t sites = captures.entries().size();
  return fmt::format("{} {}", sites, sites == 1 ? "site" : "sites");
}

void bind_captures(nb::module_& module) {
  nb::class_<SequenceCaptures> bound(
      module, "Captures",
      R"(Captured activations of one sequence: a mapping from site names to arrays.

Arrays are read-only and share the run's memory, which lives as long as one of them. Shapes:
[P, D], [P, H, K], [P, M], ... with the captured positions first; a map (scores, pattern) is
[H, P, N], N the length of the sequence, where masked keys hold -inf (scores) or 0 (pattern).)");
  immutable(bound, kKeepArrays);
  bound
      .def("__getitem__", &SequenceCaptures::operator[], nb::arg("site"),
           nb::sig("def __getitem__(self, site: str, /) -> numpy.typing.NDArray[numpy.float32]"),
           "The array of a site, by its whole name. Error lists the captured ones.")
      .def("__contains__", [](const SequenceCaptures& self,
                              const std::string& site) { return self.all()->has(site); })
      .def("__len__", [](const SequenceCaptures& self) { return self.all()->entries().size(); })
      .def(
          "__iter__",
          [](const SequenceCaptures& self) { return nb::iter(nb::cast(names_of(*self.all()))); },
          nb::sig("def __iter__(self) -> collections.abc.Iterator[str]"))
      .def(
          "keys", [](const SequenceCaptures& self) { return names_of(*self.all()); },
          "Names of the captured sites, in the order of the pass.")
      .def(
          "values",
          [](const SequenceCaptures& self) {
            nb::list arrays;
            for (const std::string& name : names_of(*self.all())) arrays.append(self[name]);
            return arrays;
          },
          nb::sig("def values(self) -> list[numpy.typing.NDArray[numpy.float32]]"))
      .def(
          "items",
          [](const SequenceCaptures& self) {
            nb::list items;
            for (const std::string& name : names_of(*self.all()))
              items.append(nb::make_tuple(name, self[name]));
            return items;
          },
          nb::sig("def items(self) -> list[tuple[str, numpy.typing.NDArray[numpy.float32]]]"))
      .def("__repr__",
           [](const SequenceCaptures& self) {
             return fmt::format("<vitrine.Captures of {}>", counted_sites(*self.all()));
           })
      .def(
          "positions",
          [](const SequenceCaptures& self, const std::string& site) {
            return self.all()
                ->entry(site)
                .sequences.at(static_cast<size_t>(self.sequence()))
                .positions;
          },
          nb::arg("site"), "Positions of the rows of a site.")
      .def(
          "heads",
          [](const SequenceCaptures& self, const std::string& site) {
            return self.all()->entry(site).heads;
          },
          nb::arg("site"), "Captured heads of a site that has heads.")
      .def(
          "mean",
          [](const SequenceCaptures& self, const std::string& site) {
            if (self.all()->device() != nullptr)
              user_error(
                  "the captures are on the GPU: take the mean of torch.from_dlpack(captures.dlpack("
                  "\"{}\")), or run without on_device=True",
                  site);
            return array_of(self.all()->mean(site));
          },
          nb::arg("site"),
          nb::sig("def mean(self, site: str) -> numpy.typing.NDArray[numpy.float32]"),
          "Mean over all captured positions of all sequences of the pass, summed in double\n"
          "precision: the operand of a mean ablation (Edit.replace).")
      .def("dlpack", &SequenceCaptures::dlpack, nb::arg("site"),
           nb::sig("def dlpack(self, site: str) -> typing.Any"),
           "The same memory as an object with __dlpack__, in every type that is stored, bf16\n"
           "included, and on the GPU after run(on_device=True):\n"
           "torch.from_dlpack(captures.dlpack(site)). It must not be written to.");
}

}  // namespace

int python_index(int64_t index, int64_t count) {
  const int64_t from_start = index < 0 ? index + count : index;
  if (from_start < 0 || from_start >= count)
    throw nb::index_error(
        fmt::format("index {} is out of range: there are {}", index, count).c_str());
  return static_cast<int>(from_start);
}

void bind_runs(nb::module_& module) {
  bind_captures(module);
  nb::class_<RunOfSequence> bound(module, "Run", "Result of a pass over one sequence of tokens.");
  immutable(bound, kKeepArrays);
  bound
      .def("__repr__",
           [](const RunOfSequence& self) {
             return fmt::format("<vitrine.Run of {} tokens, {}>", self.part().tokens,
                                counted_sites(self.run->captures()));
           })
      .def_prop_ro(
          "logits",
          [](const RunOfSequence& self) { return array_of(self.part().logits, self.run); },
          nb::sig("def logits(self) -> numpy.typing.NDArray[numpy.float32]"),
          "[T, V] float32, or [1, V], [0, V] with logits=\"last\", \"none\". Read-only.")
      .def_prop_ro(
          "tokens", [](const RunOfSequence& self) { return self.part().tokens; },
          "Number of tokens of this pass.")
      .def_prop_ro(
          "past", [](const RunOfSequence& self) { return self.part().past; },
          "Number of tokens of the session before the pass.")
      .def_prop_ro("captures", &RunOfSequence::captures)
      .def(
          "__getitem__",
          [](const RunOfSequence& self, const std::string& site) { return self.captures()[site]; },
          nb::sig("def __getitem__(self, site: str, /) -> numpy.typing.NDArray[numpy.float32]"),
          "captures[site]")
      .def(
          "dlpack",
          [](const RunOfSequence& self, const std::string& site) {
            if (site != "logits" || self.run->captures().has(site))
              return self.captures().dlpack(site);
            return shared_array_of(self.part().logits, self.run, self.gpu);
          },
          nb::arg("site"), nb::sig("def dlpack(self, site: str) -> typing.Any"),
          "captures.dlpack(site), and of \"logits\" those of the pass.")
      .def("__contains__", [](const RunOfSequence& self, const std::string& site) {
        return self.run->captures().has(site);
      });
  nb::class_<RunBatch> batch(
      module, "RunBatch",
      "Result of a pass over several sequences: a sequence of Run. Nothing is padded.");
  immutable(batch, kKeepArrays);
  batch
      .def("__repr__",
           [](const RunBatch& self) {
             return fmt::format("<vitrine.RunBatch of {} sequences, {}>", self.run->sequences(),
                                counted_sites(self.run->captures()));
           })
      .def("__len__", [](const RunBatch& self) { return self.run->sequences(); })
      .def("__getitem__",
           [](const RunBatch& self, int64_t index) {
             return RunOfSequence{self.run, python_index(index, self.run->sequences()), self.gpu};
           })
      .def(
          "keys", [](const RunBatch& self) { return names_of(self.run->captures()); },
          "Names of the captured sites, in the order of the pass.")
      .def(
          "rows",
          [](const RunBatch& self, const std::string& site) {
            return array_of(self.run->captures().entry(site).rows(), self.run);
          },
          nb::arg("site"),
          nb::sig("def rows(self, site: str) -> numpy.typing.NDArray[numpy.float32]"),
          "Rows of all sequences one after the other, [N, D], [N, H, K], ...: without a copy.\n"
          "Error for a map.")
      .def(
          "dlpack",
          [](const RunBatch& self, const std::string& site) {
            return shared_array_of(self.run->captures().entry(site).rows(), self.run, self.gpu);
          },
          nb::arg("site"), nb::sig("def dlpack(self, site: str) -> typing.Any"),
          "rows(site) as Captures.dlpack() gives them.")
      .def(
          "offsets",
          [](const RunBatch& self, const std::string& site) {
            return self.run->captures().entry(site).offsets();
          },
          nb::arg("site"), "First row of each sequence in rows(site), then their number.");
}

}  // namespace vitrine::python
