//! An app's accent colour in the wallet page: any that can be read there, and no other.
//!
//! The page's own colours and how it mixes the accent with them are those of `web/wallet/src/style/theme.css`; a test compares.

use pinseal_store::accounts::{Accent, Rgb};

/// WCAG 2.2, success criterion 1.4.3, for text of any size.
const CONTRAST_MIN: f64 = 4.5;
/// Steps in which a colour that can be read is looked for, on the way to black or white.
const STEPS: u32 = 20;

/// Why a colour was not taken. The operator names another.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ThemeError {
    /// Not `#` and six hex digits.
    #[error("a colour has the form #1d4ed8")]
    Form,
    /// Text in the colour, or on it, would be too faint for many people.
    #[error(
        "{colour} has a contrast of {ratio:.1} to 1 on the wallet's {ground} ground, and text needs {CONTRAST_MIN}: {nearest} would do"
    )]
    Faint {
        /// The colour.
        colour: Rgb,
        /// "light" or "dark".
        ground: &'static str,
        /// The smallest contrast that it would make.
        ratio: f64,
        /// The nearest one, darker or lighter, that can be read.
        nearest: Rgb,
    },
}

/// What the page has in the light or in the dark.
struct Scheme {
    name: &'static str,
    /// `--ground`, `--surface`, `--sunken`: where the accent is text.
    grounds: [Rgb; 3],
    /// `--ink`, `--soft`: text on a trace of the accent.
    texts: [Rgb; 2],
    /// `--accent-ink`: text on the accent.
    on_accent: Rgb,
    /// Per cent of the accent in `--accent-soft`, over `--surface`.
    trace: u32,
    /// What `--accent-hover` is mixed with, and per cent of the accent in it.
    hover: (Rgb, u32),
    /// Where a colour that can be read is to be found.
    towards: Rgb,
}

const fn rgb(number: u32) -> Rgb {
    let [_, channels @ ..] = number.to_be_bytes();
    Rgb { channels }
}

const BLACK: Rgb = rgb(0);
const WHITE: Rgb = rgb(0x00ff_ffff);
const LIGHT: Scheme = Scheme {
    name: "light",
    grounds: [rgb(0xf4_f5f8), WHITE, rgb(0xf0_f2f6)],
    texts: [rgb(0x14_1a26), rgb(0x4d_576a)],
    on_accent: WHITE,
    trace: 10,
    hover: (BLACK, 86),
    towards: BLACK,
};
const DARK: Scheme = Scheme {
    name: "dark",
    grounds: [rgb(0x0e_121a), rgb(0x17_1c26), rgb(0x1f_2531)],
    texts: [rgb(0xed_f0f6), rgb(0xa9_b2c3)],
    on_accent: rgb(0x0d_1730),
    trace: 16,
    hover: (WHITE, 75),
    towards: WHITE,
};

/// `#1d4ed8`, in either case.
///
/// # Errors
/// [`ThemeError::Form`].
pub fn parse_colour(text: &str) -> Result<Rgb, ThemeError> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6).ok_or(ThemeError::Form)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ThemeError::Form);
    }
    u32::from_str_radix(digits, 16).map(rgb).map_err(|_| ThemeError::Form)
}

/// An accent for both schemes; for the dark one the same colour, as much lighter as it has to be, unless it is named.
///
/// # Errors
/// [`ThemeError::Faint`].
pub fn accent(light: Rgb, dark: Option<Rgb>) -> Result<Accent, ThemeError> {
    LIGHT.check(light)?;
    if let Some(dark) = dark {
        DARK.check(dark)?;
    }
    Ok(Accent { light, dark: dark.unwrap_or_else(|| DARK.nearest(light)) })
}

impl Scheme {
    fn check(&self, colour: Rgb) -> Result<(), ThemeError> {
        let ratio = self.contrast(colour);
        if ratio >= CONTRAST_MIN {
            return Ok(());
        }
        Err(ThemeError::Faint { colour, ground: self.name, ratio, nearest: self.nearest(colour) })
    }

    /// The smallest contrast of any text that the page writes in this colour, on it, or on what is mixed with it.
    fn contrast(&self, accent: Rgb) -> f64 {
        let [_, surface, _] = self.grounds;
        let soft = mix(accent, self.trace, surface);
        let hover = mix(accent, self.hover.1, self.hover.0);
        let written = self.grounds.into_iter().chain([soft]).map(|ground| contrast(accent, ground));
        let beneath = [accent, hover].map(|ground| contrast(self.on_accent, ground));
        let traced = self.texts.map(|text| contrast(text, soft));
        written.chain(beneath).chain(traced).fold(f64::INFINITY, f64::min)
    }

    /// The first on the way to black or white that can be read; that one itself can.
    fn nearest(&self, colour: Rgb) -> Rgb {
        let share = |step: u32| (STEPS - step) * 100 / STEPS;
        let mixed = (0..=STEPS).map(|step| mix(colour, share(step), self.towards));
        mixed.into_iter().find(|one| self.contrast(*one) >= CONTRAST_MIN).unwrap_or(self.towards)
    }
}

/// `color-mix(in srgb, colour per_cent%, other)`.
fn mix(colour: Rgb, per_cent: u32, other: Rgb) -> Rgb {
    let per_cent = per_cent.min(100);
    let mut channels = other.channels;
    for (channel, own) in channels.iter_mut().zip(colour.channels) {
        let sum = u32::from(own) * per_cent + u32::from(*channel) * (100 - per_cent);
        *channel = u8::try_from((sum + 50) / 100).unwrap_or(u8::MAX);
    }
    Rgb { channels }
}

/// WCAG's contrast ratio, 1 to 21.
fn contrast(one: Rgb, other: Rgb) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// WCAG's relative luminance, 0 to 1.
fn luminance(Rgb { channels }: Rgb) -> f64 {
    let [red, green, blue] = channels.map(|channel| {
        let share = f64::from(channel) / 255.0;
        if share <= 0.040_45 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics where it fails")]
mod tests {
    use super::*;

    #[test]
    fn contrasts_are_those_of_wcag() {
        let near = |one: f64, other: f64| (one - other).abs() < 0.01;
        assert!(near(contrast(BLACK, WHITE), 21.0));
        assert!(near(contrast(rgb(0x76_7676), WHITE), 4.54));
        assert!(near(contrast(rgb(0x77_7777), WHITE), 4.48));
        assert!(near(contrast(rgb(0x1d_4ed8), WHITE), 6.70));
    }

    #[test]
    fn a_colour_that_cannot_be_read_is_refused_with_one_that_can() {
        for faint in [0xff_cc00, 0x7f_7f7f, 0xff_ffff, 0x3b_82f6, 0x00_b37d] {
            let Err(ThemeError::Faint { ratio, nearest, ground, .. }) = accent(rgb(faint), None) else {
                panic!("{faint:06x} was taken")
            };
            assert!(ratio < CONTRAST_MIN && ground == "light", "{faint:06x}: {ratio}");
            assert!(accent(nearest, None).is_ok(), "{faint:06x}: {nearest}");
        }
        let dark = accent(rgb(0x1d_4ed8), Some(rgb(0x1d_4ed8)));
        assert!(matches!(dark, Err(ThemeError::Faint { ground: "dark", .. })));
        let told = accent(rgb(0xff_cc00), None).unwrap_err().to_string();
        assert_eq!(
            told,
            "#ffcc00 has a contrast of 1.3 to 1 on the wallet's light ground, and text needs 4.5: #806600 would do"
        );
    }

    /// Every accent that is taken, over a grid of all colours, and with it the one for the dark that is made of it.
    #[test]
    fn whatever_is_taken_can_be_read_in_both_schemes() {
        let mut taken = 0;
        let grid = (0..=15_u32).map(|step| step * 17);
        for red in grid.clone() {
            for green in grid.clone() {
                for blue in grid.clone() {
                    let Ok(made) = accent(rgb(red << 16 | green << 8 | blue), None) else { continue };
                    taken += 1;
                    assert!(LIGHT.contrast(made.light) >= CONTRAST_MIN && DARK.contrast(made.dark) >= CONTRAST_MIN);
                }
            }
        }
        assert!(taken > 500, "{taken}");
    }

    #[test]
    fn a_colour_is_six_digits() {
        assert_eq!(parse_colour("#1D4ed8").map(|colour| colour.to_string()).as_deref(), Ok("#1d4ed8"));
        for wrong in ["", "#", "1d4ed8", "#1d4ed", "#1d4ed80", "#1d4eg8", "#+d4ed8", "#aé123", "red", "#1d4ed8;x:y"] {
            assert_eq!(parse_colour(wrong), Err(ThemeError::Form), "{wrong}");
        }
    }

    #[test]
    fn the_page_has_the_colours_that_are_computed_with() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/wallet/src/style/theme.css");
        let css = std::fs::read_to_string(path).unwrap();
        let names = ["--ground", "--surface", "--sunken"].iter().zip(LIGHT.grounds.iter().zip(&DARK.grounds));
        let texts = ["--ink", "--soft"].iter().zip(LIGHT.texts.iter().zip(&DARK.texts));
        let on = [("--own-accent-ink", (&LIGHT.on_accent, &DARK.on_accent))];
        for (name, (light, dark)) in
            names.map(|(name, pair)| (*name, pair)).chain(texts.map(|(n, p)| (*n, p))).chain(on)
        {
            let line = format!("{name}: light-dark({light}, {dark});");
            assert!(css.contains(&line), "{line}");
        }
        let [(light, dark)] = [(&LIGHT, &DARK)];
        for line in [
            format!("color-mix(in srgb, var(--app-light) {}%, black)", light.hover.1),
            format!("color-mix(in srgb, var(--app-dark) {}%, white)", dark.hover.1),
            format!("color-mix(in srgb, var(--app-light) {}%, var(--surface))", light.trace),
            format!("color-mix(in srgb, var(--app-dark) {}%, var(--surface))", dark.trace),
        ] {
            assert!(css.contains(&line), "{line}");
        }
    }
}
