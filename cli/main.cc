// SPDX-License-Identifier: MIT
#include "cli/core/help_export.h"
#include "cli/core/program.h"

namespace vitrine::cli {
using namespace internal;
namespace {

/// In the order of --help.
void add_commands(Command& app, Context& context) {
  add_lens(app, context);
  add_saliency(app, context);
  add_attribute(app, context);
  add_patch(app, context);
  add_noise(app, context);
  add_predictivity(app, context);
  add_generate(app, context);
  add_score(app, context);
  add_attention(app, context);
  add_similarity(app, context);
  add_factors(app, context);
  add_concept(app, context);
  add_capture(app, context);
  add_corpus(app, context);
  add_covariance(app, context);
  add_tokenize(app, context);
  add_sites(app, context);
  add_info(app, context);
  add_bench(app, context);
  add_make_random(app, context);
  add_doctor(app, context);
  add_help_export(app, context);
}

}  // namespace
}  // namespace vitrine::cli

int main(int argc, char** argv) {
  return vitrine::cli::run_program(argc, argv, vitrine::cli::add_commands);
}
