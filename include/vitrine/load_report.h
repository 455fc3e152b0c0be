// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace vitrine {

/// What a checkpoint holds and the model does not use. Nothing of it changes the results of the
/// model that was loaded; it may mean that another model was intended.
struct LoadReport {
  /// Names in the files of what no GPT-2 has (a classifier's score.weight, an adapter's lora_A);
  /// sorted. Buffers without weights are not listed: h.N.attn.bias of rank 2 or more (the causal
  /// mask), h.N.attn.masked_bias, position_ids.
  std::vector<std::string> unread_tensors;
  /// Fields of config.json that transformers' GPT-2 does not know; sorted.
  std::vector<std::string> unread_fields;
  /// All of the above in one line, with the first names; empty if all was used. The command prints
  /// it on stderr.
  std::string warning;
  /// The tokenizer's file, and why that one; empty if there is none.
  std::string tokenizer;
  /// Lines on fields that were read and change nothing here, such as reorder_and_upcast_attn.
  std::vector<std::string> notes;
};

}  // namespace vitrine
