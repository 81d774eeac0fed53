//! `fdx config`, and settings from elsewhere than the command line.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{
    certificates::{Certificates, text},
    help::expect_at,
    program::{Ended, Program, command, run},
};

/// A folder with a file of settings.
struct Settings(TempDir);

impl Settings {
    fn new(toml: &str) -> Self {
        let settings = Self(TempDir::new().unwrap());
        fs::write(settings.path(), toml).unwrap();
        settings
    }

    fn path(&self) -> String {
        text(&self.0.path().join("fdx.toml")).to_owned()
    }

    async fn check(&self) -> Ended {
        run(&["config", "check", &self.path()], "").await
    }
}

/// Runs it with these variables.
async fn with_variables(args: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = command(args);
    command.envs(variables.iter().copied());
    Program::spawn(&mut command).end().await
}

#[tokio::test]
async fn the_page_on_configuration_is_what_config_doc_says() {
    let doc = run(&["config", "doc"], "").await;
    assert_eq!((doc.code, &*doc.stderr), (Some(0), ""));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    expect_at(&page, &doc.stdout);
}

#[tokio::test]
async fn a_flag_overrides_a_variable_and_that_the_file_and_that_the_default() {
    let file = Settings::new(
        "listen = 1\nplain = \"text\"\nhost = [\"a\", \"b\"]\nescape-html = true\n\
         [limits]\nframe = \"128KiB\"\nrooms = 3\n",
    );
    let path = file.path();
    let args = ["config", "dump", "--config", &path, "--listen", "3"];
    let variables = [
        ("FDX_LISTEN", "2"),
        ("FDX_PLAIN", "json"),
        ("FDX_ESCAPE_HTML", "false"),
    ];
    let dump = with_variables(&args, &variables).await;
    assert_eq!((dump.code, &*dump.stderr), (Some(0), ""));
    for (said, origin) in [
        ("listen = 3", "flag".to_owned()),
        ("plain = \"json\"", "FDX_PLAIN".to_owned()),
        ("host = [\"a\", \"b\"]", format!("{path}:3")),
        ("escape-html = false", "FDX_ESCAPE_HTML".to_owned()),
        ("limits.frame = \"128KiB\"", format!("{path}:6")),
        ("limits.rooms = 3", format!("{path}:7")),
        ("limits.connections = 10000", "default".to_owned()),
        ("timeouts.hello = \"10s\"", "default".to_owned()),
        ("memory = false", "default".to_owned()),
        ("# tls-cert is not set", "default".to_owned()),
    ] {
        let line = dump.stdout.lines().find(|line| line.starts_with(said));
        let line = line.unwrap_or_else(|| panic!("no {said} in {}", dump.stdout));
        assert!(line.ends_with(&format!(" # {origin}")), "{line}");
    }
}

#[tokio::test]
async fn what_dump_shows_is_a_file_that_says_the_same() {
    let args = [
        "config",
        "dump",
        "--log",
        "a\"b\\=file",
        "--csp",
        "--static",
        "tests",
    ];
    let first = run(&args, "").await;
    let file = Settings::new(&first.stdout);
    let second = run(&["config", "dump", "--config", &file.path()], "").await;
    let said = |text: &str| -> Vec<_> {
        let lines = text
            .lines()
            .map(|line| line.split(" # ").next().unwrap().trim_end());
        lines.map(str::to_owned).collect()
    };
    assert_eq!(second.stderr, "");
    assert_eq!(said(&second.stdout), said(&first.stdout));
    assert!(said(&first.stdout).len() > 40, "{}", first.stdout);
}

#[tokio::test]
async fn serve_does_what_the_file_says_and_flags_can_take_it_back() {
    let file = Settings::new(
        "plain = \"text\"\nmemory = true\nescape-html = true\nlisten = \"127.0.0.1:0\"\n",
    );
    let path = file.path();
    for (flags, answer) in [(&[][..], "1 &lt; 2"), (&["--escape-html=false"], "1 < 2")] {
        let program = Program::start(&[&["serve", "--config", &path], flags].concat());
        let url = program.listening().await;
        let mut lines = fullduplex::connect(&url.ws("/ws")).await.unwrap();
        let mut json = fullduplex::connect(&url.ws("/ws?mode=json")).await.unwrap();
        lines.send("1 < 2").await.unwrap();
        let message = json.recv().await.unwrap().unwrap();
        assert!(message.as_text().unwrap().contains(answer), "{message:?}");
    }
}

#[tokio::test]
async fn a_file_that_the_environment_names_is_read_and_what_it_forbids_is_not_done() {
    let file = Settings::new("memory = true\nlisten = 0\n[limits]\nconnections = 1\n");
    let mut serve = command(&["serve"]);
    serve.env("FDX_CONFIG", file.path());
    let program = Program::spawn(&mut serve);
    let url = program.listening().await;
    let _only = fullduplex::connect(&url.ws("/ws")).await.unwrap();
    assert!(fullduplex::connect(&url.ws("/ws")).await.is_err());
}

#[tokio::test]
async fn planted_mistakes_are_found_with_file_line_and_remedy() {
    let file = Settings::new(
        "# A file with a mistake in almost every line.\n\
         lisen = 8080\n\
         memory = \"yes\"\n\
         plain = \"xml\"\n\
         tls-cert = \"cert.pem\"\n\
         allow-origin = [\"https://a.example\", \"b.example\"]\n\
         listen = [1, 2]\n\
         keep = 0\n\
         data = 2026-11-21\n\
         \n\
         [limits]\n\
         connections = \"many\"\n\
         frame = \"64kB\"\n\
         conections = 5\n\
         [timeouts]\n\
         hello = \"1ms\"\n\
         write = \"soon\"\n\
         [limit]\n\
         rooms = 5\n",
    );
    let check = file.check().await;
    assert_eq!((check.code, &*check.stdout), (Some(2), ""));
    let expected = [
        "2: no setting is named lisen; did you mean listen?",
        "3: memory is true or false, and not a string",
        "7: listen can't be a list",
        "9: data can't be a date",
        "14: no setting is named limits.conections; did you mean limits.connections?",
        "18: no setting is named limit; did you mean limits?",
        "6: allow-origin can't be \"https://a.example, b.example\": an origin looks like https://example.com, or `any`",
        "8: keep can't be \"0\": write a number from 1 on",
        "12: limits.connections can't be \"many\": write a number from 1 to 1000000000",
        "13: limits.frame can't be \"64kB\": write a size from 1KiB to 1024GiB, such as 4096, 64KiB or 1MiB",
        "4: plain can't be \"xml\": write json or text",
        "16: timeouts.hello can't be \"1ms\": write a time from 10ms to 365d",
        "17: timeouts.write can't be \"soon\": write seconds, such as 20 or 0.5, or 500ms, 10s, 5m, 1h, 7d",
        "5: tls-cert needs tls-key, too",
    ];
    let mut expected: Vec<_> = expected
        .map(|line| format!("  {}:{line}", file.path()))
        .to_vec();
    let mut lines: Vec<_> = check.stderr.lines().map(str::to_owned).collect();
    assert_eq!(lines.remove(0), "fdx: 14 settings are wrong");
    assert!(lines.is_sorted_by_key(|line| {
        let number = line.split(':').nth(1).unwrap();
        number.parse::<usize>().unwrap()
    }));
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
    // Who serves with it is told the same.
    let serve = run(&["serve", "--config", &file.path()], "").await;
    assert_eq!((serve.code, serve.stderr), (Some(2), check.stderr));
}

#[tokio::test]
async fn contradictions_are_found_where_one_side_stands() {
    let certificates = Certificates::new();
    let (cert, other) = (certificates.cert(), Certificates::new());
    let folder = other.key();
    for (toml, line) in [
        (
            "memory = true\ndata = \"elsewhere\"\n",
            "2: the argument '--data <DIR>' cannot be used with '--memory' (see --help)".to_owned(),
        ),
        (
            "\nidle-timeout = 5\n",
            "2: --idle-timeout must be longer than --ping-interval, or no ping is ever sent"
                .to_owned(),
        ),
        (
            "limits.body = \"1MiB\"\n",
            "1: --limits.frame must be at least --limits.body, or no such body ever arrives"
                .to_owned(),
        ),
        (
            "[limits]\nunauthenticated = 100\nconnections = 100\n",
            "3: --limits.unauthenticated must be less than --limits.connections, or who has no token can hold them all"
                .to_owned(),
        ),
        (
            "listen = \":8080\"\n\nlog = [\"a=/x\"]\n",
            "2: anybody who reaches 0.0.0.0:8080 could read the logs; pass --logs-open if they may"
                .to_owned(),
        ),
        (
            &format!("tls-key = {folder:?}\ntls-cert = {cert:?}\n"),
            format!(
                "1: cannot use {} with {}: ",
                cert.display(),
                folder.display()
            ),
        ),
        (
            "# Nothing\nstatic = \"/nowhere/at/all\"\n",
            "2: cannot use /nowhere/at/all: ".to_owned(),
        ),
    ] {
        let file = Settings::new(toml);
        let check = file.check().await;
        let found = check.stderr.strip_prefix(&format!("fdx: {}", file.path()));
        let found = found.unwrap_or_else(|| panic!("{toml}: {}", check.stderr));
        let (said, place) = (line.split_once(": ").unwrap(), found.split_once(": "));
        let (_, text) = place.unwrap_or_default();
        assert!(text.starts_with(said.1), "{toml}: {found}");
        assert_eq!(check.code, Some(2), "{toml}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_toml_is_told_by_line_and_one_that_cannot_be_read_is_code_3() {
    let file = Settings::new("listen = 8080\nlisten = 8081\nplain text\n");
    let check = file.check().await;
    let path = file.path();
    assert_eq!(check.code, Some(2));
    for line in [2, 3] {
        let place = format!("{path}:{line}: this is not TOML: ");
        assert!(check.stderr.contains(&place), "{}", check.stderr);
    }
    let nowhere = format!("{path}.gone");
    for args in [
        &["config", "check", &nowhere][..],
        &["serve", "--config", &nowhere],
    ] {
        let ended = run(args, "").await;
        let beginning = format!("fdx: cannot read {nowhere}: ");
        assert!(ended.stderr.starts_with(&beginning), "{}", ended.stderr);
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(3), 1));
    }
}

#[tokio::test]
async fn a_good_file_and_good_variables_are_ok_and_a_slip_in_a_variable_is_not() {
    let file = Settings::new("listen = 8080\n[timeouts]\nhello = 5\n");
    let check = file.check().await;
    assert_eq!((check.code, &*check.stdout), (Some(0), "ok\n"));
    let args = ["config", "check"];
    for (variables, code, told) in [
        (&[("FDX_LIMITS_ROOMS", "7")][..], 0, ""),
        (
            &[("FDX_LIMITS_ROOM", "7")],
            2,
            "fdx: FDX_LIMITS_ROOM: no such setting; did you mean FDX_LIMITS_ROOMS?\n",
        ),
        (
            &[("FDX_LIMITS_ROOMS", "none")],
            2,
            "fdx: FDX_LIMITS_ROOMS: limits.rooms can't be \"none\": write a number from 1 to 1000000000\n",
        ),
    ] {
        let ended = with_variables(&args, variables).await;
        assert_eq!((ended.code, &*ended.stderr), (Some(code), told));
    }
}
