// SPDX-License-Identifier: MIT
// What `vitrine doctor` calls of NVIDIA's driver, for a machine that these tests make up: two GPUs,
// one of them too old.

#include <cstddef>
#include <cstdio>
#include <cstdlib>

extern "C" {

int cuDriverGetVersion(int* version) { return *version = 12080, 0; }
int cuInit(unsigned) {
  const char* error = std::getenv("FAKE_CUINIT");
  return error ? std::atoi(error) : 0;
}
int cuGetErrorName(int error, const char** name) {
  if (error != 100) return 1;
  return *name = "CUDA_ERROR_NO_DEVICE", 0;
}
int cuDeviceGetCount(int* count) {
  const char* wanted = std::getenv("FAKE_GPUS");
  return *count = wanted ? std::atoi(wanted) : 2, 0;
}
int cuDeviceGet(int* device, int index) { return *device = 70 + index, 0; }
int cuDeviceGetName(char* name, int size, int device) {
  return std::snprintf(name, static_cast<size_t>(size), device == 70 ? "Fake H100" : "Fake T4"), 0;
}
int cuDeviceGetPCIBusId(char* bus, int size, int device) {
  return std::snprintf(bus, static_cast<size_t>(size), "0000:%d:00.0", device), 0;
}
int cuDeviceTotalMem_v2(size_t* bytes, int device) {
  return *bytes = device == 70 ? 80'000'000'000 : 16'000'000'000, 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int device) {
  if (attribute != 75 && attribute != 76) return 1;
  if (attribute == 75)
    *value = device == 70 ? 9 : 7;
  else
    *value = device == 70 ? 0 : 5;
  return 0;
}
}
