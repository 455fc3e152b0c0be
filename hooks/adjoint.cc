// SPDX-License-Identifier: MIT
#include "hooks/adjoint.h"

#include <algorithm>
#include <optional>

#include "base/check.h"

namespace vitrine::internal {
namespace {

/// Nothing: the identity.
std::optional<Edit> adjoint_of(const Hooks::Change& change) {
  const Edit& edit = change.edit;
  if (edit.straight_through()) return std::nullopt;
  switch (edit.kind()) {
    case Edit::Kind::kAdd:
      return std::nullopt;
    case Edit::Kind::kScale:
    case Edit::Kind::kProject:
      return edit;
    case Edit::Kind::kReplace:
    case Edit::Kind::kSource:
      return zero();
    case Edit::Kind::kCallback:
      break;
  }
  if (!edit.adjoint()) {
    user_error(
        "missing adjoint of the callback that edits '{}', so the gradient is undefined; pass an "
        "adjoint to callback(), or use straight_through()",
        change.sites.pattern());
  }
  return callback(edit.adjoint());
}

}  // namespace

Hooks adjoint_of(const Hooks& hooks) {
  Hooks adjoint;
  for (const Hooks::Capture& request : hooks.gradients())
    adjoint.capture(request.sites, request.where, request.store);
  std::vector<Hooks::Change> changes = hooks.edits();
  std::reverse(changes.begin(), changes.end());
  for (const Hooks::Change& change : changes) {
    if (const std::optional<Edit> edit = adjoint_of(change))
      adjoint.edit(change.sites, *edit, change.where);
  }
  return adjoint;
}

}  // namespace vitrine::internal
