// SPDX-License-Identifier: MIT
#pragma once

#include "vitrine/config.h"

namespace vitrine::internal {

/// Hyper-parameters as JSON answers and manifests name them: an object of base/json.h (Json) or of
/// base/json_value.h (JsonValue).
template <typename Value>
Value config_fields(const Config& c) {
  Value json = {{"layers", c.layers},
                {"heads", c.heads},
                {"width", c.width},
                {"inner", c.inner},
                {"vocab", c.vocab},
                {"context", c.context},
                {"layer_norm_epsilon", c.layer_norm_epsilon},
                {"activation", c.activation},
                {"scale_attention", c.scale_attention},
                {"scale_attention_by_inverse_layer", c.scale_attention_by_inverse_layer},
                {"tied_unembedding", c.tied_unembedding}};
  if (c.unembedding_bias) json["unembedding_bias"] = true;
  if (!c.windows.empty()) json["windows"] = c.windows;
  return json;
}

}  // namespace vitrine::internal
