// SPDX-License-Identifier: MIT
#include "engine/checkpoint/gpt_neo.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "base/quote.h"
#include "engine/checkpoint/nanogpt.h"
#include "engine/parameters.h"

namespace vitrine::internal {
namespace {

constexpr int64_t kMostLayers = 1000;

/// "global" or "local" for each layer: attention_layers, or attention_types, whose entries are a
/// list and how often it is repeated.
std::vector<std::string> layer_kinds(const JsonFields& fields, int64_t layers) {
  std::vector<std::string> kinds;
  const auto add = [&](const char* name, const Json& list) {
    if (!list.is_array()) fields.refuse(name, "expected lists of 'global' and 'local'");
    for (const Json& kind : list) {
      if (kind != Json("global") && kind != Json("local"))
        fields.refuse(name, "expected lists of 'global' and 'local'");
      kinds.push_back(kind.get<std::string>());
    }
  };
  const char* name = "attention_layers";
  if (const Json* listed = fields.find(name)) {
    add(name, *listed);
  } else {
    name = "attention_types";
    const Json otherwise = Json::array({{{"global", "local"}, 12}});
    const Json* given = fields.find(name);
    const Json& types = given == nullptr ? otherwise : *given;
    if (!types.is_array()) fields.refuse(name, "expected a list of [kinds, repetitions]");
    for (const Json& type : types) {
      const bool pair = type.is_array() && type.size() == 2 && type[1].is_number_unsigned();
      if (!pair || type[1].get<uint64_t>() > kMostLayers)
        fields.refuse(name, "expected a list of [kinds, repetitions]");
      for (uint64_t i = 0; i < type[1].get<uint64_t>() && std::ssize(kinds) <= layers; ++i)
        add(name, type[0]);
    }
  }
  if (std::ssize(kinds) != layers)
    fields.refuse(name, fmt::format("expected {} layers, as num_layers says", layers));
  return kinds;
}

}  // namespace

Json gpt2_config_of_neo(const Json& json, const std::string& file, std::vector<int64_t>& windows,
                        std::vector<std::string>& notes) {
  const JsonFields fields(json, file);
  constexpr int64_t kMost = int64_t{1} << 20;
  const int64_t layers = fields.integer("num_layers", 1, kMostLayers).value_or(24);
  const int64_t context = fields.integer("max_position_embeddings", 1, kMost).value_or(2048);
  const int64_t window = fields.integer("window_size", 1, kMost).value_or(256);
  std::string what = file + ": gpt_neo: attention without a scale";
  const std::vector<std::string> kinds = layer_kinds(fields, layers);
  if (const auto local = std::ranges::count(kinds, "local"); local > 0 && window < context) {
    what += fmt::format("; {} of {} layers attend to the nearest {} positions alone", local, layers,
                        window);
    for (const std::string& kind : kinds) windows.push_back(kind == "local" ? window : 0);
  }
  notes.push_back(what);
  Json gpt2 = json;
  for (const char* name : {"num_layers", "num_heads", "intermediate_size", "window_size",
                           "attention_types", "attention_layers", "attention_dropout",
                           "embed_dropout", "resid_dropout", "max_position_embeddings"})
    gpt2.erase(name);
  gpt2["model_type"] = "gpt2";
  gpt2["n_layer"] = layers;
  gpt2["n_head"] = fields.integer("num_heads", 1, kMost).value_or(16);
  gpt2["n_positions"] = context;
  if (const Json* inner = fields.find("intermediate_size")) gpt2["n_inner"] = *inner;
  if (!fields.has("hidden_size")) gpt2["hidden_size"] = 2048;
  gpt2["scale_attn_weights"] = false;
  return gpt2;
}

namespace {

class Renamer {
 public:
  Renamer(NamedTensors& tensors, const Config& config, const std::string& path)
      : tensors_(tensors), config_(config), path_(path) {}

  void rename_layer(const std::string& layer) {
    const std::string from = layer + "attn.attention.", to = layer + "attn.";
    join(to, {take(from + "q_proj.weight"), take(from + "k_proj.weight"),
              take(from + "v_proj.weight")});
    NamedTensor projection = take(from + "out_proj.weight");
    transpose_linear(to + "c_proj.weight", projection.tensor);
    put(to + "c_proj.weight", std::move(projection));
    put(to + "c_proj.bias", take(from + "out_proj.bias"));
    for (const char* name : {"mlp.c_fc.weight", "mlp.c_proj.weight"}) {
      if (const auto found = tensors_.find(layer + name); found != tensors_.end())
        transpose_linear(name, found->second.tensor);
    }
  }

 private:
  NamedTensor take(const std::string& name) {
    auto node = tensors_.extract(name);
    if (node.empty()) user_error("{}: missing tensor '{}' of gpt_neo", path_, name);
    return std::move(node.mapped());
  }

  void put(const std::string& name, NamedTensor named) {
    const auto [at, inserted] = tensors_.emplace(name, std::move(named));
    if (!inserted) user_error("{}: is also there under its name in GPT-2", where(at->second));
  }

  /// Queries, keys and values side by side, [D, 3 D].
  void join(const std::string& attention, const std::array<NamedTensor, 3>& parts) {
    const int64_t width = config_.width;
    for (const NamedTensor& part : parts) {
      if (part.tensor.shape != Shape{width, width})
        user_error("{}: has shape {}: expected {}", where(part), part.tensor.shape.to_string(),
                   Shape{width, width}.to_string());
      if (!is_floating(part.tensor.dtype) && part.tensor.dtype != DType::kF64)
        user_error("{}: is {}: expected f32, f16, bf16 or f64", where(part),
                   dtype_name(part.tensor.dtype));
    }
    const StoredTensor& first = parts[0].tensor;
    NamedTensor joined{parts[0].name_in_file, StoredTensor::dense(first.file, first.offset,
                                                                  first.dtype, {width, 3 * width})};
    joined.make = [parts, width] {
      const auto d = static_cast<size_t>(width);
      std::vector<float> all(3 * d * d);
      for (size_t p = 0; p < parts.size(); ++p) {
        const std::vector<float> part = values_of(parts[p]);
        for (size_t out = 0; out < d; ++out)
          for (size_t in = 0; in < d; ++in) all[(3 * in + p) * d + out] = part[out * d + in];
      }
      return all;
    };
    put(attention + "c_attn.weight", std::move(joined));
  }

  NamedTensors& tensors_;
  const Config& config_;
  const std::string& path_;
};

}  // namespace

void rename_neo(NamedTensors& tensors, const Config& config, const std::string& path) {
  Renamer renamer(tensors, config, path);
  for (int layer = 0; layer < config.layers; ++layer)
    renamer.rename_layer(fmt::format("h.{}.", layer));
}

}  // namespace vitrine::internal
