// A pretend accelerator: host memory under another device's name. Every operator runs on the CPU, but
// what a GPU refuses is refused: tensors of both devices in one operator, a generator of the CPU,
// float64 (as on Apple's MPS), and copies that do not block from memory that is not pinned.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/EmptyTensor.h>
#include <ATen/InferSize.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <map>
#include <mutex>

using at::IntArrayRef;
using at::Tensor;
using std::optional;

namespace {

constexpr auto TYPE = c10::DeviceType::PrivateUse1;
const c10::Device DEVICE(TYPE, 0);
const c10::Device HOST(c10::kCPU);

bool is_far(const Tensor& t) { return t.defined() && t.device().type() == TYPE; }

// Memory of the device, and memory of the host that is pinned for it.

struct Allocator final : c10::DeviceAllocator {
  c10::DataPtr allocate(size_t n) override {
    void* memory = n ? std::malloc(n) : nullptr;
    return {memory, memory, &std::free, DEVICE};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, size_t n) const override { std::memcpy(to, from, n); }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) override { return {}; }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex) override {}
  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex) override { return {1UL << 32, 1UL << 33}; }
} allocator;
REGISTER_ALLOCATOR(TYPE, &allocator);

std::mutex lock;
std::map<const char*, size_t> pinned;

void unpin(void* memory) {
  std::lock_guard<std::mutex> guard(lock);
  pinned.erase(static_cast<const char*>(memory));
  std::free(memory);
}

bool is_pinned(const void* memory) {
  std::lock_guard<std::mutex> guard(lock);
  auto at = pinned.upper_bound(static_cast<const char*>(memory));
  return at != pinned.begin() && static_cast<const char*>(memory) < (--at)->first + at->second;
}

struct PinnedAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t n) override {
    void* memory = std::malloc(std::max<size_t>(n, 1));
    std::lock_guard<std::mutex> guard(lock);
    pinned[static_cast<const char*>(memory)] = n;
    return {memory, memory, &unpin, HOST};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &unpin; }
  void copy_data(void* to, const void* from, size_t n) const override { std::memcpy(to, from, n); }
} pinned_allocator;

// Random numbers: a generator of the CPU that nobody else draws from.

struct Generator final : c10::GeneratorImpl {
  explicit Generator(at::Generator inner)
      : c10::GeneratorImpl(DEVICE, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)), inner(std::move(inner)) {}
  void set_current_seed(uint64_t seed) override { inner.set_current_seed(seed); }
  void set_offset(uint64_t) override { TORCH_CHECK(false, "no offsets"); }
  uint64_t get_offset() const override { return 0; }
  uint64_t current_seed() const override { return inner.current_seed(); }
  uint64_t seed() override { return inner.seed(); }
  void set_state(const c10::TensorImpl& state) override { inner.unsafeGetGeneratorImpl()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return inner.unsafeGetGeneratorImpl()->get_state();
  }
  Generator* clone_impl() const override { return new Generator(inner.clone()); }
  at::Generator inner;
};

at::Generator new_generator() {
  return at::make_generator<Generator>(at::detail::createCPUGenerator());
}

const at::Generator& default_generator() {
  static at::Generator ours = new_generator();
  return ours;
}

at::Generator inner(const optional<at::Generator>& given) {
  const auto& ours = given && given->defined() ? *given : default_generator();
  TORCH_CHECK(
      ours.device().type() == TYPE, "Expected a 'pretend' device type for generator but found '", ours.device(), "'");
  return static_cast<Generator*>(ours.unsafeGetGeneratorImpl())->inner;
}

// What torch asks of every accelerator.

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return TYPE; }
  c10::Device exchangeDevice(c10::Device) const override { return DEVICE; }
  c10::Device getDevice() const override { return DEVICE; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device d) const override { return c10::Stream(c10::Stream::DEFAULT, d); }
  c10::Stream getNewStream(c10::Device d, int) const override { return getStream(d); }
  c10::Stream exchangeStream(c10::Stream s) const override { return s; }
  void synchronizeDevice(const c10::DeviceIndex) const override {}
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isAvailable() const override { return true; }
  bool isBuilt() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  at::Device getDeviceFromPtr(void*) const override { return DEVICE; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override { return default_generator(); }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return new_generator(); }
  bool isPinnedPtr(const void* memory) const override { return is_pinned(memory); }
  at::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator; }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t n) const override {
    auto memory = allocator.allocate(n);
    std::memcpy(memory.get(), storage.data(), std::min(n, storage.nbytes()));
    storage.unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(memory));
    storage.unsafeGetStorageImpl()->set_nbytes(n);
  }
} hooks;

// From one side to the other: the same memory, seen as a tensor of the other device.

Tensor host(const Tensor& t) {
  if (!is_far(t)) return t;
  return at::from_blob(
      t.data_ptr(), t.sizes(), t.strides(), [keep = t](void*) {}, t.options().device(HOST).requires_grad(false));
}

optional<Tensor> host(const optional<Tensor>& t) {
  return t && t->defined() ? optional<Tensor>(host(*t)) : std::nullopt;
}

c10::ScalarType checked(c10::ScalarType type, IntArrayRef sizes) {
  const bool one = c10::multiply_integers(sizes) <= 1;  // torch's own GradScaler doubles a number
  TORCH_CHECK_TYPE(
      one || (type != at::kDouble && type != at::kComplexDouble),
      "Cannot convert to float64: the pretend accelerator has none, as Apple's MPS. Use float32");
  return type;
}

Tensor there(const Tensor& t) {
  if (!t.defined() || is_far(t)) return t;
  checked(t.scalar_type(), t.sizes());
  auto keep = std::make_unique<Tensor>(t);
  void* memory = t.storage().mutable_data();
  c10::DataPtr owned(memory, keep.release(), [](void* kept) { delete static_cast<Tensor*>(kept); }, DEVICE);
  c10::Storage storage(c10::Storage::use_byte_size_t(), t.storage().nbytes(), std::move(owned), &allocator, true);
  auto ours = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), t.dtype());
  ours.unsafeGetTensorImpl()->set_storage_offset(t.storage_offset());
  ours.unsafeGetTensorImpl()->set_sizes_and_strides(t.sizes(), t.strides());
  return ours;
}

// Operators that make, shape and copy tensors.

Tensor empty(
    IntArrayRef sizes, optional<at::ScalarType> type, optional<at::Layout>, optional<at::Device>, optional<bool>,
    optional<at::MemoryFormat> format) {
  c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);
  return at::detail::empty_generic(sizes, &allocator, keys, checked(c10::dtype_or_default(type), sizes), format);
}

Tensor empty_strided(
    IntArrayRef sizes, IntArrayRef strides, optional<at::ScalarType> type, optional<at::Layout>, optional<at::Device>,
    optional<bool>) {
  c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);
  return at::detail::empty_strided_generic(sizes, strides, &allocator, keys, checked(c10::dtype_or_default(type), sizes));
}

Tensor strided(const Tensor& t, IntArrayRef sizes, IntArrayRef strides, optional<int64_t> offset) {
  return at::native::as_strided_tensorimpl(t, sizes, strides, offset);
}

Tensor reshape_alias(const Tensor& t, IntArrayRef sizes, IntArrayRef strides) {
  return strided(t, sizes, strides, t.storage_offset());
}

Tensor view(const Tensor& t, IntArrayRef given) {
  auto sizes = at::infer_size_dv(given, t.numel());
  auto strides = at::detail::computeStride(t.sizes(), t.strides(), sizes);
  TORCH_CHECK(strides, "view size is not compatible with input tensor's size and stride. Use .reshape(...) instead.");
  return strided(t, sizes, *strides, t.storage_offset());
}

const Tensor& resize_(const Tensor& t, IntArrayRef sizes, optional<at::MemoryFormat> format) {
  auto* impl = t.unsafeGetTensorImpl();
  size_t needed = (c10::multiply_integers(sizes) + t.storage_offset()) * t.itemsize();
  if (needed > t.storage().nbytes()) hooks.resizePrivateUse1Bytes(t.storage(), needed);
  impl->set_sizes_contiguous(sizes);
  if (format) impl->empty_tensor_restride(*format);
  return t;
}

Tensor& set_part(Tensor& t, at::Storage storage, int64_t offset, IntArrayRef sizes, IntArrayRef strides) {
  auto* impl = t.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(std::move(storage));
  impl->set_storage_offset(offset);
  if (strides.empty()) impl->set_sizes_contiguous(sizes);
  else impl->set_sizes_and_strides(sizes, strides);
  return t;
}

Tensor& set_whole(Tensor& t, at::Storage storage) {
  int64_t n = storage.nbytes() / t.itemsize();
  return set_part(t, std::move(storage), 0, {n}, {});
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool non_blocking) {
  const Tensor& on_host = is_far(from) ? to : from;
  TORCH_CHECK(
      !non_blocking || is_far(on_host) || is_pinned(on_host.data_ptr()) || !on_host.numel(),
      "non_blocking=True with host memory that is not pinned: by the time of the copy it may hold something else "
      "(wrong numbers on MPS, https://github.com/pytorch/pytorch/issues/189690). Pin it, or let the copy block");
  host(to).copy_(host(from));
  return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  if (to.sizes() != from.sizes()) resize_(to, from.sizes(), std::nullopt);
  return copy_from(from, to, false);
}

at::Scalar item(const Tensor& t) { return host(t).item(); }

// Convolutions have no kernel that a fallback could call. They run without oneDNN, which writes beyond its memory
// for some channels-last ones (uxlfoundation/oneDNN#6035): no accelerator does.

struct NoOneDNN {
  bool before = at::globalContext().userEnabledMkldnn();
  NoOneDNN() { at::globalContext().setUserEnabledMkldnn(false); }
  ~NoOneDNN() { at::globalContext().setUserEnabledMkldnn(before); }
};

void check_same(const Tensor& x, const Tensor& other, const char* who) {
  TORCH_CHECK(
      !other.defined() || x.device() == other.device(), "Expected all tensors to be on the same device, but ", who,
      " got some on ", x.device(), " and some on ", other.device());
}

Tensor convolution(
    const Tensor& x, const Tensor& weight, const optional<Tensor>& bias, c10::SymIntArrayRef stride,
    c10::SymIntArrayRef padding, c10::SymIntArrayRef dilation, bool transposed, c10::SymIntArrayRef output_padding,
    c10::SymInt groups) {
  at::AutoDispatchBelowADInplaceOrView guard;
  NoOneDNN plain;
  check_same(x, weight, "convolution");
  check_same(x, bias.value_or(Tensor()), "convolution");
  return there(at::convolution_symint(
      host(x), host(weight), host(bias), stride, padding, dilation, transposed, output_padding, groups));
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(
    const Tensor& gradient, const Tensor& x, const Tensor& weight, c10::SymIntArrayRef stride,
    c10::SymIntArrayRef padding, c10::SymIntArrayRef dilation, bool transposed, c10::SymIntArrayRef output_padding,
    c10::SymInt groups, std::array<bool, 3> mask) {
  at::AutoDispatchBelowADInplaceOrView guard;
  NoOneDNN plain;
  c10::SymInt bias[1] = {weight.sym_size(0)};
  auto [dx, dweight, dbias] = at::convolution_backward_symint(
      host(gradient), host(x), host(weight), c10::SymIntArrayRef(bias, 1), stride, padding, dilation, transposed,
      output_padding, groups, mask);
  return {there(dx), there(dweight), there(dbias)};
}

// Every other operator: that of the CPU, on the same memory.

bool takes_indices_of_the_host(const std::string& name) {
  return name == "aten::index" || name == "aten::index_put_" || name == "aten::index_put" ||
      name == "aten::_index_put_impl_";
}

void check_devices(const c10::FunctionSchema& schema, c10::ArrayRef<c10::IValue> arguments) {
  bool far = false, near = false;
  auto look = [&](const Tensor& t) {
    far |= is_far(t);
    near |= t.defined() && t.device().is_cpu() && t.dim() > 0;  // numbers may come from anywhere
  };
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto& value = arguments[i];
    if (schema.arguments()[i].name() == "indices" && takes_indices_of_the_host(schema.name())) continue;
    if (value.isTensor()) look(value.toTensor());
    else if (value.isTensorList()) for (const Tensor& t : value.toTensorVector()) look(t);
    else if (value.isList()) for (const c10::IValue& v : value.toListRef()) if (v.isTensor()) look(v.toTensor());
  }
  TORCH_CHECK(
      !(far && near), "Expected all tensors to be on the same device, but ", schema.name(),
      " got some on the CPU and some on the pretend accelerator");
}

c10::IValue to_host(const c10::IValue& value, std::vector<std::pair<Tensor, Tensor>>& pairs) {
  auto one = [&](const Tensor& t) {
    if (is_far(t)) pairs.emplace_back(host(t), t);
    return is_far(t) ? pairs.back().first : t;
  };
  if (value.isTensor()) return one(value.toTensor());
  if (value.isTensorList()) {
    c10::List<Tensor> list;
    for (const Tensor& t : value.toTensorVector()) list.push_back(one(t));
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<optional<Tensor>> list;
    for (const optional<Tensor>& t : value.toOptionalTensorVector())
      list.push_back(t ? optional<Tensor>(one(*t)) : std::nullopt);
    return list;
  }
  return value;
}

c10::IValue from_host(const c10::IValue& value, const std::vector<std::pair<Tensor, Tensor>>& pairs) {
  auto one = [&](const Tensor& t) {
    for (const auto& [near, far] : pairs) if (near.is_same(t)) return far;
    return there(t);
  };
  if (value.isTensor()) return one(value.toTensor());
  if (value.isTensorList()) {
    c10::List<Tensor> list;
    for (const Tensor& t : value.toTensorVector()) list.push_back(one(t));
    return list;
  }
  return value;
}

bool has_out(const c10::FunctionSchema& schema) {
  for (const auto& argument : schema.arguments()) if (argument.is_out()) return true;
  return false;
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const size_t begin = stack->size() - schema.arguments().size();
  auto arguments = c10::ArrayRef<c10::IValue>(*stack).slice(begin);
  check_devices(schema, arguments);
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto type = schema.arguments()[i].type()->str();
    auto& value = (*stack)[begin + i];
    if (type.find("Generator") != std::string::npos)
      value = inner(value.isNone() ? optional<at::Generator>() : value.toGenerator());
    if (type.find("Device") != std::string::npos && !value.isNone() && value.toDevice().type() == TYPE) value = HOST;
  }
  if (has_out(schema)) return at::native::cpu_fallback(op, stack);  // it can resize them
  std::vector<std::pair<Tensor, Tensor>> pairs;
  for (size_t i = begin; i < stack->size(); ++i) (*stack)[i] = to_host((*stack)[i], pairs);
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  for (size_t i = begin; i < stack->size(); ++i) (*stack)[i] = from_host((*stack)[i], pairs);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("as_strided", strided);
  m.impl("_reshape_alias", reshape_alias);
  m.impl("view", view);
  m.impl("resize_", resize_);
  m.impl("set_.source_Storage", set_whole);
  m.impl("set_.source_Storage_storage_offset", set_part);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", item);
  m.impl("convolution_overrideable", convolution);
  m.impl("convolution_backward_overrideable", convolution_backward);
}

// Autocast: which operators compute in 16 bits, which in 32.

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }

using namespace at::autocast;

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
#define LOW(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, lower_precision_fp)
  AT_FORALL_LOWER_PRECISION_FP(LOW)
#define FULL(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32)
  AT_FORALL_FP32(FULL)
#define SET(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32_set_opt_dtype)
  AT_FORALL_FP32_SET_OPT_DTYPE(SET)
#define WIDEST(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, promote)
  AT_FORALL_PROMOTE(WIDEST)
  m.impl("cat", TORCH_FN((&WrapFunction<
                          CastPolicy::promote, c10::DeviceType::PrivateUse1, decltype(at::cat), Tensor(const at::ITensorListRef&, int64_t), &at::cat>::type::call)));
}

// For the Python module.

TORCH_LIBRARY(pretend, m) {
  m.def("start() -> ()", [] { at::RegisterPrivateUse1HooksInterface(&hooks); });
  m.def("seed(int seed) -> ()", [](int64_t seed) { inner(std::nullopt).set_current_seed(seed); });
  m.def("get_rng_state() -> Tensor", [] { return inner(std::nullopt).get_state(); });
  m.def("set_rng_state(Tensor state) -> ()", [](const Tensor& state) { inner(std::nullopt).set_state(state); });
}

}  // namespace
