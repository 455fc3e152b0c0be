// SPDX-License-Identifier: MIT
#include "vitrine/non_finite.h"

#include <cmath>
#include <functional>
#include <limits>

#include "base/check.h"
#include "base/finite.h"
#include "engine/non_finite_steps.h"

namespace vitrine {
using namespace internal;
namespace {

/// In logits -infinity is a token of probability 0, which is valid as long as another one has some.
std::optional<int64_t> first_invalid_logit(std::span<const float> row) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  bool any = false;
  for (size_t i = 0; i < row.size(); ++i) {
    if (!(row[i] < kInfinity)) return static_cast<int64_t>(i);
    any = any || row[i] > -kInfinity;
  }
  return any ? std::nullopt : std::optional<int64_t>(0);
}

/// Looks at sites of a pass without changing them, and keeps the first value that is not finite.
class Search {
 public:
  /// `logits`: at the logits alone; else at all other sites.
  Search(const Hooks& edits, bool logits) : hooks_(edits.only_edits()) {
    for (const SiteInfo& info : kSites) {
      const bool derived = info.shape == SiteShape::kMap || info.site == Site::kResult;
      if (derived || (info.site == Site::kLogits) != logits) continue;
      hooks_.edit(info.site, callback([this](EditView& view) { look(view); }));
    }
  }
  Search(const Search&) = delete;
  Search& operator=(const Search&) = delete;

  const Hooks& hooks() const { return hooks_; }
  const std::optional<NonFinite>& found() const { return found_; }

 private:
  void look(const EditView& view) {
    if (found_) return;
    const auto width = static_cast<size_t>(view.width);
    for (size_t r = 0; r < view.positions.size(); ++r) {
      const std::span<const float> row = view.values.subspan(r * width, width);
      const auto bad = view.site == Site::kLogits
                           ? first_invalid_logit(row)
                           : first_non_finite(row.data(), DType::kF32, std::ssize(row));
      if (!bad) continue;
      found_ = {.site = std::string(view.name),
                .sequence = view.sequence,
                .position = view.positions[r],
                .element = *bad,
                .value = row[static_cast<size_t>(*bad)]};
      return;
    }
  }

  Hooks hooks_;
  std::optional<NonFinite> found_;
};

/// The logits last and on their own: all rows of them take more memory than the rest of the pass.
std::optional<NonFinite> search_twice(const Hooks& edits,
                                      const std::function<void(const Search&)>& run) {
  for (const bool logits : {false, true}) {
    const Search search(edits, logits);
    run(search);
    if (search.found()) return search.found();
  }
  return std::nullopt;
}

}  // namespace

std::string NonFinite::text() const {
  return fmt::format("{} is {} at position {}{} (element {})", site,
                     std::isnan(value) ? "NaN"
                     : value > 0       ? "infinite"
                                       : "-infinite",
                     position, sequence > 0 ? fmt::format(" of sequence {}", sequence) : "",
                     element);
}

std::optional<NonFinite> find_non_finite(const Model& model, const Batch& batch,
                                         const Hooks& edits) {
  return search_twice(edits, [&](const Search& search) {
    model.forward(batch, search.hooks(), {.logits = LogitRows::kNone});
  });
}

std::optional<NonFinite> internal::find_non_finite(const Model& model,
                                                   const std::vector<Batch>& passes,
                                                   const Hooks& edits) {
  return search_twice(edits, [&](const Search& search) {
    Session session = model.session(static_cast<int>(passes.front().size()));
    for (size_t i = 0; i < passes.size() && !search.found(); ++i)
      session.forward(passes[i], search.hooks(), {.logits = LogitRows::kNone});
  });
}

void internal::refuse(const std::optional<NonFinite>& first, std::string_view what) {
  if (!first)
    user_error("{} is not finite, although every value of the forward pass is: check the inputs",
               what);
  user_error(
      "{} is not finite: {}, the first such value of the run; check the edits and the weights",
      what, first->text());
}

void refuse_non_finite(const Model& model, const Batch& batch, const Hooks& edits,
                       std::string_view what) {
  refuse(find_non_finite(model, batch, edits), what);
}

}  // namespace vitrine
