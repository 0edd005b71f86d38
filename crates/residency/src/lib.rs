//! Which experts stay in fast memory, and what that buys. Pure data and
//! arithmetic: no model, no file, no clock and no thread is known here, so that
//! the engine and a simulation run the very same decisions.
//!
//! Time is counted in tokens, room in slots (one expert of one layer each).

mod allocate;
pub mod analysis;
mod bottleneck;
mod cost;
mod curve;
mod depth;
mod elastic;
mod expected;
mod layer;
mod learned;
mod offload;
mod profile;
mod ranking;
mod simulate;
mod slots;
mod stream;
mod synthetic;
mod trace;
mod trial;

pub use allocate::{Allocation, allocate};
pub use bottleneck::{Bottleneck, Shares};
pub use cost::{Mean, StepTimes, TokenTimes};
pub use curve::{Curve, Point};
pub use depth::{Depth, DepthHistogram, DepthLog, Outlook};
pub use elastic::{Elastic, Pressure};
pub use expected::Expected;
pub use layer::{Lookup, Resident};
pub use learned::Learned;
pub use offload::{Link, Offload, OffloadStep};
pub use profile::{LayerProfile, Profile, ProfileError};
pub use ranking::{Policy, Ranking, Rule};
pub use simulate::{Outcome, hits};
pub use slots::Slots;
pub use stream::Stream;
pub use synthetic::{Locality, Random, adversarial, local, uniform};
pub use trace::{Trace, TraceError};
pub use trial::{Choice, Trial};
