// See cuda_emulated.h.

#pragma once

#include "cuda_emulated.h"
