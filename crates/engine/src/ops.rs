//! Own operations on candle tensors, computed by the kernels. Activations are
//! f32 tensors `[tokens, width]` on the CPU.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Storage, Tensor};
use moestro_kernels::{Compute, Matrix};

use crate::error::Result;

/// `x [tokens, cols]` times the transposed weight: `[tokens, rows]`.
pub fn linear(compute: &Compute, weight: Matrix, x: &Tensor) -> Result<Tensor> {
    Ok(x.apply_op1_no_bwd(&Linear { compute, weight })?)
}

/// `x / sqrt(mean(x^2) + eps) * weight`, row by row.
pub fn rms_norm(compute: &Compute, x: &Tensor, weight: &[f32], eps: f32) -> Result<Tensor> {
    Ok(x.apply_op1_no_bwd(&RmsNorm {
        compute,
        weight,
        eps,
    })?)
}

/// Runs `f` on the values of a contiguous f32 tensor without copying them.
pub fn values<R>(x: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(cpu) => f(slice(cpu, layout)?),
        _ => Err(candle_core::Error::Msg("activations must be on the CPU".into()).into()),
    }
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    let (start, end) = layout
        .contiguous_offsets()
        .ok_or_else(|| candle_core::Error::Msg("activations must be contiguous".into()))?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}

struct Linear<'a> {
    compute: &'a Compute,
    weight: Matrix<'a>,
}

impl CustomOp1 for Linear<'_> {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let tokens = x.len() / self.weight.cols();
        let mut out = vec![0.0; tokens * self.weight.rows()];
        moestro_kernels::matmul(self.compute, self.weight, x, &mut out);
        Ok((
            CpuStorage::F32(out),
            Shape::from((tokens, self.weight.rows())),
        ))
    }
}

struct RmsNorm<'a> {
    compute: &'a Compute,
    weight: &'a [f32],
    eps: f32,
}

impl CustomOp1 for RmsNorm<'_> {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let mut out = vec![0.0; x.len()];
        moestro_kernels::rms_norm(self.compute, x, self.weight, self.eps, &mut out);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}
