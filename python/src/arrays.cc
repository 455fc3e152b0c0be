// SPDX-License-Identifier: MIT
#include "python/src/arrays.h"

#include <array>

#include "base/check.h"
#include "vitrine/gpu.h"

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

/// What an array keeps alive.
struct Keeper {
  std::shared_ptr<const void> owner;
  std::optional<int> gpu;

  /// Work of other streams may still read the memory, which the next pass would write to. Where it
  /// cannot be waited for, the memory is never given back.
  static void drop(void* pointer) noexcept {
    std::unique_ptr<Keeper> keeper(static_cast<Keeper*>(pointer));
    if (keeper->gpu && !wait_for_gpu(*keeper->gpu)) static_cast<void>(keeper.release());
  }
};

template <typename Shared>
Shared shared(TensorView view, Keeper kept) {
  const std::optional<int> gpu = kept.gpu;
  const nb::capsule keeper(new Keeper(std::move(kept)), &Keeper::drop);
  std::array<size_t, Shape::kMaxRank> sizes{};
  for (int axis = 0; axis < view.shape().rank(); ++axis)
    sizes[static_cast<size_t>(axis)] = static_cast<size_t>(view.shape()[axis]);
  static char none = 0;  // an array without elements has an address, too
  return Shared(view.data() ? const_cast<void*>(view.data()) : &none,
                static_cast<size_t>(view.shape().rank()), sizes.data(), keeper, nullptr,
                type_of(view.dtype()), gpu ? nb::device::cuda::value : nb::device::cpu::value,
                gpu.value_or(0));
}

}  // namespace

Array array_of(TensorView view, std::shared_ptr<const void> owner) {
  using ReadOnly = nb::ndarray<nb::numpy, nb::ro>;
  if (view.residence() == Residence::kDevice)
    user_error(
        "the values are on the GPU, where NumPy has no arrays: use dlpack(site), as in "
        "torch.from_dlpack(run.dlpack(site)), or run without on_device=True");
  return nb::cast(shared<ReadOnly>(view, {std::move(owner), {}}), nb::rv_policy::reference);
}

nb::ndarray<nb::array_api> shared_array_of(TensorView view, std::shared_ptr<const void> owner,
                                           std::optional<int> gpu) {
  if (view.residence() == Residence::kHost) gpu.reset();
  return shared<nb::ndarray<nb::array_api>>(view, {std::move(owner), gpu});
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
  if (view.dtype() == DType::kBF16 && view.residence() == Residence::kHost)
    user_error(
        "{} is captured as bf16, which NumPy does not have: capture it with store=\"f32\" or "
        "\"f16\", or use torch.from_dlpack(captures.dlpack(\"{}\"))",
        site, site);
  return array_of(view, captures_);
}

nb::ndarray<nb::array_api> SequenceCaptures::dlpack(const std::string& site) const {
  return shared_array_of(captures_->view(site, sequence_), captures_, gpu_);
}

}  // namespace vitrine::python
