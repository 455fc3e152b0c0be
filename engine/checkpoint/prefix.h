// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vitrine::internal {

/// What stands before GPT-2's names in a checkpoint: "" as Hugging Face writes them, "module." of
/// DistributedDataParallel, "_orig_mod." of torch.compile, "model." of Lightning, ...
class Prefix {
 public:
  /// Of the tensors `names`, from the one of the token embedding; nothing without one. Throws Error
  /// (user) if there are several, none of them empty: `file` holds several models.
  Prefix(const std::vector<std::string>& names, const std::string& file);

  /// The name without the prefix and without "transformer."; a name without the prefix as it is.
  std::string canonical(std::string_view name) const;

 private:
  std::string prefix_;
};

}  // namespace vitrine::internal
