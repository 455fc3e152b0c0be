// SPDX-License-Identifier: MIT
#include "base/nearest_names.h"
#include "cli/core/tokens.h"
#include "cli/predictivity/predictivity_files.h"
#include "hooks/glob.h"
#include "tests/fuzz/fuzz.h"
#include "vitrine/analysis/path_patching.h"
#include "vitrine/hook_text.h"

// Any text where the command line has a language of its own: sites, edits, lists.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  return fuzz::run(data, size, [](std::span<const std::byte> bytes) {
    const size_t way = fuzz::choose(bytes, 7);
    const std::string text(fuzz::text_of(bytes));
    switch (way) {
      case 0:
        (void)parse_site(text);
        break;
      case 1:
        (void)parse_edit(text);
        break;
      case 2:
        (void)cli::parse_ids(text);
        break;
      case 3:
        (void)cli::parse_numbers(text, "list");
        break;
      case 4:
        (void)internal::Glob(text, 12).matches("blocks.11.attn.hook_pattern");
        (void)internal::nearest_names(text, {"hook_embed", "blocks.0.hook_resid_pre"}, 3);
        break;
      case 5:
        fuzz::require(PathNode::parse(PathNode::parse(text).name()).name() ==
                      PathNode::parse(text).name());
        break;
      default:
        fuzz::require(!cli::split_list(text).empty());
        (void)dtype_from_name(text);
    }
  });
}
