#include "base/check.h"
#include "engine/checkpoint_files.h"

namespace vitrine {

CheckpointFiles read_torch_file(const std::filesystem::path& path) {
  user_error("{}: pytorch_model.bin is not read yet; use model.safetensors", path.string());
}

}  // namespace vitrine
