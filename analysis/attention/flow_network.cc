// SPDX-License-Identifier: MIT
#include "analysis/attention/flow_network.h"

#include <boost/graph/compressed_sparse_row_graph.hpp>
#include <boost/graph/push_relabel_max_flow.hpp>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace vitrine::internal {
namespace {

using Csr = boost::compressed_sparse_row_graph<boost::directedS>;
using Edge = boost::graph_traits<Csr>::edge_descriptor;

/// Flow is counted in whole numbers of this, so that adding and taking away is exact and the
/// algorithm is sure to end.
constexpr double kUnit = 0x1.0p-52;

using Ends = std::vector<std::pair<size_t, size_t>>;

/// Not inlined: gcc would then warn of array bounds inside Boost.
[[gnu::noinline]] Csr make_graph(const Ends& ends, size_t nodes) {
  return Csr(boost::edges_are_sorted, ends.begin(), ends.end(), nodes);
}

}  // namespace

/// A node's edges lie side by side: first those down, by position, then the reverses of those that
/// come from above.
struct FlowNetwork::Graph {
  size_t blocks, length;
  std::vector<size_t> first;  ///< of each node, its first edge
  Csr csr;
  std::vector<Edge> reverse;
  std::vector<int64_t> capacity, residual;

  Graph(size_t blocks_in, size_t length_in) : blocks(blocks_in), length(length_in) {
    Ends ends;
    for (size_t level = 0; level <= blocks; ++level) {
      for (size_t at = 0; at < length; ++at) {
        first.push_back(ends.size());
        for (size_t to = 0; to < downward(level, at); ++to)
          ends.emplace_back(node(level, at), node(level - 1, to));
        for (size_t from = at; level < blocks && from < length; ++from)
          ends.emplace_back(node(level, at), node(level + 1, from));
      }
    }
    csr = make_graph(ends, first.size());
    reverse.resize(ends.size());
    capacity.resize(ends.size());
    residual.resize(ends.size());
    for (size_t level = 1; level <= blocks; ++level) {
      for (size_t from = 0; from < length; ++from) {
        for (size_t to = 0; to <= from; ++to) {
          const size_t down = down_edge(level, from, to),
                       up = first[node(level - 1, to)] + downward(level - 1, to) + from - to;
          reverse[down] = Edge(node(level - 1, to), up);
          reverse[up] = Edge(node(level, from), down);
        }
      }
    }
  }

  size_t node(size_t level, size_t at) const { return level * length + at; }
  size_t downward(size_t level, size_t at) const { return level > 0 ? at + 1 : 0; }
  size_t down_edge(size_t level, size_t from, size_t to) const {
    return first[node(level, from)] + to;
  }
};

FlowNetwork::FlowNetwork(size_t blocks, size_t length)
    : graph_(std::make_unique<Graph>(blocks, length)) {}
FlowNetwork::~FlowNetwork() = default;

size_t FlowNetwork::edges() const { return graph_->reverse.size() / 2; }

double FlowNetwork::max_flow(const Capacity& capacity) {
  Graph& g = *graph_;
  for (size_t block = 0; block < g.blocks; ++block) {
    for (size_t from = 0; from < g.length; ++from) {
      for (size_t to = 0; to <= from; ++to) {
        g.capacity[g.down_edge(block + 1, from, to)] =
            std::llround(capacity(block, from, to) / kUnit);
      }
    }
  }
  const auto index = get(boost::edge_index, g.csr);
  const auto by_edge = [&](auto& values) {
    return boost::make_iterator_property_map(values.begin(), index);
  };
  const int64_t flow = boost::push_relabel_max_flow(
      g.csr, g.node(g.blocks, g.length - 1), g.node(0, 0), by_edge(g.capacity), by_edge(g.residual),
      by_edge(g.reverse), get(boost::vertex_index, g.csr));
  return static_cast<double>(flow) * kUnit;
}

}  // namespace vitrine::internal
