// Products with weights that index tables.

#include "matmul_integers.cuh"

INTEGER_KERNELS(iq4_nl, IQ4_NL)
INTEGER_KERNELS(iq4_xs, IQ4_XS)
INTEGER_KERNELS(mxfp4, MXFP4)
INTEGER_KERNELS(nf4, NF4)
INTEGER_KERNELS(fp4, FP4)
