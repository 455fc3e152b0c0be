// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "vitrine/tensor.h"

namespace vitrine {

/// The tensors of a file that torch.save made of a dictionary of tensors (a state_dict): name -> a
/// row-major copy in host memory, of the dtype in the file. What the dictionary holds besides is
/// left out. Nothing in the file is executed: its pickle may build tensors and plain values, and
/// nothing else. Throws Error (user), one line naming the file, the tensor and what is wrong: no
/// such file, a damaged archive, a pickle that asks for anything else, a tensor that reaches
/// outside its storage or says to be larger than the whole file.
std::map<std::string, Tensor> load_torch_tensors(const std::filesystem::path& path);

}  // namespace vitrine
