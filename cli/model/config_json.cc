// SPDX-License-Identifier: MIT
#include "cli/model/config_json.h"

namespace vitrine::cli {
using namespace internal;

JsonValue config_json(const Config& c) {
  JsonValue json = {{"layers", c.layers},
                    {"heads", c.heads},
                    {"width", c.width},
                    {"head_width", c.head_width()},
                    {"inner", c.inner},
                    {"vocab", c.vocab},
                    {"context", c.context},
                    {"layer_norm_epsilon", c.layer_norm_epsilon},
                    {"activation", c.activation},
                    {"scale_attention", c.scale_attention},
                    {"scale_attention_by_inverse_layer", c.scale_attention_by_inverse_layer},
                    {"tied_unembedding", c.tied_unembedding}};
  if (c.unembedding_bias) json["unembedding_bias"] = true;
  return json;
}

}  // namespace vitrine::cli
