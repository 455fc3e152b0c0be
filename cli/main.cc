// SPDX-License-Identifier: MIT
#include "cli/core/context.h"
#include "cli/core/help_export.h"
#include "cli/core/program.h"

namespace vitrine::cli {

AddCommand add_attention, add_attribute, add_capture, add_concept, add_convert, add_corpus,
    add_covariance, add_doctor, add_factors, add_generate, add_info, add_lens, add_make_random,
    add_noise, add_patch, add_predictivity, add_pull, add_saliency, add_score, add_similarity,
    add_sites, add_tokenize, add_windows;

namespace {

/// In the order of --help.
constexpr AddCommand* kCommands[] = {
    add_lens,         add_saliency, add_attribute, add_patch,   add_noise,
    add_predictivity, add_generate, add_score,     add_windows, add_attention,
    add_similarity,   add_factors,  add_concept,   add_capture, add_corpus,
    add_covariance,   add_tokenize, add_sites,     add_info,    add_bench,
    add_make_random,  add_convert,  add_pull,      add_doctor,  add_help_export};

void add_commands(Command& app, Context& context) {
  for (AddCommand* add : kCommands) add(app, context);
}

}  // namespace
}  // namespace vitrine::cli

int main(int argc, char** argv) {
  return vitrine::cli::run_program(argc, argv, vitrine::cli::add_commands);
}
