// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace vitrine::internal {

/// The network between a position of the stream after some blocks and a position before them,
/// `length` - 1 tokens earlier: the nodes (level, position) of `length` positions, with an edge
/// from each to the nodes of the level below at the same or earlier positions.
class FlowNetwork {
 public:
  /// The capacity, 0..1, of the edge through `block` from position `from` down to position `to`, to
  /// <= from < length.
  using Capacity = std::function<double(size_t block, size_t from, size_t to)>;

  FlowNetwork(size_t blocks, size_t length);
  ~FlowNetwork();
  FlowNetwork(const FlowNetwork&) = delete;
  FlowNetwork& operator=(const FlowNetwork&) = delete;

  size_t edges() const;
  /// From the last position after the last block to the first position before the first one.
  /// Capacities out of a node are to sum to 1 at most.
  double max_flow(const Capacity& capacity);

 private:
  struct Graph;
  std::unique_ptr<Graph> graph_;
};

}  // namespace vitrine::internal
