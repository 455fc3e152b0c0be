// SPDX-License-Identifier: MIT
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/quote.h"
#include "engine/checkpoint/files.h"
#include "engine/checkpoint/find.h"
#include "engine/parameters.h"

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;

void merge(CheckpointFiles& all, CheckpointFiles&& part, const fs::path& path) {
  for (auto& [name, tensor] : part.tensors) {
    const auto [it, inserted] = all.tensors.emplace(name, std::move(tensor));
    if (!inserted) {
      user_error("{}: duplicate tensor {}, also in {}", path.string(), quote(name),
                 it->second.file->path().filename().string());
    }
  }
  all.other.insert(all.other.end(), part.other.begin(), part.other.end());
  all.other_types.merge(part.other_types);
}

/// Whether a name of the index stays in the index's folder, subfolders included.
bool stays_inside(const std::string& name) {
  const fs::path path(name);
  return !name.empty() && name.find_first_of(std::string_view("\\\0", 2)) == std::string::npos &&
         path.is_relative() && path.has_filename() &&
         std::none_of(path.begin(), path.end(),
                      [](const fs::path& part) { return part == ".." || part == "."; });
}

/// Takes out of a shard what the index says is in another one; the index decides, not the shard.
void drop_listed_elsewhere(CheckpointFiles& part, const std::string& shard,
                           const std::map<std::string, std::string>& file_of) {
  std::erase_if(part.tensors, [&](const auto& named) {
    const auto listed = file_of.find(named.first);
    return listed != file_of.end() && listed->second != shard;
  });
}

std::map<std::string, std::string> files_of_index(const fs::path& index) {
  const std::string where = index.string();
  const Json json = read_json(index);
  const JsonFields fields(json, where);
  const Json* map = fields.find("weight_map");
  if (!map || !map->is_object())
    fields.refuse("weight_map", "expected an object of tensor names and file names");
  std::map<std::string, std::string> file_of;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string())
      user_error("{}: weight_map {} is {}: expected a file name", where, quote(tensor),
                 describe_json(file));
    const auto& name = file.get_ref<const std::string&>();
    if (!stays_inside(name)) {
      user_error("{}: weight_map {} is {}: expected the name of a file in the same folder or below",
                 where, quote(tensor), quote(name));
    }
    file_of[tensor] = name;
  }
  return file_of;
}

}  // namespace

CheckpointFiles read_checkpoint_file(const fs::path& path) {
  return checkpoint_format(path) == Format::kTorch ? read_torch_file(path)
                                                   : read_safetensors_file(path);
}

CheckpointFiles read_shards(const fs::path& index) {
  const auto file_of = files_of_index(index);
  std::map<std::string, std::vector<std::string>> tensors_of;
  for (const auto& [tensor, name] : file_of) tensors_of[name].push_back(tensor);
  CheckpointFiles all;
  for (const auto& [name, tensors] : tensors_of) {
    const fs::path path = index.parent_path() / name;
    CheckpointFiles part = read_checkpoint_file(path);
    for (const std::string& tensor : tensors) {
      // Of a tied unembedding no shard needs a copy; whether it is tied is seen later.
      if (!part.tensors.contains(tensor) && !part.other_types.contains(tensor) &&
          !tensor.ends_with(kUnembedding))
        user_error("{}: missing tensor {}, which {} lists for this file", path.string(),
                   quote(tensor), index.string());
    }
    drop_listed_elsewhere(part, name, file_of);
    merge(all, std::move(part), path);
  }
  return all;
}

}  // namespace vitrine::internal
