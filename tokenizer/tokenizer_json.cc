// SPDX-License-Identifier: MIT
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/loaders.h"
#include "tokenizer/pipeline/pipeline.h"
#include "tokenizer/pipeline/post_processor.h"

namespace vitrine::internal {
namespace {

const Json* part(const Json& json, const char* name) {
  const auto found = json.is_object() ? json.find(name) : json.end();
  return found == json.end() || found->is_null() ? nullptr : &*found;
}

bool is_of_type(const Json* json, std::string_view type) {
  const Json* const found = json ? part(*json, "type") : nullptr;
  return found && *found == type;
}

// Fields of a BPE model that GPT-2's leaves at nothing.
bool has_no_settings(const Json& model) {
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (const Json* affix = part(model, name); affix && *affix != "") return false;
  }
  const Json *dropout = part(model, "dropout"), *bytes = part(model, "byte_fallback");
  return (!dropout || *dropout == 0) && (!bytes || *bytes == false);
}

bool has_all_bytes(const Json& vocab) {
  for (int byte = 0; byte < 256; ++byte) {
    if (!vocab.contains(spelling_of_byte(static_cast<unsigned char>(byte)))) return false;
  }
  return true;
}

// Whether the ids are those that tokenizers would give: the model's without gaps, and the added
// ones after them.
bool is_numbered(const Json& root, const Json& vocab) {
  uint64_t next = vocab.size();
  for (const Json& id : vocab) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= vocab.size()) return false;
  }
  const Json* const added = part(root, "added_tokens");
  if (!added) return true;
  if (!added->is_array()) return false;
  std::set<std::string> seen;
  for (const Json& token : *added) {
    const Json *content = part(token, "content"), *id = part(token, "id");
    if (!content || !id || !content->is_string()) return false;
    const auto& name = content->get_ref<const std::string&>();
    if (!seen.insert(name).second) return false;
    const auto known = vocab.find(name);
    if (*id != (known == vocab.end() ? Json(next++) : *known)) return false;
  }
  return true;
}

bool is_byte_level(const Json* pre_tokenizer) {
  if (is_of_type(pre_tokenizer, "ByteLevel")) return true;
  const Json* const parts = pre_tokenizer ? part(*pre_tokenizer, "pretokenizers") : nullptr;
  return parts && parts->is_array() &&
         std::any_of(parts->begin(), parts->end(),
                     [](const Json& one) { return is_byte_level(&one); });
}

}  // namespace

bool is_plain_bpe(const Json& root) {
  const Json* const model = part(root, "model");
  const Json* const vocab = model ? part(*model, "vocab") : nullptr;
  const Json* const decoder = part(root, "decoder");
  return vocab && vocab->is_object() && !part(root, "normalizer") &&
         is_of_type(part(root, "pre_tokenizer"), "ByteLevel") && part(*model, "merges") &&
         (!part(*model, "type") || is_of_type(model, "BPE")) &&
         (!decoder || is_of_type(decoder, "ByteLevel")) && has_no_settings(*model) &&
         has_all_bytes(*vocab) && is_numbered(root, *vocab);
}

PipelineSpec read_pipeline(const Json& root, const std::string& file) {
  const JsonFields fields(root, file);
  const auto where = [&](const char* name) { return file + ": " + name; };
  const Json* const model = fields.find("model");
  if (!model) fields.refuse("model", "expected the model of a tokenizer.json");
  PipelineSpec spec;
  spec.model = read_word_model(*model, where("model"));
  if (const Json* json = fields.find("normalizer"))
    spec.normalizer = read_normalizer(*json, where("normalizer"));
  if (const Json* json = fields.find("pre_tokenizer"))
    spec.pre_tokenizer = read_pre_tokenizer(*json, where("pre_tokenizer"));
  spec.byte_level = is_byte_level(fields.find("pre_tokenizer"));
  spec.decoder = read_decoder(fields.find("decoder"), where("decoder"));
  spec.added = read_added_tokens(fields, file);
  const Vocab& vocab = spec.model->vocab();
  number_added_tokens(spec.added, vocab.count(),
                      [&](const std::string& name) { return vocab.find(name); });
  return spec;
}

TextEnds ends_of(const Json& root, const std::string& file, const FolderSettings& settings,
                 const std::vector<AddedToken>& added) {
  const auto id_of = [&](const std::string& content) -> std::optional<int32_t> {
    for (const AddedToken& token : added) {
      if (token.content == content) return token.id;
    }
    return std::nullopt;
  };
  TextEnds ends;
  ends.begin = id_of(settings.begin);
  ends.end = id_of(settings.end);
  const Json* const processor = part(root, "post_processor");
  if (processor) ends.frame = read_post_processor(*processor, file + ": post_processor");
  settle_ends(added, ends);
  frame_as_set(settings, ends);
  return ends;
}

void frame_as_set(const FolderSettings& settings, TextEnds& ends) {
  if (!settings.add_begin && !settings.add_end) return;
  ends.frame = {};
  if (settings.add_begin.value_or(false) && ends.begin) ends.frame.before = {*ends.begin};
  if (settings.add_end.value_or(false) && ends.end) ends.frame.after = {*ends.end};
}

std::shared_ptr<const Tokenizer> tokenizer_of_json(const Json& root, const std::string& file,
                                                   const FolderSettings& settings) {
  if (is_plain_bpe(root)) {
    BpeSpec spec = parse_plain_bpe(root, file);
    spec.ends = ends_of(root, file, settings, spec.added);
    return std::make_shared<BpeTokenizer>(std::move(spec));
  }
  PipelineSpec spec = read_pipeline(root, file);
  spec.ends = ends_of(root, file, settings, spec.added);
  return std::make_shared<PipelineTokenizer>(std::move(spec));
}

std::shared_ptr<const Tokenizer> parse_tokenizer_json(std::string_view contents,
                                                      const std::string& file) {
  return tokenizer_of_json(parse_json(contents, file), file);
}

}  // namespace vitrine::internal
