// SPDX-License-Identifier: MIT
// The logit lens in a few lines: what would the model say if it stopped after each layer?
//
//   logit_lens [MODEL] [PROMPT] [ANSWER]

#include <vitrine/vitrine.h>

#include <cmath>
#include <cstdio>

int main(int argc, char** argv) try {
  const vitrine::Model model = vitrine::Model::load(argc > 1 ? argv[1] : "demo");
  const std::vector<int32_t> prompt =
      model.tokenizer().encode(argc > 2 ? argv[2] : "Heathrow airport is located in the city of");
  const int32_t answer = model.tokenizer().single_token(argc > 3 ? argv[3] : " London");

  // One pass; then every layer's residual stream at the last position goes through the final
  // layernorm and the unembedding.
  const vitrine::Lens lens =
      vitrine::lens(model, prompt, {.top_k = 1, .watch = {answer}, .positions = {-1}});

  for (size_t row = 0; row < lens.rows(); ++row) {
    const std::string likeliest =
        vitrine::printable(model.tokenizer().token_bytes(lens.top_ids[row]));
    std::printf("after layer %2d the answer is at rank %5d with p = %.4f; likeliest is %s\n",
                lens.layers[row], lens.watch_ranks[row], std::exp(lens.watch_log_probs[row]),
                likeliest.c_str());
  }
} catch (const vitrine::Error& error) {
  std::fprintf(stderr, "logit_lens: %s\n", error.what());
  return error.kind() == vitrine::Error::Kind::kUser ? 2 : 1;
}
