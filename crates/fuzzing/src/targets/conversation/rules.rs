//! A host that breaks the rules: foreign receipts, messages out of order, wrong clocks, forged tokens.

use arbitrary::{Result, Unstructured};
use pinseal_protocol::ids::{Nonce, UnixSeconds};
use pinseal_protocol::refusal::Refusal;
use pinseal_protocol::request::Method;
use pinseal_protocol::wire::{BatchId, Begun, CallId, Halt, ToEnclave};

use super::play::{HOUR, Play};
use crate::harness::host::Answer;
use crate::harness::keys;
use crate::inputs::{Edit, apply};

impl Play {
    /// A receipt that is not the checkpoint's: fenced, or out of order. Nothing is told.
    pub(super) fn bring_foreign_receipt(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (batch, real) = match &self.host.in_flight {
            Some(batch) => (batch.batch, batch.checkpoint.to_vec()),
            None => (BatchId(u.arbitrary()?), Vec::new()),
        };
        let receipt = match u.int_in_range(0..=2)? {
            0 => self.host.disk.note.clone(),
            1 => self.pasts.first().map_or_else(Vec::new, |past| past.disk.note.clone()),
            _ => apply(&real, &u.arbitrary::<Vec<Edit>>()?),
        };
        if receipt == real || self.host.halted.is_some() {
            return Ok(());
        }
        let expected = if self.host.in_flight.is_some() { Halt::Fenced } else { Halt::Protocol };
        self.host.say(ToEnclave::Committed { batch, receipt: receipt.into(), nonce: None });
        assert_eq!(self.host.halted, Some(expected));
        assert!(self.host.answers.is_empty(), "nothing is told under a foreign receipt");
        self.restart_soundly();
        Ok(())
    }

    /// A message out of order halts, and nothing is told.
    pub(super) fn break_order(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.host.halted.is_some() {
            return Ok(());
        }
        let other = self.host.in_flight.as_ref().map_or(0, |batch| batch.batch.0).wrapping_add(u.int_in_range(1..=9)?);
        let message = match u.int_in_range(0..=6)? {
            0 => ToEnclave::HeadersEnd,
            1 => ToEnclave::Headers { headers: self.host.disk.headers() },
            2 => self.host.boot_message(),
            3 => {
                ToEnclave::Committed { batch: BatchId(other), receipt: self.host.disk.note.clone().into(), nonce: None }
            }
            4 => ToEnclave::Aborted { batch: BatchId(other) },
            choice => {
                let Some(kept) = self.make(u)? else { return Ok(()) };
                // The BOOT entry's number, or that of a call under way.
                let busy = self.open.keys().next().copied().filter(|_| choice == 5);
                ToEnclave::Sealed {
                    call: busy.unwrap_or(CallId(0)),
                    time: UnixSeconds(self.host.now),
                    request: kept.sealed.request.clone(),
                    outer: None,
                    consistency: None,
                }
            }
        };
        self.host.say(message);
        assert_eq!(self.host.halted, Some(Halt::Protocol));
        assert!(self.host.answers.is_empty());
        self.restart_soundly();
        Ok(())
    }

    pub(super) fn tell_time(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let now = self.host.now;
        self.host.now = match u.int_in_range(0..=5)? {
            0 => now.saturating_add(u.int_in_range(0..=2 * HOUR)?),
            1 => now.saturating_sub(u.int_in_range(0..=2 * HOUR)?),
            2 => now.saturating_add(86_400),
            3 => u.arbitrary()?,
            _ => now.saturating_add(HOUR),
        };
        Ok(())
    }

    pub(super) fn ask_evidence(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.host.halted.is_some() {
            return Ok(());
        }
        let (call, nonce) = (self.host.next_call(), Nonce(u.arbitrary()?));
        self.host.say(ToEnclave::Evidence { call, nonce, time: UnixSeconds(self.host.now) });
        let answer = self.host.answers.remove(&call);
        assert!(matches!(answer, Some(Answer::Evidence(_))), "{answer:?}");
        Ok(())
    }

    /// A token of another key, or with any change, begins nothing.
    pub(super) fn begin_with_bad_token(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.host.halted.is_some() {
            return Ok(());
        }
        let device = u.choose(&self.devices)?;
        let good = self.host.token(device.user, &device.id());
        let token = if u.arbitrary()? {
            self.host.token_by(keys::key(7), device.user, &device.id())
        } else {
            String::from_utf8_lossy(&apply(good.as_bytes(), &u.arbitrary::<Vec<Edit>>()?)).into_owned()
        };
        if token == good {
            return Ok(());
        }
        let call = self.host.next_call();
        let (time, method) = (UnixSeconds(self.host.now), *u.choose(Method::ALL)?);
        self.host.say(ToEnclave::Begin { call, time, access_token: token.into(), method, outer: None });
        match self.host.answers.remove(&call) {
            Some(Answer::Begun(Begun::Refused(Refusal::TokenInvalid))) => {}
            other => panic!("a forged token began something: {other:?}"),
        }
        Ok(())
    }
}
