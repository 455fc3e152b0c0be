// SPDX-License-Identifier: MIT
#pragma once

/// The version of the library. This is its only source: the build reads these three lines.
#define VITRINE_VERSION_MAJOR 0
#define VITRINE_VERSION_MINOR 1
#define VITRINE_VERSION_PATCH 0

/// The same as a string literal: "MAJOR.MINOR.PATCH".
#define VITRINE_VERSION \
  VITRINE_VERSION_TEXT(VITRINE_VERSION_MAJOR, VITRINE_VERSION_MINOR, VITRINE_VERSION_PATCH)

#define VITRINE_VERSION_TEXT(major, minor, patch) VITRINE_VERSION_JOIN(major, minor, patch)
#define VITRINE_VERSION_JOIN(major, minor, patch) #major "." #minor "." #patch
