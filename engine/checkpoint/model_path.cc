// SPDX-License-Identifier: MIT
#include "engine/checkpoint/model_path.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/quote.h"
#include "engine/checkpoint/checkpoint.h"

namespace fs = std::filesystem;

namespace vitrine::internal {
namespace {

std::optional<fs::path> environment(const char* name) {
  const char* value = std::getenv(name);
  if (!value || *value == '\0') return std::nullopt;
  return fs::path(value);
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

// ORG/NAME or NAME of the characters that the hub allows: nothing that could lead out of the cache.
bool is_repository_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '/';
  };
  return !name.empty() && std::all_of(name.begin(), name.end(), allowed) &&
         std::count(name.begin(), name.end(), '/') <= 1 && name.front() != '/' &&
         name.back() != '/' && name.find("..") == std::string_view::npos;
}

// The names under which the cache may hold the repository. The oldest models had no organisation
// and were given one later.
std::vector<std::string> repository_names(std::string_view name) {
  constexpr std::array<const char*, 5> kMoved = {
      "openai-community/gpt2", "openai-community/gpt2-medium", "openai-community/gpt2-large",
      "openai-community/gpt2-xl", "distilbert/distilgpt2"};
  std::vector<std::string> names = {std::string(name)};
  for (const std::string_view full : kMoved) {
    const std::string_view bare = full.substr(full.find('/') + 1);
    if (name == bare) names.emplace_back(full);
    if (name == full) names.emplace_back(bare);
  }
  return names;
}

// The folder of the repository's current revision, as refs/main says; else its only revision.
std::optional<fs::path> snapshot(const fs::path& repository) {
  std::ifstream reference(repository / "refs" / "main");
  std::string revision;
  if (reference >> revision && revision.find('/') == std::string::npos &&
      is_folder(repository / "snapshots" / revision)) {
    return repository / "snapshots" / revision;
  }
  std::vector<fs::path> all;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(repository / "snapshots", ignored)) {
    if (is_folder(entry.path())) all.push_back(entry.path());
  }
  return all.size() == 1 ? std::optional(all[0]) : std::nullopt;
}

/// A config.json that says gpt2, as transformers writes it.
bool is_gpt2(const fs::path& folder) {
  try {
    const Json json = read_json(folder / "config.json");
    return json.is_object() && json.value("model_type", Json()) == "gpt2";
  } catch (const Error&) {
    return false;
  }
}

bool has_weights(const fs::path& folder) {
  std::error_code ignored;
  return std::any_of(kCheckpointFiles.begin(), kCheckpointFiles.end(),
                     [&](const char* name) { return fs::exists(folder / name, ignored); });
}

uint64_t bytes_in(const fs::path& folder) {
  std::error_code ignored;
  uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (!entry.is_regular_file(ignored)) continue;  // of a link: what it leads to
    const uintmax_t size = entry.file_size(ignored);
    if (!ignored) bytes += size;
  }
  return bytes;
}

/// The shared library that this code is in; a program may be named by a relative path here.
fs::path own_library() {
  static const int here = 0;
  Dl_info info = {};
  const bool found = dladdr(&here, &info) != 0 && info.dli_fname != nullptr;
  return found && info.dli_fname[0] == '/' ? info.dli_fname : "";
}

fs::path own_program() {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/exe", ignored);
}

/// The installed folder of data that belongs to a file in PREFIX/bin, PREFIX/lib/ARCH or
/// PREFIX/libexec/vitrine; a build folder has the same layout. Empty if there is none.
fs::path data_beside(const fs::path& file) {
  std::error_code error;
  fs::path folder = fs::canonical(file, error).parent_path();
  if (error) return {};
  for (int i = 0; i < 3; ++i, folder = folder.parent_path()) {
    const fs::path data = folder / VITRINE_DATA_DIR;
    if (is_folder(data / "models" / "demo")) return data;
  }
  return {};
}

fs::path demo_model() {
  if (const auto chosen = environment("VITRINE_DEMO_MODEL")) {
    if (is_folder(*chosen)) return *chosen;
    user_error("model 'demo': VITRINE_DEMO_MODEL is {}: expected a directory", chosen->string());
  }
  for (const fs::path& file : {own_library(), own_program()}) {
    if (const fs::path data = data_beside(file); !data.empty()) return data / "models" / "demo";
  }
  const fs::path installed = fs::path(VITRINE_INSTALLED_DATA_DIR) / "models" / "demo";
  if (is_folder(installed)) return installed;
  user_error(
      "missing model 'demo': expected {}/models/demo in the prefix of {}, or {}; or set "
      "VITRINE_DEMO_MODEL",
      VITRINE_DATA_DIR, own_program().string(), installed.string());
}

}  // namespace
}  // namespace vitrine::internal

namespace vitrine {
using namespace internal;

fs::path hub_home() {
  if (const auto home = environment("HF_HOME")) return *home;
  if (const auto cache = environment("XDG_CACHE_HOME")) return *cache / "huggingface";
  return environment("HOME").value_or("/") / ".cache" / "huggingface";
}

fs::path hub_cache() {
  if (const auto cache = environment("HF_HUB_CACHE")) return *cache;
  if (const auto cache = environment("HUGGINGFACE_HUB_CACHE")) return *cache;
  return hub_home() / "hub";
}

std::vector<CachedModel> cached_models() {
  constexpr std::string_view kPrefix = "models--";
  std::vector<CachedModel> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(hub_cache(), ignored)) {
    std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    name.erase(0, kPrefix.size());
    if (const size_t dashes = name.find("--"); dashes != std::string::npos)
      name.replace(dashes, 2, 1, '/');
    const auto folder = snapshot(entry.path());
    if (folder && is_gpt2(*folder) && has_weights(*folder))
      found.push_back({name, *folder, bytes_in(*folder)});
  }
  std::sort(found.begin(), found.end(),
            [](const CachedModel& a, const CachedModel& b) { return a.name < b.name; });
  return found;
}

}  // namespace vitrine

namespace vitrine::internal {

fs::path resolve_model(std::string_view name) {
  std::error_code ignored;
  if (!name.empty() && fs::exists(fs::path(name), ignored)) return fs::path(name);
  if (name == "demo") return demo_model();
  if (!is_repository_name(name)) {
    user_error(
        "unknown model {}: no such file or directory, and not a model name: expected NAME or "
        "ORGANISATION/NAME",
        quote(name));
  }
  std::vector<std::string> looked;
  for (std::string repository : repository_names(name)) {
    if (const size_t slash = repository.find('/'); slash != std::string::npos)
      repository.replace(slash, 1, "--");
    const fs::path folder = hub_cache() / ("models--" + repository);
    if (const auto found = snapshot(folder)) return *found;
    looked.push_back(folder.string());
  }
  user_error(
      "unknown model {}: no such file or directory, and not in the Hugging Face cache; searched {}",
      quote(name), fmt::join(looked, ", "));
}

}  // namespace vitrine::internal
