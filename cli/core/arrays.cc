// SPDX-License-Identifier: MIT
#include "cli/core/arrays.h"

#include <filesystem>

#include "base/check.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::cli {
using namespace internal;

void check_array_path(const std::string& path) {
  if (std::filesystem::path(path).extension() != ".safetensors")
    user_error("{}: unknown output format: expected a file name ending in .safetensors", path);
}

void write_arrays(const std::string& path, const Arrays& arrays,
                  const std::map<std::string, std::string>& metadata) {
  SafetensorsWriter::write(path, {arrays.begin(), arrays.end()}, metadata);
}

}  // namespace vitrine::cli
