#include <vitrine/vitrine.h>

#include <cstdio>

int main() {
  const auto model = vitrine::Model::load("demo");
  const auto prompt = model.tokenizer().encode("Heathrow airport is located in the city of");
  vitrine::Hooks hooks;
  // The residual stream at the last token.
  hooks.capture("blocks.*.hook_resid_post", {.positions = {-1}});
  const auto run = model.forward(prompt, hooks);
  for (const auto& site : run.captures().entries()) {
    const auto x = run[site.name].f32();
    std::printf("%s: %+.3f %+.3f %+.3f ...\n", site.name.c_str(), x[0], x[1], x[2]);
  }
}
