// SPDX-License-Identifier: MIT
// What `vitrine doctor` calls of NVIDIA's management library, for the machine of fake_cuda.cc.

#include <cstdio>
#include <cstring>

namespace {
int devices[2];  // their addresses are the handles
}

extern "C" {

struct FakeMemory {
  unsigned long long total, free, used;
};

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
int nvmlSystemGetDriverVersion(char* version, unsigned size) {
  return std::snprintf(version, size, "570.86.10"), 0;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char* bus, void** device) {
  for (int i = 0; i < 2; ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "0000:%d:00.0", 70 + i);
    if (std::strcmp(bus, name) == 0) return *device = &devices[i], 0;
  }
  return 2;
}
int nvmlDeviceGetMemoryInfo(void* device, FakeMemory* memory) {
  *memory = device == &devices[0] ? FakeMemory{80'000'000'000, 50'000'000'000, 30'000'000'000}
                                  : FakeMemory{16'000'000'000, 16'000'000'000, 0};
  return 0;
}
int nvmlDeviceGetPersistenceMode(void* device, unsigned* mode) {
  return *mode = device == &devices[1], 0;
}
int nvmlDeviceGetMigMode(void* device, unsigned* mode, unsigned* pending) {
  if (device == &devices[1]) return 3;  // not supported
  return *mode = *pending = 1, 0;
}
}
