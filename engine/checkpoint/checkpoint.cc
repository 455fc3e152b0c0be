// SPDX-License-Identifier: MIT
#include "engine/checkpoint/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/float_bits.h"
#include "base/json.h"
#include "base/quote.h"
#include "engine/checkpoint/config.h"
#include "engine/checkpoint/files.h"
#include "engine/parameters.h"

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "transformer.";

// --- finding and opening the files

enum class Format { kSafetensors, kTorch, kLlmc };

// By content: names say little (both pytorch_model.bin and llm.c's files end in .bin).
Format sniff(const fs::path& path) {
  const MappedFile file(path);
  const auto starts_with = [&file](const auto&... bytes) {
    const std::array<unsigned char, sizeof...(bytes)> wanted = {
        static_cast<unsigned char>(bytes)...};
    return file.size() >= wanted.size() &&
           std::memcmp(file.data(), wanted.data(), wanted.size()) == 0;
  };
  if (file.size() >= sizeof(kLlmcMagic) &&
      std::memcmp(file.data(), &kLlmcMagic, sizeof(kLlmcMagic)) == 0)
    return Format::kLlmc;
  if (starts_with('P', 'K') || starts_with(0x80, 0x02)) return Format::kTorch;
  return Format::kSafetensors;
}

void merge(CheckpointFiles& all, CheckpointFiles&& part, const fs::path& path) {
  for (auto& [name, tensor] : part.tensors) {
    const auto [it, inserted] = all.tensors.emplace(name, std::move(tensor));
    if (!inserted) {
      user_error("{}: duplicate tensor {}, also in {}", path.string(), quote(name),
                 it->second.file->path().filename().string());
    }
  }
  all.other.insert(all.other.end(), part.other.begin(), part.other.end());
}

CheckpointFiles read_file(const fs::path& path) {
  return sniff(path) == Format::kTorch ? read_torch_file(path) : read_safetensors_file(path);
}

// An index names, for each tensor, the file beside it that holds the tensor.
CheckpointFiles read_shards(const fs::path& index) {
  const std::string where = index.string();
  const Json json = read_json(index);
  const JsonFields fields(json, where);
  const Json* map = fields.find("weight_map");
  if (!map || !map->is_object())
    fields.refuse("weight_map", "expected an object of tensor names and file names");
  std::map<std::string, std::vector<std::string>> tensors_of;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string())
      user_error("{}: weight_map {} is {}: expected a file name", where, quote(tensor),
                 describe_json(file));
    const auto& name = file.get_ref<const std::string&>();
    if (name.empty() || name.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos ||
        name == "." || name == "..") {
      user_error("{}: weight_map {} is {}: expected the name of a file in the same folder", where,
                 quote(tensor), quote(name));
    }
    tensors_of[name].push_back(tensor);
  }
  CheckpointFiles all;
  for (const auto& [name, tensors] : tensors_of) {
    const fs::path path = index.parent_path() / name;
    CheckpointFiles part = read_file(path);
    for (const std::string& tensor : tensors) {
      if (!part.tensors.contains(tensor))
        user_error("{}: missing tensor {}, which {} lists for this file", path.string(),
                   quote(tensor), where);
    }
    merge(all, std::move(part), path);
  }
  return all;
}

fs::path checkpoint_file(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path;
  for (const char* name : kCheckpointFiles) {
    if (fs::exists(path / name, ignored)) return path / name;
  }
  user_error("{}: no checkpoint found: expected one of {}", path.string(),
             fmt::join(kCheckpointFiles, ", "));
}

// --- the tensors by their names

// "h.12.attn.bias" gives layer 12 and "attn.bias".
std::optional<std::pair<int64_t, std::string_view>> split_layer(std::string_view name) {
  if (!name.starts_with("h.")) return std::nullopt;
  const size_t dot = name.find('.', 2);
  if (dot == std::string_view::npos || dot == 2 || dot > 8) return std::nullopt;
  int64_t layer = 0;
  for (const char c : name.substr(2, dot - 2)) {
    if (c < '0' || c > '9') return std::nullopt;
    layer = 10 * layer + (c - '0');
  }
  return std::pair(layer, name.substr(dot + 1));
}

// The causal mask and its fill value, which transformers kept as buffers.
bool is_buffer(std::string_view name) {
  const auto parts = split_layer(name);
  return parts && (parts->second == "attn.bias" || parts->second == "attn.masked_bias");
}

struct Named {
  std::string name_in_file;
  StoredTensor tensor;
  bool is_table = false;
};
using Tensors = std::map<std::string, Named, std::less<>>;

std::string where(const Named& named) {
  return fmt::format("{}: tensor {}", named.tensor.file->path().string(),
                     quote(named.name_in_file));
}

Tensors by_canonical_name(CheckpointFiles&& files) {
  Tensors tensors;
  for (auto& [name, tensor] : files.tensors) {
    const std::string canonical = name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
    if (is_buffer(canonical)) continue;
    Named named{name, std::move(tensor)};
    const auto it = tensors.find(canonical);
    if (it != tensors.end())
      user_error("{}: duplicate tensor, also present as {}", where(named),
                 quote(it->second.name_in_file));
    tensors.emplace(canonical, std::move(named));
  }
  return tensors;
}

void check_parameter(const Named& named, const Parameter& wanted, const std::string& config_file) {
  const StoredTensor& tensor = named.tensor;
  if (!is_floating(tensor.dtype))
    user_error("{}: is {}: expected f32, f16 or bf16", where(named), dtype_name(tensor.dtype));
  if (tensor.shape == wanted.shape) return;
  const bool transposed = wanted.shape.rank() == 2 && wanted.kind == ParameterKind::kMatrix &&
                          tensor.shape == Shape{wanted.shape[1], wanted.shape[0]};
  user_error("{}: has shape {}: {} requires {}{}", where(named), tensor.shape.to_string(),
             config_file, wanted.shape.to_string(),
             transposed ? " (it is transposed: GPT-2's matrices are [in, out])" : "");
}

bool same_bytes(const StoredTensor& a, const StoredTensor& b) {
  if (a.dtype != b.dtype || a.shape != b.shape || a.strides != b.strides) return false;
  return std::memcmp(a.file->data() + a.offset, b.file->data() + b.offset, a.span_bytes) == 0;
}

}  // namespace

struct Checkpoint::Impl {
  fs::path path;
  std::string config_file;
  Config config;
  std::vector<std::string> notes;
  std::vector<std::string> unused;
  Tensors tensors;
  DType dominant = DType::kF32;

  void load();
  void keep_parameters(CheckpointFiles&& files);
  void settle_unembedding();
  void count_dtypes();
  const Named& find(std::string_view name) const;
  const void* scanned(const Named& named) const;
};

void Checkpoint::Impl::load() {
  const fs::path file = checkpoint_file(path);
  if (!file.string().ends_with(".index.json") && sniff(file) == Format::kLlmc) {
    LlmcCheckpoint llmc = read_llmc_file(file);
    config_file = file.string() + "'s header";
    config = llmc.config;
    keep_parameters(std::move(llmc.files));
  } else {
    const fs::path config_path = file.parent_path() / "config.json";
    std::error_code ignored;
    if (!fs::exists(config_path, ignored))
      user_error("{}: no such file: expected it next to {}", config_path.string(), file.string());
    ParsedConfig parsed = read_config(config_path);
    config_file = config_path.string();
    config = parsed.config;
    notes = std::move(parsed.notes);
    keep_parameters(file.string().ends_with(".index.json") ? read_shards(file) : read_file(file));
  }
  settle_unembedding();
  count_dtypes();
}

void Checkpoint::Impl::keep_parameters(CheckpointFiles&& files) {
  unused = std::move(files.other);
  Tensors found = by_canonical_name(std::move(files));
  const auto take = [&](const Parameter& wanted) {
    auto node = found.extract(wanted.name);
    if (node.empty()) return false;
    check_parameter(node.mapped(), wanted, config_file);
    node.mapped().is_table = wanted.kind == ParameterKind::kTable;
    tensors.insert(std::move(node));
    return true;
  };
  Config untied = config;  // an unembedding may be there in any case; settle_unembedding() decides
  untied.tied_unembedding = false;
  for_each_parameter(untied, [&](const Parameter& wanted) {
    if (!take(wanted) && wanted.name != kUnembedding) {
      user_error("{}: missing tensor '{}' (or '{}{}'), which {} requires", path.string(),
                 wanted.name, kPrefix, wanted.name, config_file);
    }
  });
  for (const auto& [name, named] : found) {
    const auto parts = split_layer(name);
    if (parts && parts->first >= config.layers &&
        tensors.contains(fmt::format("h.0.{}", parts->second))) {
      user_error("{}: belongs to layer {}, but {} has n_layer = {}", where(named), parts->first,
                 config_file, config.layers);
    }
    unused.push_back(named.name_in_file);
  }
  std::sort(unused.begin(), unused.end());
}

void Checkpoint::Impl::settle_unembedding() {
  const auto head = tensors.find(kUnembedding);
  if (head == tensors.end()) {
    if (!config.tied_unembedding) {
      user_error("{}: missing tensor '{}', which tie_word_embeddings = false in {} requires",
                 path.string(), kUnembedding, config_file);
    }
    return;
  }
  const bool same = same_bytes(head->second.tensor, tensors.at(kTokenEmbedding).tensor);
  if (!same && config.tied_unembedding) {
    user_error(
        "{}: differs from wte.weight, but {} has tie_word_embeddings = true (the default); set it "
        "to false to use lm_head",
        where(head->second), config_file);
  }
  if (!same) return;
  config.tied_unembedding = true;
  const StoredTensor& spare = head->second.tensor;
  spare.file->release(spare.offset, spare.span_bytes);
  tensors.erase(head);
}

void Checkpoint::Impl::count_dtypes() {
  std::map<DType, size_t> bytes;
  for (const auto& [name, named] : tensors) bytes[named.tensor.dtype] += named.tensor.span_bytes;
  dominant = std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) {
               return a.second < b.second;
             })->first;
}

const Named& Checkpoint::Impl::find(std::string_view name) const {
  auto it = tensors.find(name);
  if (it == tensors.end() && name == kUnembedding && config.tied_unembedding)
    it = tensors.find(kTokenEmbedding);
  if (it == tensors.end())
    internal_error("{}: unknown GPT-2 parameter {}", path.string(), quote(name));
  return it->second;
}

const void* Checkpoint::Impl::scanned(const Named& named) const {
  const StoredTensor& tensor = named.tensor;
  const std::byte* data =
      tensor.file->aligned(tensor.offset, tensor.span_bytes, dtype_size(tensor.dtype));
  if (const auto bad = first_non_finite(tensor, data)) {
    user_error("{}: element {} is NaN or infinite: expected finite weights", where(named), *bad);
  }
  return data;
}

Checkpoint::Checkpoint(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

Checkpoint Checkpoint::open(const fs::path& path) {
  auto impl = std::make_shared<Impl>();
  impl->path = path;
  impl->load();
  return Checkpoint(std::move(impl));
}

const Config& Checkpoint::config() const { return impl_->config; }
const fs::path& Checkpoint::path() const { return impl_->path; }
DType Checkpoint::dominant_dtype() const { return impl_->dominant; }
bool Checkpoint::has(std::string_view name) const { return impl_->tensors.contains(name); }
const std::vector<std::string>& Checkpoint::unused() const { return impl_->unused; }
const std::vector<std::string>& Checkpoint::notes() const { return impl_->notes; }

HostWeight Checkpoint::weight(std::string_view name) const {
  const Named& named = impl_->find(name);
  const StoredTensor& tensor = named.tensor;
  if (tensor.shape.rank() != 2) internal_error("{}: expected a matrix", where(named));
  const size_t in = named.is_table ? 1 : 0;  // the axis of the inputs
  const size_t out = 1 - in;
  return {impl_->scanned(named),
          tensor.dtype,
          tensor.shape[static_cast<int>(in)],
          tensor.shape[static_cast<int>(out)],
          tensor.strides[in],
          tensor.strides[out]};
}

std::vector<float> Checkpoint::vector(std::string_view name) const {
  const Named& named = impl_->find(name);
  const StoredTensor& tensor = named.tensor;
  if (tensor.shape.rank() != 1) internal_error("{}: expected a vector", where(named));
  const void* data = impl_->scanned(named);
  const auto* half = static_cast<const uint16_t*>(data);
  std::vector<float> values(static_cast<size_t>(tensor.shape[0]));
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t at = i * static_cast<size_t>(tensor.strides[0]);
    values[i] = tensor.dtype == DType::kF32   ? static_cast<const float*>(data)[at]
                : tensor.dtype == DType::kF16 ? f16_to_f32(half[at])
                                              : bf16_to_f32(half[at]);
  }
  return values;
}

void Checkpoint::release(std::string_view name) const {
  const StoredTensor& tensor = impl_->find(name).tensor;
  tensor.file->release(tensor.offset, tensor.span_bytes);
}

}  // namespace vitrine::internal
