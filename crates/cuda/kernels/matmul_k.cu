// Products with weights in blocks of 256 columns.

#include "matmul_integers.cuh"

INTEGER_KERNELS(q2_k, Q2_K)
INTEGER_KERNELS(q3_k, Q3_K)
INTEGER_KERNELS(q4_k, Q4_K)
INTEGER_KERNELS(q5_k, Q5_K)
INTEGER_KERNELS(q6_k, Q6_K)
