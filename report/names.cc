// SPDX-License-Identifier: MIT
#include "report/names.h"

#include <fmt/core.h>

#include <set>

#include "base/utf8.h"

namespace vitrine::internal {

std::string Names::shown(int32_t id) const {
  return has(id) ? printable(tokenizer_->token_bytes(id)) : fmt::format("#{}", id);
}

std::string Names::text(int32_t id) const {
  return has(id) ? json(id).find("text")->text() : shown(id);
}

JsonValue Names::json(int32_t id) const {
  JsonValue object = {{"id", id}};
  if (has(id)) add_text(object, tokenizer_->token_bytes(id));
  return object;
}

JsonValue Names::json(std::span<const int32_t> ids) const {
  JsonValue list = JsonValue::array();
  for (const int32_t id : ids) list.push_back(json(id));
  return list;
}

void add_text(JsonValue& object, std::string_view bytes) {
  std::string text, hex;
  bool exact = true;
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Step step = utf8_step(bytes.substr(at));
    if (step.valid)
      text += bytes.substr(at, step.length);
    else
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(bytes[at]));
    exact = exact && step.valid;
    at += step.length;
  }
  object["text"] = text;
  if (exact) return;
  for (const char byte : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  object["text_hex"] = hex;
}

std::string thousands(int64_t value) {
  std::string digits = std::to_string(value);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > (value < 0 ? 1 : 0); at -= 3)
    digits.insert(static_cast<size_t>(at), ",");
  return digits;
}

std::string percent(double probability) {
  const double value = 100 * probability;
  if (value > 0 && value < 0.01) return "< 0.01 %";
  return fmt::format("{:.{}f} %", value, value < 1 ? 2 : 1);
}

std::vector<std::string> site_labels(const std::vector<std::string>& sites) {
  struct Place {
    std::string layer, rest;  // without layer: not of a block
  };
  std::vector<Place> places;
  std::set<std::string> kinds;
  for (const std::string& site : sites) {
    const size_t dot = site.starts_with("blocks.") ? site.find('.', 7) : std::string::npos;
    places.push_back(dot == std::string::npos
                         ? Place{"", site}
                         : Place{site.substr(7, dot - 7), site.substr(dot + 1)});
    if (!places.back().layer.empty()) kinds.insert(places.back().rest);
  }
  const bool stream =
      kinds.size() == kinds.count("hook_resid_pre") + kinds.count("hook_resid_post");
  std::vector<std::string> labels;
  for (auto& [layer, rest] : places) {
    const bool enters = stream && rest == "hook_resid_pre";
    if (enters && layer == "0")
      labels.push_back("embed");
    else if (enters && !layer.empty())
      labels.push_back(layer + " in");
    else if (!layer.empty() && (stream || kinds.size() == 1))
      labels.push_back(layer);
    else {
      if (const size_t hook = rest.find("hook_"); hook != std::string::npos) rest.erase(hook, 5);
      labels.push_back(layer.empty() ? rest : layer + " " + rest);
    }
  }
  return labels;
}

}  // namespace vitrine::internal
