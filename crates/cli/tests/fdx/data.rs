//! What is in the data folder: restarts, backups, exports, and what can be wrong with it.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    certificates::text,
    program::{self, Program, run, soon},
    v1::V1,
};

async fn serve(folder: &Path) -> (Program, program::Url) {
    Program::listen(&["serve", "--data", text(folder)]).await
}

async fn stop(server: Program) {
    server.terminate();
    assert_eq!(server.end().await.code, Some(0));
}

fn send(cid: &str) -> Value {
    json!({"op": "send", "room": "general", "cid": cid, "body": cid})
}

#[tokio::test]
async fn after_a_restart_everybody_goes_on_where_they_were() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("not there yet");
    let (server, url) = serve(&data).await;
    let mut ana = V1::connect(&url, "Ana").await.unwrap();
    let join = json!({"op": "join", "room": "general"});
    let joined = ana.ok(join).await;
    let first = ana.ok(send("one")).await;
    let cursor = ana.ok(json!({"op": "join", "room": "general"})).await["cursor"].clone();
    let mut plain = fullduplex::connect(&url.ws("/ws")).await.unwrap();
    plain
        .send(r#"{"email":"b@x","username":"Bo","message":"two"}"#)
        .await
        .unwrap();
    soon("its own message", plain.recv()).await.unwrap();
    stop(server).await;

    let (server, url) = serve(&data).await;
    let mut ana = V1::connect(&url, "Ana").await.unwrap();
    let back = json!({"op": "join", "room": "general", "since": cursor});
    let back = ana.ok(back).await;
    assert_eq!(
        (&back["resume"], &back["epoch"]),
        (&json!("ok"), &joined["epoch"])
    );
    let msg = ana.msg().await;
    assert_eq!((&msg["body"], &msg["prev"]), (&json!("two"), &first["seq"]));
    let again = ana.ok(send("one")).await;
    assert_eq!(
        (&again["seq"], &again["dup"]),
        (&first["seq"], &json!(true))
    );
    // The tutorials' clients see it, too.
    let mut plain = fullduplex::connect(&url.ws("/ws?history=5")).await.unwrap();
    let mut lines = fullduplex::connect(&url.ws("/ws?mode=text&history=5"))
        .await
        .unwrap();
    for message in [
        r#"{"email":"","username":"Ana","message":"one"}"#,
        r#"{"email":"b@x","username":"Bo","message":"two"}"#,
    ] {
        let got = soon("history", plain.recv()).await.unwrap().unwrap();
        assert_eq!(got.as_text(), Some(message));
    }
    let got = soon("history", lines.recv()).await.unwrap().unwrap();
    assert_eq!(got.as_text(), Some("Ana: one\nBo: two"));
    stop(server).await;
}

#[tokio::test]
async fn in_memory_a_restart_begins_another_history() {
    let mut epochs = Vec::new();
    for _ in 0..2 {
        let (_server, url) = Program::listen(&["serve"]).await;
        let mut ana = V1::connect(&url, "Ana").await.unwrap();
        let join = json!({"op": "join", "room": "general", "since": "zz.1.AAAAAA"});
        let joined = ana.ok(join).await;
        assert_eq!(
            (&joined["resume"], &joined["reason"]),
            (&json!("reset"), &json!("epoch"))
        );
        epochs.push(joined["epoch"].clone());
    }
    assert_ne!(epochs[0], epochs[1]);
}

#[tokio::test]
async fn a_backup_and_an_export_are_made_while_it_runs() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let (server, url) = serve(&data).await;
    let mut ana = V1::connect(&url, "Ana").await.unwrap();
    let epoch = ana.ok(json!({"op": "join", "room": "general"})).await["epoch"].clone();
    let mut messages = Vec::new();
    for cid in ["one", "two", "three"] {
        ana.ok(send(cid)).await;
    }
    ana.send(&json!({"op": "leave", "room": "general"}))
        .await
        .unwrap();
    ana.ok(json!({"op": "join", "room": "general"})).await;
    for _ in 0..3 {
        messages.push(ana.msg().await);
    }
    let export = ["export", "--data", text(&data), "--room", "general"];
    let exported = run(&export, "").await;
    assert_eq!((exported.code, &*exported.stderr), (Some(0), ""));
    let lines = exported
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    assert_eq!(lines.collect::<Vec<Value>>(), messages);

    let copy = folder.path().join("copy.db");
    let backup = ["backup", "--data", text(&data), text(&copy)];
    let backed_up = run(&backup, "").await;
    assert_eq!((backed_up.code, &*backed_up.stderr), (Some(0), ""));
    let again = run(&backup, "").await;
    assert_eq!(again.code, Some(3));
    assert!(
        again
            .stderr
            .ends_with("copy.db: it is there already, and nothing is replaced\n"),
        "{}",
        again.stderr
    );
    let checked = run(&["check", text(&copy)], "").await;
    assert_eq!(
        (checked.code, &*checked.stdout),
        (Some(0), "no damage was found\n")
    );
    ana.ok(send("four")).await;
    stop(server).await;

    let restored = folder.path().join("restored");
    fs::create_dir(&restored).unwrap();
    fs::rename(copy, restored.join("hub.db")).unwrap();
    let (server, url) = serve(&restored).await;
    let mut ana = V1::connect(&url, "Ana").await.unwrap();
    let join = json!({"op": "join", "room": "general"});
    let joined = ana.ok(join).await;
    assert_ne!(joined["epoch"], epoch);
    for message in messages {
        assert_eq!(ana.msg().await, message);
    }
    assert_eq!(ana.ok(send("one")).await["dup"], true);
    stop(server).await;
}

/// What is said of a folder that can't be used: one line, and code 3.
async fn refused(folder: &Path) -> String {
    let ended = run(
        &["serve", "--listen", "127.0.0.1:0", "--data", text(folder)],
        "",
    )
    .await;
    assert_eq!(
        (ended.code, ended.stderr.lines().count()),
        (Some(3), 1),
        "{}",
        ended.stderr
    );
    let remedies = "(--data DIR keeps rooms elsewhere, --memory nowhere)\n";
    assert!(ended.stderr.ends_with(remedies), "{}", ended.stderr);
    ended.stderr
}

#[tokio::test]
async fn what_is_wrong_with_a_data_folder_is_one_line_and_code_3() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let (server, _url) = serve(&data).await;
    assert!(
        refused(&data)
            .await
            .contains("another server uses this data folder")
    );
    stop(server).await;

    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let why = refused(&path).await;
        assert!(why.contains(text(&path)), "{why}");
        assert!(
            why.contains("there is a file where a folder is needed"),
            "{why}"
        );
    }

    fs::write(
        data.join("hub.db"),
        "no database, but long enough to be looked at".repeat(100),
    )
    .unwrap();
    assert!(
        refused(&data)
            .await
            .contains("not a database of this program")
    );

    let nothing = folder.path().join("nothing");
    for command in [
        &["export", "--room", "general", "--data", text(&nothing)][..],
        &["backup", "--data", text(&nothing), text(&file)],
    ] {
        let ended = run(command, "").await;
        assert_eq!(ended.code, Some(3));
        assert!(
            ended
                .stderr
                .ends_with("there is no database here; --data names another folder\n"),
            "{}",
            ended.stderr
        );
        assert!(!nothing.exists());
    }
}

#[tokio::test]
async fn where_rooms_are_kept_is_said_before_it_listens() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let (server, _url) = serve(&data).await;
    let told = format!("rooms are kept in {}\n", data.display());
    assert_eq!(server.told(|text| !text.is_empty()).await, told);
    stop(server).await;
    let (server, _url) = Program::listen(&["serve"]).await;
    let told = "rooms are in memory only: what was said is lost when this ends\n";
    assert_eq!(server.told(|text| !text.is_empty()).await, told);
    stop(server).await;
}

#[tokio::test]
async fn s35_a_damaged_database_is_refused_with_the_commands_that_help() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let (server, url) = serve(&data).await;
    let mut ana = V1::connect(&url, "Ana").await.unwrap();
    let epoch = ana.ok(json!({"op": "join", "room": "general"})).await["epoch"].clone();
    for n in 0..100 {
        let cid = format!("{n} {}", "x".repeat(60));
        ana.ok(json!({"op": "send", "room": "general", "cid": cid, "body": "x".repeat(1_000)}))
            .await;
    }
    stop(server).await;
    let data = text(&data);
    let checked = run(&["check", "--data", data], "").await;
    assert_eq!(
        (checked.code, &*checked.stdout),
        (Some(0), "no damage was found\n")
    );

    // A page of messages: none of the first, which have the tables.
    let file = folder.path().join("data/hub.db");
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.len() / 4096 / 2 * 4096;
    bytes[at..at + 4096].fill(0x5a);
    fs::write(&file, bytes).unwrap();
    let why = refused(folder.path().join("data").as_path()).await;
    assert!(why.contains("`fdx recover`; `fdx check`"), "{why}");
    let checked = run(&["check", "--data", data], "").await;
    assert_eq!(checked.code, Some(1), "{}", checked.stderr);
    assert!(checked.stderr.lines().count() > 1, "{}", checked.stderr);
    let copy = folder.path().join("copy.db");
    let backed_up = run(&["backup", "--data", data, text(&copy)], "").await;
    assert_eq!(backed_up.code, Some(3), "{}", backed_up.stderr);
    let blamed = format!("fdx: {}: the database is damaged (", text(&file));
    assert!(
        backed_up.stderr.starts_with(&blamed),
        "{}",
        backed_up.stderr
    );
    let exported = run(&["export", "--data", data, "--room", "general"], "").await;
    let lines = exported.stdout.lines().count();
    assert_eq!(exported.code, Some(1), "{}", exported.stderr);
    assert!(
        exported.stderr.contains("events can't be read"),
        "{}",
        exported.stderr
    );

    let saved = folder.path().join("saved");
    fs::create_dir(&saved).unwrap();
    let file = saved.join("hub.db");
    let recovered = run(&["recover", "--data", data, text(&file)], "").await;
    assert_eq!(recovered.code, Some(1), "{}", recovered.stderr);
    assert_eq!(recovered.stdout, format!("{lines} events were saved\n"));
    let (server, url) = serve(&saved).await;
    let mut ana = V1::connect(&url, "Ana").await.unwrap();
    let joined = ana.ok(json!({"op": "join", "room": "general"})).await;
    assert_ne!(joined["epoch"], epoch);
    assert!(ana.msg().await["body"].as_str().unwrap().starts_with("xxx"));
    stop(server).await;
}

#[tokio::test]
async fn the_default_folder_is_the_users_own() {
    let home = TempDir::new().unwrap();
    let mut command = program::command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("XDG_DATA_HOME", "").env("HOME", home.path());
    let server = Program::spawn(&mut command);
    server.listening().await;
    let data = home.path().join(".local/share/fullduplex");
    assert!(data.join("hub.db").exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(data).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "nobody else looks into it");
    }
    stop(server).await;
    let mut command = program::command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env_remove("XDG_DATA_HOME").env_remove("HOME");
    let ended = Program::spawn(&mut command).end().await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("pass --data"), "{}", ended.stderr);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_reads_what_was_said() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    // One that was there before, where everybody may look.
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let (server, url) = serve(&data).await;
    let mut ana = V1::connect(&url, "Ana").await.unwrap();
    ana.ok(json!({"op": "join", "room": "general"})).await;
    ana.ok(send("one")).await;
    let copy = data.join("copy.db");
    let backup = ["backup", "--data", text(&data), text(&copy)];
    assert_eq!(run(&backup, "").await.code, Some(0));
    for file in ["hub.db", "hub.db-wal", "hub.db-shm", "copy.db"] {
        let mode = fs::metadata(data.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    stop(server).await;
}

#[tokio::test]
async fn of_each_room_as_much_is_kept_as_the_first_rule_for_it_says() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("fdx.toml");
    let rules = r#"keep-room = ["a=b=2", "team-*=4/30", "team-long=1000"]"#;
    fs::write(&config, rules).unwrap();
    let data = folder.path().join("data");
    let serve = ["serve", "--config", text(&config), "--data", text(&data)];
    let (server, url) = Program::listen(&serve).await;
    let mut ana = V1::connect(&url, "Ana").await.unwrap();
    for (room, most) in [("a=b", 3), ("team-long", 5), ("general", 10)] {
        let join = json!({"op": "join", "room": room, "backlog": 0});
        ana.ok(join.clone()).await;
        for n in 0..10 {
            let cid = format!("{room} {n}");
            ana.ok(json!({"op": "send", "room": room, "cid": cid, "body": "x"}))
                .await;
        }
        let history = json!({"op": "history", "room": room, "limit": 100});
        let dropped = async {
            loop {
                let events = ana.ok(history.clone()).await["events"].take();
                let kept = events.as_array().unwrap().len();
                // A rule lets some more pass before it drops, which is done behind the answers.
                if kept <= most {
                    return kept;
                }
            }
        };
        let kept = soon("what is too much to be dropped", dropped).await;
        assert!(room != "general" || kept == 10, "{kept}");
    }
    stop(server).await;
}

#[tokio::test]
async fn to_keep_nothing_is_no_choice() {
    let folder = TempDir::new().unwrap();
    let data = text(folder.path());
    let bad_rooms = ["general", "=5", "general=0", "general=5/0", "general=x"];
    let bad_rooms = bad_rooms.map(|value| ("--keep-room", value));
    for (keep, value) in [("--keep", "0"), ("--keep-days", "0")]
        .into_iter()
        .chain(bad_rooms)
    {
        let serve = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data",
            data,
            keep,
            value,
        ];
        let ended = run(&serve, "").await;
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(keep), "{}", ended.stderr);
    }
    assert!(!folder.path().join("hub.db").exists());
}

/// Goal: with a disk that takes no more, sends are refused, reads go on, and all is well again when it does.
/// Method: a limit for the size of files, which everybody may set, and lift again.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn s33_what_a_full_disk_does_not_take_is_refused_until_it_does() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    // Blocks of 512 bytes. The signal that comes with the limit would end the program; a full disk sends none.
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -S -f 1500; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_fdx"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data", text(&data)]);
    let server = Program::spawn(&mut limited.into());
    let url = server.listening().await;
    let mut ana = V1::connect(&url, "Ana").await.unwrap();
    ana.ok(json!({"op": "join", "room": "general"})).await;
    let send = |n: usize| json!({"op": "send", "room": "general", "cid": format!("c{n}"), "body": "x".repeat(10_000), "id": 1});
    let mut stored = 0;
    let refused = loop {
        ana.send(&send(stored)).await.unwrap();
        let reply = ana.reply().await.unwrap();
        if reply["ok"].is_null() {
            break reply;
        }
        stored += 1;
    };
    assert!(stored > 0, "{refused}");
    assert_eq!(refused["err"]["code"], "unavailable", "{refused}");
    let mut other = V1::connect(&url, "Bo").await.unwrap();
    other
        .ok(json!({"op": "join", "room": "general", "since": null}))
        .await;
    assert!(other.msg().await["body"].is_string(), "reads go on");

    let pid = server.pid().to_string();
    let lifted = Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited:"])
        .status();
    assert!(lifted.unwrap().success());
    let again = ana.ok(send(stored)).await;
    assert_eq!(again["dup"], false, "{again}");
    stop(server).await;
}

/// Goal: what is acknowledged is on disk, which a killed process alone can't tell.
/// Method: the calls of the system, in their order, as `strace` sees them.
#[tokio::test]
async fn s32_a_message_is_synced_before_anybody_hears_of_it() {
    let folder = TempDir::new().unwrap();
    let (data, trace) = (folder.path().join("data"), folder.path().join("trace"));
    let mut command =
        program::command(&["serve", "--listen", "127.0.0.1:0", "--data", text(&data)]);
    let fdx = command.as_std();
    let mut traced = Command::new("strace");
    traced
        .args([
            "-f",
            "-y",
            "-s",
            "100000",
            "-e",
            "trace=pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg",
            "-o",
        ])
        .arg(&trace)
        .arg(fdx.get_program())
        .args(fdx.get_args());
    if !Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .status()
        .is_ok_and(|s| s.success())
    {
        program::not_tested("syncs before acknowledgements: strace is not there, or not allowed");
        return;
    }
    command = traced.into();
    let server = Program::spawn(&mut command);
    let url = server.listening().await;
    let mut ana = V1::connect(&url, "Ana").await.unwrap();
    ana.ok(json!({"op": "join", "room": "general"})).await;
    let texts = ["said-first", "said-second", "said-third"];
    for cid in texts {
        ana.ok(send(cid)).await;
    }
    drop(ana);
    // strace passes it on.
    let children =
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid())).unwrap();
    let child = children.trim().parse().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(child).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    server.end().await;

    let calls = fs::read_to_string(trace).unwrap();
    let calls: Vec<_> = calls.lines().collect();
    for said in texts {
        let at = |what: &str, from: usize, is: &dyn Fn(&str) -> bool| {
            let found = calls[from..].iter().position(|call| is(call));
            from + found.unwrap_or_else(|| panic!("no {what} of {said}"))
        };
        let written = at("row", 0, &|call| {
            call.contains("pwrite64(") && call.contains("hub.db-wal>") && call.contains(said)
        });
        let synced = at("sync", written, &|call| {
            call.contains("sync(") && call.contains("hub.db-wal>")
        });
        // It may take so long that other threads' calls stand between its beginning and its end.
        let thread = calls[synced].split(' ').next().unwrap();
        let synced = if calls[synced].contains("<unfinished") {
            at("end of the sync", synced, &|call| {
                call.starts_with(thread) && call.contains("sync resumed")
            })
        } else {
            synced
        };
        assert!(calls[synced].ends_with("= 0"), "{}", calls[synced]);
        let told = at("delivery", 0, &|call| {
            (call.contains("TCP") || call.contains("socket:")) && call.contains(said)
        });
        assert!(synced < told, "{said} is delivered before it is on disk");
    }
}
