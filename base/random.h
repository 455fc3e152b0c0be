// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace vitrine::internal {

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64 bits whose outputs look
/// random even for consecutive inputs. Random numbers here are functions of what they are for (a
/// seed, an index), never of call order.
inline uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// A double in [0, 1) from the upper 53 bits.
inline double unit_interval(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

/// Of a standard normal distribution, by the method of Box & Muller (1958): a function of the key
/// and the index alone.
inline double standard_normal(uint64_t key, uint64_t index) {
  const double u = 1.0 - unit_interval(mix64(key + 2 * index)),
               v = unit_interval(mix64(key + 2 * index + 1));
  return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
}

}  // namespace vitrine::internal
