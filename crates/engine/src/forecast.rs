//! Measured speed, foretold speed, and what stands between the two and more.

use std::time::{Duration, Instant};

use moestro_residency::{Bottleneck, Curve, Elastic, Mean, Pressure};

use crate::engine::Engine;
use crate::experts::{Experts, Forecaster};
use crate::hardware;
use crate::placement::show_bytes;
use crate::protocol::{
    AppliedForecast, Component, Forecast, ForecastPoint, MemorySettings, Placement, PlacementRow,
    Tier,
};

/// Positions of a slider that are worked out.
const POSITIONS: usize = 17;
/// Tokens that the measured speed stands for.
const LATEST: f64 = 64.0;
/// Tokens after a change that do not count yet, because slots fill.
const SETTLE: usize = 48;
/// Tokens that a measurement after a change takes.
const MEASURED: usize = 32;
/// Time between two looks at the machine's memory.
const LOOK: Duration = Duration::from_millis(250);
/// VRAM to leave to other programs, such as the one that draws the screen.
const VRAM_RESERVE: u64 = 512 << 20;
/// What a fix must bring to be recommended.
const WORTH: f64 = 1.03;
const GIB: u64 = 1 << 30;

/// How fast tokens come, and how much memory others leave.
pub struct Pace {
    /// Seconds of a decoded token, and those outside of the model in it.
    token: Mean,
    outside: Mean,
    last_forward: f64,
    change: Option<Change>,
    elastic: Elastic,
    vram: Elastic,
    started: Instant,
    looked: Option<Instant>,
}

/// The last change of settings.
struct Change {
    before: f64,
    predicted: f64,
    tokens: usize,
    seconds: f64,
}

impl Pace {
    pub fn new(elastic: Elastic) -> Pace {
        Pace {
            token: Mean::new(LATEST),
            outside: Mean::new(LATEST),
            last_forward: 0.0,
            change: None,
            elastic,
            vram: Elastic::new(VRAM_RESERVE),
            started: Instant::now(),
            looked: None,
        }
    }

    /// Notes a decoded token, without its sampling.
    pub fn token(&mut self, seconds: f64) {
        self.last_forward = seconds;
        self.token.add(seconds);
        if let Some(change) = &mut self.change {
            change.tokens += 1;
            if change.tokens > SETTLE {
                change.seconds += seconds;
            }
        }
    }

    /// Notes what the token just noted took with sampling and decoding its text.
    pub fn whole_token(&mut self, seconds: f64) {
        self.outside.add((seconds - self.last_forward).max(0.0));
    }

    fn outside_seconds(&self) -> f64 {
        self.outside.get().unwrap_or(0.0)
    }

    /// Tokens per second lately; 0 before the first.
    pub fn measured(&self) -> f64 {
        self.token
            .get()
            .map_or(0.0, |s| 1.0 / (s + self.outside_seconds()))
    }

    /// Remembers what is foretold of settings about to be applied.
    pub fn before_change(&mut self, experts: &Experts, next: &Placement) {
        let outside = self.outside_seconds();
        let speed = |f: &Forecaster, slots| 1.0 / (f.at(slots).0 + outside);
        self.change = experts.forecaster().map(|f| Change {
            before: self.measured(),
            predicted: speed(&f, next.experts_per_layer),
            tokens: 0,
            seconds: 0.0,
        });
        self.token = Mean::new(LATEST);
    }

    fn applied(&self) -> Option<AppliedForecast> {
        let change = self.change.as_ref()?;
        let tokens = change.tokens.saturating_sub(SETTLE);
        (tokens >= MEASURED).then(|| AppliedForecast {
            before: change.before,
            predicted: change.predicted,
            measured: 1.0 / (change.seconds / tokens as f64 + self.outside_seconds()),
            tokens,
        })
    }

    /// Bytes of slots that are held back for other programs.
    pub fn held_back(&self) -> u64 {
        self.elastic.held_back()
    }

    /// The same in VRAM.
    pub fn vram_held_back(&self) -> u64 {
        self.vram.held_back()
    }

    /// Looks at RAM and, if there is a GPU, at its free `vram`, unless it did so just
    /// before `now`; the slots take that many bytes of both. Returns whether the bytes
    /// held back have changed.
    pub fn look_at_memory(
        &mut self,
        now: Instant,
        (in_ram, in_vram): (u64, u64),
        vram: impl FnOnce() -> Option<u64>,
    ) -> bool {
        if self.looked.is_some_and(|at| now.duration_since(at) < LOOK) {
            return false;
        }
        self.looked = Some(now);
        let before = (self.held_back(), self.vram_held_back());
        let now = now.duration_since(self.started).as_secs_f64();
        self.elastic.look(now, hardware::pressure(), in_ram);
        if let Some(available) = vram() {
            let pressure = Pressure {
                available,
                stalled: 0.0,
            };
            self.vram.look(now, pressure, in_vram);
        }
        (self.held_back(), self.vram_held_back()) != before
    }
}

/// `None` until enough tokens were decoded.
pub fn forecast(engine: &Engine) -> Option<Forecast> {
    let forecaster = engine.experts().forecaster()?;
    let speeds = Speeds {
        engine,
        forecaster,
        settings: engine.placement().settings.clone(),
        outside: engine.pace().outside_seconds(),
    };
    let placement = engine.placement();
    let budget = |tier| {
        let of = placement.tiers.iter().find(|t| t.tier == tier);
        of.map_or(0, |t| t.budget)
    };
    let ram = speeds.curve(placement.ram_min, placement.ram_max, |s, value| {
        s.ram_budget = Some(value);
    });
    let experts = speeds.curve(
        placement.experts_min as u64,
        placement.experts_max as u64,
        |s, value| s.cached_experts_per_layer = Some(value as usize),
    );
    let context = speeds.curve(256, placement.max_context as u64, |s, value| {
        s.context = Some(value as usize);
        s.ram_budget = Some(budget(Tier::Ram));
    });
    let now = speeds.speed(engine.experts_per_layer_now()).1;
    Some(Forecast {
        tokens: speeds.forecaster.tokens(),
        tokens_per_second: now,
        measured: engine.pace().measured(),
        bottleneck: bottleneck(&speeds, now, &ram, budget(Tier::Ram)),
        ram,
        experts,
        context,
        vram: speeds.vram(),
        applied: engine.pace().applied(),
    })
}

struct Speeds<'a> {
    engine: &'a Engine,
    forecaster: Forecaster<'a>,
    settings: MemorySettings,
    outside: f64,
}

impl Speeds<'_> {
    /// Hit rate and tokens per second with this many slots per layer.
    fn speed(&self, slots: usize) -> (f64, f64) {
        let (seconds, hit_rate) = self.forecaster.at(slots);
        (hit_rate, 1.0 / (seconds + self.outside))
    }

    /// Over VRAM budgets, from what is there already to all of the GPU's.
    fn vram(&self) -> Vec<ForecastPoint> {
        let placement = self.engine.placement();
        let vram =
            |r: &&PlacementRow| r.tier == Tier::Vram && r.component != Component::ExpertSlots;
        let least: u64 = placement.rows.iter().filter(vram).map(|r| r.bytes).sum();
        let (_, now) = self.speed(self.engine.experts_per_layer_now());
        let point = |value: u64| {
            let settings = MemorySettings {
                vram_budget: Some(value),
                experts_vram: None,
                ..self.settings.clone()
            };
            let slots = self.engine.plan(&settings).gpu.experts;
            let (hit_rate, more) = self.engine.experts().foretell_vram(slots)?;
            let seconds = 1.0 / now + more;
            (seconds > 0.0).then_some(ForecastPoint {
                value,
                slots,
                hit_rate,
                tokens_per_second: 1.0 / seconds,
            })
        };
        Curve::positions(least, self.engine.vram_total(), POSITIONS)
            .into_iter()
            .filter_map(point)
            .collect()
    }

    /// Positions at which the model fits, without repetition of their slots beyond
    /// the ends.
    fn curve(
        &self,
        least: u64,
        most: u64,
        set: impl Fn(&mut MemorySettings, u64),
    ) -> Vec<ForecastPoint> {
        let point = |value: u64| {
            let mut settings = self.settings.clone();
            set(&mut settings, value);
            let placement = self.engine.plan(&settings);
            let slots = placement.experts_per_layer;
            let (hit_rate, tokens_per_second) = self.speed(slots);
            placement.fits.then_some(ForecastPoint {
                value,
                slots,
                hit_rate,
                tokens_per_second,
            })
        };
        Curve::positions(least, most, POSITIONS)
            .into_iter()
            .filter_map(point)
            .collect()
    }
}

/// The part that takes most, and the single change that brings most.
fn bottleneck(speeds: &Speeds, now: f64, ram: &[ForecastPoint], budget: u64) -> String {
    let shares = speeds.forecaster.shares();
    let part = shares.bottleneck();
    let what = match part {
        Bottleneck::Disk => "waiting for experts from disk",
        Bottleneck::Experts => "computing experts",
        Bottleneck::Rest => "computing what every token needs",
    };
    let percent = shares.percent(part);
    let fix = match part {
        Bottleneck::Disk => more_ram(now, ram, budget)
            .or_else(|| few_asked(speeds, now))
            .unwrap_or_else(|| {
                "a faster disk is the only way left, all memory is in use".to_string()
            }),
        _ if hit_everything(speeds) => {
            "every expert in use is in memory, so only a faster processor or GPU brings more".into()
        }
        _ => "more memory would bring little".to_string(),
    };
    format!("{percent:.0}% of a token is {what}: {fix}.")
}

fn hit_everything(speeds: &Speeds) -> bool {
    speeds.speed(speeds.engine.experts_per_layer_now()).0 > 0.995
}

/// One GiB more, or what it takes to make a difference.
fn more_ram(now: f64, ram: &[ForecastPoint], budget: u64) -> Option<String> {
    let curve = Curve {
        points: ram
            .iter()
            .map(|p| moestro_residency::Point {
                value: p.value,
                slots: p.slots,
                hit_rate: p.hit_rate,
                tokens_per_second: p.tokens_per_second,
            })
            .collect(),
    };
    let most = curve.points.last()?.value;
    let steps = [GIB / 4, GIB / 2, GIB, 2 * GIB, 4 * GIB, 8 * GIB];
    let worth = |more: &u64| {
        let to = (budget + more).min(most);
        let speed = curve.at(to)?;
        let gained = to.saturating_sub(budget);
        (gained > 0 && speed > now * WORTH).then_some((gained, speed))
    };
    // A whole GiB says more to a person than the least that helps.
    let (more, speed) = worth(&GIB).or_else(|| steps.iter().find_map(worth))?;
    Some(format!(
        "{} more RAM would bring {now:.1} to {speed:.1} tokens/s",
        show_bytes(more)
    ))
}

/// Fewer slots were asked for than the budget holds.
fn few_asked(speeds: &Speeds, now: f64) -> Option<String> {
    let placement = speeds.engine.placement();
    let (asked, most) = (
        placement.settings.cached_experts_per_layer?,
        placement.experts_max,
    );
    let speed = speeds.speed(most).1;
    (asked < most && speed > now * WORTH).then(|| {
        format!("the RAM budget has room for {most} experts per layer, which would bring {now:.1} to {speed:.1} tokens/s")
    })
}
