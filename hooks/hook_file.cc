// SPDX-License-Identifier: MIT
#include "vitrine/hook_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/json_value.h"
#include "base/quote.h"
#include "base/text_file.h"
#include "vitrine/hook_text.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr std::array kNarrowings = {"layers", "positions", "heads", "neurons", "sequences"};

/// Calls `action`; an error gets the place in front.
template <typename Action>
auto at_place(const std::string& place, const Action& action) {
  try {
    return action();
  } catch (const Error& error) {
    throw Error(error.kind(), place + ": " + error.what());
  }
}

/// An index, a list of them, or a text of indices, as text.
std::string index_text(const Json& value, const std::string& place) {
  if (value.is_number_integer()) return value.dump();
  if (value.is_array()) {
    std::vector<std::string> items;
    for (const Json& item : value) items.push_back(index_text(item, place));
    return fmt::format("{}", fmt::join(items, ","));
  }
  const auto allowed = [](char c) {
    return (c >= '0' && c <= '9') || c == '.' || c == '-' || c == ',';
  };
  if (!value.is_string() || value.get_ref<const std::string&>().empty() ||
      !std::ranges::all_of(value.get_ref<const std::string&>(), allowed)) {
    user_error("{} is {}: expected an index, a list of indices, or a text such as \"0..3,-1\"",
               place, describe_json(value));
  }
  return value.get<std::string>();
}

/// The numbers of an edit's `values` as a list of hook_text.h.
std::string values_text(const Json& values, const std::string& place) {
  std::vector<float> numbers;
  const bool list = values.is_array() && !values.empty() &&
                    std::ranges::all_of(values, [](const Json& one) { return one.is_number(); });
  if (!list) user_error("{} is {}: expected a list of numbers", place, describe_json(values));
  for (const Json& one : values) numbers.push_back(one.get<float>());
  return fmt::format("[{}]", fmt::join(numbers, ","));
}

const std::string& text_field(const Json& entry, const char* name, const std::string& place) {
  if (!entry.contains(name)) user_error("{}: missing {}: expected a text", place, name);
  const Json& value = entry[name];
  if (!value.is_string() || value.get_ref<const std::string&>().empty())
    user_error("{}: {} is {}: expected a text", place, name, describe_json(value));
  return value.get_ref<const std::string&>();
}

void reject_unknown(const Json& object, const std::vector<std::string>& known,
                    const std::string& place) {
  for (const auto& [name, value] : object.items()) {
    if (std::ranges::find(known, name) == known.end())
      user_error("{}: unknown field {}: expected {}", place, quote(name), fmt::join(known, ", "));
  }
}

/// An entry as text of hook_text.h.
std::string entry_text(const Json& entry, bool is_edit, const std::string& place) {
  if (entry.is_string()) return entry.get<std::string>();
  if (!entry.is_object())
    user_error("{} is {}: expected a text or an object", place, describe_json(entry));
  std::vector<std::string> known = {"site"};
  known.insert(known.end(), kNarrowings.begin(), kNarrowings.end());
  if (is_edit) known.insert(known.end(), {"tokens", "change", "values"});
  reject_unknown(entry, known, place);
  std::string text = text_field(entry, "site", place);
  if (text.find_first_of("[]=") != std::string::npos)
    user_error("{}: site is {}: expected a name or a glob alone; a selection has fields of its own",
               place, quote(text));
  std::vector<std::string> narrowings;
  for (const char* name : kNarrowings) {
    if (entry.contains(name))
      narrowings.push_back(
          fmt::format("{}={}", name, index_text(entry[name], place + ": " + name)));
  }
  if (entry.contains("tokens"))
    narrowings.push_back("tokens=" + text_field(entry, "tokens", place));
  if (!narrowings.empty()) text += fmt::format("[{}]", fmt::join(narrowings, " "));
  if (!is_edit) return text;
  text += "=" + text_field(entry, "change", place);
  if (entry.contains("values")) text += ":" + values_text(entry["values"], place + ": values");
  return text;
}

std::vector<std::string> entries(const Json& json, const char* name, const std::string& file) {
  std::vector<std::string> texts;
  if (!json.contains(name)) return texts;
  const Json& list = json[name];
  if (!list.is_array())
    user_error("{}: {} is {}: expected a list", file, name, describe_json(list));
  const bool is_edit = std::string_view(name) == "edits";
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string place = fmt::format("{}: {}[{}]", file, name, i);
    texts.push_back(entry_text(list[i], is_edit, place));
    at_place(place, [&] {
      if (is_edit)
        parse_edit(texts.back());
      else
        parse_site(texts.back());
    });
  }
  return texts;
}

JsonValue site_json(const std::string& text) {
  const SiteArg site = parse_site(text);
  JsonValue json = {{"site", site.pattern}};
  const auto narrow = [&](const char* name, const auto& indices) {
    if (!indices.empty()) json[name] = indices.text();
  };
  narrow("layers", site.where.layers);
  narrow("positions", site.where.positions);
  narrow("heads", site.where.heads);
  narrow("neurons", site.where.neurons);
  narrow("sequences", site.where.sequences);
  if (site.where.tokens != Where::Tokens::kAll)
    json["tokens"] = site.where.tokens == Where::Tokens::kPrompt ? "prompt" : "generated";
  return json;
}

JsonValue edit_json(const std::string& text) {
  const EditText parts = split_edit(text);
  JsonValue json = site_json(parts.site);
  const std::string change = change_with_numbers(parts.change, parts.site);
  const size_t list = change.find(":[");
  json["change"] = change.substr(0, list);
  if (list != std::string::npos) {
    const Json values = parse_json(std::string_view(change).substr(list + 1), text);
    json["values"] = values.get<std::vector<double>>();
  }
  return json;
}

template <typename ToJson>
JsonValue list_json(const std::vector<std::string>& texts, const ToJson& to_json) {
  JsonValue list = JsonValue::array();
  for (const std::string& text : texts) list.push_back(to_json(text));
  return list;
}

/// SITE[NARROWING]
std::string selection_text(const SiteSelector& sites, const Where& where) {
  std::vector<std::string> narrowings;
  const auto narrow = [&](const char* name, const auto& indices) {
    if (!indices.empty()) narrowings.push_back(fmt::format("{}={}", name, indices.text()));
  };
  narrow("layers", where.layers);
  narrow("positions", where.positions);
  narrow("heads", where.heads);
  narrow("neurons", where.neurons);
  narrow("sequences", where.sequences);
  if (where.tokens != Where::Tokens::kAll)
    narrowings.emplace_back(where.tokens == Where::Tokens::kPrompt ? "tokens=prompt"
                                                                   : "tokens=generated");
  if (narrowings.empty()) return sites.pattern();
  return fmt::format("{}[{}]", sites.pattern(), fmt::join(narrowings, " "));
}

std::string change_text(const Hooks::Change& change) {
  const auto refuse = [&](const char* what) {
    user_error("the edit of {} {}, which a file of hooks cannot hold", change.sites.pattern(),
               what);
  };
  const Edit& edit = change.edit;
  if (edit.straight_through()) refuse("is straight-through");
  const auto with_operand = [&](const char* name) {
    const std::vector<float> numbers = edit.operand().view().to_f32();
    if (numbers.size() == 1) return fmt::format("{}:{}", name, numbers.front());
    return fmt::format("{}:[{}]", name, fmt::join(numbers, ","));
  };
  switch (edit.kind()) {
    case Edit::Kind::kAdd:
      return with_operand("add");
    case Edit::Kind::kReplace:
      return with_operand("set");
    case Edit::Kind::kProject:
      return with_operand("project");
    case Edit::Kind::kScale:
      return edit.factor() == 0 ? "zero" : fmt::format("scale:{}", edit.factor());
    case Edit::Kind::kSource:
      refuse("has values of another run");
      break;
    case Edit::Kind::kCallback:
      refuse("is a function");
      break;
  }
  return {};
}

std::vector<std::string> capture_texts(const std::vector<Hooks::Capture>& captures,
                                       std::optional<DType>& store) {
  std::vector<std::string> texts;
  for (const Hooks::Capture& capture : captures) {
    if (capture.into)
      user_error("the capture of {} has memory of its own, which a file of hooks cannot hold",
                 capture.sites.pattern());
    if (store.value_or(capture.store) != capture.store)
      user_error("captures stored as {} and as {}: expected one type, as a file of hooks has",
                 dtype_name(*store), dtype_name(capture.store));
    store = capture.store;
    texts.push_back(selection_text(capture.sites, capture.where));
  }
  return texts;
}

}  // namespace

HookFile HookFile::of(const Hooks& hooks) {
  HookFile file;
  file.captures = capture_texts(hooks.captures(), file.store);
  file.gradients = capture_texts(hooks.gradients(), file.store);
  for (const Hooks::Change& change : hooks.edits())
    file.edits.push_back(selection_text(change.sites, change.where) + "=" + change_text(change));
  if (file.store == DType::kF32) file.store = std::nullopt;
  return file;
}

Hooks HookFile::hooks() const {
  Hooks hooks;
  const DType dtype = store.value_or(DType::kF32);
  for (const std::string& text : captures) {
    SiteArg site = parse_site(text);
    hooks.capture(std::move(site.pattern), std::move(site.where), dtype);
  }
  for (const std::string& text : gradients) {
    SiteArg site = parse_site(text);
    hooks.gradient(std::move(site.pattern), std::move(site.where), dtype);
  }
  for (const std::string& text : edits) {
    Hooks::Change change = parse_edit(text);
    hooks.edit(std::move(change.sites), std::move(change.edit), std::move(change.where));
  }
  return hooks;
}

std::string HookFile::json() const {
  JsonValue json = JsonValue::object();
  if (!captures.empty()) json["captures"] = list_json(captures, site_json);
  if (!gradients.empty()) json["gradients"] = list_json(gradients, site_json);
  if (!edits.empty()) json["edits"] = list_json(edits, edit_json);
  if (store) json["store"] = dtype_name(*store);
  if (seed) json["seed"] = *seed;
  return json.dump(2) + "\n";
}

HookFile parse_hook_file(std::string_view text, const std::string& file) {
  const Json json = parse_json(text, file);
  if (!json.is_object()) user_error("{}: expected an object of captures and edits", file);
  reject_unknown(json, {"captures", "gradients", "edits", "store", "seed"}, file);
  HookFile hooks{.captures = entries(json, "captures", file),
                 .gradients = entries(json, "gradients", file),
                 .edits = entries(json, "edits", file)};
  if (json.contains("store")) {
    hooks.store = at_place(file + ": store",
                           [&] { return dtype_from_name(text_field(json, "store", file)); });
    if (!is_floating(*hooks.store))
      user_error("{}: store is {}: expected f32, f16 or bf16", file, dtype_name(*hooks.store));
  }
  if (json.contains("seed")) {
    if (!json["seed"].is_number_unsigned())
      user_error("{}: seed is {}: expected a whole number from 0", file,
                 describe_json(json["seed"]));
    hooks.seed = json["seed"].get<uint64_t>();
  }
  return hooks;
}

HookFile read_hook_file(const std::filesystem::path& path) {
  return parse_hook_file(read_text(path.string()), path.string());
}

}  // namespace vitrine
