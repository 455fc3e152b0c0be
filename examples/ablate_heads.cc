// SPDX-License-Identifier: MIT
// Which attention heads does an answer need? Each head in turn is silenced, and we look at what
// that does to the difference between the logits of two answers (here: of " are" and " is" after a
// plural subject).
//
//   ablate_heads [MODEL] [PROMPT] [RIGHT] [WRONG]

#include <vitrine/vitrine.h>

#include <cstdio>

namespace {

/// How much the model prefers one token to the other at the end of the prompt.
float difference(const vitrine::Run& run, int32_t right, int32_t wrong) {
  const std::span<const float> logits =
      run.logits().f32();  // [1, V]: only the last row was requested
  return logits[static_cast<size_t>(right)] - logits[static_cast<size_t>(wrong)];
}

}  // namespace

int main(int argc, char** argv) try {
  const vitrine::Model model = vitrine::Model::load(argc > 1 ? argv[1] : "demo");
  const vitrine::Tokenizer& tokenizer = model.tokenizer();
  const std::vector<int32_t> prompt =
      tokenizer.encode(argc > 2 ? argv[2] : "The keys to the cabinet");
  const int32_t right = tokenizer.single_token(argc > 3 ? argv[3] : " are");
  const int32_t wrong = tokenizer.single_token(argc > 4 ? argv[4] : " is");

  const vitrine::ForwardOptions last{.logits = vitrine::LogitRows::kLast};
  const float intact = difference(model.forward(prompt, {}, last), right, wrong);
  std::printf(
      "intact: the right answer leads by %.3f logits\n\nchange when a head is silenced:\nlayer",
      intact);
  for (int head = 0; head < model.config().heads; ++head) std::printf("  head %d", head);
  std::printf("\n");

  for (int layer = 0; layer < model.config().layers; ++layer) {
    std::printf("%5d", layer);
    for (int head = 0; head < model.config().heads; ++head) {
      vitrine::Hooks hooks;
      // hook_z is what a head has gathered, before the output projection. Edits act in the pass
      // itself: no copy of the model.
      hooks.edit(vitrine::site_name(vitrine::Site::kZ, layer), vitrine::zero(), {.heads = {head}});
      std::printf(" %+7.3f", difference(model.forward(prompt, hooks, last), right, wrong) - intact);
    }
    std::printf("\n");
  }
} catch (const vitrine::Error& error) {
  std::fprintf(stderr, "ablate_heads: %s\n", error.what());
  return error.kind() == vitrine::Error::Kind::kUser ? 2 : 1;
}
