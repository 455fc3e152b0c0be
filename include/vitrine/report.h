// SPDX-License-Identifier: MIT
#pragma once

/// Results as self-contained HTML pages and as figures.

#include "vitrine/report/figure.h"
#include "vitrine/report/page.h"
