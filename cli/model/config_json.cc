// SPDX-License-Identifier: MIT
#include "cli/model/config_json.h"

#include "analysis/common/config_fields.h"

namespace vitrine::cli {
using namespace internal;

JsonValue config_json(const Config& c) {
  JsonValue json = config_fields<JsonValue>(c);
  json["head_width"] = c.head_width();
  return json;
}

}  // namespace vitrine::cli
