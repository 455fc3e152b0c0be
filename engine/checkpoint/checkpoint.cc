// SPDX-License-Identifier: MIT
#include "engine/checkpoint/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/float_bits.h"
#include "base/json.h"
#include "base/quote.h"
#include "base/text_file.h"
#include "engine/checkpoint/config.h"
#include "engine/checkpoint/files.h"
#include "engine/checkpoint/nanogpt.h"
#include "engine/checkpoint/prefix.h"
#include "engine/parameters.h"

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;

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
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  constexpr size_t kHeader = 8;  // of safetensors, after its length
  if (bytes.size() <= kHeader || bytes[kHeader] != '{')
    refuse_other_format(bytes, path.string(), "a checkpoint");
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

/// Takes out of a shard what the index says is in another one; the index decides, not the shard.
void drop_listed_elsewhere(CheckpointFiles& part, const std::string& shard,
                           const std::map<std::string, std::string>& file_of) {
  std::erase_if(part.tensors, [&](const auto& named) {
    const auto listed = file_of.find(named.first);
    return listed != file_of.end() && listed->second != shard;
  });
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
  std::map<std::string, std::string> file_of;
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
    file_of[tensor] = name;
  }
  CheckpointFiles all;
  for (const auto& [name, tensors] : tensors_of) {
    const fs::path path = index.parent_path() / name;
    CheckpointFiles part = read_file(path);
    for (const std::string& tensor : tensors) {
      // Of a tied unembedding no shard needs a copy; settle_unembedding() sees whether it is tied.
      if (!part.tensors.contains(tensor) && !tensor.ends_with(kUnembedding))
        user_error("{}: missing tensor {}, which {} lists for this file", path.string(),
                   quote(tensor), where);
    }
    drop_listed_elsewhere(part, name, file_of);
    merge(all, std::move(part), path);
  }
  return all;
}

constexpr const char* kAdapterConfig = "adapter_config.json";
constexpr std::array<const char*, 2> kAdapterFiles = {"adapter_model.safetensors",
                                                      "adapter_model.bin"};
// By the end of the name; of a folder without a checkpoint of ours.
constexpr std::array<std::pair<std::string_view, const char*>, 4> kOtherCheckpoints = {
    {{".gguf", "a GGUF file"},
     {".h5", "a Keras checkpoint"},
     {".msgpack", "a Flax checkpoint"},
     {".onnx", "an ONNX model"}}};

[[noreturn]] void refuse_adapter(const fs::path& folder) {
  const std::string name = (folder / kAdapterConfig).string();
  const Json json = read_json(folder / kAdapterConfig);
  const auto base = JsonFields(json, name).text("base_model_name_or_path");
  user_error(
      "{}: is an adapter (PEFT) of the model {}, not a model: expected weights; merge it into its "
      "model (merge_and_unload), and save that",
      folder.string(), base ? quote(*base) : "that it does not name");
}

void refuse_other_checkpoint(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return;
  for (const auto& [ending, what] : kOtherCheckpoints) {
    if (path.filename().string().ends_with(ending))
      user_error("{}: is {}: expected one of {}; use the model's safetensors", path.string(), what,
                 fmt::join(kCheckpointFiles, ", "));
  }
}

fs::path checkpoint_file(const fs::path& path) {
  std::error_code ignored;
  refuse_other_checkpoint(path);
  if (!fs::is_directory(path, ignored)) return path;
  for (const char* name : kCheckpointFiles) {
    if (fs::exists(path / name, ignored)) return path / name;
  }
  if (fs::exists(path / kAdapterConfig, ignored)) refuse_adapter(path);
  for (const auto& entry : fs::directory_iterator(path, ignored))
    refuse_other_checkpoint(entry.path());
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

// The causal mask [1, 1, n, n], its fill value and the positions 0, 1, ..., which transformers kept
// as buffers. A bias of attention, [n], is none of them.
bool is_buffer(std::string_view name, const StoredTensor& tensor) {
  if (name == "position_ids") return true;
  const auto parts = split_layer(name);
  if (!parts) return false;
  return (parts->second == "attn.bias" && tensor.shape.rank() >= 2) ||
         (parts->second == "attn.masked_bias" && tensor.shape.elements() == 1);
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

Tensors by_canonical_name(CheckpointFiles&& files, const std::string& path) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : files.tensors) names.push_back(name);
  const Prefix prefix(names, path);
  Tensors tensors;
  for (auto& [name, tensor] : files.tensors) {
    const std::string plain = prefix.canonical(name);
    if (is_buffer(plain, tensor)) continue;
    if (files.model_arguments) transpose_linear(plain, tensor);
    Named named{name, std::move(tensor)};
    const auto it = tensors.find(plain);
    if (it != tensors.end())
      user_error("{}: duplicate tensor, also present as {}", where(named),
                 quote(it->second.name_in_file));
    tensors.emplace(plain, std::move(named));
  }
  return tensors;
}

void check_parameter(const Named& named, const Parameter& wanted, const std::string& config_file) {
  const StoredTensor& tensor = named.tensor;
  if (!is_floating(tensor.dtype) && tensor.dtype != DType::kF64)
    user_error("{}: is {}: expected f32, f16, bf16 or f64", where(named), dtype_name(tensor.dtype));
  if (tensor.shape == wanted.shape) return;
  const bool transposed = wanted.shape.rank() == 2 && wanted.kind == ParameterKind::kMatrix &&
                          tensor.shape == Shape{wanted.shape[1], wanted.shape[0]};
  user_error("{}: has shape {}: {} requires {}{}", where(named), tensor.shape.to_string(),
             config_file, wanted.shape.to_string(),
             transposed ? " (it is transposed: GPT-2's matrices are [in, out])" : "");
}

/// Element `at` of floats of any dtype, as float32.
float element(const void* data, DType dtype, size_t at) {
  if (dtype == DType::kF32) return static_cast<const float*>(data)[at];
  if (dtype == DType::kF64) return static_cast<float>(static_cast<const double*>(data)[at]);
  const uint16_t half = static_cast<const uint16_t*>(data)[at];
  return dtype == DType::kF16 ? f16_to_f32(half) : bf16_to_f32(half);
}

/// A tensor of float64 as float32, row-major. Throws Error (user) for an element that is not a
/// number of float32.
std::vector<float> narrowed(const Named& named) {
  const StoredTensor& tensor = named.tensor;
  const std::byte* data =
      tensor.file->aligned(tensor.offset, tensor.span_bytes, dtype_size(tensor.dtype));
  const bool matrix = tensor.shape.rank() == 2;
  const int64_t rows = matrix ? tensor.shape[0] : 1, cols = tensor.shape.back();
  std::vector<float> values;
  values.reserve(static_cast<size_t>(rows * cols));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) {
      const auto at = static_cast<size_t>(matrix ? i * tensor.strides[0] + j * tensor.strides[1]
                                                 : j * tensor.strides[0]);
      values.push_back(element(data, tensor.dtype, at));
      if (std::isfinite(values.back())) continue;
      const std::string index = matrix ? fmt::format("[{}, {}]", i, j) : fmt::format("[{}]", j);
      user_error("{}: element {} is {}: expected a finite number of float32", where(named), index,
                 reinterpret_cast<const double*>(data)[at]);
    }
  }
  return values;
}

bool same_bytes(const StoredTensor& a, const StoredTensor& b) {
  if (a.dtype != b.dtype || a.shape != b.shape || a.strides != b.strides) return false;
  return std::memcmp(a.file->data() + a.offset, b.file->data() + b.offset, a.span_bytes) == 0;
}

/// "2 tensors that GPT-2 does not have ('score.weight', 'score.bias')"; nothing for none.
void name_some(std::vector<std::string>& parts, const std::vector<std::string>& names,
               std::string_view what, std::string_view plural) {
  constexpr size_t kShown = 3;
  if (names.empty()) return;
  std::string list;
  for (size_t i = 0; i < std::min(kShown, names.size()); ++i)
    list += (i == 0 ? "" : ", ") + quote(names[i]);
  parts.push_back(fmt::format("{} {} ({}{})", names.size(), names.size() == 1 ? what : plural, list,
                              names.size() > kShown ? ", ..." : ""));
}

}  // namespace

struct Checkpoint::Impl {
  fs::path path;
  std::string config_file;
  Config config;
  LoadReport report;
  std::vector<int32_t> end_ids;
  Tensors tensors;
  std::map<std::string, Shape, std::less<>> zeros;  ///< biases that the checkpoint leaves out
  DType dominant = DType::kF32;
  // Of tensors of float64, from weight() to release().
  mutable std::mutex mutex;
  mutable std::map<std::string, std::vector<float>> narrow;  // by the names in the files

  void load();
  CheckpointFiles read_with_config(const fs::path& file);
  void take_end_ids(std::vector<int64_t> ids, const fs::path& folder);
  void keep_parameters(CheckpointFiles&& files);
  void settle_unembedding();
  void count_dtypes();
  void compose_warning(const fs::path& folder);
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
    keep_parameters(read_with_config(file));
  }
  settle_unembedding();
  count_dtypes();
  compose_warning(file.parent_path());
}

void Checkpoint::Impl::take_end_ids(std::vector<int64_t> ids, const fs::path& folder) {
  const fs::path generation = folder / "generation_config.json";
  std::error_code ignored;
  if (fs::exists(generation, ignored)) {
    if (std::vector<int64_t> own = read_end_ids(generation); !own.empty()) ids = std::move(own);
  }
  for (const int64_t id : ids) {
    if (id < config.vocab)
      end_ids.push_back(static_cast<int32_t>(id));
    else
      report.notes.push_back(fmt::format(
          "eos_token_id is {}, which a model of {} tokens never gives: it ends no generation", id,
          config.vocab));
  }
}

CheckpointFiles Checkpoint::Impl::read_with_config(const fs::path& file) {
  const fs::path config_path = file.parent_path() / "config.json";
  std::error_code ignored;
  const bool has_config = fs::exists(config_path, ignored);
  if (has_config) {
    ParsedConfig parsed = read_config(config_path);
    config_file = config_path.string();
    config = parsed.config;
    report.notes = std::move(parsed.notes);
    report.unread_fields = std::move(parsed.unknown);
    take_end_ids(parsed.end_ids, file.parent_path());
  }
  const bool index = file.string().ends_with(".index.json");
  CheckpointFiles files;
  if (has_config || (!index && sniff(file) == Format::kTorch))
    files = index ? read_shards(file) : read_file(file);
  if (has_config) return files;
  if (!files.model_arguments)
    user_error("{}: no such file: expected it next to {}", config_path.string(), file.string());
  config_file = file.string() + "'s model_args";
  config = nanogpt_config(*files.model_arguments, config_file);
  report.notes.push_back(
      fmt::format("{}: says no activation function: taken for gelu, nanoGPT's nn.GELU(); its first "
                  "versions had gelu_new, which a config.json beside the file can name",
                  config_file));
  return files;
}

void Checkpoint::Impl::compose_warning(const fs::path& folder) {
  std::vector<std::string> parts;
  name_some(parts, report.unread_tensors, "tensor that GPT-2 does not have",
            "tensors that GPT-2 does not have");
  name_some(parts, report.unread_fields, "unknown field of config.json",
            "unknown fields of config.json");
  std::error_code ignored;
  for (const char* name : kAdapterFiles) {
    if (fs::exists(folder / name, ignored))
      parts.push_back(fmt::format("the adapter {}", (folder / name).string()));
  }
  if (!parts.empty())
    report.warning = fmt::format("{}: not read: {}", path.string(), fmt::join(parts, "; "));
}

void Checkpoint::Impl::keep_parameters(CheckpointFiles&& files) {
  std::vector<std::string>& unused = report.unread_tensors;
  unused = std::move(files.other);
  const bool without_biases =
      files.model_arguments && nanogpt_without_biases(*files.model_arguments);
  Tensors found = by_canonical_name(std::move(files), path.string());
  CopyBudget budget;
  const auto take = [&](const Parameter& wanted) {
    auto node = found.extract(wanted.name);
    if (node.empty()) return false;
    check_parameter(node.mapped(), wanted, config_file);
    budget.take(node.mapped().tensor, where(node.mapped()));
    node.mapped().is_table = wanted.kind == ParameterKind::kTable;
    tensors.insert(std::move(node));
    return true;
  };
  Config untied = config;  // an unembedding may be there in any case; settle_unembedding() decides
  untied.tied_unembedding = false;
  for_each_parameter(untied, [&](const Parameter& wanted) {
    if (take(wanted) || wanted.name == kUnembedding) return;
    if (!without_biases || !std::string_view(wanted.name).ends_with(".bias"))
      user_error("{}: missing tensor '{}' (or 'transformer.{}'), which {} requires", path.string(),
                 wanted.name, wanted.name, config_file);
    zeros.emplace(wanted.name, wanted.shape);
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
        "to false to use lm_head, as transformers 5 does, or remove the tensor to use wte",
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
  size_t wide = 0;
  for (const auto& [name, named] : tensors) {
    const bool is_wide = named.tensor.dtype == DType::kF64;
    bytes[is_wide ? DType::kF32 : named.tensor.dtype] += named.tensor.span_bytes;
    wide += is_wide ? 1 : 0;
  }
  if (wide > 0)
    report.notes.push_back(
        fmt::format("{}: {} tensors are f64, narrowed to f32", path.string(), wide));
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
bool Checkpoint::has(std::string_view name) const {
  return impl_->tensors.contains(name) || impl_->zeros.contains(name);
}
DType Checkpoint::dtype(std::string_view name) const {
  if (impl_->zeros.contains(name)) return impl_->dominant;
  const DType dtype = impl_->find(name).tensor.dtype;
  return dtype == DType::kF64 ? DType::kF32 : dtype;
}
const LoadReport& Checkpoint::report() const { return impl_->report; }
const std::vector<int32_t>& Checkpoint::end_ids() const { return impl_->end_ids; }

HostWeight Checkpoint::weight(std::string_view name) const {
  const Named& named = impl_->find(name);
  const StoredTensor& tensor = named.tensor;
  if (tensor.shape.rank() != 2) internal_error("{}: expected a matrix", where(named));
  const size_t in = named.is_table ? 1 : 0;  // the axis of the inputs
  const size_t out = 1 - in;
  if (tensor.dtype == DType::kF64) {
    const std::lock_guard lock(impl_->mutex);
    std::vector<float>& values = impl_->narrow[named.name_in_file];
    if (values.empty()) values = narrowed(named);
    const int64_t strides[2] = {tensor.shape[1], 1};
    return {values.data(),
            DType::kF32,
            tensor.shape[static_cast<int>(in)],
            tensor.shape[static_cast<int>(out)],
            strides[in],
            strides[out]};
  }
  return {impl_->scanned(named),
          tensor.dtype,
          tensor.shape[static_cast<int>(in)],
          tensor.shape[static_cast<int>(out)],
          tensor.strides[in],
          tensor.strides[out]};
}

std::vector<float> Checkpoint::vector(std::string_view name) const {
  if (const auto zero = impl_->zeros.find(name); zero != impl_->zeros.end())
    return std::vector<float>(static_cast<size_t>(zero->second.elements()));
  const Named& named = impl_->find(name);
  const StoredTensor& tensor = named.tensor;
  if (tensor.shape.rank() != 1) internal_error("{}: expected a vector", where(named));
  if (tensor.dtype == DType::kF64) return narrowed(named);
  const void* data = impl_->scanned(named);
  std::vector<float> values(static_cast<size_t>(tensor.shape[0]));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = element(data, tensor.dtype, i * static_cast<size_t>(tensor.strides[0]));
  return values;
}

Tensor Checkpoint::rows(std::string_view name, std::span<const int32_t> ids) const {
  const Named& named = impl_->find(name);
  const StoredTensor& tensor = named.tensor;
  if (tensor.shape.rank() != 2) internal_error("{}: expected a matrix", where(named));
  const std::byte* data =
      tensor.file->aligned(tensor.offset, tensor.span_bytes, dtype_size(tensor.dtype));
  Tensor result(DType::kF32, {static_cast<int64_t>(ids.size()), tensor.shape[1]});
  auto next = result.f32().begin();
  for (const int32_t id : ids) {
    if (id < 0 || id >= tensor.shape[0]) internal_error("{}: has no row {}", where(named), id);
    for (int64_t i = 0; i < tensor.shape[1]; ++i) {
      *next++ = element(data, tensor.dtype,
                        static_cast<size_t>(id * tensor.strides[0] + i * tensor.strides[1]));
    }
  }
  return result;
}

void Checkpoint::release(std::string_view name) const {
  if (impl_->zeros.contains(name)) return;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->narrow.erase(impl_->find(name).name_in_file);
  }
  const StoredTensor& tensor = impl_->find(name).tensor;
  tensor.file->release(tensor.offset, tensor.span_bytes);
}

}  // namespace vitrine::internal
