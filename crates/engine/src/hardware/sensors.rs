//! Temperatures and clocks of NVIDIA GPUs through NVML, read beside the engine's thread.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};

use crate::protocol::GpuReading;

/// Time between two readings; one may take the driver tens of milliseconds.
const READ_EVERY: Duration = Duration::from_secs(1);

/// The sensors of all GPUs. A driver that hangs holds up nothing but its own figures.
pub struct Sensors {
    latest: Arc<Mutex<Vec<GpuReading>>>,
    /// `None` once there is nobody to ask.
    ask: Option<SyncSender<()>>,
    asked: Option<Instant>,
}

impl Sensors {
    /// Loads NVML with the first reading; without it there never is one.
    pub fn start() -> Sensors {
        let latest = Arc::new(Mutex::new(Vec::new()));
        let (ask, asked) = sync_channel(1);
        let written = latest.clone();
        let thread = std::thread::Builder::new().name("sensors".into());
        let started = thread.spawn(move || read(&asked, &written));
        Sensors {
            latest,
            ask: started.is_ok().then_some(ask),
            asked: None,
        }
    }

    /// The last reading, of a second ago or so; asks for another one.
    pub fn look(&mut self) -> Vec<GpuReading> {
        let due = self.asked.is_none_or(|at| at.elapsed() >= READ_EVERY);
        if let Some(ask) = self.ask.as_ref().filter(|_| due) {
            self.asked = Some(Instant::now());
            if let Err(std::sync::mpsc::TrySendError::Disconnected(())) = ask.try_send(()) {
                self.ask = None;
            }
        }
        let latest = self.latest.lock();
        latest.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads whenever it is asked to, until nobody can ask any more.
fn read(asked: &Receiver<()>, latest: &Mutex<Vec<GpuReading>>) {
    let Ok(()) = asked.recv() else {
        return;
    };
    let Ok(nvml) = Nvml::init() else {
        return;
    };
    loop {
        let readings = readings(&nvml);
        *latest.lock().unwrap_or_else(PoisonError::into_inner) = readings;
        if asked.recv().is_err() {
            return;
        }
    }
}

/// Figures that a GPU does not have are `None`.
fn readings(nvml: &Nvml) -> Vec<GpuReading> {
    let count = nvml.device_count().unwrap_or(0);
    let devices = (0..count).filter_map(|index| nvml.device_by_index(index).ok());
    let reading = |device: nvml_wrapper::Device| GpuReading {
        name: device.name().unwrap_or_else(|_| "NVIDIA GPU".into()),
        temperature_celsius: device.temperature(TemperatureSensor::Gpu).ok(),
        clock_mhz: device.clock_info(Clock::Graphics).ok(),
        memory_clock_mhz: device.clock_info(Clock::Memory).ok(),
        power_watts: device.power_usage().ok().map(|mw| f64::from(mw) / 1e3),
        busy: device
            .utilization_rates()
            .ok()
            .map(|u| f64::from(u.gpu) / 100.0),
    };
    devices.map(reading).collect()
}
