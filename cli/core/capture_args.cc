// SPDX-License-Identifier: MIT
#include "cli/core/capture_args.h"

#include <algorithm>

#include "base/check.h"
#include "base/quote.h"
#include "cli/core/site_syntax.h"

namespace vitrine::cli {
using namespace internal;

Option add_site_options(Command& command, CaptureArgs& args, std::vector<With> stored, bool int8) {
  const auto group = "Hooks";
  Option capture =
      command
          .add_option("--capture", args.sites,
                      "Sites to capture: a name or a glob, with an optional selection as in "
                      "blocks.*.attn.hook_z[heads=0,3 positions=-1]; keys: layers, positions, "
                      "heads, neurons, sequences. Repeatable; see vitrine sites")
          ->allow_extra_args(false)
          ->type_name("SITE")
          ->group(group);
  std::vector<std::string> types = {"f32", "f16", "bf16"};
  std::string help = "Storage type of captures: f32, f16, bf16";
  if (int8) {
    types.emplace_back("int8");
    help += ", int8 with a scale for each row";
  }
  command.add_option("--store", args.store, help)
      ->check(one_of(types))
      ->capture_default_str()
      ->type_name("DTYPE")
      ->group(group)
      ->only_with(std::move(stored));
  return capture;
}

Option add_capture_options(Command& command, CaptureArgs& args, std::vector<With> stored) {
  add_site_options(command, args, std::move(stored));
  return command
      .add_option("-o,--out", args.out,
                  "Output of captures: FILE.safetensors; FILE.npy for one site; "
                  "FOLDER/ for one .npy per site")
      ->type_name("PATH")
      ->group("Hooks");
}

void add_captures(Hooks& hooks, const CaptureArgs& args) {
  if (!args.sites.empty() && args.out.empty())
    user_error("missing output of --capture: add --out FILE.safetensors");
  if (args.sites.empty() && !args.out.empty())
    user_error("missing captures for --out {}: add --capture SITE", args.out);
  if (!args.out.empty()) capture_format(args.out);
  add_sites(hooks, args);
}

void add_sites(Hooks& hooks, const CaptureArgs& args) {
  for (const std::string& text : args.sites) {
    SiteArg site = parse_site(text);
    hooks.capture(std::move(site.pattern), std::move(site.where), dtype_from_name(args.store));
  }
}

JsonValue non_finite_json(const std::vector<NonFiniteSite>& sites, const char* text) {
  JsonValue json = JsonValue::array();
  for (const NonFiniteSite& site : sites) {
    json.push_back({{"site", site.name},
                    {"count", site.count},
                    {text, site.text},
                    {"position", site.position}});
  }
  return json;
}

std::string non_finite_text(const Terminal& out, const std::vector<NonFiniteSite>& sites,
                            const char* text, bool as_f16) {
  std::string lines;
  for (const NonFiniteSite& site : sites) {
    lines += out.paint(Style::kBad, fmt::format("{}: {} {} NaN or infinite as stored, first at "
                                                "position {} of {} {}{}",
                                                site.name, thousands(site.count),
                                                site.count == 1 ? "value is" : "values are",
                                                site.position, text, site.text,
                                                as_f16 ? "; f16 holds up to 65504, --store f32 or "
                                                         "bf16 more"
                                                       : "")) +
             "\n";
  }
  return lines;
}

JsonValue summary_json(const CaptureFileSummary& summary, const std::string& path) {
  JsonValue json = {{"path", path},
                    {"prompts", summary.prompts},
                    {"tokens", summary.tokens},
                    {"bytes", summary.bytes},
                    {"non_finite", non_finite_json(summary.non_finite, "prompt")},
                    {"tensors", JsonValue::array()}};
  for (const auto& tensor : summary.sites) {
    const auto sizes = tensor.shape.sizes();
    json["tensors"].push_back({{"name", tensor.name},
                               {"dtype", dtype_name(tensor.dtype)},
                               {"shape", std::vector<int64_t>(sizes.begin(), sizes.end())}});
  }
  return json;
}

std::string summary_text(const Terminal& out, const CaptureFileSummary& summary,
                         const std::string& path) {
  constexpr size_t kShown = 40;
  size_t width = 0;
  for (const auto& tensor : summary.sites) width = std::max(width, tensor.name.size());
  std::string text;
  for (size_t i = 0; i < std::min(summary.sites.size(), kShown); ++i) {
    const auto& tensor = summary.sites[i];
    text += fmt::format("{}  {}  {}\n", left(tensor.name, width),
                        out.paint(Style::kDim, left(dtype_name(tensor.dtype), 4)),
                        tensor.shape.to_string());
  }
  if (summary.sites.size() > kShown)
    text += out.paint(Style::kDim, fmt::format("... and {} more", summary.sites.size() - kShown)) +
            "\n";
  const bool as_f16 = std::any_of(summary.sites.begin(), summary.sites.end(),
                                  [](const auto& tensor) { return tensor.dtype == DType::kF16; });
  return text + non_finite_text(out, summary.non_finite, "prompt", as_f16) +
         out.paint(Style::kTitle, path) +
         fmt::format(": {}, {} tensors of {} {}, {} tokens\n",
                     human_bytes(static_cast<double>(summary.bytes)), summary.sites.size(),
                     thousands(summary.prompts), summary.prompts == 1 ? "prompt" : "prompts",
                     thousands(summary.tokens));
}

}  // namespace vitrine::cli
