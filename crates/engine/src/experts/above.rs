//! The tier above RAM as the rest of the engine sees it: set up, resized, asked what
//! it has and lent.

use moestro_cuda::{Gpu, Matrix};
use moestro_residency::{Link, Stream};

use super::Experts;
use super::buffer::Held;
use super::layer::Layer;
use super::stage::Stage;
use super::upper::{StandIn, Tier, Upper};
use super::vram::Vram;
use crate::error::Result;
use crate::weights::ExpertLayout;

impl Experts {
    /// Puts memory of the host with the times of a device above RAM, `slots` experts
    /// of each layer, to see what such a device would do. Results stay the CPU's.
    pub fn stand_in(&mut self, slots: usize, link: Link) {
        let experts = self.layers.first().map_or(0, Layer::experts);
        let budget = slots as u64 * self.layer_slot_bytes();
        let tier = Tier::StandIn(StandIn::new(budget, link));
        let has = vec![true; self.layers.len()];
        let upper = Upper::new(tier, &has, slots, experts, self.per_token, link);
        self.upper = Some(upper);
    }

    /// Puts the VRAM of a GPU above RAM, `slots` experts of each of the first
    /// `layers` layers of the model. What things are thought to take: the link between
    /// the two, and the seconds of one copy alone.
    ///
    /// Fewer slots where the GPU has no memory for all, see [`Experts::vram_slots`].
    ///
    /// Errors: the GPU failed, or has no memory for what passes through it.
    pub fn offload(
        &mut self,
        gpu: &Gpu,
        layers: usize,
        slots: usize,
        (link, copy): (Link, f64),
    ) -> Result<()> {
        let experts = self.layers.first().map_or(0, Layer::experts);
        let on_gpu = |l: &Layer| l.source.layer < layers;
        let layout = |l: &Layer| on_gpu(l).then(|| l.source.layout.clone());
        let layouts = self.layers.iter().filter(|l| on_gpu(l));
        let layouts = layouts.map(|l| &l.source.layout);
        self.stage = Some(Stage::new(gpu, layouts, Stream::new(link, copy))?);
        let layouts = self.layers.iter().map(layout).collect();
        let (tier, slots) = Vram::as_fits(gpu, layouts, slots)?;
        let tier = Tier::Vram(tier);
        let has: Vec<bool> = self.layers.iter().map(on_gpu).collect();
        let upper = Upper::new(tier, &has, slots, experts, self.per_token, link);
        self.upper = Some(upper);
        Ok(())
    }

    /// Uses the tier above though it may be slower, for measurements.
    pub fn insist_on_upper(&mut self) {
        if let Some(upper) = &mut self.upper {
            upper.insist();
        }
    }

    /// Changes the slots in VRAM of the layers that have some. A GPU without memory
    /// for more leaves them as they are.
    ///
    /// Errors: the GPU failed.
    pub fn resize_vram(&mut self, slots: usize) -> Result<()> {
        self.settle();
        self.copy_up()?;
        match &mut self.upper {
            Some(upper) => upper.resize(slots),
            None => Ok(()),
        }
    }

    /// Slots in VRAM of each layer that has some.
    pub fn vram_slots(&self) -> usize {
        let vram = self.upper.as_ref().filter(|u| u.vram().is_some());
        vram.map_or(0, Upper::slots)
    }

    /// Bytes of all slots in VRAM.
    pub fn vram_bytes(&self) -> u64 {
        let vram = self.upper.as_ref().filter(|u| u.vram().is_some());
        vram.map_or(0, Upper::bytes)
    }

    /// With this many slots in VRAM, the share of a token's experts that would have
    /// been there, and by how many seconds a token would differ from now.
    pub fn foretell_vram(&self, slots: usize) -> Option<(f64, f64)> {
        let upper = self.upper.as_ref().filter(|u| u.vram().is_some())?;
        let (hit_rate, seconds) = upper.foretell(slots);
        Some((hit_rate, seconds - upper.foretell(upper.slots()).1))
    }

    /// For a piece of a prompt on a GPU: which of the experts below, whose numbers of
    /// tokens these are, to send up. Their places are those in `tokens`.
    pub fn worth_sending(&self, tokens: &[usize]) -> Vec<usize> {
        let Some(stage) = self.stage.as_ref().filter(|_| !self.decoding) else {
            return Vec::new();
        };
        let mut most_first: Vec<usize> = (0..tokens.len()).collect();
        most_first.sort_by_key(|i| std::cmp::Reverse(tokens[*i]));
        let sorted: Vec<usize> = most_first.iter().map(|i| tokens[*i]).collect();
        most_first.truncate(stage.stream.split(&sorted));
        most_first
    }

    /// Lends the way up; to be given back with [`Experts::keep_stage`].
    pub fn take_stage(&mut self) -> Option<Stage> {
        self.stage.take()
    }

    pub fn keep_stage(&mut self, stage: Option<Stage>) {
        self.stage = stage;
    }

    /// How the experts of a row lie in a slot.
    pub fn layout(&self, row: usize) -> &ExpertLayout {
        &self.layers[row].source.layout
    }

    /// What is held below of an expert that [`Experts::ready`] handed out.
    pub fn held(&self, row: usize, expert: u32) -> &Held {
        let layer = &self.layers[row];
        let guest = self.step.as_ref().and_then(|s| s.guest(expert));
        let held = guest.or_else(|| layer.resident().slots().get(expert));
        held.expect("only experts that are ready are asked for")
    }

    /// gate, up and down of an expert that [`Experts::on_gpu`] named.
    pub fn vram_matrices(&self, row: usize, expert: u32) -> [Matrix<'_>; 3] {
        let vram = self.upper.as_ref().and_then(Upper::vram);
        let vram = vram.expect("an expert is on the GPU only with slots there");
        vram.matrices(row, expert)
    }

    /// Seconds that the experts of all decoded tokens took on the clock of the
    /// stand-in, what they would have taken without it, and its bytes.
    pub fn stand_in_clock(&self) -> Option<(f64, f64, u64)> {
        let upper = self.upper.as_ref()?;
        Some((upper.seconds, upper.plain, upper.bytes()))
    }
}
