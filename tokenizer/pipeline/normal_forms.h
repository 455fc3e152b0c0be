// SPDX-License-Identifier: MIT
#pragma once

#include "tokenizer/pipeline/aligned_text.h"

namespace vitrine::internal {

/// Unicode's normal forms. `compatible`: the K of NFKC and NFKD.
void decompose(AlignedText& text, bool compatible);
void compose(AlignedText& text, bool compatible);

}  // namespace vitrine::internal
