// SPDX-License-Identifier: MIT
#pragma once

/// Results as self-contained HTML pages and as figures; and the analyses that make them.

#include "vitrine/analysis.h"
#include "vitrine/report/figure.h"
#include "vitrine/report/page.h"
