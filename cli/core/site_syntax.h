// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/core/options.h"
#include "vitrine/hooks.h"

namespace vitrine::cli {

// Sites on the command line: SITE[NARROWING], and for an edit =CHANGE.
//
//   SITE       a name or a glob: blocks.*.hook_resid_post, blocks.{0..3}.attn.hook_{q,k}
//   NARROWING  [heads=3,5 positions=1.. layers=0..2 neurons=17 sequences=0], in any order; commas
//   or spaces between CHANGE     zero | scale:X | add:X | set:X | project:FILE, X a number or a
//   FILE of a tensor FILE       x.npy, x.safetensors#NAME, or x.safetensors that holds one tensor
//   or one of the site's name; FILE*2.5 multiplies it

struct SiteArg {
  std::string pattern;
  Where where;
};
/// Throws Error (user) showing the text and the place that is wrong.
SiteArg parse_site(std::string_view text);
Hooks::Change parse_edit(std::string_view text);

/// The value of an option that lists indices, as in a NARROWING: 0,3..5,-1. Nothing: all. Throws
/// Error (user) showing the option and the place that is wrong.
template <typename T>
Indices<T> parse_indices(std::string_view option, std::string_view list);

/// A FILE of a tensor, as float32: x.npy, x.safetensors#NAME, or x.safetensors that holds one
/// tensor or one with the name of `site`. Throws Error (user).
Tensor read_tensor(std::string_view path, std::string_view site = {});

/// The --edit option of the commands that run a model.
void add_edit_option(Command& command, std::vector<std::string>& edits);
Hooks parse_edits(const std::vector<std::string>& edits);

}  // namespace vitrine::cli
