// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/engine/test_device.h"
#include "tests/reference/adjoints.h"
#include "tests/reference/differences.h"
#include "tests/reference/model.h"
#include "tests/run_values.h"
#include "vitrine/vitrine.h"

// One small model twice: as the engine runs it, and as the double-precision reference does, where
// any site can be moved a little to see how far a target moves.

namespace vitrine::testing_support {
using namespace internal;

using reference::Vec;

/// An odd width of heads, an odd vocabulary, a context longer than what is run.
inline Config gradient_config() {
  Config config;
  config.layers = 2;
  config.heads = 3;
  config.width = 15;
  config.inner = 22;
  config.vocab = 29;
  config.context = 12;
  return config;
}

inline constexpr uint64_t kSeed = 20240401;

/// What of a site of one sequence of T tokens a narrowing selects: indices into its values, row by
/// row. `row` counts the positions in ascending order (for a map: head by head), `column` the
/// selected elements of a row. Masked keys are left out.
struct Selected {
  size_t index;
  int64_t row, column;
};

inline std::vector<Selected> select(Site site, const Where& where, const Config& config,
                                    int64_t tokens) {
  const SiteShape shape = site_info(site).shape;
  std::vector<bool> positions(static_cast<size_t>(tokens), where.positions.empty());
  for (const int64_t p : listed(where.positions))
    positions[static_cast<size_t>(p < 0 ? tokens + p : p)] = true;
  const bool has_heads = shape == SiteShape::kMap || site_head_width(shape, config) > 0;
  const auto head_selected = [&](int64_t head) {
    return !has_heads || where.heads.empty() || where.heads.contain(head, config.heads);
  };
  std::vector<Selected> result;
  if (shape == SiteShape::kMap) {
    int64_t row = 0;
    for (int64_t h = 0; h < config.heads; ++h) {
      for (int64_t q = 0; q < tokens; ++q) {
        if (!head_selected(h) || !positions[static_cast<size_t>(q)]) continue;
        for (int64_t k = 0; k <= q; ++k)
          result.push_back({static_cast<size_t>((h * tokens + q) * tokens + k), row, k});
        ++row;
      }
    }
    return result;
  }
  const int64_t width = site_width(shape, config), head_width = site_head_width(shape, config);
  int64_t row = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    if (!positions[static_cast<size_t>(t)]) continue;
    int64_t column = 0;
    for (int64_t c = 0; c < width; ++c) {
      if (head_selected(head_width > 0 ? c / head_width : 0))
        result.push_back({static_cast<size_t>(t * width + c), row, column++});
    }
    ++row;
  }
  return result;
}

/// A change of activations, for the engine and for the reference.
struct Change {
  std::string name;
  Edit edit;
  Where where;
  /// What the edit makes of the selected values of one row of one site. For the reference.
  std::function<void(Site site, int layer, int64_t row, std::vector<double*>& values)> apply;
  bool straight_through = false;
};

/// Everything that a pass of the reference has held, by name, after the edits.
using Held = std::map<std::string, Vec>;

/// A number, for the engine and for the reference.
struct Goal {
  std::string name;
  Target target;
  std::function<double(const Held& held)> value;
};

/// One sequence, its edits, and what is taken for constant.
class Scene {
 public:
  explicit Scene(Config config = gradient_config(), Activation activation = Activation::kGeluTanh,
                 DType stored = DType::kF32)
      : config_(config),
        model_(Model::random(config, kSeed, test_options({.dtype = stored, .threads = 1}))),
        reference_(config, activation, kSeed, stored) {}

  std::vector<int32_t> ids = {3, 14, 15, 9, 26};
  Linearised linearised;
  Hooks edits;  ///< of the engine; see change()

  const Config& config() const { return config_; }
  const Model& model() const { return model_; }
  int64_t tokens() const { return static_cast<int64_t>(ids.size()); }

  /// Edits the site in all its layers in both worlds.
  void change(Site site, const Change& c) {
    edits.edit((site_info(site).per_layer ? "blocks.*." : "") + std::string(site_info(site).name),
               c.edit, c.where);
    changes_.emplace_back(site, c);
  }

  /// What the reference holds at each site. Moved by step times `direction` at one of them, if
  /// there is any; what is linearised stays as it is in `base`.
  Held run(const Held* base = nullptr, const std::string& moved = "", const Vec& direction = {},
           double step = 0.0) const {
    Held held;
    reference_.forward(ids, [&](Site site, int layer, Vec& values) {
      const std::string name = site_name(site, layer);
      apply_changes(site, layer, name, base, values);
      if (base != nullptr && is_constant(site)) values = base->at(name);
      for (size_t i = 0; name == moved && i < values.size(); ++i) values[i] += step * direction[i];
      held[name] = values;
    });
    return held;
  }

  /// The derivative of the goal when a site moves along `direction`, by central differences of the
  /// reference.
  double along(const Goal& goal, const Held& base, const std::string& site,
               const Vec& direction) const {
    constexpr double kStep = 1e-5;
    return (goal.value(run(&base, site, direction, kStep)) -
            goal.value(run(&base, site, direction, -kStep))) /
           (2 * kStep);
  }

  Backward backward(const Goal& goal, const std::vector<std::string>& sites = {"*"},
                    BackwardOptions options = {}) const {
    options.linearised = linearised;
    Hooks hooks = edits;
    for (const std::string& pattern : sites) hooks.gradient(pattern);
    return vitrine::backward(model_, Batch{ids}, {goal.target}, hooks, options);
  }

 private:
  bool is_constant(Site site) const {
    const bool scale = site_info(site).shape == SiteShape::kScalar;
    return (scale && linearised.scales) || (site == Site::kPattern && linearised.patterns);
  }

  void apply_changes(Site site, int layer, const std::string& name, const Held* base,
                     Vec& values) const {
    const Vec found = values;
    bool straight = false;
    for (const auto& [at, change] : changes_) {
      if (at != site) continue;
      std::map<int64_t, std::vector<double*>> rows;
      for (const Selected& s : select(site, change.where, config_, tokens()))
        rows[s.row].push_back(&values[s.index]);
      for (auto& [row, selected] : rows) change.apply(site, layer, row, selected);
      straight |= change.straight_through;
    }
    Vec& before = before_[name];
    if (base == nullptr) before = found;
    // What the change was at first, whatever the values are now.
    for (size_t i = 0; straight && base != nullptr && i < values.size(); ++i) {
      if (std::isfinite(found[i])) values[i] = base->at(name)[i] + (found[i] - before[i]);
    }
  }

  Config config_;
  Model model_;
  reference::Model reference_;
  std::vector<std::pair<Site, Change>> changes_;
  mutable std::map<std::string, Vec> before_;  // what the edits found in the pass that gave a base
};

/// The default scene, to be copied: weights are made once.
inline const Scene& plain_scene() {
  static const Scene scene;
  return scene;
}

/// A direction of numbers about 1, the same for the same seed.
inline Vec direction(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> distribution;
  Vec result(count);
  for (double& value : result) value = distribution(random);
  return result;
}

/// A position's row of a site; negative positions count from the end.
inline Vec row_of(const Held& held, const std::string& site, int64_t position, int64_t tokens) {
  const Vec& values = held.at(site);
  const int64_t width = static_cast<int64_t>(values.size()) / tokens;
  const auto begin = values.begin() + (position < 0 ? tokens + position : position) * width;
  return Vec(begin, begin + width);
}

inline Goal logits_goal(std::string name, Target target, int64_t position, LogitTermKind kind,
                        int32_t token, Vec reference = {}) {
  return {std::move(name), std::move(target), [=](const Held& held) {
            const auto tokens =
                static_cast<int64_t>(held.at("hook_embed").size()) / gradient_config().width;
            return reference::logit_target(row_of(held, "logits", position, tokens), kind, token,
                                           reference);
          }};
}

inline Goal logit_goal(int32_t token = 7, int64_t position = -1) {
  return logits_goal("logit", target::logit(token, position), position, LogitTermKind::kLogit,
                     token);
}

/// All sites that have a gradient when something is taken for constant.
inline std::vector<std::string> sites_under(Linearised linearised) {
  std::vector<std::string> names;
  for (const SiteInfo& info : kSites) {
    if (linearised.patterns && info.site == Site::kAttnScores) continue;
    if (linearised.scales && info.shape == SiteShape::kScalar) continue;
    names.push_back((info.per_layer ? "blocks.*." : "") + std::string(info.name));
  }
  return names;
}

/// float32 rounds each of some hundred operations in a row, and a gradient is what is left when
/// large parts have cancelled: that is measured by the largest number of its site. A wrong term is
/// off by a part of it. A GPU keeps what goes from one operation to the next in 16 bits where the
/// weights are.
inline double gradient_tolerance(DType stored = DType::kF32) {
  if (on_cpu()) return 3e-5;
  return stored == DType::kF32 ? 1e-4 : stored == DType::kF16 ? 16 * 0x1p-11 : 16 * 0x1p-8;
}

/// A random direction in a site's values; a map's has no part where a query does not see a key,
/// which no gradient is given for.
inline Vec direction_at(const Captures::Entry& entry, size_t count, uint32_t seed) {
  Vec result = direction(count, seed);
  if (site_info(entry.site).shape != SiteShape::kMap) return result;
  const auto tokens = static_cast<size_t>(entry.sequences.at(0).values.shape().back());
  for (size_t i = 0; i < count; ++i) result[i] *= i % tokens <= i / tokens % tokens ? 1.0 : 0.0;
  return result;
}

/// The gradients of `goal` at all sites that the engine gives, along random directions, against
/// differences of the reference.
inline void expect_gradients_agree(const Scene& scene, const Goal& goal, const Backward& got,
                                   const Held& base, int directions = 2) {
  SCOPED_TRACE(goal.name);
  const double tolerance = gradient_tolerance(scene.model().dtype());
  EXPECT_NEAR(got.values.at(0), goal.value(base), tolerance * (1.0 + std::abs(goal.value(base))));
  for (const Captures::Entry& entry : got.gradients->entries()) {
    const std::vector<float> gradient = got.gradient(entry.name).to_f32();
    double length = 0.0;
    for (const float g : gradient) length += static_cast<double>(g) * g;
    for (int n = 0; n < directions; ++n) {
      const Vec way = direction_at(entry, gradient.size(), static_cast<uint32_t>(n) + 1);
      double sum = 0.0;
      for (size_t i = 0; i < gradient.size(); ++i) sum += way[i] * gradient[i];
      const double want = scene.along(goal, base, entry.name, way);
      // The difference itself errs by 1e-16 of the target over the step, and by the third
      // derivative. Where all of a gradient cancels, as of the scores of a single key, what was
      // rounded stays: of numbers about a thousandth here.
      EXPECT_NEAR(sum, want, tolerance * (std::sqrt(length) + 2e-3) + 1e-8 * (1.0 + std::abs(want)))
          << entry.name << ", direction " << n;
    }
  }
}

}  // namespace vitrine::testing_support
