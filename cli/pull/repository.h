// SPDX-License-Identifier: MIT
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

// Which repository a user means, and which of its files are needed. Names from a server's list
// become paths only after they were checked here.

namespace vitrine::cli {

struct Repository {
  std::string name;               ///< "gpt2", "openai-community/gpt2"
  std::string revision = "main";  ///< branch, tag or commit
};

/// Reads NAME or NAME@REVISION. `revision`: of an option; empty: none. Throws Error (user) for
/// names that the hub does not allow, and for two revisions.
Repository parse_repository(const std::string& words, const std::string& revision);

/// What is wrong with a name from outside as a path inside a folder; empty: nothing.
std::string problem_of_path(std::string_view path);

struct FileChoice {
  std::vector<std::string> files;
  std::string index;  ///< the index, one of `files`, that names the shards of the weights; or empty
};

/// The files that a model and its tokenizer are loaded from: configurations, tokenizer, and the
/// weights in one format, the first that there is of safetensors, PyTorch's, nanoGPT's, GGUF, an
/// adapter. Throws Error (user) where there are no weights.
FileChoice choose_files(const std::set<std::string>& listed, const std::string& name);

/// The shards that an index names. Throws Error (internal) for one that leads out of the folder,
/// and (user) for one that the repository does not list.
std::vector<std::string> shards_of(const std::string& index_text, const std::string& index_name,
                                   const std::set<std::string>& listed);

}  // namespace vitrine::cli
