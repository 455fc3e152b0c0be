// SPDX-License-Identifier: MIT
#include <memory>

#include "cli/core/context.h"
#include "cli/core/site_syntax.h"
#include "cli/model/site_table.h"
#include "vitrine/hooks.h"

namespace vitrine::cli {
using namespace internal;
namespace {

void run(const Context& context, const std::vector<std::string>& patterns) {
  const Model model = load_model(context);
  std::vector<SiteRef> sites;
  for (const std::string& pattern : patterns) {
    const SiteArg site = parse_site(pattern);
    for (SiteRef& found : find_sites(site.pattern, model.config(), site.where))
      sites.push_back(std::move(found));
  }
  if (patterns.empty()) sites = all_sites(model.config());
  if (!context.json) return print(site_table(context.out, model.config(), sites));
  JsonValue json = json_head("sites", model);
  json["sites"] = sites_json(model.config(), sites);
  print_json(json);
}

}  // namespace

void add_sites(Command& app, Context& context) {
  Command command =
      app.add_subcommand("sites", "List the model's sites, or those that match a pattern");
  const auto patterns = std::make_shared<std::vector<std::string>>();
  command.add_option("PATTERN", *patterns,
                     "Globs over site names: * any characters, ? one character, {a,b} "
                     "alternatives, {0..3} a range [all sites]");
  add_model_option(command, context);
  add_output_options(command, context);
  set_examples(command,
               "  vitrine sites\n"
               "  vitrine sites \"blocks.{0..2}.attn.hook_{q,k,v}\"");
  command.callback(
      [&context, patterns] { context.action = [&context, patterns] { run(context, *patterns); }; });
}

}  // namespace vitrine::cli
