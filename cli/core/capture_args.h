// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "base/json_value.h"
#include "cli/core/context.h"
#include "vitrine/corpus/capture_file.h"

namespace vitrine::cli {
using namespace internal;

struct CaptureArgs {
  std::vector<std::string> sites;
  std::string store = "f32", out;
};

/// --capture and --store, without --out. `stored`: with which of the options --store has an effect.
/// `int8`: whether that is a choice of --store. Returns --capture.
Option add_site_options(Command& command, CaptureArgs& args,
                        std::vector<With> stored = {{"--capture"}}, bool int8 = false);
/// --capture, --store, --out. Returns the last.
Option add_capture_options(Command& command, CaptureArgs& args,
                           std::vector<With> stored = {{"--capture"}});
/// Adds the captures to `hooks`. Throws Error (user) for one of --capture and --out without the
/// other, and at once for a format of file that there is not.
void add_captures(Hooks& hooks, const CaptureArgs& args);
/// The same without a look at --out.
void add_sites(Hooks& hooks, const CaptureArgs& args);

/// The sites with NaN or infinities, for JSON, and a line for each. `text`: "prompt", "document".
JsonValue non_finite_json(const std::vector<NonFiniteSite>& sites, const char* text);
std::string non_finite_text(const Terminal& out, const std::vector<NonFiniteSite>& sites,
                            const char* text, bool as_f16);

JsonValue summary_json(const CaptureFileSummary& summary, const std::string& path);
std::string summary_text(const Terminal& out, const CaptureFileSummary& summary,
                         const std::string& path);

}  // namespace vitrine::cli
