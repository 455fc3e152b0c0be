// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "base/json.h"
#include "cli/core/terminal.h"
#include "vitrine/model.h"
#include "vitrine/version.h"

namespace vitrine::cli {
using namespace internal;

/// What every command shares. A command's `add_...` declares its options and, when it was chosen,
/// sets `action`; nothing runs while arguments are parsed.
struct Context {
  std::function<void()> action;

  // Options of every command, by add_output_options.
  bool json = false;
  std::string color = "auto";
  int width = -1;

  // Options of every command that runs a model, by add_model_options.
  std::string model = "demo";
  std::string device = "cpu";
  std::string gemm = "exact";
  std::string dtype;
  int threads = 0;

  std::string command_line;  ///< as a shell reads it
  Terminal out;              ///< ready when the action runs
};

void add_output_options(CLI::App& command, Context& context);
void add_model_options(CLI::App& command, Context& context);
Model load_model(const Context& context);

/// Two runs that a newcomer can copy, shown below the options.
void set_examples(CLI::App& command, const std::string& examples);

/// What every JSON answer begins with: {"vitrine": version, "command": ..., "model": {"name",
/// "device", "dtype"}}.
Json json_head(const std::string& command, const Model& model);
/// To stdout, with a newline. Numbers have all their digits; NaN and infinities are null.
void print_json(const Json& json);
void print(const std::string& text);

// One a file: cmd_NAME.cc.
void add_info(CLI::App& app, Context& context);
void add_sites(CLI::App& app, Context& context);
void add_tokenize(CLI::App& app, Context& context);
void add_generate(CLI::App& app, Context& context);
void add_score(CLI::App& app, Context& context);
void add_lens(CLI::App& app, Context& context);
void add_saliency(CLI::App& app, Context& context);
void add_attribute(CLI::App& app, Context& context);
void add_patch(CLI::App& app, Context& context);
void add_noise(CLI::App& app, Context& context);
void add_predictivity(CLI::App& app, Context& context);
void add_attention(CLI::App& app, Context& context);
void add_similarity(CLI::App& app, Context& context);
void add_factors(CLI::App& app, Context& context);
void add_concept(CLI::App& app, Context& context);
void add_capture(CLI::App& app, Context& context);
void add_corpus(CLI::App& app, Context& context);
void add_covariance(CLI::App& app, Context& context);
void add_bench(CLI::App& app, Context& context);
void add_make_random(CLI::App& app, Context& context);
void add_doctor(CLI::App& app, Context& context);

}  // namespace vitrine::cli
