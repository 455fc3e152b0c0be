// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "vitrine/hooks.h"
#include "vitrine/indices.h"

namespace vitrine {

// Sites and edits as text, on the command line and in files: SITE[NARROWING], and for an edit
// =CHANGE.
//
//   SITE       a name or a glob: blocks.*.hook_resid_post, blocks.{0..3}.attn.hook_{q,k}
//   NARROWING  [heads=3,5 positions=1.. layers=0..2 neurons=17 sequences=0], in any order; commas
//              or spaces between; tokens=prompt or tokens=generated, of an edit of a generation
//   CHANGE     zero | scale:X | add:X | set:X | project:X, X a number, a list [1,0.5,-2], or a FILE
//              of a tensor
//   FILE       x.npy, x.safetensors#NAME, or x.safetensors that holds one tensor or one of the
//              site's name; FILE*2.5 multiplies it

struct SiteArg {
  std::string pattern;
  Where where;
};
/// Throws Error (user) showing the text and the place that is wrong.
SiteArg parse_site(std::string_view text);
Hooks::Change parse_edit(std::string_view text);

/// The value of an option that lists indices, as in a NARROWING: 0,3..5,-1. Nothing: all. T is int
/// or int64_t. Throws Error (user) showing the option and the place that is wrong.
template <typename T>
Indices<T> parse_indices(std::string_view option, std::string_view list);

/// An edit in two parts: SITE[NARROWING] and CHANGE. Throws Error (user) for a missing CHANGE.
struct EditText {
  std::string site, change;
};
EditText split_edit(std::string_view text);
/// CHANGE with the numbers of a FILE in its place, as a list. `site`: as of split_edit(). Throws
/// Error (user) as parse_edit() does.
std::string change_with_numbers(std::string_view change, std::string_view site);

/// A FILE of a tensor, as float32: x.npy, x.safetensors#NAME, or x.safetensors that holds one
/// tensor or one with the name of `site`. Throws Error (user).
Tensor read_tensor(std::string_view path, std::string_view site = {});

}  // namespace vitrine
