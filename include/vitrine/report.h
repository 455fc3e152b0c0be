// SPDX-License-Identifier: MIT
#pragma once

/// Results for readers: pages that open from disk, and figures for papers.

#include "vitrine/report/figure.h"
#include "vitrine/report/page.h"
