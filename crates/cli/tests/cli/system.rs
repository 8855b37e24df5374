//! `pinseal up`: one at a time, clear about what is in its way, and no process left behind.

use std::net::TcpListener;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{UP, Up, Watch, code, command, get, json, open_to_this_test, run, run_with_secrets, text};

#[test]
fn a_second_run_and_a_busy_port_say_so_and_a_killed_supervisor_leaves_no_orphan() {
    let scratch = tempfile::tempdir().unwrap();
    let up = Up::start(scratch.path());

    let second = run(scratch.path(), &["up", "--port", "0"]);
    assert_eq!(code(&second), 1, "{}", text(&second));
    assert!(text(&second).contains("running already"), "{}", text(&second));

    let port = up.text("server").rsplit_once(':').unwrap().1.to_owned();
    let busy = run(scratch.path(), &["up", "--data", "elsewhere", "--port", &port]);
    assert_eq!(code(&busy), 1, "{}", text(&busy));
    assert!(text(&busy).contains(&format!("port {port}")) && text(&busy).contains("in use"), "{}", text(&busy));

    // The printed curl line, without curl.
    let headers = [("X-Pinseal-App-Id", up.text("app_id")), ("X-Pinseal-App-Key", up.text("app_key"))];
    let (status, body) = get(&format!("{}/v1/app/info", up.text("server")), &headers);
    assert_eq!(status, 200, "{body}");
    let info: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(info["app_id"], up.text("app_id"));
    let docs = get(&format!("{}/docs", up.text("server")), &[]).0;
    assert!(matches!(docs, 200 | 301..=308), "{docs}");
    assert_eq!(get(up.text("mailbox"), &[]).0, 200);

    assert_eq!(up.end(Signal::KILL), None);
}

#[test]
fn no_child_inherits_the_descriptor_of_the_passphrase() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("sealing");
    std::fs::write(&file, "correct horse battery\n").unwrap();
    let made = run_with_secrets(scratch.path(), &["init", "--passphrase-fd", "3"], "correct horse battery\n", "");
    assert_eq!(code(&made), 0, "{}", text(&made));
    assert!(text(&made).contains("up --data pinseal-data --passphrase-fd 3"), "{}", text(&made));
    let up = Up::start_with_passphrase(scratch.path(), &file);
    let holds = |pid: Pid| {
        let listed = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).unwrap();
        listed.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok()).any(|target| target == file)
    };
    assert!(holds(up.pid("supervisor")), "the test looks at the wrong thing");
    for name in ["host", "mail_catcher", "node"] {
        assert!(!holds(up.pid(name)), "{name} can read the passphrase");
    }
    assert_eq!(up.end(Signal::TERM), Some(0));
}

/// A TPM's device belongs to a group.
#[test]
fn a_child_of_another_user_has_that_users_groups_and_no_more() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let parent = std::process::id().to_string();
    let guard =
        ["guard", "--parent", &parent, "--uid", "65534", "--gid", "65533", "--group", "65533", "--group", "4321"];
    let shown = run(scratch.path(), &[&guard[..], &["--", "cat", "/proc/self/status"]].concat());
    assert_eq!(code(&shown), 0, "{}", text(&shown));
    let status = text(&shown);
    let line = |name: &str| {
        status
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .split_whitespace()
            .skip(1)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        (line("Uid:"), line("Gid:"), line("Groups:")),
        ("65534 65534 65534 65534".to_owned(), "65533 65533 65533 65533".to_owned(), "4321 65533".to_owned())
    );
    assert_eq!(line("CapEff:"), "0000000000000000");
}

/// A wallet made in another deployment's place is lost to its owner once the disk is back.
#[test]
fn in_the_place_of_a_deployment_that_is_lost_no_other_one_is_begun() {
    let scratch = tempfile::tempdir().unwrap();
    let up = Up::start(scratch.path());
    assert_eq!(up.ready["created"], true);
    assert_eq!(up.end(Signal::TERM), Some(0));
    let up = Up::start(scratch.path());
    assert_eq!(up.ready["created"], false);
    assert_eq!(up.end(Signal::TERM), Some(0));
    let data = scratch.path().join("pinseal-data");
    let before = std::fs::read(data.join("client.json")).unwrap();
    std::fs::rename(data.join("host"), scratch.path().join("lost")).unwrap();
    let refused = run(scratch.path(), UP);
    assert_eq!(code(&refused), 1, "{}", text(&refused));
    assert!(text(&refused).contains("not_initialised") && text(&refused).contains("disk"), "{}", text(&refused));
    assert!(!data.join("host").exists() && std::fs::read(data.join("client.json")).unwrap() == before);
    std::fs::rename(scratch.path().join("lost"), data.join("host")).unwrap();
    assert_eq!(Up::start(scratch.path()).end(Signal::TERM), Some(0));
    // The whole of it is gone, and the passphrase is given: that is how one runs that has users.
    std::fs::rename(&data, scratch.path().join("lost")).unwrap();
    let with_passphrase = [UP, &["--passphrase-fd", "3"]].concat();
    let refused = run_with_secrets(scratch.path(), &with_passphrase, "correct horse battery\n", "");
    assert!(code(&refused) == 1 && text(&refused).contains("pinseal init"), "{}", text(&refused));
    assert!(!data.exists());
}

#[test]
fn no_child_inherits_the_mail_servers_password() {
    let scratch = tempfile::tempdir().unwrap();
    let told = |arguments| {
        let mut told = command(scratch.path(), arguments);
        told.env("PINSEAL_SMTP", "smtp://user:hunter2-secret@127.0.0.1:9");
        told
    };
    // Where users are written to, no deployment is made by the way: the disk of theirs may be missing.
    let refused = told(UP).output().unwrap();
    assert_ne!(refused.status.code(), Some(0));
    for words in ["holds no deployment", "pinseal init", "whether its disk is there"] {
        assert!(text(&refused).contains(words), "{words:?} is not in {}", text(&refused));
    }
    assert!(!scratch.path().join("pinseal-data").exists(), "{}", text(&refused));
    let made = run(scratch.path(), &["init"]);
    assert_eq!(code(&made), 0, "{}", text(&made));
    let mut told = told(UP);
    open_to_this_test(&mut told);
    let up = Up::run(scratch.path(), told);
    let knows = |pid: Pid| {
        let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap();
        String::from_utf8_lossy(&environment).contains("hunter2-secret")
    };
    assert!(knows(up.pid("supervisor")), "the test looks at the wrong thing");
    for name in ["host", "node"] {
        assert!(!knows(up.pid(name)), "{name}");
    }
    assert_eq!(up.end(Signal::TERM), Some(0));
}

#[test]
fn what_anybody_may_ask_without_end_is_not_logged() {
    let scratch = tempfile::tempdir().unwrap();
    let up = Up::start(scratch.path());
    for (path, answer) in [("/v1/app/info", 401), ("/healthz", 200), ("/nowhere", 404)] {
        let (status, body) = get(&format!("{}{path}", up.text("server")), &[]);
        assert_eq!(status, answer, "{body}");
    }
    assert_eq!(up.end(Signal::TERM), Some(0));
    // All that the host said is there once the supervisor has ended.
    let log = std::fs::read_to_string(scratch.path().join("pinseal-data/logs/host.log")).unwrap();
    assert!(log.contains("/v1/app/info"), "{log}");
    assert!(!log.contains("/healthz") && !log.contains("unmatched"), "{log}");
}

#[test]
fn a_supervisor_that_is_stopped_keeps_nobody_from_being_served() {
    let scratch = tempfile::tempdir().unwrap();
    let up = Up::start(scratch.path());
    kill_process(up.pid("supervisor"), Signal::STOP).unwrap();
    let asked = format!("{}/v1/app/info", up.text("server"));
    // Lines of 200 bytes and more, and the pipe to the log holds 64 KiB.
    for _ in 0..450 {
        assert_eq!(get(&asked, &[]).0, 401);
    }
    kill_process(up.pid("supervisor"), Signal::CONT).unwrap();
    assert_eq!(up.end(Signal::TERM), Some(0));
    let log = std::fs::read_to_string(scratch.path().join("pinseal-data/logs/host.log")).unwrap();
    assert!(log.matches("/v1/app/info").count() > 100 && log.ends_with('\n'), "{} bytes", log.len());
}

#[test]
fn a_dead_enclave_is_started_again_with_its_host_and_ctrl_c_stops_everything() {
    let scratch = tempfile::tempdir().unwrap();
    let up = Up::start(scratch.path());
    let (app, ready) = (up.text("app_id").to_owned(), format!("{}/readyz", up.text("server")));
    let host = Watch::of(up.pid("host"));
    kill_process(up.pid("enclave"), Signal::KILL).unwrap();
    host.ended("host");
    // The supervisor keeps the port open: this connection waits for the next host.
    let (status, body) = get(&ready, &[]);
    assert_eq!(status, 200, "{body}");
    assert_eq!(up.end(Signal::INT), Some(0));

    // The same deployment again, under the same app; a terminal that goes away stops it too.
    let again = Up::start(scratch.path());
    assert_eq!(again.text("app_id"), app);
    assert_eq!(again.end(Signal::HUP), Some(0));
}

#[test]
fn a_wrong_passphrase_and_a_damaged_root_are_named_and_nothing_is_overwritten() {
    let scratch = tempfile::tempdir().unwrap();
    let made = json(&run(scratch.path(), &["init", "--json"]));
    assert_eq!(made["deployment"].as_str().map(str::len), Some(32));
    let again = run(scratch.path(), &["init"]);
    assert!(code(&again) == 1 && text(&again).contains("already"), "{}", text(&again));

    let data = scratch.path().join("pinseal-data");
    let root = std::fs::read(data.join("host/root.sealed")).unwrap();
    let up = |say: &str| {
        let output = command(scratch.path(), &["up", "--json", "--no-dev-node", "--port", "0", "--mailbox-port", "0"])
            .output()
            .unwrap();
        assert_eq!(code(&output), 1, "{}", text(&output));
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error["error"]["code"], say, "{error}");
    };
    let passphrase = std::fs::read(data.join("passphrase")).unwrap();
    std::fs::write(data.join("passphrase"), "another one\n").unwrap();
    up("wrong_passphrase");
    std::fs::write(data.join("passphrase"), passphrase).unwrap();
    std::fs::write(data.join("host/root.sealed"), &root[..root.len() / 2]).unwrap();
    up("root_damaged");
    assert_eq!(std::fs::read(data.join("host/root.sealed")).unwrap(), root[..root.len() / 2]);
}

#[test]
fn an_app_is_made_beside_a_serving_host_and_its_origin_is_enforced() {
    let scratch = tempfile::tempdir().unwrap();
    let up = Up::start(scratch.path());
    let made = json(&run(
        scratch.path(),
        &["app", "create", "--json", "--name", "Shop", "--origin", "https://shop.example.org", "--server"],
    ));
    let info = format!("{}/v1/app/info", up.text("server"));
    let ask = |key: &serde_json::Value, origin: Option<&str>| {
        let mut headers = vec![
            ("X-Pinseal-App-Id", made["app_id"].as_str().unwrap()),
            ("X-Pinseal-App-Key", key["app_key"].as_str().unwrap()),
        ];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        get(&info, &headers).0
    };
    let keys = made["keys"].as_array().unwrap();
    assert_eq!(ask(&keys[0], Some("https://shop.example.org")), 200);
    assert_eq!(ask(&keys[0], Some("https://evil.example.org")), 403);
    assert_eq!(ask(&keys[0], None), 403);
    assert_eq!(ask(&keys[1], None), 200);
    assert_eq!(ask(&keys[1], Some("https://shop.example.org")), 403);

    // Origins come and go while the host serves.
    let id = made["app_id"].as_str().unwrap();
    let more = "https://m.example.org";
    let added = json(&run(scratch.path(), &["app", "add", "--json", "--app", id, "--origin", more]));
    assert_eq!(ask(&added["keys"][0], Some(more)), 200);
    let listed = |word: &str| text(&run(scratch.path(), &["app", "list"])).contains(word);
    assert!(listed(id) && listed("Shop") && listed(more));
    assert_eq!(code(&run(scratch.path(), &["app", "remove", "--app", id, "--origin", more])), 0);
    assert_eq!(ask(&added["keys"][0], Some(more)), 401);
    assert!(!listed(more));
    for wrong in [
        ["app", "remove", "--app", id, "--origin", more],
        ["app", "add", "--app", "app_none", "--origin", more],
        ["app", "add", "--app", id, "--origin", "https://*.example.org"],
    ] {
        assert_eq!(code(&run(scratch.path(), &wrong)), 2, "{wrong:?}");
    }
    how_it_looks_is_the_operators_to_say(scratch.path(), id);
    let refused =
        run(scratch.path(), &["app", "create", "--name", "Shop", "--origin", "https://shop.example.org/path"]);
    assert_eq!(code(&refused), 2, "{}", text(&refused));
    assert_eq!(up.end(Signal::TERM), Some(0));
}

fn how_it_looks_is_the_operators_to_say(directory: &Path, id: &str) {
    let theme = |more: &[&str]| run(directory, &[&["app", "theme", "--json", "--app", id], more].concat());
    std::fs::write(directory.join("logo.png"), PICTURE).unwrap();
    std::fs::write(directory.join("logo.svg"), "<svg xmlns='http://www.w3.org/2000/svg'/>").unwrap();
    let shown = json(&theme(&["--name", "Corner Shop", "--accent", "#0A7D4F", "--logo", "logo.png"]));
    assert_eq!(shown["name"], "Corner Shop");
    assert_eq!(shown["theme"]["accent"]["light"], "#0a7d4f");
    assert_eq!(shown["theme"]["logo"], true);
    let listed = json(&run(directory, &["app", "list", "--json"]));
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.iter().find(|item| item["app_id"] == id).unwrap()["theme"], shown["theme"]);
    for (more, reason) in [
        (&["--accent", "#ffcc00"][..], "#806600 would do"),
        (&["--accent", "#0a7d4f", "--accent-dark", "#0a7d4f"], "dark ground"),
        (&["--accent", "green"], "a colour has the form #1d4ed8"),
        (&["--logo", "logo.svg"], "a logo is a PNG"),
        (&["--logo", "nothing.png"], "cannot read nothing.png"),
        (&["--name", ""], "an app's name"),
        (&[], "nothing is to be changed"),
    ] {
        let refused = theme(more);
        assert_eq!(code(&refused), 2, "{more:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(reason), "{more:?}: {}", text(&refused));
    }
    let nobody = run(directory, &["app", "theme", "--app", "app_none", "--name", "X"]);
    assert_eq!(code(&nobody), 2, "{}", text(&nobody));
    let plain = json(&theme(&["--no-accent", "--no-logo"]));
    assert_eq!(plain["theme"], serde_json::json!({ "accent": null, "logo": false }));
}

/// A PNG: 32 by 32 white pixels.
const PICTURE: &[u8] =
    b"\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x20\x00\x00\x00\x20\x01\x00\x00\x00\x00\x5b\x01\x47\x59\x00\x00\x00\x0f\x49\x44\x41\x54\x78\xda\x63\xf8\x0f\x04\x0c\x83\x97\x00\x00\xda\xe9\x7f\x81\x26\xf2\xfa\x63\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82";

#[test]
fn a_port_that_is_taken_is_noticed_before_anything_is_made() {
    let scratch = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(scratch.path(), &["up", "--port", &port]);
    assert_eq!(code(&output), 1, "{}", text(&output));
    assert!(text(&output).contains("--port"), "{}", text(&output));
    assert!(!scratch.path().join("pinseal-data/passphrase").exists());
}

#[cfg(feature = "fault-points")]
#[test]
fn a_creation_that_was_cut_off_is_finished_by_the_next_run() {
    for point in ["create.after_root:1", "create.after_genesis:1"] {
        let scratch = tempfile::tempdir().unwrap();
        let arguments = ["up", "--no-dev-node", "--port", "0", "--mailbox-port", "0"];
        let cut = command(scratch.path(), &arguments).env("PINSEAL_FAULT", point).output().unwrap();
        assert_eq!(code(&cut), 1, "{point}: {}", text(&cut));
        assert!(scratch.path().join("pinseal-data/host/root.sealed").exists(), "{point}");
        let root = std::fs::read(scratch.path().join("pinseal-data/host/root.sealed")).unwrap();

        let up = Up::start(scratch.path());
        let headers = [("X-Pinseal-App-Id", up.text("app_id")), ("X-Pinseal-App-Key", up.text("app_key"))];
        assert_eq!(get(&format!("{}/v1/app/info", up.text("server")), &headers).0, 200, "{point}");
        assert_eq!(up.end(Signal::TERM), Some(0));
        assert_eq!(std::fs::read(scratch.path().join("pinseal-data/host/root.sealed")).unwrap(), root, "{point}");
    }
}
