#include <vitrine/vitrine.h>

#include <cstdio>

int main() {
  const auto model = vitrine::Model::load("demo");
  const auto prompt = model.tokenizer().encode("Heathrow airport is located in the city of");
  const vitrine::Lens result = vitrine::lens(model, prompt);
  const auto source = vitrine::PageSource::of(model, "reporter");
  std::printf("page of %zu bytes\n", vitrine::lens_page({&result, 1}, source).size());
  if (vitrine::can_draw_figures()) {
    const auto figure = vitrine::lens_figure({&result, 1}, source, vitrine::FigureFormat::kSvg);
    std::printf("figure: %.5s\n", figure.c_str());
  }
}
