// SPDX-License-Identifier: MIT
#pragma once

#include "report/result.h"

namespace vitrine::internal {

// Each analysis's description of its result.

Result attribution_result(const LogitAttribution& found, const PageSource& source);
Result lens_result(const Lens& lens, const PageSource& source);
/// Of rankings(): the same over a generation.
Result rankings_result(const Lens& lens, const PageSource& source);

Result noise_result(const Noise& found, const PageSource& source);
/// "embed", "blocks.0.hook_resid_post", ...
std::vector<std::string> noise_sites(const Noise& found);
Result saliency_result(const Saliency& found, const PageSource& source);
/// `against`: name of the model whose sites are the columns; empty: the same model.
Result similarity_result(const Similarity& found, const PageSource& source,
                         const std::string& against);

}  // namespace vitrine::internal
