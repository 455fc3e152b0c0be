// SPDX-License-Identifier: MIT
#include "engine/checkpoint/tensorflow.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/proto_message.h"
#include "base/quote.h"
#include "engine/checkpoint/config.h"
#include "engine/checkpoint/tensorflow_table.h"

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;

Config config_of(const fs::path& path) {
  const std::string file = path.string();
  const Json json = read_python_json(path);
  const JsonFields fields(json, file);
  constexpr int64_t kMost = int64_t{1} << 20, kMostParts = 1000;
  Config config;
  config.layers = static_cast<int>(fields.require_integer("n_layer", 1, kMostParts));
  config.heads = static_cast<int>(fields.require_integer("n_head", 1, kMostParts));
  config.width = fields.require_integer("n_embd", 1, kMost);
  config.context = fields.require_integer("n_ctx", 1, kMost);
  config.vocab = fields.require_integer("n_vocab", 1, int64_t{1} << 30);
  config.inner = 4 * config.width;
  check_config(config, file);
  return config;
}

/// "model/h3/attn/c_attn/w" as "h.3.attn.c_attn.weight"; other names as they are.
std::string name_in_gpt2(const std::string& name) {
  constexpr std::string_view kModel = "model/";
  if (!name.starts_with(kModel)) return name;
  std::string path = name.substr(kModel.size());
  if (path == "wte" || path == "wpe") return path + ".weight";
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return name;
  const std::string kind = path.substr(slash + 1);
  if (kind != "w" && kind != "g" && kind != "b") return name;
  path = path.substr(0, slash) + (kind == "b" ? ".bias" : ".weight");
  const bool layer = path.size() > 1 && path[0] == 'h' && path[1] >= '0' && path[1] <= '9';
  if (layer) path.insert(1, ".");
  std::replace(path.begin(), path.end(), '/', '.');
  return path;
}

std::optional<DType> dtype_of(uint64_t type) {
  switch (type) {
    case 1:
      return DType::kF32;
    case 2:
      return DType::kF64;
    case 14:
      return DType::kBF16;
    case 19:
      return DType::kF16;
    default:
      return std::nullopt;
  }
}

/// What the index says of a tensor.
struct Entry {
  uint64_t type = 0, shard = 0, begin = 0, bytes = 0;
  std::vector<int64_t> sizes;
  bool in_parts = false, unknown_rank = false;
};

class TensorflowReader {
 public:
  explicit TensorflowReader(const fs::path& index) : index_(index), path_(index.string()) {}

  CheckpointFiles read() {
    const MappedFile file(index_);
    const std::string_view contents(reinterpret_cast<const char*>(file.data()), file.size());
    for_each_table_entry(contents, path_, [&](const std::string& key, std::string_view value) {
      const ProtoMessage message(value, path_, "a TensorFlow checkpoint's index");
      if (key.empty())
        read_header(message);
      else
        add(key, entry_of(message));
    });
    return std::move(files_);
  }

 private:
  void read_header(ProtoMessage header) {
    shards_ = 1;
    while (const auto field = header.next()) {
      if (field->number == 1) shards_ = field->value;
      if (field->number == 2 && field->value != 0)
        user_error("{}: its numbers are big-endian: expected little-endian", path_);
    }
    constexpr uint64_t kMostShards = 99999;
    if (shards_ < 1 || shards_ > kMostShards)
      user_error("{}: says to have {} files of data: expected 1 to {}", path_, shards_,
                 kMostShards);
  }

  static Entry entry_of(ProtoMessage message) {
    Entry entry;
    while (const auto field = message.next()) {
      if (field->number == 1) entry.type = field->value;
      if (field->number == 3) entry.shard = field->value;
      if (field->number == 4) entry.begin = field->value;
      if (field->number == 5) entry.bytes = field->value;
      if (field->number == 7) entry.in_parts = true;
      if (field->number != 2) continue;
      ProtoMessage shape = message.inside(*field);
      while (const auto part = shape.next()) {
        if (part->number == 3 && part->value != 0) entry.unknown_rank = true;
        if (part->number != 2) continue;
        int64_t size = 0;
        ProtoMessage axis = shape.inside(*part);
        while (const auto number = axis.next()) {
          if (number->number == 1) size = static_cast<int64_t>(number->value);
        }
        entry.sizes.push_back(size);
      }
    }
    return entry;
  }

  void add(const std::string& key, Entry entry) {
    const std::string name = name_in_gpt2(key);
    const std::string where = fmt::format("{}: tensor {}", path_, quote(key));
    if (entry.in_parts)
      user_error("{}: is cut into parts: expected whole tensors, as OpenAI's release has them",
                 where);
    if (files_.tensors.contains(name) || files_.other_types.contains(name))
      user_error("{}: duplicate tensor", where);
    const auto dtype = dtype_of(entry.type);
    if (!dtype || entry.sizes.empty() || entry.unknown_rank) {
      files_.other_types.emplace(name, fmt::format("TensorFlow's type {}", entry.type));
      return;
    }
    // OpenAI's matrices are those of convolutions of width 1.
    if (entry.sizes.size() == 3 && entry.sizes[0] == 1) entry.sizes.erase(entry.sizes.begin());
    if (std::any_of(entry.sizes.begin(), entry.sizes.end(), [](int64_t n) { return n < 0; }))
      user_error("{}: invalid size", where);
    Shape shape;
    try {
      shape = Shape(entry.sizes);
    } catch (const Error& error) {
      user_error("{}: {}", where, error.what());
    }
    const auto elements = static_cast<uint64_t>(shape.elements());
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(elements, dtype_size(*dtype), &bytes) || bytes != entry.bytes)
      user_error("{}: has {} bytes for shape {} of {}: expected {}", where, entry.bytes,
                 shape.to_string(), dtype_name(*dtype), bytes);
    const auto& data = shard(entry.shard, where);
    if (entry.begin > data->size() || bytes > data->size() - entry.begin)
      user_error("{}: truncated: {} of {} bytes ends before it", where, data->path().string(),
                 data->size());
    files_.tensors.emplace(name, StoredTensor::dense(data, entry.begin, *dtype, shape));
  }

  const std::shared_ptr<const MappedFile>& shard(uint64_t number, const std::string& where) {
    if (number >= shards_)
      user_error("{}: is in file {} of {}: expected one of them", where, number, shards_);
    std::shared_ptr<const MappedFile>& file = data_[number];
    if (!file) {
      fs::path path = index_;
      path.replace_extension(fmt::format(".data-{:05}-of-{:05}", number, shards_));
      file = std::make_shared<const MappedFile>(path);
    }
    return file;
  }

  fs::path index_;
  std::string path_;
  uint64_t shards_ = 1;
  std::map<uint64_t, std::shared_ptr<const MappedFile>> data_;
  CheckpointFiles files_;
};

}  // namespace

TensorflowCheckpoint read_tensorflow_checkpoint(const fs::path& index) {
  const fs::path hparams = index.parent_path() / kHparamsFile;
  std::error_code ignored;
  if (!fs::exists(hparams, ignored))
    user_error("{}: no such file: expected it next to {}", hparams.string(), index.string());
  TensorflowCheckpoint result{
      .config = config_of(hparams), .config_file = hparams.string(), .files = {}};
  result.files = TensorflowReader(index).read();
  return result;
}

}  // namespace vitrine::internal
