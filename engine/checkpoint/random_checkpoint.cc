// SPDX-License-Identifier: MIT
#include "vitrine/checkpoint/random_checkpoint.h"

#include <array>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "base/atomic_file.h"
#include "base/atomic_folder.h"
#include "base/quote.h"
#include "engine/checkpoint/config.h"
#include "engine/checkpoint/saved_files.h"
#include "engine/random_weights.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/tokenizer.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;

struct TokenizerFiles {
  std::vector<fs::path> files;
  std::optional<int32_t> end_of_text;
};

TokenizerFiles find_tokenizer(const fs::path& where, int64_t vocab) {
  if (where.empty()) return {};
  const auto tokenizer = Tokenizer::load(where);
  if (tokenizer->vocab_size() > vocab) {
    user_error(
        "the tokenizer of '{}' has {} tokens, the model a vocabulary of {}: expected a vocabulary "
        "of at least that size",
        where.string(), tokenizer->vocab_size(), vocab);
  }
  TokenizerFiles found{{}, tokenizer->end_of_text()};
  std::error_code ignored;
  const fs::path folder = fs::is_directory(where, ignored) ? where : where.parent_path();
  found.files = tokenizer_files(folder);
  return found;
}

/// False if it was ended.
bool write_weights(const fs::path& path, const RandomWeights& weights, const RandomCheckpoint& what,
                   uint64_t total, const RandomCheckpointOptions& options) {
  std::vector<SafetensorsWriter::Declaration> declarations;
  for (const auto& entry : weights.entries()) {
    declarations.push_back({saved_name(entry.name), what.dtype, entry.shape});
  }
  SafetensorsWriter writer(path, std::move(declarations), {{"format", "pt"}});
  uint64_t done = 0;
  for (const auto& entry : weights.entries()) {
    if (options.keep_going && !options.keep_going()) return false;
    const Tensor tensor = weights.make(entry.name, what.dtype, [&](int64_t elements) {
      if (!options.progress) return;
      const uint64_t bytes = static_cast<uint64_t>(elements) * dtype_size(what.dtype);
      options.progress->update(done + bytes, total, "Writing");
    });
    writer.append(tensor.view());
    done += tensor.view().bytes();
  }
  writer.finish();
  return true;
}

}  // namespace

RandomInit random_init_from_name(std::string_view name) {
  if (name == "gpt2") return RandomInit::kGpt2;
  if (name == "wide") return RandomInit::kWide;
  user_error("unknown initialisation {}: expected gpt2 or wide", quote(name));
}

uint64_t write_random_checkpoint(const fs::path& folder, const RandomCheckpoint& what,
                                 const RandomCheckpointOptions& options) {
  check_config(what.config, "the configuration");
  activation_from_name(what.config.activation);
  if (!is_floating(what.dtype))
    user_error("weights cannot be stored as {}: expected f32, f16 or bf16", dtype_name(what.dtype));
  const TokenizerFiles tokenizer = find_tokenizer(what.tokenizer, what.config.vocab);
  const RandomWeights weights(what.config, what.seed, what.init);
  uint64_t bytes = 0;
  for (const auto& entry : weights.entries())
    bytes += static_cast<uint64_t>(entry.shape.elements()) * dtype_size(what.dtype);
  // Without a tokenizer where GPT-2's own vocabulary has it.
  const int64_t end = tokenizer.end_of_text.value_or(what.config.vocab - 1);
  AtomicFolder made(folder, bytes);
  if (!write_weights(made.path() / "model.safetensors", weights, what, bytes, options)) return 0;
  write_file(made.path() / "config.json",
             saved_config(what.config, what.dtype, end, end).dump(2) + "\n");
  copy_files(tokenizer.files, made.path());
  made.commit();
  return bytes;
}

}  // namespace vitrine
