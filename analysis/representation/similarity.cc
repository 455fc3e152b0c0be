// SPDX-License-Identifier: MIT
#include "vitrine/analysis/similarity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "analysis/common/linalg.h"
#include "analysis/common/linear_cka.h"
#include "analysis/common/model_output.h"
#include "analysis/common/options.h"
#include "analysis/common/text_runs.h"
#include "base/quote.h"

namespace vitrine {
using namespace internal;
namespace {

// Eigenvalues below this part of the largest are rounding: activations are float32, and these are
// squares.
constexpr double kRank = 1e-12;
constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

/// One site of one of the models.
struct Source {
  const Model* model;
  std::string site;
  int64_t width = 0;
  std::vector<double> origin =
      {};  ///< its first row. Taken off all others, so that a large mean costs no digits
};

using Pair = std::pair<size_t, size_t>;

/// Eigenvectors, a row each and largest eigenvalue first, of those that hold `share` of the trace.
struct Components {
  Matrix vectors;
  std::vector<double> values;
};

Components components_of(const Matrix& symmetric, double share) {
  SymmetricEigen eigen = symmetric_eigen(symmetric);
  std::vector<double>& values = eigen.values;
  for (double& value : values) value = std::max(value, 0.0);
  const double total = sum(values);
  size_t count = 0;
  for (double held = 0;
       count < values.size() && values[count] > kRank * values[0] && held < share * total; ++count)
    held += values[count];
  values.resize(count);
  eigen.vectors.resize_rows(static_cast<int64_t>(count));
  return {std::move(eigen.vectors), std::move(values)};
}

double mean_correlation(const Matrix& product) {
  if (product.empty()) return kNothing;
  std::vector<double> correlations = singular_values(product);
  for (double& correlation : correlations) correlation = std::min(correlation, 1.0);
  return sum(correlations) / static_cast<double>(correlations.size());
}

/// One request, from the texts to the values.
class Comparison {
 public:
  Comparison(const Model& model, const Model* against, const Batch& texts,
             const SimilarityOptions& options)
      : texts_(texts), options_(options) {
    if (!(options.variance > 0 && options.variance <= 1))
      user_error("variance {} is out of range: expected > 0 and <= 1, such as 0.99",
                 options.variance);
    add_sources(model, found_.rows);
    if (against)
      add_sources(*against, found_.columns);
    else
      found_.columns = found_.rows;
    second_ = against ? found_.rows.size() : 0;
    found_.measure = options.measure;
    found_.variance = options.variance;
    for (const auto& text : texts) found_.tokens += rows_in(text);
    if (found_.tokens < 2)
      user_error("{} tokens cannot be compared: expected at least 2", found_.tokens);
    probe();
    values_.assign(sources_.size() * sources_.size(), kNothing);
    kept_.resize(sources_.size());
    scales_.assign(sources_.size(), 0.0);
    components_.assign(sources_.size(), 0);
  }

  Similarity run() {
    const auto widest =
        std::max_element(sources_.begin(), sources_.end(),
                         [](const Source& a, const Source& b) { return a.width < b.width; });
    if (found_.tokens <= widest->width)
      compare_kernels();
    else
      compare_features();
    collect();
    return std::move(found_);
  }

 private:
  void add_sources(const Model& model, std::vector<std::string>& names) {
    check_texts(model.config(), texts_);
    names = row_sites(model.config(), options_.site, options_.where);
    check_edits_reach(options_.edits, model.config(),
                      find_sites(options_.site, model.config(), options_.where), "the similarity");
    for (const std::string& name : names) sources_.push_back({&model, name});
  }

  int64_t rows_in(const std::vector<int32_t>& text) const {
    const auto length = static_cast<int64_t>(text.size());
    if (options_.where.positions.empty()) return length;
    return std::ssize(resolve_indices<int64_t>(options_.where.positions, 0, length, "position",
                                               "positions of each text"));
  }

  Hooks hooks_of(const Model* model, const std::set<size_t>& wanted) const {
    Hooks hooks = options_.edits.only_edits();
    for (const size_t s : wanted) {
      if (sources_[s].model == model) hooks.capture(sources_[s].site, options_.where);
    }
    return hooks;
  }

  std::set<size_t> all() const {
    std::set<size_t> wanted;
    for (size_t s = 0; s < sources_.size(); ++s) wanted.insert(s);
    return wanted;
  }

  /// Widths and origins, from the first text.
  void probe() {
    for (const Model* model : models()) {
      const Run run =
          model->forward(texts_[0], hooks_of(model, all()), {.logits = LogitRows::kNone});
      for (Source& source : sources_) {
        if (source.model != model) continue;
        const SiteRows first = rows_of(run.captures(), source.site, 0);
        source.width = static_cast<int64_t>(first.width);
        source.origin.assign(first.values.begin(), first.values.begin() + source.width);
      }
    }
  }

  std::vector<const Model*> models() const {
    std::vector<const Model*> found = {sources_.front().model};
    if (sources_.back().model != found[0]) found.push_back(sources_.back().model);
    return found;
  }

  Matrix gathered(const Captures& captures, const Source& source) const {
    const size_t sequences = captures.entry(source.site).sequences.size();
    std::vector<float> all;
    for (size_t s = 0; s < sequences; ++s) {
      const SiteRows part = rows_of(captures, source.site, s);
      all.insert(all.end(), part.values.begin(), part.values.end());
    }
    Matrix rows(all, std::ssize(all) / source.width, source.width);
    rows.subtract_from_rows(source.origin);
    return rows;
  }

  /// Runs the texts once. `see` gets the rows of each wanted source for the same tokens, less the
  /// source's origin; the others are empty.
  template <typename See>
  void pass(const std::set<size_t>& wanted, int64_t passes, See&& see) {
    const auto used = models();
    std::vector<Matrix> rows(sources_.size());
    const auto gather = [&](const Captures& captures, const Model* model) {
      for (const size_t s : wanted) {
        if (sources_[s].model == model) rows[s] = gathered(captures, sources_[s]);
      }
    };
    std::vector<HookPlan> plans;
    for (const Model* model : used) plans.push_back(model->compile(hooks_of(model, wanted)));
    const auto see_batch = [&](const TextBatch& batch) {
      gather(batch.captures, used[0]);
      if (used.size() > 1) {
        const auto sequences = std::ssize(batch.captures.entries().front().sequences);
        const auto from = texts_.begin() + static_cast<std::ptrdiff_t>(batch.first);
        const Batch same(from, from + sequences);
        const Run run = used[1]->forward(same, plans[1], {.logits = LogitRows::kNone});
        require_finite(run.captures(), *used[1], same, plans[1].hooks(), "the similarity");
        gather(run.captures(), used[1]);
      }
      see(rows);
      if (options_.progress) {
        options_.progress->update(static_cast<uint64_t>(found_.passes) * batch.total + batch.done,
                                  static_cast<uint64_t>(passes) * batch.total, "Similarity");
      }
    };
    run_texts(*used[0], texts_, plans[0], options_.batch_tokens, "the similarity", true, see_batch);
    ++found_.passes;
  }

  /// N no larger than the sites are wide: by the tokens' N x N products.
  void compare_kernels() {
    std::vector<Matrix> rows;
    for (const Source& source : sources_) rows.emplace_back(found_.tokens, source.width);
    int64_t at = 0;
    pass(all(), 1, [&](const std::vector<Matrix>& some) {
      for (size_t s = 0; s < some.size(); ++s)
        std::copy(some[s].values().begin(), some[s].values().end(), rows[s].row(at).data());
      at += some[0].rows();
    });
    for (size_t s = 0; s < sources_.size(); ++s) {
      Matrix own = std::exchange(rows[s], {});
      kept_[s] = svcca() ? components_of(centred_kernel(std::move(own)), options_.variance).vectors
                         : cka_kernel(std::move(own));
      components_[s] = kept_[s].rows();
    }
    for (const auto& [a, b] : pairs()) {
      value(a, b) = svcca() ? mean_correlation(product(kept_[a], kept_[b].t()))
                            : linear_cka(kept_[a], kept_[b]);
    }
  }

  /// More tokens than that: by the sites' D1 x D2 products, as many at a time as fit.
  void compare_features() {
    std::vector<Pair> todo;  // a site's own product first, which its others are measured by
    for (size_t s = 0; s < sources_.size(); ++s) todo.emplace_back(s, s);
    for (const Pair& pair : pairs()) {
      if (pair.first != pair.second) todo.push_back(pair);
    }
    const auto groups = grouped(todo);
    for (const auto& group : groups) run_group(group, std::ssize(groups));
  }

  std::vector<std::vector<Pair>> grouped(const std::vector<Pair>& todo) const {
    std::vector<std::vector<Pair>> groups;
    double bytes = 0;
    const auto limit = static_cast<double>(options_.max_bytes);
    for (const Pair& pair : todo) {
      const double more = 8.0 * static_cast<double>(sources_[pair.first].width) *
                          static_cast<double>(sources_[pair.second].width);
      if (more > limit) {
        user_error(
            "the product of '{}' and '{}' takes {}: expected at most {} (max_bytes); select "
            "neurons, or use no more tokens than the sites are wide",
            sources_[pair.first].site, sources_[pair.second].site, human_bytes(more),
            human_bytes(limit));
      }
      if (groups.empty() || bytes + more > limit) {
        groups.emplace_back();
        bytes = 0;
      }
      groups.back().push_back(pair);
      bytes += more;
    }
    return groups;
  }

  void run_group(const std::vector<Pair>& group, int64_t passes) {
    std::set<size_t> wanted;
    std::vector<Matrix> products;
    for (const auto& [a, b] : group) {
      wanted.insert({a, b});
      products.emplace_back(sources_[a].width, sources_[b].width);
    }
    std::vector<Matrix> sums;
    for (const Source& source : sources_) sums.emplace_back(1, source.width);
    pass(wanted, passes, [&](const std::vector<Matrix>& rows) {
      for (const size_t s : wanted) sums[s].add(rows[s].column_sums());
      for (size_t i = 0; i < group.size(); ++i)
        add_product(products[i], rows[group[i].first].t(), rows[group[i].second]);
    });
    const auto count = static_cast<double>(found_.tokens);
    for (size_t i = 0; i < group.size(); ++i) {
      const auto [a, b] = group[i];
      add_product(products[i], sums[a].t(), sums[b], -1 / count);
      a == b ? keep(a, products[i]) : compare(a, b, products[i]);
    }
  }

  /// What its site's pairs need of a site's own product.
  void keep(size_t s, const Matrix& own) {
    if (svcca()) {
      Components found = components_of(own, options_.variance);
      for (double& value : found.values) value = 1 / std::sqrt(value);
      kept_[s] = std::move(found.vectors);
      kept_[s].scale_rows(found.values);
      components_[s] = kept_[s].rows();
    }
    scales_[s] = norm(own.values());
    value(s, s) = scales_[s] > 0 ? 1.0 : kNothing;
  }

  void compare(size_t a, size_t b, const Matrix& products) {
    if (svcca())
      value(a, b) = mean_correlation(product(product(kept_[a], products), kept_[b].t()));
    else
      value(a, b) = dot(products.values(), products.values()) / (scales_[a] * scales_[b]);
  }

  bool svcca() const { return options_.measure == SimilarityMeasure::kSvcca; }
  double& value(size_t a, size_t b) { return values_[a * sources_.size() + b]; }

  /// Those that the result shows; of one model each once.
  std::vector<Pair> pairs() const {
    std::vector<Pair> found;
    for (size_t a = 0; a < found_.rows.size(); ++a) {
      for (size_t b = second_ > 0 ? second_ : a; b < sources_.size(); ++b) found.emplace_back(a, b);
    }
    return found;
  }

  void collect() {
    for (size_t a = 0; a < found_.rows.size(); ++a) {
      for (size_t c = 0; c < found_.columns.size(); ++c) {
        const size_t b = second_ + c;
        found_.values.push_back(second_ > 0 || a <= b ? value(a, b) : value(b, a));
      }
    }
    if (!svcca()) return;
    found_.row_components.assign(components_.begin(),
                                 components_.begin() + std::ssize(found_.rows));
    found_.column_components.assign(components_.begin() + static_cast<std::ptrdiff_t>(second_),
                                    components_.end());
  }

  const Batch& texts_;
  const SimilarityOptions& options_;
  /// Of the rows; from second_ on, of the columns where that is another model.
  std::vector<Source> sources_;
  size_t second_ = 0;         ///< 0: one model
  std::vector<Matrix> kept_;  ///< what a site's pairs need
  std::vector<double> scales_;
  std::vector<int64_t> components_;
  std::vector<double> values_;  ///< [sources, sources], as far as computed
  Similarity found_;
};

}  // namespace

std::string_view similarity_measure_name(SimilarityMeasure measure) {
  return measure == SimilarityMeasure::kSvcca ? "svcca" : "cka";
}

SimilarityMeasure similarity_measure_from_name(std::string_view name) {
  for (const SimilarityMeasure measure : {SimilarityMeasure::kCka, SimilarityMeasure::kSvcca}) {
    if (name == similarity_measure_name(measure)) return measure;
  }
  user_error("unknown similarity measure '{}': expected cka or svcca", name);
}

Similarity similarity(const Model& model, const Batch& texts, const SimilarityOptions& options) {
  return Comparison(model, nullptr, texts, options).run();
}

Similarity similarity(const Model& model, const Model& against, const Batch& texts,
                      const SimilarityOptions& options) {
  return Comparison(model, &against, texts, options).run();
}

}  // namespace vitrine
