// SPDX-License-Identifier: MIT
#include "tokenizer/window_masks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tokenizer/window_masks.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstring>
#include <type_traits>

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Bytes = hn::CappedTag<uint8_t, kWordWindow>;

// An integer of as many bits as a vector has lanes: stored and read back in one size, a mask does
// not go through memory.
constexpr size_t kLanes = hn::MaxLanes(Bytes());
using Bits =
    std::conditional_t<kLanes <= 8, uint8_t,
                       std::conditional_t<kLanes == 16, uint16_t,
                                          std::conditional_t<kLanes == 32, uint32_t, uint64_t>>>;

HWY_INLINE auto in_range(hn::Vec<Bytes> v, uint8_t first, uint8_t last) {
  const Bytes d;
  const auto beyond_first =
      hn::Sub(v, hn::Set(d, first));  // what is less than `first` wraps around
  return hn::Eq(hn::Min(beyond_first, hn::Set(d, static_cast<uint8_t>(last - first))),
                beyond_first);
}

WindowMasks masks_of(const uint8_t* window) {
  const Bytes d;
  const size_t lanes = hn::Lanes(d);
  WindowMasks masks;
  for (size_t at = 0; at < kWordWindow; at += lanes) {
    const auto v = hn::LoadU(d, window + at);
    const auto add = [&](const auto& mask, uint64_t& to) HWY_ATTR {
      uint8_t bytes[8] = {};
      hn::StoreMaskBits(d, mask, bytes);
      Bits bits;
      std::memcpy(&bits, bytes, sizeof bits);
      to |= uint64_t{bits} << at;
    };
    const auto space = hn::Eq(v, hn::Set(d, uint8_t{' '}));
    add(in_range(hn::Or(v, hn::Set(d, uint8_t{0x20})), 'a', 'z'), masks.letter);
    add(in_range(v, '0', '9'), masks.number);
    add(hn::Or(space, in_range(v, '\t', '\r')), masks.white);
    add(space, masks.space);
    add(hn::Eq(v, hn::Set(d, uint8_t{'\''})), masks.apostrophe);
    add(hn::TestBit(v, hn::Set(d, uint8_t{0x80})), masks.beyond_ascii);
  }
  return masks;
}

}  // namespace vitrine::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine::internal {

HWY_EXPORT(masks_of);

WindowMasks window_masks(const char* window) {
  return HWY_DYNAMIC_DISPATCH(masks_of)(reinterpret_cast<const uint8_t*>(window));
}

}  // namespace vitrine::internal
#endif
