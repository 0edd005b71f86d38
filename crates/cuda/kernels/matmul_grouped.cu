// Products with weights that have zero points.

#include "matmul_integers.cuh"

INTEGER_KERNELS(int4_128, INT4_128)
INTEGER_KERNELS(int4_64, INT4_64)
INTEGER_KERNELS(int4_32, INT4_32)
INTEGER_KERNELS(int8_128, INT8_128)
INTEGER_KERNELS(int8_32, INT8_32)
