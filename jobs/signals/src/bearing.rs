//! The kinematics of rolling bearings: how often a fault of each part strikes.
//!
//! Source: R. B. Randall and J. Antoni, "Rolling element bearing diagnostics: a tutorial", Mechanical Systems and Signal
//! Processing 25 (2011), equations 1 to 4. Rolling without slip is assumed; real bearings slip by 1 to 2 %.

/// A bearing's geometry. The unit of the diameters does not matter, as long as both have the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bearing {
    /// Number of rolling elements.
    pub balls: u32,
    /// Diameter of a rolling element.
    pub ball_diameter: f64,
    /// Diameter of the circle on which their centres run.
    pub pitch_diameter: f64,
    /// Angle of contact, in degrees.
    pub contact_angle_degrees: f64,
}

/// A part of a bearing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The outer race, BPFO.
    OuterRace,
    /// The inner race, BPFI.
    InnerRace,
    /// A rolling element, BSF.
    RollingElement,
    /// The cage, FTF.
    Cage,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 4] = [
        Self::OuterRace,
        Self::InnerRace,
        Self::RollingElement,
        Self::Cage,
    ];

    /// As results name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OuterRace => "outer race",
            Self::InnerRace => "inner race",
            Self::RollingElement => "rolling element",
            Self::Cage => "cage",
        }
    }

    /// The usual name of its frequency, in lower case.
    pub fn frequency_name(self) -> &'static str {
        match self {
            Self::OuterRace => "bpfo",
            Self::InnerRace => "bpfi",
            Self::RollingElement => "bsf",
            Self::Cage => "ftf",
        }
    }
}

impl Bearing {
    /// The frequency at which a fault of a part strikes, in hertz, when the inner race turns `shaft_hz` times a second and
    /// the outer one stands. That of the rolling element is its spin; a fault of it strikes both races, so twice as often.
    pub fn frequency_hz(&self, part: Part, shaft_hz: f64) -> f64 {
        let ratio = self.ball_diameter / self.pitch_diameter
            * self.contact_angle_degrees.to_radians().cos();
        let balls = f64::from(self.balls);
        match part {
            Part::OuterRace => balls * shaft_hz / 2.0 * (1.0 - ratio),
            Part::InnerRace => balls * shaft_hz / 2.0 * (1.0 + ratio),
            Part::RollingElement => {
                self.pitch_diameter / (2.0 * self.ball_diameter) * shaft_hz * (1.0 - ratio.powi(2))
            }
            Part::Cage => shaft_hz / 2.0 * (1.0 - ratio),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_of_a_known_bearing() {
        let bearing = Bearing {
            balls: 8,
            ball_diameter: 0.235,
            pitch_diameter: 1.245,
            contact_angle_degrees: 0.0,
        };
        for (part, expected) in [
            (Part::OuterRace, 81.125),
            (Part::InnerRace, 118.875),
            (Part::RollingElement, 63.864),
            (Part::Cage, 10.141),
        ] {
            let hz = bearing.frequency_hz(part, 25.0);
            assert!((hz - expected).abs() < 1e-3, "{}: {hz}", part.name());
        }
    }
}
