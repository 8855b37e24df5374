//! `pinseal login` and `pinseal logout`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use pinseal_client::api::LoginStatus;
use pinseal_client::profile::UserName;
use pinseal_client::{ApiError, SecretText};

use super::connection::Connection;
use super::mailbox::MailboxReader;
use super::{dev, devices};
use crate::args::{ClientArgs, LoginArgs};
use crate::context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Output, Style};
use crate::{fd, secret, trouble};

/// The server's answer to a wrong password and to an unknown address alike.
const REFUSED: &str = "login_failed";
/// Passwords asked for before giving up; the server slows guessing down by itself.
const PASSWORDS_MAX: u32 = 5;
/// Seconds a development mailbox is waited for.
const MAIL_SECONDS: u64 = 20;
/// The same for an address that had a mail before.
const MAIL_AGAIN_SECONDS: u64 = 5;

/// Logs in; signs up or resets the password on the way if asked to.
///
/// # Errors
/// The server's reason.
pub(crate) async fn log_in(arguments: LoginArgs, output: Output) -> Outcome {
    let connection = Connection::open(&arguments.client, output)?;
    check_email(&arguments.email)?;
    // Nobody types a password for a service that is not there or does not know the app.
    output.progress("asking the service", connection.api().app_info()).await.map_err(trouble::api)?;
    let mails =
        connection.chosen.local.as_ref().filter(|local| local.mailbox.is_some()).map(dev::mailbox).transpose()?;
    let login = Login { connection: &connection, mails, arguments: &arguments, output };
    if arguments.sign_up {
        let password = new_password(&arguments)?;
        login.sign_up(&password).await?;
        login.finish(&password).await
    } else if arguments.reset {
        let password = login.reset().await?;
        login.finish(&password).await
    } else {
        login.usual().await
    }
}

/// Ends the session.
///
/// # Errors
/// The server cannot be told; the session is forgotten here all the same.
pub(crate) async fn log_out(client: ClientArgs, output: Output) -> Outcome {
    let connection = Connection::open(&client, output)?;
    output.progress("logging out", connection.api().log_out()).await.map_err(trouble::api)?;
    output.result(&serde_json::json!({ "logged_out": true }));
    output.line("logged out");
    Ok(())
}

struct Login<'a> {
    connection: &'a Connection,
    mails: Option<MailboxReader>,
    arguments: &'a LoginArgs,
    output: Output,
}

impl Login<'_> {
    async fn usual(&self) -> Outcome {
        let mut password = self.ask_password()?;
        for _ in 1..PASSWORDS_MAX {
            match self.try_password(&password).await {
                Err(ApiError::Problem(problem)) if problem.code == REFUSED && self.may_ask() => {
                    self.output.note("No user with this e-mail address and password.");
                    match ask_line("[t]ry again, [r]eset the password, [s]ign up as a new user, or give up [Enter]? ")?
                        .as_str()
                    {
                        "t" => password = self.ask_password()?,
                        "r" => {
                            let password = self.reset().await?;
                            return self.finish(&password).await;
                        }
                        "s" => {
                            // Typed once so far, and a typing error would lock the new user out.
                            let again = secret::ask("Password again: ", "password", "--password-fd", None)?;
                            if !again.equals(&password) {
                                return Err(Failure::usage("the two entries of the password differ; nothing was sent"));
                            }
                            self.sign_up(&password).await?;
                            return self.finish(&password).await;
                        }
                        _ => return Err(refused(ApiError::Problem(problem), &self.arguments.email)),
                    }
                }
                Err(error) => return Err(refused(error, &self.arguments.email)),
                Ok(()) => return self.tell().await,
            }
        }
        self.try_password(&password).await.map_err(|error| refused(error, &self.arguments.email))?;
        self.tell().await
    }

    fn ask_password(&self) -> Outcome<SecretText> {
        secret::ask("Password: ", "password", "--password-fd", self.arguments.password_fd)
    }

    fn may_ask(&self) -> bool {
        !self.output.is_json() && self.arguments.password_fd.is_none() && std::io::stdin().is_terminal()
    }

    async fn try_password(&self, password: &SecretText) -> Result<(), ApiError> {
        self.output
            .progress("logging in", self.connection.api().log_in(&self.arguments.email, password))
            .await
            .map(|_| ())
    }

    async fn finish(&self, password: &SecretText) -> Outcome {
        self.try_password(password).await.map_err(trouble::api)?;
        self.tell().await
    }

    /// Signs up and proves the address.
    async fn sign_up(&self, password: &SecretText) -> Outcome {
        let email = &self.arguments.email;
        let before = self.newest_mail().await?;
        let api = self.connection.api();
        self.output.progress("signing up", api.sign_up(email, password, None)).await.map_err(trouble::api)?;
        let code = self.code(before, "sign-up").await?;
        let checked = self.output.progress("checking the code", api.verify_email(email, &code)).await;
        if !checked.map_err(trouble::api)? {
            return Ok(());
        }
        Err(Failure::failed(
            "password_unset",
            format!("the address is confirmed; but somebody else signed up with {email} too, so no password holds yet"),
        )
        .advise(format!("choose one by a further code: `{}`", context::command(&format!("login {email} --reset")))))
    }

    async fn reset(&self) -> Outcome<SecretText> {
        let email = &self.arguments.email;
        let before = self.newest_mail().await?;
        let api = self.connection.api();
        // A further one would put out what was given.
        if self.arguments.code_fd.is_none() {
            self.output.progress("asking for a code", api.request_reset(email)).await.map_err(trouble::api)?;
        }
        let code = self.code(before, "reset").await?;
        let password = new_password(self.arguments)?;
        self.output
            .progress("setting the new password", api.reset(email, &code, &password))
            .await
            .map_err(trouble::api)?;
        Ok(password)
    }

    async fn newest_mail(&self) -> Outcome<u64> {
        match &self.mails {
            Some(mails) => mails.newest(&self.arguments.email).await,
            None => Ok(0),
        }
    }

    /// The mailed code: given, read from a development mailbox, or asked for.
    async fn code(&self, after: u64, what: &str) -> Outcome<SecretText> {
        if let Some(number) = self.arguments.code_fd {
            return fd::secret(number, "code");
        }
        if let Some(mails) = &self.mails {
            // Who had a mail before may get none now, and the answer does not say: one goes out a minute at most.
            let patience = if after == 0 { MAIL_SECONDS } else { MAIL_AGAIN_SECONDS };
            let code = self
                .output
                .progress("waiting for the mail", mails.code(&self.arguments.email, after, patience))
                .await
                .map_err(|failure| match (failure.code.as_str(), after) {
                    ("mail_missing", 1..) => failure.advise(format!(
                        "an address gets at most one mail a minute: wait that long and try again; if it has an account already, \
                         log in: `{}`",
                        context::command(&format!("login {}", self.arguments.email))
                    )),
                    _ => failure,
                })?;
            self.output.note(format!("The {what} code {code} was read from the development mailbox."));
            return Ok(SecretText::new(code));
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(format!("a {what} code was mailed to {}", self.arguments.email))
                .advise("give it on a file descriptor: --code-fd N"));
        }
        self.output.note(format!(
            "A six-digit code was mailed to {}. If the mail says that you already have an account, stop with Ctrl-C and log in.",
            self.arguments.email
        ));
        Ok(SecretText::new(ask_line("Code: ")?))
    }

    async fn tell(&self) -> Outcome {
        self.connection.chosen.remember()?;
        let client = self.connection.client.of(UserName::new(&self.arguments.email));
        let api = client.api();
        let me = self.output.progress("looking up the user", api.me()).await.map_err(trouble::api)?;
        if me.login_status == LoginStatus::RegisterRequired {
            api.register_app().await.map_err(trouble::api)?;
        }
        self.output.line(format!("{} logged in as {}", self.output.paint(Style::Green, "ok"), me.email));
        let enrolled = self.enrolled(me.login_status).await;
        self.output.result(&serde_json::json!({
            "user_id": me.user_id,
            "email": me.email,
            "login_status": status_word(me.login_status),
            "enrolled": enrolled.as_ref().ok(),
            "profile": self.connection.chosen.directory,
        }));
        let next = match enrolled {
            // The login stands; the enclave's part is what the next command asks again.
            Err(failure) => {
                self.output.note(format!("The wallet could not be looked at: {}.", failure.sentence));
                "status"
            }
            Ok(_) if me.login_status == LoginStatus::PinRequired => "wallet create",
            Ok(true) => "accounts",
            Ok(false) => "devices enrol",
        };
        self.output.line(format!("next: {}", context::command(next)));
        Ok(())
    }

    /// Whether this device may use the wallet, as the enclave says; false without a wallet.
    async fn enrolled(&self, status: LoginStatus) -> Outcome<bool> {
        let attested = self.connection.attest_telling(true).await?;
        if status == LoginStatus::PinRequired {
            return Ok(false);
        }
        Ok(devices::status(self.connection, &attested).await?.status.enrolled)
    }
}

/// The API's word.
const fn status_word(status: LoginStatus) -> &'static str {
    match status {
        LoginStatus::Complete => "complete",
        LoginStatus::PinRequired => "pin_required",
        LoginStatus::RegisterRequired => "register_required",
    }
}

/// Only what the server said about address and password is blamed on them.
fn refused(error: ApiError, email: &str) -> Failure {
    let is_refused = matches!(&error, ApiError::Problem(problem) if problem.code == REFUSED);
    let failure = trouble::api(error);
    if !is_refused {
        return failure;
    }
    failure.advise(format!(
        "check the address and try again; `{}` sets a new password, `--sign-up` makes a new user",
        context::command(&format!("login {email} --reset"))
    ))
}

/// What no mail server takes is said before a password is typed.
fn check_email(email: &str) -> Outcome {
    let is_address = email.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.is_empty()
            && !local.contains('@')
            && !domain.starts_with('.')
            && !domain.ends_with('.')
            && !email.chars().any(|c| c.is_whitespace() || c.is_control())
    });
    if is_address {
        Ok(())
    } else {
        Err(Failure::usage(format!("{email:?} is no e-mail address")).advise("write it like ada@example.org"))
    }
}

fn new_password(arguments: &LoginArgs) -> Outcome<SecretText> {
    secret::ask_new("New password: ", "password", "--password-fd", arguments.password_fd)
}

/// Asks for one line with echo.
///
/// # Errors
/// The terminal cannot be read.
pub(crate) fn ask_line(prompt: &str) -> Outcome<String> {
    let mut err = std::io::stderr();
    let _ = write!(err, "{prompt}");
    let _ = err.flush();
    let mut line = String::new();
    let read = std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::failed("terminal", format!("cannot read from the terminal: {error}")))?;
    if read == 0 {
        let _ = writeln!(err);
        return Err(secret::input_ended());
    }
    Ok(line.trim().to_owned())
}

/// Asks yes or no; without a terminal it is `no`.
///
/// # Errors
/// There is nobody to ask.
pub(crate) fn confirm(question: &str, usual: bool) -> Outcome<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Declined, "not_confirmed", "there is no terminal to ask for confirmation")
            .advise("give --yes to go on without asking"));
    }
    let answer = ask_line(&format!("{question} [{}] ", if usual { "Y/n" } else { "y/N" }))?;
    Ok(match answer.to_ascii_lowercase().as_str() {
        "" => usual,
        answer => matches!(answer, "y" | "yes"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_looked_at_before_a_password_is_asked_for() {
        for good in ["ada@example.org", "a.b+c@x", "ada@xn--bcher-kva.example"] {
            assert!(check_email(good).is_ok(), "{good}");
        }
        for bad in ["ada", "@example.org", "ada@", "a b@example.org", "ada@@example.org", "ada@example.org.", "ada@\n"]
        {
            assert!(check_email(bad).is_err(), "{bad:?}");
        }
    }
}
