// SPDX-License-Identifier: MIT
#include "python/src/arrays.h"

#include <array>

#include "base/check.h"

namespace vitrine::python {
using namespace internal;
namespace {

using Code = nb::dlpack::dtype_code;

nb::dlpack::dtype type_of(DType dtype) {
  const auto bits = static_cast<uint8_t>(8 * dtype_size(dtype));
  switch (dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kF64:
      return {static_cast<uint8_t>(Code::Float), bits, 1};
    case DType::kBF16:
      return {static_cast<uint8_t>(Code::Bfloat), bits, 1};
    case DType::kU8:
      return {static_cast<uint8_t>(Code::UInt), bits, 1};
    case DType::kBool:
      return {static_cast<uint8_t>(Code::Bool), bits, 1};
    default:
      return {static_cast<uint8_t>(Code::Int), bits, 1};
  }
}

template <typename T>
DType dtype_of_values();
template <>
DType dtype_of_values<float>() {
  return DType::kF32;
}
template <>
DType dtype_of_values<double>() {
  return DType::kF64;
}
template <>
DType dtype_of_values<int32_t>() {
  return DType::kI32;
}
template <>
DType dtype_of_values<int64_t>() {
  return DType::kI64;
}

template <typename Shared>
Shared shared(TensorView view, std::shared_ptr<const void> owner) {
  using Owner = std::shared_ptr<const void>;
  const nb::capsule keeper(new Owner(std::move(owner)),
                           [](void* p) noexcept { delete static_cast<Owner*>(p); });
  std::array<size_t, Shape::kMaxRank> sizes{};
  for (int axis = 0; axis < view.shape().rank(); ++axis)
    sizes[static_cast<size_t>(axis)] = static_cast<size_t>(view.shape()[axis]);
  static char none = 0;  // an array without elements has an address, too
  return Shared(view.data() ? const_cast<void*>(view.data()) : &none,
                static_cast<size_t>(view.shape().rank()), sizes.data(), keeper, nullptr,
                type_of(view.dtype()));
}

}  // namespace

Array array_of(TensorView view, std::shared_ptr<const void> owner) {
  using ReadOnly = nb::ndarray<nb::numpy, nb::ro>;
  return nb::cast(shared<ReadOnly>(view, std::move(owner)), nb::rv_policy::reference);
}

nb::ndarray<nb::array_api> shared_array_of(TensorView view, std::shared_ptr<const void> owner) {
  return shared<nb::ndarray<nb::array_api>>(view, std::move(owner));
}

Array array_of(const Tensor& tensor) {
  const auto owner = std::make_shared<Tensor>(tensor);
  return array_of(owner->view(), owner);
}

template <typename T>
Array array_of(std::vector<T> values, std::initializer_list<int64_t> shape) {
  const auto owner = std::make_shared<std::vector<T>>(std::move(values));
  return array_of(TensorView(owner->data(), dtype_of_values<T>(), Shape(shape)), owner);
}
template Array array_of(std::vector<float>, std::initializer_list<int64_t>);
template Array array_of(std::vector<double>, std::initializer_list<int64_t>);
template Array array_of(std::vector<int32_t>, std::initializer_list<int64_t>);
template Array array_of(std::vector<int64_t>, std::initializer_list<int64_t>);

Array SequenceCaptures::operator[](const std::string& site) const {
  const TensorView view = captures_->view(site, sequence_);
  if (view.dtype() == DType::kBF16)
    user_error(
        "{} is captured as bf16, which NumPy does not have: capture it with store=\"f32\" or "
        "\"f16\", or use torch.from_dlpack(captures.dlpack(\"{}\"))",
        site, site);
  return array_of(view, captures_);
}

}  // namespace vitrine::python
