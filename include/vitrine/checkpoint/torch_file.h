// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "vitrine/tensor.h"

namespace vitrine {

/// Loads a dictionary of tensors (a state_dict) written by torch.save: name -> row-major copy in
/// host memory, with the dtype of the file. Other entries are skipped. No code of the file is
/// executed: its pickle may create tensors and plain values only. Throws Error (user) naming the
/// file, the tensor and the defect: a missing file, a damaged archive, a pickle with unsupported
/// content, a tensor outside its storage or larger than the file.
std::map<std::string, Tensor> load_torch_tensors(const std::filesystem::path& path);

}  // namespace vitrine
