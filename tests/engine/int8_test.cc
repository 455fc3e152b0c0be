// SPDX-License-Identifier: MIT
// Weights stored as whole numbers with a scale for each output, in whole models. The numbers
// themselves are in tests/kernels/int8_test.cc.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "tests/base/test_files.h"
#include "tests/run_values.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;
using testing::TempFolder;

const std::vector<int32_t> kIds = {5, 9, 77, 3, 96, 0, 64, 5};

fs::path golden(const std::string& name) {
  return fs::path(VITRINE_SOURCE_DIR) / "tests" / "goldens" / name;
}

/// What i8 makes of one output's weights, by the definition, in float32 again.
void round_output(const std::vector<float*>& weights) {
  float largest = 0.0f;
  for (const float* w : weights) largest = std::max(largest, std::abs(*w));
  const float scale = largest / 127.0f;
  for (float* w : weights) *w = scale == 0.0f ? 0.0f : std::nearbyint(*w / scale) * scale;
}

/// A matrix [rows, columns] of a checkpoint, whose outputs are its columns in a block and its rows
/// in the tables of tokens.
void round_matrix(std::vector<float>& values, int64_t rows, int64_t columns, bool by_rows) {
  const int64_t outputs = by_rows ? rows : columns, inputs = by_rows ? columns : rows;
  for (int64_t o = 0; o < outputs; ++o) {
    std::vector<float*> weights;
    for (int64_t i = 0; i < inputs; ++i)
      weights.push_back(&values[static_cast<size_t>(by_rows ? o * columns + i : i * columns + o)]);
    round_output(weights);
  }
}

void round_weights(const std::string& name, std::vector<float>& values, TensorView view) {
  const bool table = name.ends_with("wte.weight") || name.ends_with("lm_head.weight");
  const bool matrix = table || name.ends_with("c_attn.weight") || name.ends_with("c_proj.weight") ||
                      name.ends_with("c_fc.weight");
  if (matrix) round_matrix(values, view.shape()[0], view.shape()[1], table);
}

/// A copy in float32 of a checkpoint whose weights have been rounded.
void copy_rounded(const fs::path& from, const fs::path& to) {
  fs::copy_file(from / "config.json", to / "config.json");
  const SafetensorsFile file(from / "model.safetensors");
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const std::string& name : file.names()) {
    const TensorView view = file.tensor(name);
    std::vector<float> values = view.to_f32();
    round_weights(name, values, view);
    Tensor tensor(DType::kF32, view.shape());
    std::copy(values.begin(), values.end(), static_cast<float*>(tensor.data()));
    tensors.emplace_back(name, std::move(tensor));
  }
  std::vector<std::pair<std::string, TensorView>> views;
  for (const auto& [name, tensor] : tensors) views.emplace_back(name, tensor.view());
  SafetensorsWriter::write(to / "model.safetensors", views);
}

/// The largest difference as a share of b's largest minus its smallest value.
double apart(TensorView a, TensorView b) {
  const std::vector<float> x = a.to_f32(), y = b.to_f32();
  double low = INFINITY, high = -INFINITY, worst = 0.0;
  for (size_t i = 0; i < y.size(); ++i) {
    if (!std::isfinite(y[i])) {
      if (x[i] != y[i]) return INFINITY;
      continue;
    }
    low = std::min<double>(low, y[i]), high = std::max<double>(high, y[i]);
    worst = std::max(worst, std::abs(static_cast<double>(x[i]) - y[i]));
  }
  return worst == 0.0 ? 0.0 : worst / (high - low);
}

// Rounding is all that the whole numbers do: a float32 model of the rounded weights computes the
// same, but for a rounding of each weight and of each sum. Those are 6e-8 each, random; 1e-5 leaves
// room for what the layers make of them. One weight that is off by a step would show as some 1e-4
// and more.
TEST(Int8Weights, ComputeWhatTheirFloat32ValuesCompute) {
  constexpr double kRoundings = 1e-5;
  for (const std::string name : {"plain", "untied", "stored_f16"}) {
    SCOPED_TRACE(name);
    const TempFolder folder;
    copy_rounded(golden(name), folder.path());
    const Model whole = Model::load(golden(name).string(), {.dtype = DType::kI8}),
                rounded = Model::load(folder.path().string()),
                exact = Model::load(golden(name).string(), {.dtype = DType::kF32});
    EXPECT_EQ(whole.dtype(), DType::kI8);
    EXPECT_LT(whole.weight_bytes(),
              rounded.weight_bytes() / 2);  // a small model, with much that is float32
    const Hooks hooks = Hooks().capture("*");
    const vitrine::Run a = whole.forward(kIds, hooks), b = rounded.forward(kIds, hooks);
    EXPECT_LE(apart(a.logits(), b.logits()), kRoundings);
    EXPECT_GE(apart(a.logits(), testing_support::logits_of(exact.forward(kIds))), 100 * kRoundings)
        << "so it was not float32 all along";
    for (const Captures::Entry& entry : b.captures().entries())
      EXPECT_LE(apart(a[entry.name], b[entry.name]), kRoundings) << entry.name;

    const Backward da = backward(whole, {kIds}, {target::log_prob(17)}, Hooks().gradient("*")),
                   db = backward(rounded, {kIds}, {target::log_prob(17)}, Hooks().gradient("*"));
    EXPECT_NEAR(da.values.at(0), db.values.at(0), kRoundings * std::abs(db.values.at(0)));
    for (const Captures::Entry& entry : db.gradients->entries())
      EXPECT_LE(apart(da.gradient(entry.name), db.gradient(entry.name)), kRoundings) << entry.name;

    const LogitStats stats = whole.unembed(a["blocks.1.hook_resid_post"], {.top_k = 3}),
                     want = rounded.unembed(b["blocks.1.hook_resid_post"], {.top_k = 3});
    EXPECT_EQ(stats.top_ids, want.top_ids);
  }
}

TEST(Int8Weights, PositionsStayAsTheyAre) {
  const Model whole = Model::load(golden("plain").string(), {.dtype = DType::kI8}),
              exact = Model::load(golden("plain").string());
  const Hooks hooks = Hooks().capture("hook_pos_embed");
  EXPECT_EQ(testing_support::site_of(whole.forward(kIds, hooks), "hook_pos_embed").view().to_f32(),
            testing_support::site_of(exact.forward(kIds, hooks), "hook_pos_embed").view().to_f32());
}

}  // namespace
}  // namespace vitrine
