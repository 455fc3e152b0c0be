// SPDX-License-Identifier: MIT
#include "vitrine/checkpoint/convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include "base/atomic_file.h"
#include "base/atomic_folder.h"
#include "base/check.h"
#include "base/finite.h"
#include "base/float_bits.h"
#include "base/json.h"
#include "base/quote.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/model_path.h"
#include "engine/checkpoint/saved_files.h"
#include "engine/parameters.h"
#include "tokenizer/gguf_vocab.h"
#include "vitrine/checkpoint/safetensors.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;

constexpr const char* kWeightsFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr std::array kConfigFiles = {"config.json", "generation_config.json", kIndexFile};

struct Shard {
  std::string file;
  std::vector<SafetensorsWriter::Declaration> tensors;
  std::vector<Parameter> parameters;  ///< one for each tensor
  uint64_t bytes = 0;
};

/// The parameters in the order in which they are stored, cut where a file would be too large; the
/// names of files as transformers makes them.
std::vector<Shard> plan_shards(const Checkpoint& checkpoint, const Config& config,
                               const ConvertOptions& options) {
  std::vector<Shard> shards(1);
  for_each_parameter(config, [&](const Parameter& parameter) {
    const DType dtype = options.dtype.value_or(checkpoint.dtype(parameter.name));
    const uint64_t bytes = static_cast<uint64_t>(parameter.shape.elements()) * dtype_size(dtype);
    const bool full = options.shard_bytes > 0 && shards.back().bytes + bytes > options.shard_bytes;
    if (full && shards.back().bytes > 0) shards.emplace_back();
    shards.back().tensors.push_back({saved_name(parameter.name), dtype, parameter.shape});
    shards.back().parameters.push_back(parameter);
    shards.back().bytes += bytes;
  });
  for (size_t i = 0; i < shards.size(); ++i) {
    shards[i].file = shards.size() == 1
                         ? kWeightsFile
                         : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  }
  return shards;
}

/// Rows of a parameter as the checkpoint holds them; element (r, c) is at data + r * row + c * col.
struct Source {
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 1, cols = 0, row = 0, col = 1;

  float at(int64_t r, int64_t c) const {
    const int64_t index = r * row + c * col;
    if (dtype == DType::kF32) return reinterpret_cast<const float*>(data)[index];
    const uint16_t half = reinterpret_cast<const uint16_t*>(data)[index];
    return dtype == DType::kF16 ? f16_to_f32(half) : bf16_to_f32(half);
  }
};

Source matrix_source(const HostWeight& weight, ParameterKind kind) {
  const auto* data = static_cast<const std::byte*>(weight.data);
  if (kind == ParameterKind::kTable)
    return {data, weight.dtype, weight.out, weight.in, weight.out_stride, weight.in_stride};
  return {data, weight.dtype, weight.in, weight.out, weight.in_stride, weight.out_stride};
}

/// Writes one shard after the other.
class Converter {
 public:
  Converter(const Checkpoint& checkpoint, const ConvertOptions& options, uint64_t total)
      : checkpoint_(checkpoint), options_(options), total_(total) {}

  /// False if it was stopped.
  bool write(const fs::path& path, const Shard& shard) {
    SafetensorsWriter writer(path, shard.tensors, {{"format", "pt"}});
    for (size_t i = 0; i < shard.tensors.size(); ++i) {
      if (options_.keep_going && !options_.keep_going()) return false;
      const Parameter& parameter = shard.parameters[i];
      const bool is_matrix = parameter.shape.rank() == 2;
      const std::vector<float> values =
          is_matrix ? std::vector<float>() : checkpoint_.vector(parameter.name);
      const Source source = is_matrix
                                ? matrix_source(checkpoint_.weight(parameter.name), parameter.kind)
                                : Source{.data = reinterpret_cast<const std::byte*>(values.data()),
                                         .cols = static_cast<int64_t>(values.size())};
      write_rows(writer, source, parameter, shard.tensors[i].dtype);
      checkpoint_.release(parameter.name);
    }
    writer.finish();
    return true;
  }

 private:
  void write_rows(SafetensorsWriter& writer, const Source& source, const Parameter& parameter,
                  DType dtype) {
    const size_t size = dtype_size(dtype);
    const bool as_they_are = dtype == source.dtype && source.col == 1;
    std::vector<std::byte> row(static_cast<size_t>(source.cols) * size);
    const int64_t rows = parameter.shape.rank() == 2 ? parameter.shape[0] : 1;
    for (int64_t r = 0; r < rows; ++r) {
      if (as_they_are) {
        writer.append(
            std::span(source.data + r * source.row * static_cast<int64_t>(size), row.size()));
      } else {
        for (int64_t c = 0; c < source.cols; ++c)
          put(row.data() + static_cast<size_t>(c) * size, source, r, c, dtype);
        check(row, parameter, source, r, dtype);
        writer.append(row);
      }
      done_ += row.size();
      if (options_.progress) options_.progress->update(done_, total_, "Writing");
    }
  }

  static void put(std::byte* to, const Source& source, int64_t r, int64_t c, DType dtype) {
    const size_t size = dtype_size(dtype);
    if (dtype == source.dtype) {
      const auto at = static_cast<size_t>(r * source.row + c * source.col);
      std::memcpy(to, source.data + at * size, size);
      return;
    }
    const float value = source.at(r, c);
    if (dtype == DType::kF32) {
      std::memcpy(to, &value, size);
      return;
    }
    const uint16_t half = dtype == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
    std::memcpy(to, &half, size);
  }

  /// The source's elements are finite, so one that is not has become too large.
  void check(const std::vector<std::byte>& row, const Parameter& parameter, const Source& source,
             int64_t r, DType dtype) const {
    const auto bad = first_non_finite(row.data(), dtype, source.cols);
    if (!bad) return;
    const std::string index =
        parameter.shape.rank() == 2 ? fmt::format("{}, {}", r, *bad) : fmt::format("{}", *bad);
    user_error("{}: element [{}] of tensor '{}' is {}, which {} cannot hold: convert to f32{}",
               checkpoint_.path().string(), index, parameter.name, source.at(r, *bad),
               dtype_name(dtype), dtype == DType::kF16 ? " or bf16" : "");
  }

  const Checkpoint& checkpoint_;
  const ConvertOptions& options_;
  uint64_t total_, done_ = 0;
};

/// bos_token_id or eos_token_id of the source's config.json, an id or a list; null if it has none.
JsonValue token_ids(const fs::path& folder, const char* name) {
  std::error_code ignored;
  const fs::path path = folder / "config.json";
  if (!fs::exists(path, ignored)) return nullptr;
  const Json json = read_python_json(path);
  const Json value = json.is_object() ? json.value(name, Json()) : Json();
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_array()) return nullptr;
  JsonValue ids = JsonValue::array();
  for (const Json& id : value) {
    if (id.is_number_integer()) ids.push_back(id.get<int64_t>());
  }
  return ids;
}

JsonValue index_json(const std::vector<Shard>& shards) {
  uint64_t total = 0;
  std::map<std::string, std::string> files;
  for (const Shard& shard : shards) {
    total += shard.bytes;
    for (const auto& tensor : shard.tensors) files[tensor.name] = shard.file;
  }
  return {{"metadata", {{"total_size", total}}}, {"weight_map", JsonValue(files)}};
}

/// Throws Error (user) for a folder with files, or, where they are to be replaced, with files of
/// other kinds, which would be lost.
void require_free_or_replaceable(const fs::path& folder, bool replace) {
  std::error_code ignored;
  if (!replace && fs::is_directory(folder, ignored) && !fs::is_empty(folder, ignored)) {
    user_error("{}: exists and is not empty: choose another folder, or use `force`",
               folder.string());
  }
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const fs::path name = entry.path().filename();
    const bool weights = name.string().starts_with("model") && name.extension() == ".safetensors";
    const bool config =
        std::find(kConfigFiles.begin(), kConfigFiles.end(), name) != kConfigFiles.end();
    if (!weights && !config && !is_tokenizer_file(name)) {
      user_error("{}: contains {}, which is not part of a converted model: choose another folder",
                 folder.string(), quote(name.string()));
    }
  }
}

/// Where the source's configuration and tokenizer are.
fs::path folder_of(const fs::path& source) {
  std::error_code ignored;
  return fs::is_directory(source, ignored) ? source : source.parent_path();
}

void write_beside(const fs::path& folder, const Checkpoint& checkpoint, const Config& written,
                  DType dtype, const std::vector<Shard>& shards) {
  const fs::path from = folder_of(checkpoint.path());
  const JsonValue config = saved_config(written, dtype, token_ids(from, "bos_token_id"),
                                        token_ids(from, "eos_token_id"));
  write_file(folder / "config.json", config.dump(2) + "\n");
  if (shards.size() > 1) write_file(folder / kIndexFile, index_json(shards).dump(2) + "\n");
  std::vector<fs::path> files = tokenizer_files(from);
  std::error_code ignored;
  if (files.empty()) {  // OpenAI's names of GPT-2's pair
    copy_file_as(from / "encoder.json", folder / "vocab.json");
    copy_file_as(from / "vocab.bpe", folder / "merges.txt");
  }
  if (fs::is_regular_file(from / "generation_config.json", ignored))
    files.push_back(from / "generation_config.json");
  copy_files(files, folder);
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

ConvertedCheckpoint convert_checkpoint(const std::string& source, const fs::path& target,
                                       const ConvertOptions& options) {
  if (options.dtype && !is_floating(*options.dtype))
    user_error("weights cannot be stored as {}: expected f32, f16 or bf16",
               dtype_name(*options.dtype));
  const Checkpoint checkpoint =
      Checkpoint::open(resolve_model(source), resolve_adapter(options.adapter));
  // GPT-2's files say nothing of windows, which make no difference to short texts.
  Config config = checkpoint.config();
  config.context = config.whole_context();
  config.windows.clear();
  const std::vector<Shard> shards = plan_shards(checkpoint, config, options);
  ConvertedCheckpoint result;
  for (const Shard& shard : shards) result.bytes += shard.bytes;
  result.dtype = options.dtype.value_or(checkpoint.dominant_dtype());
  result.notes = checkpoint.report().notes;
  if (config.context < checkpoint.config().context)
    result.notes.push_back(fmt::format(
        "the context is {}, the narrowest window of the layers, instead of {}: GPT-2's files say "
        "nothing of windows",
        config.context, checkpoint.config().context));
  if (checkpoint.config().unembedding_bias)
    result.notes.push_back(
        "lm_head.bias is part of the result: Vitrine reads it, transformers' GPT2LMHeadModel does "
        "not");
  if (checkpoint.path().extension() == ".gguf" && gguf_has_tokenizer(checkpoint.path()))
    result.notes.push_back(checkpoint.path().string() +
                           ": the tokenizer inside the file is not written");
  if (const std::string& unread = checkpoint.report().warning; !unread.empty())
    result.notes.push_back(unread);
  Converter converter(checkpoint, options, result.bytes);
  std::error_code ignored;
  if (target.extension() == ".safetensors") {
    if (shards.size() > 1)
      user_error("{}: one file cannot have shards: name a folder, or leave out `shard_size`",
                 target.string());
    if (!options.force && fs::exists(target, ignored))
      user_error("{}: exists: choose another file, or use `force`", target.string());
    if (converter.write(target, shards[0])) result.files = {target.filename().string()};
    return result;
  }
  require_free_or_replaceable(target, options.force);
  AtomicFolder folder(target, result.bytes, options.force);
  for (const Shard& shard : shards) {
    if (!converter.write(folder.path() / shard.file, shard)) return result;
  }
  write_beside(folder.path(), checkpoint, config, result.dtype, shards);
  result.files = names_in(folder.path());
  folder.commit();
  return result;
}

}  // namespace vitrine
