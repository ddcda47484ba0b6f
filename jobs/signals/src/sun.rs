//! Where the sun stands, and what reaches the ground under a clear sky.

/// 2000-01-01T12:00Z, the epoch J2000.0, in microseconds since 1970.
const J2000_MICROS: i64 = 946_728_000_000_000;

const DAY_MICROS: f64 = 86_400e6;

/// A place on the ground.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

/// The cosine of the sun's zenith angle at an instant in microseconds since 1970: 1 overhead, 0 at the horizon, negative
/// below it. Without refraction.
///
/// The Astronomical Almanac's low-precision formulae, good to 0.01° from 1950 to 2050: J. J. Michalsky, "The Astronomical
/// Almanac's algorithm for approximate solar position (1950–2050)", Solar Energy 40 (1988).
pub fn cos_zenith(place: Place, at_micros: i64) -> f64 {
    let days = (at_micros - J2000_MICROS) as f64 / DAY_MICROS;
    let mean_longitude = 280.460 + 0.985_647_4 * days;
    let anomaly = (357.528 + 0.985_600_3 * days).to_radians();
    let longitude =
        (mean_longitude + 1.915 * anomaly.sin() + 0.020 * (2.0 * anomaly).sin()).to_radians();
    let obliquity = (23.439 - 0.000_000_4 * days).to_radians();
    let declination = (obliquity.sin() * longitude.sin()).asin();
    let ascension = (obliquity.cos() * longitude.sin()).atan2(longitude.cos());
    // Sidereal time in hours: that of 0 h UT and the hours since, in one formula of the days since J2000.0.
    let sidereal = 18.697_374_558 + 24.065_709_824_419_08 * days;
    let hour_angle = (15.0 * sidereal + place.longitude).to_radians() - ascension;
    let latitude = place.latitude.to_radians();
    latitude.sin() * declination.sin() + latitude.cos() * declination.cos() * hour_angle.cos()
}

/// Global horizontal irradiance under a clear sky in W/m², by the cosine of the zenith angle alone.
///
/// B. Haurwitz, "Insolation in relation to cloudiness and cloud density", Journal of Meteorology 2 (1945); the coefficients
/// as in M. J. Reno, C. W. Hansen and J. S. Stein, "Global horizontal irradiance clear sky models", Sandia report
/// SAND2012-2389.
pub fn clear_sky(cos_zenith: f64) -> f64 {
    match cos_zenith > 0.0 {
        true => 1_098.0 * cos_zenith * (-0.059 / cos_zenith).exp(),
        false => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sun_stands_where_almanacs_have_it() {
        // Zenith angles in degrees. At the equinox over the equator at noon (the equation of time moves noon by 7 minutes), at the
        // solstices over the tropics, and the reference case of NREL's SPA (Golden, Colorado, 2003-10-17T19:30:30Z: 50.11).
        for (latitude, longitude, at, zenith) in [
            (0.0, 0.0, 1_584_706_050, 0.1),
            (23.44, 0.0, 1_592_740_920, 0.0),
            (-23.44, 0.0, 1_608_551_880, 0.0),
            (39.742_476, -105.178_6, 1_066_419_030, 50.11),
        ] {
            let place = Place {
                latitude,
                longitude,
            };
            let cosine = cos_zenith(place, at * 1_000_000);
            let found = cosine.min(1.0).acos().to_degrees();
            assert!((found - zenith).abs() < 0.6, "{latitude} {at}: {found}");
        }
    }

    #[test]
    fn the_clear_sky_is_dark_at_night_and_bright_at_noon() {
        assert_eq!(clear_sky(-0.2), 0.0);
        assert!((clear_sky(1.0) - 1_035.0).abs() < 1.0);
        assert!((0.0..20.0).contains(&clear_sky(0.03)));
    }
}
