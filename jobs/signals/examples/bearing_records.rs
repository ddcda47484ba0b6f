//! The envelope spectrum of records of raw samples (little-endian f64, the rate in the name: `NAME.RATE.f64`) of a folder
//! that the environment variable BEARING_RECORDS names: which part of the bearing each record shows, and by how much.

use forebay_signals::{
    bearing::{Bearing, Part},
    envelope::Envelope,
    waveform::{Levels, Waveform},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bearing = Bearing {
        balls: 8,
        ball_diameter: 0.235,
        pitch_diameter: 1.245,
        contact_angle_degrees: 0.0,
    };
    let folder = std::env::var("BEARING_RECORDS")?;
    let mut paths: Vec<_> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let rate_hz: f64 = name.split('.').nth(1).unwrap_or_default().parse()?;
        let bytes = std::fs::read(&path)?;
        let (samples, _) = bytes.as_chunks::<8>();
        let all: Vec<f64> = samples
            .iter()
            .map(|bytes| f64::from_le_bytes(*bytes))
            .collect();
        for (what, values) in [
            ("all", &all[..]),
            ("first second", &all[..rate_hz as usize]),
        ] {
            let wave = Waveform {
                rate_hz,
                values: values.to_vec(),
                start_micros: 0,
            };
            let envelope = Envelope::of(&wave, None, 120.0).ok_or("no band")?;
            println!(
                "{name} {what}: kurtosis {:.1}, band {:.0} to {:.0} Hz, its kurtosis {:.1}",
                Levels::of(values).kurtosis,
                envelope.band.low_hz,
                envelope.band.high_hz,
                envelope.kurtosis
            );
            for part in Part::ALL {
                if let Some(line) = envelope.line_of_part(&bearing, part, 25.0, 0.02) {
                    println!(
                        "  {:16} {:.4} g, {:.1} times the noise",
                        part.name(),
                        line.amplitude,
                        line.prominence
                    );
                }
            }
        }
    }
    Ok(())
}
