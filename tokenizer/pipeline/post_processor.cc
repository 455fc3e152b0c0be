// SPDX-License-Identifier: MIT
#include "tokenizer/pipeline/post_processor.h"

#include "base/check.h"
#include "tokenizer/pipeline/normalizers.h"

namespace vitrine::internal {
namespace {

using Frame = Tokenizer::Frame;

// The id of ["[CLS]", 101].
int32_t id_of_pair(const JsonFields& fields, const char* name) {
  const Json* const pair = fields.find(name);
  const bool sound = pair && pair->is_array() && pair->size() == 2 &&
                     (*pair)[1].is_number_unsigned() &&
                     (*pair)[1].get<uint64_t>() <= uint64_t{INT32_MAX};
  if (!sound) fields.refuse(name, "expected [token, id]");
  return (*pair)[1].get<int32_t>();
}

void append_special(const Json& piece, const JsonFields& fields, const std::string& where,
                    std::vector<int32_t>& out) {
  const JsonFields special(piece, where);
  const std::string name = special.text("id").value_or("");
  const Json* const all = fields.find("special_tokens");
  const Json* const known =
      all && all->is_object() && all->contains(name) ? &(*all)[name] : nullptr;
  const Json* const ids =
      known && known->is_object() && known->contains("ids") ? &(*known)["ids"] : nullptr;
  if (!ids || !ids->is_array())
    user_error("{}: the template has {}, which special_tokens lacks: expected its ids", where,
               describe_json(name));
  for (const Json& id : *ids) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > uint64_t{INT32_MAX})
      user_error("{}: an id of {} is {}: expected an integer >= 0", where, describe_json(name),
                 describe_json(id));
    out.push_back(id.get<int32_t>());
  }
}

Frame read_template(const Json& json, const JsonFields& fields, const std::string& where) {
  Frame frame;
  int texts = 0;
  for (const Json& piece : stage_list(json, "single", where)) {
    const bool named = piece.is_object() && piece.size() == 1;
    if (named && piece.contains("Sequence")) {
      ++texts;
    } else if (named && piece.contains("SpecialToken")) {
      append_special(piece["SpecialToken"], fields, where, texts == 0 ? frame.before : frame.after);
    } else {
      user_error("{}: single has {}: expected SpecialToken or Sequence", where,
                 describe_json(piece));
    }
  }
  if (texts != 1) user_error("{}: single has the text {} times: expected once", where, texts);
  return frame;
}

}  // namespace

Frame read_post_processor(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const std::string type = stage_type(json, where);
  if (type == "ByteLevel") return {};
  if (type == "TemplateProcessing") return read_template(json, fields, where);
  if (type == "BertProcessing" || type == "RobertaProcessing")
    return {{id_of_pair(fields, "cls")}, {id_of_pair(fields, "sep")}};
  if (type != "Sequence") {
    fields.refuse("type",
                  "expected BertProcessing, ByteLevel, RobertaProcessing, Sequence or "
                  "TemplateProcessing");
  }
  Frame all;
  size_t index = 0;
  for (const Json& part : stage_list(json, "processors", where)) {
    const Frame next = read_post_processor(part, fmt::format("{}[{}]", where, index++));
    all.before.insert(all.before.begin(), next.before.begin(), next.before.end());
    all.after.insert(all.after.end(), next.after.begin(), next.after.end());
  }
  return all;
}

}  // namespace vitrine::internal
