// SPDX-License-Identifier: MIT
// GPT-2's real shapes, with random weights, end to end.

#include <cmath>
#include <cstring>

#include "kernels/backend.h"
#include "tests/engine/test_device.h"
#include "tests/sanitized.h"
#include "tests/support.h"
#include "vitrine/vitrine.h"

namespace vitrine {
using namespace internal;
namespace {

using testing::kSanitized;

Config gpt2(int layers, int heads, int64_t width) {
  Config config;
  config.layers = layers;
  config.heads = heads;
  config.width = width;
  config.inner = 4 * width;
  config.vocab = 50257;
  config.context = 1024;
  return config;
}

/// A prompt in one pass with every residual stream captured, then the same token by token, which
/// must give the same bits.
void run_end_to_end(const Config& config, DType store, size_t needed) {
  if (kSanitized)
    GTEST_SKIP() << "too slow under a sanitizer; the same code runs there at small sizes";
  if (make_cpu_backend()->available_bytes() < needed)
    GTEST_SKIP() << "needs " << needed / 1000000 << " MB of free memory";
  const Model model = Model::random(config, 42, testing_support::test_options({.dtype = store}));
  const std::vector<int32_t> ids = {15496, 11, 616, 1438, 318, 50256, 0, 262, 3576};
  const vitrine::Run whole = model.forward(ids, Hooks().capture("blocks.*.hook_resid_post"));
  for (float x : whole.logits().f32()) ASSERT_TRUE(std::isfinite(x));
  EXPECT_EQ(whole.captures().entries().size(), static_cast<size_t>(config.layers));
  EXPECT_EQ(whole.logits().shape(), (Shape{9, 50257}));

  Session session = model.session(1, 16);
  const std::vector<int32_t> prompt(ids.begin(), ids.begin() + 6);
  session.forward({prompt});
  for (size_t i = 6; i < ids.size(); ++i) {
    const vitrine::Run step = session.forward({{ids[i]}});
    const TensorView expected = whole.logits().slice(static_cast<int64_t>(i));
    EXPECT_EQ(std::memcmp(step.logits().data(), expected.data(), expected.bytes()), 0) << i;
  }
}

TEST(Shapes, Gpt2Small) { run_end_to_end(gpt2(12, 12, 768), DType::kF32, 1'500'000'000); }
// A quarter of its 48 blocks, which are all alike; making random weights for all takes most of the
// time.
TEST(Shapes, Gpt2XlInF16) { run_end_to_end(gpt2(12, 25, 1600), DType::kF16, 2'000'000'000); }

}  // namespace
}  // namespace vitrine
