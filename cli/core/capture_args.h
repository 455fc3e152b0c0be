// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/json.h"
#include "cli/core/context.h"
#include "vitrine/corpus/capture_file.h"

namespace vitrine::cli {
using namespace internal;

struct CaptureArgs {
  std::vector<std::string> sites;
  std::string store = "f32", out;
};

/// --capture and --store, without --out. Returns --capture.
CLI::Option* add_site_options(CLI::App& command, CaptureArgs& args);
/// --capture, --store, --out.
void add_capture_options(CLI::App& command, CaptureArgs& args, bool required);
/// Adds the captures to `hooks`. Throws Error (user) for one of --capture and --out without the
/// other, and at once for a format of file that there is not.
void add_captures(Hooks& hooks, const CaptureArgs& args);
/// The same without a look at --out.
void add_sites(Hooks& hooks, const CaptureArgs& args);

Json summary_json(const CaptureFileSummary& summary, const std::string& path);
std::string summary_text(const Terminal& out, const CaptureFileSummary& summary,
                         const std::string& path);

}  // namespace vitrine::cli
