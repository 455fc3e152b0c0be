// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "analysis/common/linalg.h"
#include "analysis/common/model_output.h"
#include "analysis/common/text_runs.h"
#include "analysis/lens/divergence.h"
#include "analysis/lens/unembedding_hash.h"
#include "base/check.h"
#include "vitrine/analysis/tuned_lens.h"
#include "vitrine/logit_rows.h"

namespace vitrine {
using namespace internal;
namespace {

Matrix widen(TensorView rows) { return {rows.f32(), rows.shape()[0], rows.shape()[1]}; }

/// Sums over tokens from which one layer's regression follows: of weights, inputs h, outputs y and
/// their products.
class NormalEquations {
 public:
  explicit NormalEquations(int64_t width)
      : inputs_(1, width), outputs_(1, width), squares_(width, width), products_(width, width) {}

  /// `roots` [1, tokens] are the square roots of the tokens' weights.
  void add(Matrix h, Matrix y, const Matrix& roots) {
    h.scale_rows(roots.values());
    y.scale_rows(roots.values());
    weight_ += dot(roots.values(), roots.values());
    add_product(inputs_, roots, h);
    add_product(outputs_, roots, y);
    add_gram(squares_.values(), h);
    add_product(products_, h.t(), y);
  }

  /// A as [output][input] and b.
  void solve(double alpha, Tensor& a, Tensor& b) const {
    const int64_t width = squares_.rows();
    Matrix centred = squares_, right = products_, slopes(width, width);  // slopes: [input][output]
    mirror_lower(centred);
    add_product(centred, inputs_.t(), inputs_, -1 / weight_);
    add_product(right, inputs_.t(), outputs_, -1 / weight_);
    double trace = 0;
    for (int64_t i = 0; i < width; ++i) trace += centred(i, i);
    const double lambda = alpha * trace / static_cast<double>(width);
    if (lambda > 0) {  // inputs that never change say nothing
      for (int64_t i = 0; i < width; ++i) centred(i, i) += lambda;
      slopes = solve_positive_definite(centred, right);
    }
    Matrix offset = outputs_;
    add_product(offset, inputs_, slopes, -1);
    a = Tensor(DType::kF32, {width, width});
    b = Tensor(DType::kF32, {width});
    for (int64_t out = 0; out < width; ++out) {
      for (int64_t in = 0; in < width; ++in)
        a.f32()[static_cast<size_t>(out * width + in)] = static_cast<float>(slopes(in, out));
      b.f32()[static_cast<size_t>(out)] = static_cast<float>(offset(0, out) / weight_);
    }
    if (!all_finite(slopes.values()) || !all_finite(offset.values()))
      user_error("alpha {} is too small for a finite solution: use a larger `alpha`", alpha);
  }

 private:
  double weight_ = 0;
  Matrix inputs_, outputs_;    ///< [1, width]
  Matrix squares_, products_;  ///< [input][input], its lower half; [input][output]
};

class Fit {
 public:
  Fit(const Model& model, const TunedLensFitOptions& options)
      : model_(model),
        options_(options),
        config_(model.config()),
        output_(model, options.edits),
        inputs_(options.edits.only_edits()) {
    if (!(options.alpha > 0) || !std::isfinite(options.alpha))
      user_error("alpha {} is out of range: expected > 0, such as 0.001", options.alpha);
    if (options.max_tokens < 0)
      user_error("max_tokens {} is out of range: expected 0 (the whole corpus) or more",
                 options.max_tokens);
    if (options.held_out_every < 2)
      user_error("held_out_every {} is out of range: expected at least 2", options.held_out_every);
    if (options.max_held_out < 2)
      user_error("max_held_out {} is out of range: expected at least 2", options.max_held_out);
    layers_.assign(static_cast<size_t>(config_.layers), NormalEquations(config_.width));
    inputs_.capture(Site::kResidPre);
    check_captures(inputs_, "the fit");
    check_edits_reach(inputs_, config_, find_sites(Site::kResidPost, config_, {.layers = {-1}}),
                      "the fit");
    result_.alpha = options.alpha;
    result_.lens = {.model = model.name(),
                    .unembedding = unembedding_hash(model),
                    .unembed_hash = package_hash(model),
                    .width = config_.width,
                    .weights = {},
                    .biases = {}};
  }

  TunedLensFit run(const NextText& texts) {
    read(texts);
    if (result_.fitted_tokens < 2)
      user_error("the corpus has {} tokens for the fit: expected at least two texts of two tokens",
                 result_.fitted_tokens);
    if (held_out_.empty()) {
      user_error(
          "missing held-out text: every {}th text of at least two tokens is held out; use a longer "
          "corpus",
          options_.held_out_every);
    }
    for (const NormalEquations& layer : layers_)
      layer.solve(options_.alpha, result_.lens.weights.emplace_back(),
                  result_.lens.biases.emplace_back());
    layers_.clear();
    measure();
    return std::move(result_);
  }

 private:
  void read(const NextText& texts) {
    Batch batch;
    int64_t waiting = 0, count = 0;
    const auto total = [&] { return result_.fitted_tokens + result_.held_out_tokens + waiting; };
    while (options_.max_tokens == 0 || total() < options_.max_tokens) {
      auto text = texts();
      if (!text) break;
      if (text->empty()) continue;
      if (options_.max_tokens > 0)
        text->resize(std::min(text->size(), static_cast<size_t>(options_.max_tokens - total())));
      const auto size = static_cast<int64_t>(text->size());
      if (++count % options_.held_out_every == 0 && size > 1 &&
          result_.held_out_tokens < options_.max_held_out) {
        text->resize(
            std::min(text->size(), static_cast<size_t>(std::max<int64_t>(
                                       2, options_.max_held_out - result_.held_out_tokens))));
        result_.held_out_tokens += static_cast<int64_t>(text->size());
        held_out_.push_back(std::move(*text));
        continue;
      }
      waiting += size;
      batch.push_back(std::move(*text));
      if (waiting >= config_.context) {
        add(batch);
        batch.clear();
        waiting = 0;
      }
      if (options_.progress)
        options_.progress->update(static_cast<uint64_t>(total()),
                                  static_cast<uint64_t>(options_.max_tokens), "Fitting");
    }
    if (!batch.empty()) add(batch);
  }

  /// The tokens of a batch into every layer's sums.
  void add(const Batch& batch) {
    const int last = config_.layers - 1;
    if (!plan_)
      plan_ = model_.compile(Hooks(inputs_).capture(Site::kResidPost, {.layers = {last}}));
    const Run run = model_.forward(batch, *plan_, {.logits = LogitRows::kNone});
    require_finite(run.captures(), model_, batch, options_.edits, "the residual stream of the fit");
    for (int s = 0; s < run.sequences(); ++s) {
      const Matrix output = widen(run.captures().view(Site::kResidPost, last, s));
      const Matrix roots = token_roots(output);
      for (int layer = 0; layer < config_.layers; ++layer) {
        Matrix h = widen(run.captures().view(Site::kResidPre, layer, s)), rest = output;
        for (size_t i = 0; i < h.values().size(); ++i) rest.values()[i] -= h.values()[i];
        layers_[static_cast<size_t>(layer)].add(std::move(h), std::move(rest), roots);
      }
      result_.fitted_tokens += output.rows();
    }
  }

  /// [1, tokens] 1 over each row's standard deviation, as the final layernorm has it.
  Matrix token_roots(const Matrix& output) const {
    const auto width = static_cast<double>(config_.width);
    Matrix roots(1, output.rows());
    for (int64_t t = 0; t < output.rows(); ++t) {
      const double mean = sum(output.row(t)) / width;
      double squares = 0;
      for (const double x : output.row(t)) squares += (x - mean) * (x - mean);
      roots(0, t) = 1 / std::sqrt(squares / width + double{config_.layer_norm_epsilon});
    }
    return roots;
  }

  /// Sums over the held-out tokens, then means.
  void measure() {
    for (int layer = 0; layer < config_.layers; ++layer) result_.rows.push_back({.layer = layer});
    int64_t measured = 0, seen = 0;
    const HookPlan plan = model_.compile(Hooks(inputs_).capture(output_.site()));
    for (const std::vector<int32_t>& text : held_out_) {
      const Run run = model_.forward(text, plan, {.logits = LogitRows::kNone});
      require_finite(run.captures(), model_, {text}, options_.edits, "the held-out text");
      const auto scored = static_cast<int64_t>(text.size()) - 1;  // nothing follows the last
      for (int64_t first = 0; first < scored; first += kLogitRowsAtOnce)
        measure_rows(run, text, first, std::min(kLogitRowsAtOnce, scored - first));
      measured += scored;
      seen += scored + 1;
      if (options_.progress)
        options_.progress->update(static_cast<uint64_t>(seen),
                                  static_cast<uint64_t>(result_.held_out_tokens), "Measuring");
    }
    const auto n = static_cast<double>(measured);
    result_.model_loss /= n;
    for (TunedLensRow& row : result_.rows) {
      for (double* sum : {&row.normalized_loss, &row.tuned_loss, &row.normalized_kl, &row.tuned_kl})
        *sum /= n;
    }
  }

  /// Of the token after the position.
  static double loss_of(const ReferenceRows::Compared& row, const std::vector<int32_t>& text,
                        int64_t position) {
    return row.lse - row.logits[static_cast<size_t>(text[static_cast<size_t>(position + 1)])];
  }

  void measure_rows(const Run& run, const std::vector<int32_t>& text, int64_t first,
                    int64_t count) {
    const TensorView output = rows_between(run.view(output_.site()), first, count);
    const ReferenceRows reference(model_, output_, output);
    const auto compare = [&](TensorView rows, bool normalize, double& loss, double& kl) {
      reference.compare(rows, normalize, [&](int64_t r, const ReferenceRows::Compared& compared) {
        loss += loss_of(compared, text, first + r);
        kl += compared.kl;
      });
    };
    reference.compare_output(output_, output,
                             [&](int64_t r, const ReferenceRows::Compared& compared) {
                               result_.model_loss += loss_of(compared, text, first + r);
                             });
    for (TunedLensRow& row : result_.rows) {
      const TensorView h = rows_between(run.view(Site::kResidPre, row.layer), first, count);
      compare(h, true, row.normalized_loss, row.normalized_kl);
      compare(result_.lens.translate(row.layer, h), true, row.tuned_loss, row.tuned_kl);
    }
  }

  const Model& model_;
  const TunedLensFitOptions& options_;
  const Config& config_;
  ModelOutput output_;
  Hooks inputs_;
  std::optional<HookPlan> plan_;  ///< of the fitted batches  ///< with the edits
  std::vector<NormalEquations> layers_;
  Batch held_out_;
  TunedLensFit result_;
};

}  // namespace

TunedLensFit fit_tuned_lens(const Model& model, const NextText& texts,
                            const TunedLensFitOptions& options) {
  return Fit(model, options).run(texts);
}

}  // namespace vitrine
