// SPDX-License-Identifier: MIT
// Edits take part in a backward pass with their derivatives: gradients at every site, against
// central differences of a model that is edited alike.

#include <memory>

#include "tests/engine/gradients_support.h"

namespace vitrine {
using namespace internal;
namespace {

using namespace testing_support;

/// Elements of a selected row of a site, all heads or the one that is narrowed to.
int64_t selected_width(Site site, const Where& where, const Config& config) {
  const SiteShape shape = site_info(site).shape;
  const int64_t head_width = site_head_width(shape, config);
  return head_width > 0 && !where.heads.empty() ? head_width * where.heads.count().value()
                                                : site_width(shape, config);
}

/// Numbers about `middle` that float32 holds.
std::vector<float> operand(int64_t count, uint32_t seed, double middle) {
  std::vector<float> result;
  for (const double x : direction(static_cast<size_t>(count), seed))
    result.push_back(static_cast<float>(middle + 0.3 * x));
  return result;
}

/// For scales, patterns and scores numbers near those that are there; a row of equal numbers
/// elsewhere would have no scale.
std::vector<float> operand_for(Site site, const Where& where, const Config& config, uint32_t seed) {
  const SiteShape shape = site_info(site).shape;
  if (shape == SiteShape::kMap) return {0.3f};
  return operand(selected_width(site, where, config), seed,
                 shape == SiteShape::kScalar ? 1.2 : 0.0);
}

Change add_change(Site site, const Where& where, const Config& config) {
  const std::vector<float> by = operand_for(site, where, config, 21);
  return {"add", add(Tensor::from(by)), where, [by](Site, int, int64_t, std::vector<double*>& row) {
            for (size_t i = 0; i < row.size(); ++i) *row[i] += by[by.size() == 1 ? 0 : i];
          }};
}

Change scale_change(const Where& where) {
  return {"scale", scale(-0.75f), where, [](Site, int, int64_t, std::vector<double*>& row) {
            for (double* x : row) *x *= -0.75;
          }};
}

Change replace_change(Site site, const Where& where, const Config& config) {
  const std::vector<float> by = operand_for(site, where, config, 22);
  return {"replace", replace(Tensor::from(by)), where,
          [by](Site, int, int64_t, std::vector<double*>& row) {
            for (size_t i = 0; i < row.size(); ++i) *row[i] = by[by.size() == 1 ? 0 : i];
          }};
}

/// A direction of the whole selection, or of each head of it.
Change project_change(Site site, const Where& where, const Config& config, bool by_head) {
  const int64_t width = by_head ? site_head_width(site_info(site).shape, config)
                                : selected_width(site, where, config);
  const std::vector<float> along = operand(width, 23, 0.2);
  double square = 0.0;
  for (const float u : along) square += static_cast<double>(u) * u;
  return {by_head ? "project out of each head" : "project", project_out(Tensor::from(along)), where,
          [along, square](Site, int, int64_t, std::vector<double*>& row) {
            for (size_t begin = 0; begin < row.size(); begin += along.size()) {
              double dot = 0.0;
              for (size_t i = 0; i < along.size(); ++i) dot += *row[begin + i] * along[i];
              for (size_t i = 0; i < along.size(); ++i) *row[begin + i] -= dot / square * along[i];
            }
          }};
}

/// x + x^2 / 2, with its derivative from what the function found: an adjoint may remember.
Change callback_change(const Where& where) {
  auto found = std::make_shared<std::map<std::string, std::vector<float>>>();
  const auto change = [found](EditView& view) {
    (*found)[std::string(view.name)] = {view.values.begin(), view.values.end()};
    for (float& x : view.values) x = std::isfinite(x) ? x + 0.5f * x * x : x;
  };
  const auto adjoint = [found](EditView& view) {
    const std::vector<float>& x = found->at(std::string(view.name));
    ASSERT_EQ(x.size(), view.values.size());
    for (size_t i = 0; i < x.size(); ++i)
      view.values[i] *= std::isfinite(x[i]) ? 1.0f + x[i] : 0.0f;
  };
  return {"callback", callback(change, adjoint), where,
          [](Site, int, int64_t, std::vector<double*>& row) {
            for (double* x : row) *x += 0.5 * *x * *x;
          }};
}

/// What another prompt has there.
Change source_change(Site site, const Where& where) {
  Scene other = plain_scene();
  other.ids = {20, 1, 2, 11, 6};
  const Held held = other.run();
  const std::string pattern =
      (site_info(site).per_layer ? "blocks.*." : "") + std::string(site_info(site).name);
  const vitrine::Run run =
      plain_scene().model().forward(other.ids, Hooks().capture(pattern, {.heads = where.heads}));
  const auto indices = std::make_shared<std::map<int64_t, std::vector<size_t>>>();
  for (const Selected& s : select(site, where, other.config(), other.tokens()))
    (*indices)[s.row].push_back(s.index);
  return {"replace_from", replace_from(run.shared_captures()), where,
          [held, indices](Site at, int layer, int64_t row, std::vector<double*>& values) {
            for (size_t i = 0; i < values.size(); ++i)
              *values[i] = held.at(site_name(at, layer))[indices->at(row)[i]];
          }};
}

/// Every kind of edit that a site takes.
std::vector<Change> changes(Site site, const Where& where) {
  const Config config = gradient_config();
  std::vector<Change> list = {add_change(site, where, config), scale_change(where),
                              replace_change(site, where, config), callback_change(where),
                              source_change(site, where)};
  const SiteShape shape = site_info(site).shape;
  if (shape != SiteShape::kMap && shape != SiteShape::kScalar)
    list.push_back(project_change(site, where, config, false));
  if (site_head_width(shape, config) > 0) list.push_back(project_change(site, where, config, true));
  // A callback without a derivative may be treated as the identity; so may one with a derivative.
  for (const size_t i : {size_t{1}, size_t{2}, size_t{3}}) {
    Change straight = list[i];
    straight.name += ", straight through";
    straight.edit = straight_through(i == 3 ? callback(straight.edit.function()) : straight.edit);
    straight.straight_through = true;
    list.push_back(straight);
  }
  return list;
}

/// A narrowing that selects part of each site.
Where part_of(Site site, const Config& config) {
  const SiteShape shape = site_info(site).shape;
  Where where{.positions = {1, -2, -1}};
  if (shape == SiteShape::kMap || site_head_width(shape, config) > 0) where.heads = {0, 2};
  return where;
}

class GradientEdits : public ::testing::TestWithParam<SiteInfo> {
 protected:
  static void check(const Where& where, BackwardOptions options = {}) {
    for (const Change& change : changes(GetParam().site, where)) {
      Scene scene = plain_scene();
      SCOPED_TRACE(change.name + " at " + std::string(GetParam().name));
      scene.change(GetParam().site, change);
      const Held base = scene.run();
      const Goal goal = logit_goal();
      expect_gradients_agree(scene, goal, scene.backward(goal, {"*"}, options), base, 1);
    }
  }
};

TEST_P(GradientEdits, OfTheWholeSite) { check({}); }
TEST_P(GradientEdits, OfPartOfTheSite) { check(part_of(GetParam().site, gradient_config())); }
TEST_P(GradientEdits, OfPartOfTheSiteWithOnlyResidualsKept) {
  check(part_of(GetParam().site, gradient_config()), {.keep = KeepPolicy::kResiduals});
}

// Several edits of one site are undone in the opposite order.
TEST_P(GradientEdits, OneAfterTheOther) {
  Scene scene = plain_scene();
  const Where part = part_of(GetParam().site, scene.config());
  scene.change(GetParam().site, callback_change(part));
  scene.change(GetParam().site, scale_change({.positions = {-1}}));
  scene.change(GetParam().site, add_change(GetParam().site, {}, scene.config()));
  const Held base = scene.run();
  expect_gradients_agree(scene, logit_goal(), scene.backward(logit_goal()), base, 1);
}

INSTANTIATE_TEST_SUITE_P(Sites, GradientEdits, ::testing::ValuesIn(kSites), [](const auto& site) {
  std::string name(site.param.name);
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

// A gradient at an edited site is that of what the edit left there; targets there see it, too.
TEST(GradientEditsAndTargets, ATargetSeesWhatTheEditLeft) {
  for (const Site site : {Site::kResidMid, Site::kMlpPost, Site::kZ, Site::kLn1Scale, Site::kResult,
                          Site::kPosEmbed}) {
    Scene scene = plain_scene();
    scene.change(site, callback_change({.positions = {0, 3}}));
    const std::string name = site_name(site, 0);
    const Held base = scene.run();
    const Goal goal{name, target::norm(name, 3) + target::logit(2), [=](const Held& held) {
                      double sum = 0.0;
                      for (const double x : row_of(held, name, 3, 5)) sum += x * x;
                      return std::sqrt(sum) + row_of(held, "logits", -1, 5)[2];
                    }};
    expect_gradients_agree(scene, goal, scene.backward(goal), base);
  }
}

// Edits inside attention under a frozen pattern: what was edited is the constant.
TEST(GradientEditsAndTargets, AFrozenPatternIsTheEditedOne) {
  for (const Site site :
       {Site::kPattern, Site::kAttnScores, Site::kLn2Scale, Site::kLnFinalScale}) {
    Scene scene = plain_scene();
    scene.linearised = {.patterns = true, .scales = true};
    scene.change(site, scale_change({.positions = {1, 4}}));
    const Held base = scene.run();
    SCOPED_TRACE(std::string(site_info(site).name));
    expect_gradients_agree(scene, logit_goal(),
                           scene.backward(logit_goal(), sites_under(scene.linearised)), base);
  }
}

}  // namespace
}  // namespace vitrine
