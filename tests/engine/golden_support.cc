// SPDX-License-Identifier: MIT
#include "tests/engine/golden_support.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace vitrine::testing_support {
using namespace internal;

namespace {

// VITRINE_SOURCE_DIR of the environment is where the tree is on a machine that did not build it
// (tools/bundle_device.sh).
std::filesystem::path root() {
  const char* moved = std::getenv("VITRINE_SOURCE_DIR");
  return std::filesystem::path(moved != nullptr ? moved : VITRINE_SOURCE_DIR) / "tests" / "goldens";
}

}  // namespace

Golden::Golden(const std::string& name)
    : folder_(root() / name),
      facts_(read_json(folder_ / "expected.json")),
      tensors_(folder_ / "expected.safetensors") {}

std::vector<std::string> Golden::checkpoints() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(root())) {
    if (std::filesystem::exists(entry.path() / "config.json"))
      names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<Golden::Sequence> Golden::sequences() const {
  std::vector<Sequence> found;
  for (const Json& facts : facts_.at("sequences")) {
    Sequence sequence{facts.at("ids").get<std::vector<int32_t>>(), std::nullopt,
                      facts.at("target").at("position").get<int64_t>(),
                      facts.at("target").at("id").get<int32_t>()};
    if (facts.contains("loss")) sequence.loss = facts.at("loss").get<double>();
    found.push_back(std::move(sequence));
  }
  return found;
}

std::vector<Golden::Greedy> Golden::greedy() const {
  std::vector<Greedy> found;
  for (const Json& facts : facts_.at("generation")) {
    found.push_back({facts.at("prompt").get<std::vector<int32_t>>(),
                     facts.at("new").get<std::vector<int32_t>>()});
  }
  return found;
}

double Golden::spread(const std::string& site) const {
  const Json& sites = facts_.at("sites");
  const double own = sites.at(site).at("spread").get<double>();
  constexpr std::string_view kPattern = "attn.hook_pattern";
  if (!site.ends_with(kPattern) || site.starts_with("grad")) return own;
  const std::string scores =
      site.substr(0, site.size() - kPattern.size()) + "attn.hook_attn_scores";
  return std::max(own, sites.at(scores).at("spread").get<double>() / 2);
}

double Golden::tolerance(std::string_view prefix) const {
  double worst = kFloor / 2;
  for (const auto& [site, numbers] : facts_.at("sites").items()) {
    const std::string_view kind =
        std::string_view(site).substr(0, site.find('/') + 1);  // empty for an activation
    const double width = kind == prefix ? spread(site) : 0.0;
    if (width > 0) worst = std::max(worst, numbers.at("float32_error").get<double>() / width);
  }
  return std::min(2 * worst, 2e-5);
}

std::vector<double> doubles(TensorView tensor) {
  if (tensor.dtype() == DType::kF64) {
    const auto* data = static_cast<const double*>(tensor.data());
    return {data, data + tensor.elements()};
  }
  const std::span<const float> values = tensor.f32();
  return {values.begin(), values.end()};
}

double max_error(const std::vector<double>& actual, const std::vector<double>& expected) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (actual.size() != expected.size()) return kInfinity;
  double worst = 0.0;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (actual[i] == expected[i]) continue;  // equal infinities, too
    const double error = std::abs(actual[i] - expected[i]);
    worst = std::isnan(error) ? kInfinity : std::max(worst, error);
  }
  return worst;
}

double max_error(TensorView actual, TensorView expected) {
  if (actual.shape() != expected.shape()) return std::numeric_limits<double>::infinity();
  return max_error(doubles(actual), doubles(expected));
}

testing::AssertionResult within(double error, double spread, double allowed) {
  if (error <= allowed * spread) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << fmt::format("error {:.3g} is {:.2g} of the spread {:.3g}; allowed: {:.2g}", error,
                        error / spread, spread, allowed);
}

double next_token_loss(TensorView logits, const std::vector<int32_t>& ids) {
  double total = 0.0;
  for (size_t t = 0; t + 1 < ids.size(); ++t) {
    const std::vector<double> row = doubles(logits.slice(static_cast<int64_t>(t)));
    const double largest = *std::max_element(row.begin(), row.end());
    double sum = 0.0;
    for (double value : row) sum += std::exp(value - largest);
    total += largest + std::log(sum) - row[static_cast<size_t>(ids[t + 1])];
  }
  return total / static_cast<double>(ids.size() - 1);
}

}  // namespace vitrine::testing_support
