// Products with weights in blocks of 32 columns.

#include "matmul_integers.cuh"

INTEGER_KERNELS(q4_0, Q4_0)
INTEGER_KERNELS(q4_1, Q4_1)
INTEGER_KERNELS(q5_0, Q5_0)
INTEGER_KERNELS(q5_1, Q5_1)
INTEGER_KERNELS(q8_0, Q8_0)
