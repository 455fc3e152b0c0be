// SPDX-License-Identifier: MIT
#include "engine/gradient_memory.h"

#include <algorithm>

namespace vitrine::internal {
namespace {

// Logits held at once for targets: a few rows of GPT-2's vocabulary, for which the unembedding is
// read once.
constexpr int64_t kTargetLogits = int64_t{4} << 20;

}  // namespace

GradientMemory::GradientMemory(Arena& arena, const Config& config, const BackwardPlans& plans,
                               const Backend& backend, DType dtype, const Activations::Sizes& sizes,
                               int64_t target_rows) {
  const int64_t d = config.width, rows = sizes.rows;
  resid = arena.take(rows, d);
  if (dtype != DType::kF32) narrow = arena.take(rows, d, dtype);
  normalized = arena.take(rows, d, dtype);
  qkv = arena.take(rows, 3 * d, dtype);
  z = arena.take(rows, d, dtype);
  inner = arena.take(rows, config.inner, dtype);

  const auto watched = [&](Site site) {
    return plans.gradients.any_watched(site) || plans.seeds.any_watched(site);
  };
  if (watched(Site::kLogits) || plans.forward.any_watched(Site::kLogits)) {
    seeds = arena.take(rows, config.vocab);
    take_targets(arena, config, dtype, rows);
  } else {
    take_targets(arena, config, dtype,
                 std::min(target_rows, std::max<int64_t>(kTargetLogits / config.vocab, 8)));
  }
  if (watched(Site::kPosEmbed) || watched(Site::kAttnOut) || watched(Site::kMlpOut))
    branch = arena.take(rows, d);
  if (watched(Site::kLn1Scale) || watched(Site::kLn2Scale) || watched(Site::kLnFinalScale))
    scale = arena.take(rows, 1);
  if (watched(Site::kMlpPost)) inner_post = arena.take(rows, config.inner);
  if (watched(Site::kResult)) results = arena.take(rows, config.heads * d);
  const bool maps = watched(Site::kAttnScores) || watched(Site::kPattern) ||
                    plans.forward.any_watched(Site::kAttnScores) ||
                    plans.forward.any_watched(Site::kPattern);
  const bool z_lost = backend.reads_attention_output() && plans.forward.any_watched(Site::kZ);
  if (!maps && !z_lost) return;
  scores = arena.take(sizes.map_elements);
  pattern = arena.take(sizes.map_elements);
  dpattern = arena.take(sizes.map_elements);
  if (plans.forward.any_watched(Site::kPattern)) edited_pattern = arena.take(sizes.map_elements);
}

void GradientMemory::take_targets(Arena& arena, const Config& config, DType dtype, int64_t rows) {
  target_normalized = arena.take(rows, config.width, dtype);
  target_logits = arena.take(rows, config.vocab);
  target_seeds = dtype == DType::kF32 && seeds
                     ? seeds
                     : arena.take_aligned_rows(rows, config.vocab, dtype);  // vocabularies are odd
  target_gradient = arena.take(rows, config.width);
}

}  // namespace vitrine::internal
