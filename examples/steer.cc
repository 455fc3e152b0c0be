// SPDX-License-Identifier: MIT
// Steering: the difference between what the model thinks of two texts, added to the residual stream
// while it writes, pulls the writing from one towards the other. Captures stay on meanwhile and
// show how far it went.
//
//   steer [MODEL] [PROMPT] [TOWARDS] [AWAY] [STRENGTH]

#include <vitrine/vitrine.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace {

/// The residual stream after `layer` at the last token of a text: [1, D].
std::vector<float> thought(const vitrine::Model& model, const std::string& text,
                           const std::string& site) {
  vitrine::Hooks hooks;
  hooks.capture(site, {.positions = {-1}});
  const vitrine::Run run =
      model.forward(model.tokenizer().encode(text), hooks, {.logits = vitrine::LogitRows::kNone});
  return run[site].to_f32();
}

}  // namespace

int main(int argc, char** argv) try {
  const vitrine::Model model = vitrine::Model::load(argc > 1 ? argv[1] : "demo");
  const std::string prompt = argc > 2 ? argv[2] : "Once upon a time there was a little";
  const std::string towards = argc > 3 ? argv[3] : "The capital of France is",
                    away = argc > 4 ? argv[4] : "Once upon a time there was a";
  const float strength = argc > 5 ? std::strtof(argv[5], nullptr) : 1.5f;
  const std::string site = vitrine::site_name(vitrine::Site::kResidPost, model.config().layers / 2);

  std::vector<float> direction = thought(model, towards, site);
  const std::vector<float> from = thought(model, away, site);
  double length = 0;
  for (size_t i = 0; i < direction.size(); ++i) {
    direction[i] = strength * (direction[i] - from[i]);
    length += static_cast<double>(direction[i]) * direction[i];
  }
  length = std::sqrt(length);

  for (const bool steered : {false, true}) {
    vitrine::Hooks hooks;
    if (steered)
      hooks.edit(
          site, vitrine::add(vitrine::Tensor::from(direction)));  // in the prompt and in every step
    hooks.capture(site);  // a capture sees the site after its edits
    const auto ids = model.tokenizer().encode(prompt);
    const vitrine::Generation generation =
        vitrine::generate(model, {ids}, {.max_new_tokens = 24}, hooks);

    // How far along the direction the newest position lies, at the end of the generation.
    const vitrine::TensorView states = generation.captures->view(site);
    const std::vector<float> last = states.slice(states.shape()[0] - 1).to_f32();
    double along = 0;
    for (size_t i = 0; i < last.size(); ++i)
      along += static_cast<double>(last[i]) * direction[i] / length;
    std::printf("%s: %s%s\n  (%lld positions seen; the last lies %.1f along the direction)\n\n",
                steered ? "steered" : "plain", prompt.c_str(),
                model.tokenizer().decode(generation.sequences[0].ids).c_str(),
                static_cast<long long>(states.shape()[0]), along);
  }
} catch (const vitrine::Error& error) {
  std::fprintf(stderr, "steer: %s\n", error.what());
  return error.kind() == vitrine::Error::Kind::kUser ? 2 : 1;
}
