#pragma once

#include "kernels/backend.h"

namespace vitrine::cpu {

float activate_one(float x, Activation activation);

}  // namespace vitrine::cpu
