// SPDX-License-Identifier: MIT
#include "engine/checkpoint/adapter_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "base/check.h"
#include "base/json.h"
#include "base/quote.h"

namespace vitrine::internal {
namespace {

// PEFT's LoraConfig, without what changes the function: names, training, and what the tensors
// themselves tell (ranks and targets).
constexpr auto kLoraFields = std::to_array<std::string_view>({
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",  // PEFT itself takes it from the kind of module
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_bias",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_rslora",
    "velora_config",
});
static_assert(std::is_sorted(kLoraFields.begin(), kLoraFields.end()));

/// Null, false, or without elements: as if the field were not there.
bool is_unset(const Json& value) {
  return value.is_null() || value == Json(false) || (value.is_structured() && value.empty());
}

/// A name or the end of one; regular expressions are refused.
void check_pattern(const JsonFields& fields, const std::string& pattern) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
  };
  if (pattern.empty() || !std::all_of(pattern.begin(), pattern.end(), plain))
    fields.refuse("alpha_pattern", fmt::format("expected names of modules, without regular "
                                               "expressions: not {}",
                                               quote(pattern)));
}

void refuse_other_functions(const Json& json, const JsonFields& fields) {
  const auto type = fields.text("peft_type");
  if (type != "LORA") fields.refuse("peft_type", "expected 'LORA', the only kind that is merged");
  if (const Json* init = fields.find("init_lora_weights"); init && init->is_string()) {
    // The others (pissa, olora, ...) also change the weights of the model.
    constexpr std::array<std::string_view, 3> kPlain = {"gaussian", "eva", "orthogonal"};
    if (std::ranges::count(kPlain, init->get_ref<const std::string&>()) == 0)
      fields.refuse("init_lora_weights",
                    "the model's weights were changed for it: expected true, false, gaussian, eva "
                    "or orthogonal; convert the adapter with PEFT (path_initial_model_for_weight_"
                    "conversion)");
  }
  for (const auto& [name, value] : json.items()) {
    if (!std::ranges::binary_search(kLoraFields, std::string_view(name)) && !is_unset(value))
      fields.refuse(name,
                    "not supported: merge the adapter with PEFT (merge_and_unload), and use "
                    "the merged model");
  }
}

std::vector<std::string> names_of(const JsonFields& fields, std::string_view field) {
  std::vector<std::string> names;
  const Json* list = fields.find(field);
  if (list == nullptr) return names;
  if (!list->is_array()) fields.refuse(field, "expected a list of names");
  for (const Json& name : *list) {
    if (!name.is_string()) fields.refuse(field, "expected a list of names");
    names.push_back(name.get<std::string>());
  }
  return names;
}

bool is_named(std::string_view module, std::string_view name) {
  return module == name || (module.size() > name.size() && module.ends_with(name) &&
                            module[module.size() - name.size() - 1] == '.');
}

}  // namespace

double AdapterConfig::scale(std::string_view module, int64_t rank) const {
  std::optional<double> own;
  for (const auto& [name, value] : alphas) {
    if (!is_named(module, name)) continue;
    if (own && *own != value)
      user_error("{}: alpha_pattern has several values for {}: expected one", file, quote(module));
    own = value;
  }
  const auto r = static_cast<double>(rank);
  return own.value_or(alpha) / (rank_stabilised ? std::sqrt(r) : r);
}

bool AdapterConfig::saves(std::string_view module) const {
  return std::any_of(modules_to_save.begin(), modules_to_save.end(),
                     [&](const std::string& name) { return is_named(module, name); });
}

AdapterConfig read_adapter_config(const std::filesystem::path& path) {
  const Json json = read_python_json(path);
  AdapterConfig config;
  config.file = path.string();
  const JsonFields fields(json, config.file);
  refuse_other_functions(json, fields);
  config.base = fields.text("base_model_name_or_path").value_or("");
  config.alpha = fields.number("lora_alpha").value_or(config.alpha);
  config.rank_stabilised = fields.boolean("use_rslora").value_or(false);
  config.ties = fields.boolean("ensure_weight_tying").value_or(false);
  config.modules_to_save = names_of(fields, "modules_to_save");
  if (const Json* patterns = fields.find("alpha_pattern")) {
    if (!patterns->is_object()) fields.refuse("alpha_pattern", "expected an object of numbers");
    for (const auto& [name, value] : patterns->items()) {
      check_pattern(fields, name);
      if (!value.is_number()) fields.refuse("alpha_pattern", "expected an object of numbers");
      config.alphas[name] = value.get<double>();
    }
  }
  return config;
}

}  // namespace vitrine::internal
