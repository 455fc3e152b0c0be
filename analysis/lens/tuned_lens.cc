// SPDX-License-Identifier: MIT
#include "vitrine/analysis/tuned_lens.h"

#include <map>

#include "analysis/common/linalg.h"
#include "analysis/lens/tuned_lens_file.h"
#include "analysis/lens/unembedding_hash.h"
#include "base/atomic_file.h"
#include "base/finite.h"
#include "base/json.h"
#include "base/quote.h"
#include "base/system_error.h"
#include "vitrine/checkpoint/safetensors.h"
#include "vitrine/checkpoint/torch_file.h"

namespace vitrine {
using namespace internal;
namespace {

namespace fs = std::filesystem;

constexpr const char* kLensType = "linear_tuned_lens";

constexpr const char* kUnembeddingHash = "vitrine_unembedding";
constexpr const char* kPackageHash = "unembed_hash";

struct Settings {
  std::string model, unembedding, unembed_hash;
  bool bias = true;
};

/// The exact hash decides where there is one.
void check_unembedding(const JsonFields& fields, const Settings& settings, const LensModel& model) {
  const bool exact = !settings.unembedding.empty();
  const std::string found = exact                           ? model.unembedding_hash()
                            : settings.unembed_hash.empty() ? ""
                                                            : model.package_hash();
  if (found.empty() || found == (exact ? settings.unembedding : settings.unembed_hash)) return;
  fields.refuse(exact ? kUnembeddingHash : kPackageHash,
                fmt::format("expected {}, the hash of the unembedding of {}; the translators were "
                            "made for another model{}; set the field to null to use them anyway",
                            found, quote(model.name),
                            settings.model.empty() ? "" : ", " + quote(settings.model)));
}

Settings read_settings(const fs::path& path, const LensModel& model) {
  const Config& config = model.config;
  const std::string name = path.string();
  const Json json = read_json(path);
  const JsonFields fields(json, name);
  if (const auto type = fields.text("lens_type"); type && *type != kLensType)
    fields.refuse("lens_type", std::string("expected ") + kLensType);
  if (fields.require_integer("d_model", 1, INT32_MAX) != config.width)
    fields.refuse("d_model", fmt::format("expected {}, the model's width", config.width));
  if (fields.require_integer("num_hidden_layers", 1, INT32_MAX) != config.layers) {
    fields.refuse("num_hidden_layers",
                  fmt::format("expected {}, the model's layers", config.layers));
  }
  Settings settings{fields.text("base_model_name_or_path").value_or(""),
                    fields.text(kUnembeddingHash).value_or(""),
                    fields.text(kPackageHash).value_or(""), fields.boolean("bias").value_or(true)};
  check_unembedding(fields, settings, model);
  return settings;
}

/// The tensors of params.safetensors or params.pt, checked to be numbers, as float32.
class Params {
 public:
  explicit Params(const fs::path& folder) {
    std::error_code ignored;
    path_ = folder / "params.safetensors";
    if (fs::exists(path_, ignored)) {
      const SafetensorsFile file(path_);
      for (const std::string& name : file.names()) take(name, file.tensor(name));
      return;
    }
    path_ = folder / "params.pt";
    if (!fs::exists(path_, ignored))
      user_error("{}: no translators found: expected params.safetensors or params.pt",
                 folder.string());
    for (const auto& [name, tensor] : load_torch_tensors(path_)) take(name, tensor);
  }

  Tensor get(const std::string& name, const Shape& shape) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end())
      user_error("{}: missing tensor {}, which config.json requires", path_.string(), quote(name));
    if (found->second.shape() != shape) {
      user_error("{}: tensor {} has shape {}: expected {}", path_.string(), quote(name),
                 found->second.shape().to_string(), shape.to_string());
    }
    Tensor tensor = found->second;
    tensors_.erase(found);
    return tensor;
  }

  void expect_no_more() const {
    if (!tensors_.empty())
      user_error("{}: unexpected tensor {}, which is not part of a translator by config.json",
                 path_.string(), quote(tensors_.begin()->first));
  }

 private:
  void take(const std::string& name, TensorView tensor) {
    if (!is_floating(tensor.dtype()))
      user_error("{}: tensor {} is {}: expected f32, f16 or bf16", path_.string(), quote(name),
                 dtype_name(tensor.dtype()));
    const Tensor copy = Tensor::from(tensor.to_f32(), tensor.shape());
    if (const auto at = first_non_finite(copy.data(), DType::kF32, copy.elements())) {
      user_error("{}: tensor {} has {} at element {}: expected finite numbers", path_.string(),
                 quote(name), copy.f32()[static_cast<size_t>(*at)], *at);
    }
    tensors_.emplace(name, copy);
  }

  fs::path path_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace

Tensor TunedLens::translate(int layer, TensorView rows) const {
  if (layer < 0 || layer >= layers())
    user_error("missing translator of layer {}: expected 0..{}", layer, layers() - 1);
  if (rows.shape().rank() != 2 || rows.shape().back() != width) {
    user_error("translators of width {} do not match rows {}", width, rows.shape().to_string());
  }
  const std::vector<float> values = rows.to_f32();
  const auto l = static_cast<size_t>(layer);
  const Matrix h(values, rows.shape()[0], width), a(weights[l].f32(), width, width);
  Matrix result = h;
  add_product(result, h, a.t());
  const std::span<const float> bias = biases[l].f32();
  Tensor translated(DType::kF32, rows.shape());
  for (size_t i = 0; i < values.size(); ++i)
    translated.f32()[i] = static_cast<float>(result.values()[i] + double{bias[i % bias.size()]});
  return translated;
}

TunedLens internal::read_tuned_lens(const fs::path& folder, const LensModel& model) {
  const Config& config = model.config;
  const Settings settings = read_settings(folder / "config.json", model);
  Params params(folder);
  TunedLens lens{.model = settings.model,
                 .unembedding = settings.unembedding,
                 .unembed_hash = settings.unembed_hash,
                 .width = config.width,
                 .weights = {},
                 .biases = {}};
  for (int n = 0; n < config.layers; ++n) {
    lens.weights.push_back(params.get(fmt::format("{}.weight", n), {config.width, config.width}));
    lens.biases.push_back(settings.bias ? params.get(fmt::format("{}.bias", n), {config.width})
                                        : Tensor(DType::kF32, {config.width}));
  }
  params.expect_no_more();
  return lens;
}

TunedLens load_tuned_lens(const fs::path& folder, const Model& model) {
  return read_tuned_lens(folder, {.config = model.config(),
                                  .name = model.name(),
                                  .unembedding_hash = [&] { return unembedding_hash(model); },
                                  .package_hash = [&] { return package_hash(model); }});
}

void save_tuned_lens(const fs::path& folder, const TunedLens& lens) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) system_failure(error.value(), folder.string(), "cannot be created");
  std::vector<std::pair<std::string, TensorView>> tensors;
  for (size_t n = 0; n < lens.weights.size(); ++n) {
    tensors.emplace_back(fmt::format("{}.weight", n), lens.weights[n]);
    tensors.emplace_back(fmt::format("{}.bias", n), lens.biases[n]);
  }
  SafetensorsWriter::write(folder / "params.safetensors", tensors);
  const auto or_null = [](const std::string& hash) { return hash.empty() ? Json() : Json(hash); };
  const Json config = {{"base_model_name_or_path", lens.model},
                       {"d_model", lens.width},
                       {"num_hidden_layers", lens.layers()},
                       {"bias", true},
                       {"base_model_revision", nullptr},
                       {kPackageHash, or_null(lens.unembed_hash)},
                       {kUnembeddingHash, or_null(lens.unembedding)},
                       {"lens_type", kLensType}};
  write_file(folder / "config.json", config.dump(1) + "\n");
}

}  // namespace vitrine
