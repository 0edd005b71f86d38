//! Rotary position embedding (Su et al., 2021) in the GPT-NeoX arrangement, where
//! dimension `j` is rotated with dimension `j + rotary_dims / 2`.

use crate::compute::Compute;
use crate::shared::SharedMut;

/// Angles per position of the rotated pairs of dimensions.
#[derive(Clone, Debug)]
pub struct RopeTable {
    /// Radians per position, `theta^(-2j / rotary_dims)`.
    frequencies: Vec<f32>,
}

impl RopeTable {
    /// For the first `rotary_dims` dimensions (even) of a head.
    ///
    /// # Panics
    /// If `rotary_dims` is odd.
    pub fn new(rotary_dims: usize, theta: f64) -> RopeTable {
        assert!(
            rotary_dims.is_multiple_of(2),
            "rope rotates pairs of dimensions"
        );
        // Transformers computes in single precision, and at position 2,000 the
        // rounding of a frequency is visible; so each step is rounded as there.
        let frequency = |j: usize| {
            let exponent = (2 * j) as f32 / rotary_dims as f32;
            1.0 / theta.powf(f64::from(exponent)) as f32
        };
        RopeTable {
            frequencies: (0..rotary_dims / 2).map(frequency).collect(),
        }
    }

    /// Dimensions that are rotated.
    pub fn rotary_dims(&self) -> usize {
        2 * self.frequencies.len()
    }
}

/// Rotates the first dimensions of each head of `x`, `[t, heads, dim]`, by the
/// angles of positions `first_position` and following. The other dimensions
/// stay as they are.
///
/// # Panics
/// If `x` is not `[t, heads, dim]` or `dim` is less than the rotated dimensions.
pub fn rope(
    c: &Compute,
    table: &RopeTable,
    x: &mut [f32],
    heads: usize,
    dim: usize,
    first_position: usize,
) {
    let half = table.frequencies.len();
    assert!(2 * half <= dim, "rope: {} of {dim} dimensions", 2 * half);
    let width = heads * dim;
    let t = crate::matmul::row_count("rope", x.len(), width);
    let x = SharedMut::new(x);
    c.split(t, half * (heads + 20), |range| {
        let mut angles = vec![(0.0f32, 0.0f32); half];
        for i in range {
            let position = (first_position + i) as f32;
            for (angle, frequency) in angles.iter_mut().zip(&table.frequencies) {
                // The product is rounded to single precision as in Transformers,
                // its sine and cosine are exact.
                let (sin, cos) = f64::from(position * frequency).sin_cos();
                *angle = (cos as f32, sin as f32);
            }
            // SAFETY: row `i` belongs to this range alone.
            let row = unsafe { x.slice(i * width..(i + 1) * width) };
            for head in row.chunks_exact_mut(dim) {
                let (first, second) = head[..2 * half].split_at_mut(half);
                for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(&angles) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        }
    });
}
