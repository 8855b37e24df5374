//! Steps, their details and how long each took.

use std::future::Future;
use std::time::{Duration, Instant};

use super::Shown;
use crate::failure::Outcome;
use crate::output::{Output, Style, WIDTH, wrapped};

/// Width of a step's title, so that the seconds line up.
const TITLE: usize = 62;

/// The story so far.
#[derive(Debug)]
pub(super) struct Story {
    output: Output,
    began: Instant,
    steps: Vec<(String, Duration)>,
}

impl Story {
    pub(super) fn new(output: Output) -> Self {
        Self { output, began: Instant::now(), steps: Vec::new() }
    }

    /// For what happens inside a step: the story alone speaks.
    pub(super) const fn quiet(&self) -> Output {
        self.output.silenced()
    }

    pub(super) fn open(&self) {
        let output = self.output;
        output.line(output.paint(Style::Bold, "Pinseal: from log-in to a mined transaction, on this machine alone"));
        output.line("");
    }

    /// Runs one step and tells it.
    ///
    /// # Errors
    /// The step's.
    pub(super) async fn step<T>(&mut self, title: &str, work: impl Future<Output = Shown<T>>) -> Outcome<T> {
        let output = self.output;
        let began = Instant::now();
        let number = self.steps.len() + 1;
        // A step holds a whole client operation; on the heap it does not grow every future around it.
        match output.progress(title, Box::pin(work)).await {
            Ok((lines, value)) => {
                let took = began.elapsed();
                self.steps.push((title.to_owned(), took));
                let padded = format!("{title:<TITLE$}");
                let seconds = output.paint(Style::Dim, format!("{:>5.1} s", took.as_secs_f64()));
                output.line(format!(
                    "{} {} {seconds}",
                    output.paint(Style::Green, format!("{number:>2}")),
                    output.paint(Style::Bold, padded)
                ));
                for line in lines {
                    match line.strip_prefix("! ") {
                        Some(warning) => wrapped(warning, WIDTH)
                            .iter()
                            .for_each(|part| output.line(format!("   {}", output.paint(Style::Yellow, part)))),
                        // Columns stay as they are; a sentence is broken.
                        None if line.contains("  ") => output.line(format!("   {line}")),
                        None => wrapped(&line, WIDTH).iter().for_each(|part| output.line(format!("   {part}"))),
                    }
                }
                Ok(value)
            }
            Err(failure) => {
                output.line(format!(
                    "{} {} {}",
                    output.paint(Style::Red, format!("{number:>2}")),
                    output.paint(Style::Bold, title),
                    output.paint(Style::Red, "failed")
                ));
                Err(failure)
            }
        }
    }

    pub(super) fn close(&self) {
        let output = self.output;
        let total = self.began.elapsed().as_secs_f64();
        let steps: Vec<_> = self
            .steps
            .iter()
            .map(|(title, took)| serde_json::json!({ "step": title, "seconds": took.as_secs_f64() }))
            .collect();
        output.result(&serde_json::json!({ "steps": steps, "seconds": total }));
        output.line("");
        output.line(format!(
            "{} all {} steps passed in {total:.1} s",
            output.paint(Style::Green, "ok"),
            self.steps.len()
        ));
    }
}
