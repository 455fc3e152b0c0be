// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/dtype.h"
#include "vitrine/hooks.h"

namespace vitrine {

/// The hooks of an experiment and its seed, as a file holds them: JSON with the fields `captures`,
/// `gradients`, `edits` (lists), `store` and `seed`, all optional.
///
/// An entry is the text of hook_text.h ("blocks.3.attn.hook_z[heads=3]=scale:0.5"), or an object:
/// `site`; `layers`, `positions`, `heads`, `neurons`, `sequences` (an index, a list of indices, or
/// a text such as "0..3,-1"); of an edit `tokens` ("prompt" or "generated"), `change`, and a list
/// of numbers in `values` if the change has no X of its own.
struct HookFile {
  std::vector<std::string> captures = {}, gradients = {};  ///< SITE[NARROWING]
  std::vector<std::string> edits = {};                     ///< SITE[NARROWING]=CHANGE, in order
  std::optional<DType> store = std::nullopt;  ///< of captures and gradients; nothing: float32
  std::optional<uint64_t> seed = std::nullopt;

  /// The file of some hooks. Throws Error (user) for what a file cannot hold: functions, values of
  /// another run, straight-through gradients, memory to capture into, and captures that are stored
  /// as different types.
  static HookFile of(const Hooks& hooks);
  /// Throws Error (user) for an entry that is not of that form.
  Hooks hooks() const;
  /// As JSON, each entry an object, the numbers of an edit's FILE in `values`: what another reader
  /// needs is in it. Throws Error (user) as hooks() does.
  std::string json() const;
};

/// Throws Error (user) for text that is not such JSON, and for entries that are not valid: file,
/// place, and what was expected. Unknown fields are rejected by name.
HookFile parse_hook_file(std::string_view text, const std::string& file);
HookFile read_hook_file(const std::filesystem::path& path);

}  // namespace vitrine
