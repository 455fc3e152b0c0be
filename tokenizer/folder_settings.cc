// SPDX-License-Identifier: MIT
#include "tokenizer/folder_settings.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/text_file.h"
#include "tokenizer/loaders.h"

namespace vitrine::internal {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSpecialNames[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                         "pad_token", "cls_token", "mask_token"};

// The file's object; empty for a missing file.
Json read_object(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return Json::object();
  Json json = read_python_json(path);
  if (!json.is_object())
    user_error("{}: is {}: expected a JSON object", path.string(), describe_json(json));
  return json;
}

int32_t id_of(const std::string& text, const std::string& where) {
  int32_t id = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id < 0 || id > kMaxTokenId)
    user_error("{}: the id is {}: expected 0 to {}", where, describe_json(text), kMaxTokenId);
  return id;
}

AddedToken token_of(const Json& entry, const std::string& where) {
  const JsonFields fields(entry, where);
  AddedToken token;
  token.content = fields.text("content").value_or("");
  if (token.content.empty()) fields.refuse("content", "expected the token's text");
  token.special = fields.boolean("special").value_or(false);
  token.lstrip = fields.boolean("lstrip").value_or(false);
  token.rstrip = fields.boolean("rstrip").value_or(false);
  token.single_word = fields.boolean("single_word").value_or(false);
  token.normalized = fields.boolean("normalized").value_or(!token.special);
  return token;
}

void add_decoder(const Json& decoder, const std::string& file, std::vector<AddedToken>& added) {
  if (!decoder.is_object())
    user_error("{}: added_tokens_decoder is {}: expected an object of ids and tokens", file,
               describe_json(decoder));
  for (const auto& [id, entry] : decoder.items()) {
    const std::string where = file + ": added_tokens_decoder";
    AddedToken token = token_of(entry, where);
    token.id = id_of(id, where);
    added.push_back(std::move(token));
  }
}

// As old versions saved them: names and ids alone.
void add_named(const Json& names, const fs::path& path, std::vector<AddedToken>& added) {
  for (const auto& [name, id] : names.items()) {
    if (name.empty() || !id.is_number_unsigned() || id.get<uint64_t>() > kMaxTokenId)
      user_error("{}: the id of {} is {}: expected 0 to {}", path.string(), describe_json(name),
                 describe_json(id), kMaxTokenId);
    added.push_back({.id = id.get<int32_t>(), .content = name});
  }
}

/// A special token, which is a text or an object with flags; without content for none.
AddedToken special_token(const Json& entry, const std::string& where) {
  AddedToken token;
  if (entry.is_string())
    token.content = entry.get<std::string>();
  else if (!entry.is_null())
    token = token_of(entry, where);
  token.id = AddedToken::kNoId;
  token.special = true;
  return token;
}

/// What was said of the token before counts, but that it is special.
void add_special(AddedToken token, std::vector<AddedToken>& added) {
  if (token.content.empty()) return;
  const auto known = std::find_if(added.begin(), added.end(), [&](const AddedToken& one) {
    return one.content == token.content;
  });
  if (known == added.end())
    added.push_back(std::move(token));
  else
    known->special = true;
}

/// The entries of a list, or of an object in the file's order, from which ids may follow.
std::vector<Json> entries_of(const Json& list, const char* name, const std::string& file) {
  if (!list.is_object()) return {list.begin(), list.end()};
  std::vector<Json> entries;
  // Json sorts by name; a file with Python's NaN stays so.
  const auto ordered = nlohmann::ordered_json::parse(read_text(file), nullptr, false);
  if (ordered.is_discarded()) return {list.begin(), list.end()};
  for (const auto& entry : ordered.at(name).items()) entries.push_back(list.at(entry.key()));
  return entries;
}

void add_specials(const Json& json, const std::string& file, FolderSettings& settings) {
  for (const std::string name : kSpecialNames) {
    AddedToken token = special_token(json.value(name, Json()), file + ": " + name);
    if (token.content.empty()) continue;
    if (name == "bos_token") settings.begin = token.content;
    if (name == "eos_token") settings.end = token.content;
    add_special(std::move(token), settings.added);
  }
  for (const char* name : {"additional_special_tokens", "extra_special_tokens"}) {
    const auto list = json.find(name);
    if (list == json.end() || !list->is_structured()) continue;
    for (const Json& entry : entries_of(*list, name, file))
      add_special(special_token(entry, file + ": " + name), settings.added);
  }
}

std::string class_of(const Json& json, const std::string& file) {
  std::string name = JsonFields(json, file).text("tokenizer_class").value_or("");
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  return name;
}

}  // namespace

FolderSettings read_folder_settings(const fs::path& folder) {
  FolderSettings settings;
  const std::string file = (folder / "tokenizer_config.json").string();
  const Json config = read_object(file);
  const JsonFields fields(config, file);
  settings.tokenizer_class = class_of(config, file);
  if (settings.tokenizer_class.empty()) {
    const fs::path model = folder / "config.json";
    settings.tokenizer_class = class_of(read_object(model), model.string());
  }
  settings.add_prefix_space = fields.boolean("add_prefix_space");
  settings.add_begin = fields.boolean("add_bos_token");
  settings.add_end = fields.boolean("add_eos_token");
  settings.lower_case = fields.boolean("do_lower_case").value_or(true);
  settings.space_ideographs = fields.boolean("tokenize_chinese_chars").value_or(true);
  settings.strip_accents = fields.boolean("strip_accents");
  const Json* const decoder = fields.find("added_tokens_decoder");
  const fs::path added = folder / "added_tokens.json", map = folder / "special_tokens_map.json";
  if (decoder) {
    add_decoder(*decoder, file, settings.added);
  } else {
    add_named(read_object(added), added, settings.added);
  }
  std::stable_sort(settings.added.begin(), settings.added.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  // As transformers does, only without the other.
  if (!decoder) add_specials(read_object(map), map.string(), settings);
  add_specials(config, file, settings);
  return settings;
}

void apply_settings(const FolderSettings& settings, const std::string& file, Json& root) {
  if (!root.is_object()) return;  // refused by the reader
  const auto cutter = root.find("pre_tokenizer");
  const bool is_byte_level =
      cutter != root.end() && cutter->is_object() && cutter->value("type", Json()) == "ByteLevel";
  if (settings.add_prefix_space && is_byte_level)
    (*cutter)["add_prefix_space"] = *settings.add_prefix_space;
  if (settings.added.empty()) return;
  std::vector<AddedToken> all = read_added_tokens(JsonFields(root, file), file);
  for (const AddedToken& token : settings.added) {
    const auto known = std::find_if(all.begin(), all.end(), [&](const AddedToken& one) {
      return one.content == token.content;
    });
    if (known == all.end()) {
      all.push_back(token);
    } else {
      known->special |= token.special;
    }
  }
  const auto model = root.find("model");
  static const Json kNone;
  const Json& vocab = model != root.end() && model->is_object() && model->contains("vocab")
                          ? (*model)["vocab"]
                          : kNone;
  if (vocab.is_object()) {
    number_added_tokens(all, static_cast<int32_t>(vocab.size()), [&](const std::string& name) {
      const auto found = vocab.find(name);
      const bool sound = found != vocab.end() && found->is_number_unsigned() &&
                         found->get<uint64_t>() <= uint64_t{kMaxTokenId};
      return sound ? found->get<int32_t>() : -1;
    });
  }
  Json list = Json::array();
  for (const AddedToken& token : all) {
    list.push_back({{"id", std::max(token.id, 0)},
                    {"content", token.content},
                    {"special", token.special},
                    {"lstrip", token.lstrip},
                    {"rstrip", token.rstrip},
                    {"normalized", token.normalized},
                    {"single_word", token.single_word}});
  }
  root["added_tokens"] = std::move(list);
}

}  // namespace vitrine::internal
