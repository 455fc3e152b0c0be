// SPDX-License-Identifier: MIT
#include "cli/core/arrays.h"

#include <filesystem>
#include <system_error>

#include "base/atomic_file.h"
#include "base/atomic_folder.h"
#include "base/check.h"
#include "base/json_value.h"
#include "base/npy.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine::cli {
using namespace internal;

namespace fs = std::filesystem;

void check_array_path(const std::string& path, std::string_view or_else) {
  if (fs::path(path).extension() != ".safetensors")
    user_error("{}: unknown output format: expected a file name ending in .safetensors{}", path,
               or_else);
}

bool is_array_folder(const std::string& path) {
  const fs::path folder = path;
  std::error_code ignored;
  return folder.extension().empty() || fs::is_directory(folder, ignored);
}

fs::path folder_path(const std::string& path) {
  const fs::path folder = path;
  return folder.has_filename() ? folder : folder.parent_path();
}

std::string array_file(const std::string& folder, const std::string& name) {
  return (folder_path(folder) / (name + ".npy")).string();
}

void write_arrays(const std::string& path, const Arrays& arrays,
                  const std::map<std::string, std::string>& metadata) {
  if (!is_array_folder(path)) {
    SafetensorsWriter::write(path, {arrays.begin(), arrays.end()}, metadata);
    return;
  }
  AtomicFolder folder(folder_path(path));
  JsonValue index = {{"format", "vitrine-arrays-1"}, {"metadata", metadata}};
  for (const auto& [name, tensor] : arrays) {
    const std::string file = name + ".npy";
    write_npy(folder.path() / file, tensor);
    index["arrays"][name] = {
        {"file", file}, {"dtype", dtype_name(tensor.dtype())}, {"shape", tensor.shape().sizes()}};
  }
  write_file(folder.path() / "index.json", index.dump(1) + "\n");
  folder.commit();
}

}  // namespace vitrine::cli
