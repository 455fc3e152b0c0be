// SPDX-License-Identifier: MIT
#include "cli/pull/repository.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/json.h"
#include "base/quote.h"
#include "vitrine/checkpoint/model_cache.h"

namespace vitrine::cli {
using namespace internal;
namespace {

constexpr size_t kMaxPart = 96;  // the hub's
constexpr size_t kMaxFileName = 255;

constexpr std::string_view kIndexEnding = ".index.json";

/// The files of each format of weights, the best format first.
const std::vector<std::vector<std::string>> kWeights = {
    {"model.safetensors"},
    {"model.safetensors.index.json"},
    {"pytorch_model.bin"},
    {"pytorch_model.bin.index.json"},
    {"ckpt.pt"},
    {"adapter_config.json", "adapter_model.safetensors"},
    {"adapter_config.json", "adapter_model.bin"},
};

bool is_repository_part(std::string_view part) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  const auto at_end = [](char c) { return c != '-' && c != '.'; };
  return !part.empty() && part.size() <= kMaxPart &&
         std::all_of(part.begin(), part.end(), allowed) && at_end(part.front()) &&
         at_end(part.back());
}

std::vector<std::string_view> path_parts(std::string_view path) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0;;) {
    const size_t slash = path.find('/', begin);
    parts.push_back(path.substr(begin, slash - begin));
    if (slash == std::string_view::npos) return parts;
    begin = slash + 1;
  }
}

/// Names that systems with such a cache on a shared disk take for devices.
bool is_device_name(std::string_view part) {
  std::string name(part);
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  if (name == "CON" || name == "PRN" || name == "AUX" || name == "NUL") return true;
  return name.size() == 4 && (name.starts_with("COM") || name.starts_with("LPT")) &&
         name[3] >= '1' && name[3] <= '9';
}

bool is_control(char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }

/// Ends in .gguf, at the top of the repository; the first by name.
std::string gguf_of(const std::set<std::string>& listed) {
  const auto found = std::find_if(listed.begin(), listed.end(), [](const std::string& name) {
    return name.ends_with(".gguf") && name.find('/') == std::string::npos;
  });
  return found == listed.end() ? "" : *found;
}

std::vector<std::string> weights_of(const std::set<std::string>& listed) {
  for (const auto& files : kWeights) {
    const auto is_listed = [&](const std::string& file) { return listed.contains(file); };
    if (std::all_of(files.begin(), files.end(), is_listed)) return files;
  }
  const std::string gguf = gguf_of(listed);
  return gguf.empty() ? std::vector<std::string>() : std::vector<std::string>{gguf};
}

}  // namespace

Repository parse_repository(const std::string& words, const std::string& revision) {
  Repository repository;
  const size_t at = words.find('@');
  repository.name = words.substr(0, at);
  const auto parts = path_parts(repository.name);
  const bool valid =
      parts.size() <= 2 && std::all_of(parts.begin(), parts.end(), is_repository_part) &&
      repository.name.find("--") == std::string::npos &&
      repository.name.find("..") == std::string::npos && !repository.name.ends_with(".git");
  if (!valid) {
    user_error(
        "invalid model name {}: expected NAME or ORGANISATION/NAME of letters, digits, -, _ "
        "and ., as on the hub",
        quote(repository.name));
  }
  if (at != std::string::npos) repository.revision = words.substr(at + 1);
  if (!revision.empty()) {
    if (at != std::string::npos) {
      user_error("two revisions, {} and --revision {}: expected one", quote(repository.revision),
                 quote(revision));
    }
    repository.revision = revision;
  }
  if (const std::string problem = problem_of_path(repository.revision); !problem.empty()) {
    user_error("invalid revision {}: {}; expected a branch, tag or commit",
               quote(repository.revision), problem);
  }
  return repository;
}

std::string problem_of_path(std::string_view path) {
  if (path.empty()) return "it is empty";
  if (path.front() == '/') return "it begins at the root of the file system";
  if (path.find('\\') != std::string_view::npos) return "it contains a backslash";
  if (path.size() > 1 && path[1] == ':') return "it begins with a drive";
  if (std::any_of(path.begin(), path.end(), is_control)) return "it contains a control character";
  for (const std::string_view part : path_parts(path)) {
    if (part.empty()) return "a part of it is empty";
    if (part == "." || part == "..") return fmt::format("it contains '{}'", part);
    if (part.size() > kMaxFileName) return fmt::format("a part is longer than {}", kMaxFileName);
    if (is_device_name(part)) return fmt::format("'{}' is the name of a device", part);
  }
  return {};
}

FileChoice choose_files(const std::set<std::string>& listed, const std::string& name) {
  FileChoice choice;
  // What is not there is not needed.
  std::vector<std::string_view> small = {"config.json", "generation_config.json"};
  const auto tokenizer = tokenizer_file_names();
  small.insert(small.end(), tokenizer.begin(), tokenizer.end());
  for (const std::string_view file : small) {
    if (listed.contains(std::string(file))) choice.files.emplace_back(file);
  }
  const std::vector<std::string> weights = weights_of(listed);
  if (weights.empty()) {
    std::vector<std::string> some(listed.begin(), listed.end());
    some.resize(std::min<size_t>(some.size(), 8));
    user_error(
        "{}: has no weights that vitrine reads (it lists {}{}): expected model.safetensors, "
        "pytorch_model.bin, an index of either, ckpt.pt, an adapter or a .gguf file",
        name, some.empty() ? "no files" : quote(fmt::format("{}", fmt::join(some, ", ")), 200),
        listed.size() > some.size() ? ", ..." : "");
  }
  choice.files.insert(choice.files.end(), weights.begin(), weights.end());
  if (weights.front().ends_with(kIndexEnding)) choice.index = weights.front();
  return choice;
}

std::vector<std::string> shards_of(const std::string& index_text, const std::string& index_name,
                                   const std::set<std::string>& listed) {
  const Json index = parse_json(index_text, index_name);
  const Json* map =
      index.is_object() && index.contains("weight_map") ? &index["weight_map"] : nullptr;
  if (!map || !map->is_object())
    user_error("{}: missing weight_map: expected an object of tensors and their files", index_name);
  std::set<std::string> shards;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string())
      user_error("{}: {} is in {}: expected the name of a file", index_name, quote(tensor),
                 describe_json(file));
    shards.insert(file.get<std::string>());
  }
  for (const std::string& shard : shards) {
    if (const std::string problem = problem_of_path(shard); !problem.empty())
      internal_error("{}: invalid file name {}: {}", index_name, quote(shard), problem);
    if (!listed.contains(shard))
      user_error("{}: names {}, which the repository does not have", index_name, quote(shard));
  }
  return {shards.begin(), shards.end()};
}

}  // namespace vitrine::cli
