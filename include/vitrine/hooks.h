// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/dtype.h"
#include "vitrine/sites.h"
#include "vitrine/tensor.h"

namespace vitrine {

/// Selects the part of a site that a capture or an edit applies to. An empty list selects all. (The
/// initialisers let `{.heads = {3}}` compile without warnings.)
struct Where {
  /// Block indices; negative counts from the last.
  std::vector<int> layers = {};
  /// Token positions in the sequence, from 0. Negative counts from the end of the sequence in the
  /// current pass: in a generation, {-1} is the newest token of every step.
  std::vector<int64_t> positions = {};
  /// Attention heads, for sites that have heads.
  std::vector<int> heads = {};
  /// Indices along the site's last axis: MLP neurons, directions of the residual stream, vocabulary
  /// ids. Invalid for maps.
  std::vector<int64_t> neurons = {};
  /// Indices of sequences in the batch.
  std::vector<int> sequences = {};
};

/// Argument of a callback edit: the selected part of one site for one sequence, as writable
/// float32.
struct EditView {
  std::string_view name;  ///< "blocks.3.attn.hook_z"
  Site site;
  int layer;                           ///< 0 for sites without a layer
  int sequence;                        ///< index in the batch
  std::span<const int64_t> positions;  ///< positions of the rows
  /// [rows, width], row-major; for a map [heads x rows, keys], masked keys included
  std::span<float> values;
  int64_t width;  ///< number of elements per row
};

/// Activations of an earlier run, by site and position; the source of replace_from().
class ActivationSource {
 public:
  virtual ~ActivationSource() = default;
  /// Float32 row of a site at a position of a sequence, restricted to the captured heads and
  /// neurons; nullopt if it was not captured.
  virtual std::optional<std::vector<float>> row(Site site, int layer, int sequence,
                                                int64_t position) const = 0;
};

/// One change of activations, created by the functions below.
class Edit {
 public:
  enum class Kind : uint8_t { kAdd, kScale, kReplace, kProject, kSource, kCallback };

  Kind kind() const { return kind_; }
  float factor() const { return factor_; }
  const Tensor& operand() const { return operand_; }
  const std::shared_ptr<const ActivationSource>& source() const { return source_; }
  const std::function<void(EditView&)>& function() const { return function_; }
  /// Gradient function of a callback; null: unknown.
  const std::function<void(EditView&)>& adjoint() const { return adjoint_; }
  /// Whether the backward pass treats the edit as the identity.
  bool straight_through() const { return straight_through_; }

 private:
  friend Edit add(Tensor);
  friend Edit scale(float);
  friend Edit replace(Tensor);
  friend Edit project_out(const Tensor&);
  friend Edit replace_from(std::shared_ptr<const ActivationSource>);
  friend Edit callback(std::function<void(EditView&)>, std::function<void(EditView&)>);
  friend Edit straight_through(Edit);

  Kind kind_ = Kind::kScale;
  float factor_ = 1.0f;
  Tensor operand_;
  std::shared_ptr<const ActivationSource> source_;
  std::function<void(EditView&)> function_, adjoint_;
  bool straight_through_ = false;
};

// An operand is a float32 tensor of one of these sizes, where W is the number of selected elements
// per row:
//   W          the same for every selected row;
//   P x W      one row for each of the P positions that `Where` names, the same for every sequence;
//   one head   for a site with heads, the width of one head: the same for every selected head;
//   1          the same number everywhere.
// A NaN is rejected (Error, user). For a map (scores, pattern) the operand is a single number or
// the map of another run; masked keys stay masked.

/// x + operand
Edit add(Tensor operand);
/// x * factor. Throws Error (user) for a factor that is not finite.
Edit scale(float factor);
/// 0: zero ablation
Edit zero();
/// operand
Edit replace(Tensor operand);
/// Mean ablation: x becomes `mean`, an average over reference texts that the caller provides (see
/// Captures::mean). The mean over the pass itself is not supported, because it would depend on the
/// other sequences in the batch.
inline Edit mean_ablate(Tensor mean) { return replace(std::move(mean)); }
/// x - (x . u) u, u = direction / |direction|: removes the component along the direction. Throws
/// Error (user) for a zero direction.
Edit project_out(const Tensor& direction);
/// Value of another run at the same site, position and sequence (sequence 0 if that run had only
/// one). The run must have captured the site with the same heads and neurons.
Edit replace_from(std::shared_ptr<const ActivationSource> run);
/// Result of `function`, which changes the values in place on the host, between two kernels. For a
/// backward pass, `adjoint` maps the gradient with respect to the values after `function` to the
/// gradient with respect to the values before it. A backward pass may call `function` a second time
/// on the same values; it must be deterministic.
Edit callback(std::function<void(EditView&)> function, std::function<void(EditView&)> adjoint = {});
/// The same edit, treated as the identity by the backward pass: the straight-through estimator
/// (Bengio 2013).
Edit straight_through(Edit edit);

/// Sites of a model that match a pattern (see Hooks) in the layers of `where`, in the order of
/// sites.h and by layer within each site. Throws Error (user) that lists similar names if there are
/// none, and for a layer out of range.
std::vector<SiteRef> find_sites(const std::string& pattern, const Config& config,
                                const Where& where = {});

/// Captures and edits of a pass. Patterns are globs over site names: `*` any characters, `?` one
/// character, `{a,b}` alternatives, `{3..5}` a range of numbers. Examples:
/// "blocks.*.hook_resid_post", "blocks.{0..3}.attn.hook_{q,k}".
///
/// Edits at one site apply in the order in which they were added; a capture reads the site after
/// all of them. Patterns and selections are checked against a model when a pass is prepared: a
/// pattern that matches no site, and a layer, head, position or neuron out of range, throw Error
/// (user).
class Hooks {
 public:
  struct Capture {
    std::string pattern;
    Where where;
    DType store;
  };
  struct Change {
    std::string pattern;
    Edit edit;
    Where where;
  };

  /// Captures the matching sites, stored as f32, f16 or bf16.
  Hooks& capture(std::string pattern, Where where = {}, DType store = DType::kF32);
  Hooks& edit(std::string pattern, Edit edit, Where where = {});
  /// Captures the gradient of the target at the matching sites, selected and stored like a capture.
  /// Used by backward() only.
  Hooks& gradient(std::string pattern, Where where = {}, DType store = DType::kF32);

  /// Of these, the edits alone.
  Hooks only_edits() const;
  /// Of these, the captures and edits.
  Hooks without_gradients() const;

  bool empty() const { return captures_.empty() && edits_.empty(); }
  const std::vector<Capture>& captures() const { return captures_; }
  const std::vector<Capture>& gradients() const { return gradients_; }
  const std::vector<Change>& edits() const { return edits_; }

 private:
  std::vector<Capture> captures_, gradients_;
  std::vector<Change> edits_;
};

}  // namespace vitrine
