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

/// Narrows a capture or an edit. An empty list means all. (The initialisers let `{.heads = {3}}`
/// compile without warnings.)
struct Where {
  /// Blocks; negative counts from the last.
  std::vector<int> layers = {};
  /// Token positions in the sequence, from 0. Negative counts from the end of the sequence as it is
  /// in that pass: in a generation, {-1} is the newest token of every step.
  std::vector<int64_t> positions = {};
  /// Attention heads, for sites that have them.
  std::vector<int> heads = {};
  /// Indices along the site's last axis: MLP neurons, directions of the residual stream, vocabulary
  /// ids. Not for maps.
  std::vector<int64_t> neurons = {};
  /// Sequences of the batch.
  std::vector<int> sequences = {};
};

/// What a callback edit sees: the selected part of one site for one sequence, as float32, free to
/// be changed.
struct EditView {
  std::string_view name;  ///< "blocks.3.attn.hook_z"
  Site site;
  int layer;                           ///< 0 for sites without a layer
  int sequence;                        ///< index in the batch
  std::span<const int64_t> positions;  ///< of the rows
  std::span<float>
      values;  ///< [rows, width], row by row; for a map [heads x rows, keys], masked keys included
  int64_t width;  ///< elements in a row
};

/// Activations of an earlier run, by site and position: what `replace_from` reads.
class ActivationSource {
 public:
  virtual ~ActivationSource() = default;
  /// The float32 row of a site at a position of a sequence, narrowed as it was captured; nullopt if
  /// it is not there.
  virtual std::optional<std::vector<float>> row(Site site, int layer, int sequence,
                                                int64_t position) const = 0;
};

/// One change of activations. Made by the functions below.
class Edit {
 public:
  enum class Kind : uint8_t { kAdd, kScale, kReplace, kProject, kSource, kCallback };

  Kind kind() const { return kind_; }
  float factor() const { return factor_; }
  const Tensor& operand() const { return operand_; }
  const std::shared_ptr<const ActivationSource>& source() const { return source_; }
  const std::function<void(EditView&)>& function() const { return function_; }
  /// What a callback does to gradients; null: unknown.
  const std::function<void(EditView&)>& adjoint() const { return adjoint_; }
  /// Whether gradients pass as if the edit were not there.
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

// An operand is a float32 tensor of one of these sizes, W being the number of selected elements in
// a row:
//   W          the same for every selected row;
//   P x W      one row for each of the P positions that `Where` names, the same for every sequence;
//   one head   for a site with heads, the width of one head: the same for every selected head;
//   1          the same number everywhere.
// For a map (scores, pattern) only a single number, or another run's map, can be an operand; masked
// keys stay masked.

/// x + operand
Edit add(Tensor operand);
/// x * factor
Edit scale(float factor);
/// 0: zero ablation
Edit zero();
/// operand
Edit replace(Tensor operand);
/// Mean ablation: x becomes `mean`, which the caller has averaged over whatever stands for "nothing
/// in particular" (see Captures::mean). The mean of the pass itself is not offered, because it
/// would depend on what else is in the batch.
inline Edit mean_ablate(Tensor mean) { return replace(std::move(mean)); }
/// x - (x . u) u, u = direction / |direction|: what the direction says is gone. Throws Error (user)
/// for a zero direction.
Edit project_out(const Tensor& direction);
/// The value that another run had at the same site, position and sequence (sequence 0 if it had
/// only one). It must have captured them with the same heads and neurons.
Edit replace_from(std::shared_ptr<const ActivationSource> run);
/// Whatever `function` does to the values. It runs on the host, between two kernels. For a backward
/// pass, `adjoint` turns the gradient with respect to the values that `function` left into the one
/// with respect to those that it found; there `function` may run a second time on the same values
/// and must do the same.
Edit callback(std::function<void(EditView&)> function, std::function<void(EditView&)> adjoint = {});
/// The same change, but a backward pass takes it for the identity: the straight-through estimator
/// (Bengio 2013).
Edit straight_through(Edit edit);

/// The sites of a model that a pattern (see Hooks) matches in the layers that `where` names: site
/// by site as sites.h has them, each by layer. Throws Error (user) listing near names if there are
/// none, and for a layer that is not there.
std::vector<SiteRef> find_sites(const std::string& pattern, const Config& config,
                                const Where& where = {});

/// What to capture and what to change in a pass. Patterns are globs over site names: `*` any
/// characters, `?` one character,
/// `{a,b}` alternatives, `{3..5}` a range of numbers: "blocks.*.hook_resid_post",
/// "blocks.{0..3}.attn.hook_{q,k}".
///
/// Edits at one site happen in the order in which they were added; a capture sees the site after
/// all of them. Patterns and narrowings are checked against a model when a pass is prepared: one
/// that matches nothing, or that names a layer, head, position or neuron that is not there, throws
/// Error (user).
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

  /// Keeps what the matching sites hold, stored as f32, f16 or bf16.
  Hooks& capture(std::string pattern, Where where = {}, DType store = DType::kF32);
  Hooks& edit(std::string pattern, Edit edit, Where where = {});
  /// Keeps the gradient of the target at the matching sites, narrowed and stored like a capture.
  /// For backward() alone.
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
