// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "tests/cuda_on_host/cuda_on_host.h"

// The lines in which an emulated GPU lists what it is told to do: words separated by tabs.
//
//   begin NAME BYTES FLOPS     an operation of the backend begins, with the work that it has
//   end                        ... and ends
//   launch ADDRESS GRID_X GRID_Y GRID_Z BLOCK SHARED EARLY CLUSTER
//   copy | clear | upload | download BYTES
//   record | recorded | replay

namespace vitrine::internal::cuda_on_host {

std::string launch_line(const Shape& shape);
std::string range_line(const char* name, double bytes, double flops);
std::string bytes_line(const char* what, size_t bytes);

}  // namespace vitrine::internal::cuda_on_host
