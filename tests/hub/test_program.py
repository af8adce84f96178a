# SPDX-License-Identifier: Apache-2.0
"""The operator's program: makes keys, checks, runs, says where, ends when it is told to."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from hub.cli import main
from hub.config import load_settings
from hub.service.signingkeys import open_keys, write_public
from tests.hub.process import ROOT, environment, prepare


def bare(folder: Path, *more: str) -> Path:
    """Write a demo configuration without keys and without a pinned root."""
    (folder / "passphrase").touch(mode=0o600)
    (folder / "passphrase").write_text("invented")
    config = folder / "hub.toml"
    lines = [
        "[hub]",
        'domain = "hub.example"',
        'data_dir = "data"',
        'profile = "demo"',
        "port = 0",
        "admin_port = 0",
        'passphrase_file = "passphrase"',
    ]
    config.write_text("\n".join([*lines, *more]) + "\n")
    return config


def test_init_makes_keys_once_and_says_what_to_pin(tmp_path: Path) -> None:
    config = bare(tmp_path)
    done = CliRunner().invoke(main, ["init", "--config", str(config)])
    assert done.exit_code == 0, done.output
    public = json.loads((tmp_path / "data" / "hub-public.json").read_text())
    assert public["directory"]["origin"] == "hub.example/directory"
    assert public["audit"]["key"] != public["directory"]["key"]
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"hub-public.json", "signing-keys.sealed"}
    again = CliRunner().invoke(main, ["init", "--config", str(config)])
    assert again.exit_code == 3
    assert "has signing keys already" in again.stderr


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        (lambda folder: None, 3, "hub.root_fingerprint is not set"),
        (lambda folder: (folder / "hub.toml").unlink(), 3, "cannot be read"),
        (lambda folder: (folder / "hub.toml").write_text("[hub]\nprot = 1"), 3, "did you mean hub.port?"),
        (lambda folder: (folder / "passphrase").write_text("other"), 8, "wrong passphrase"),
        (lambda folder: (folder / "passphrase").chmod(0o644), 3, "chmod 600"),
        (lambda folder: (folder / "data" / "signing-keys.sealed").unlink(), 8, "next:  throughcare-hub init --config"),
        (
            lambda folder: (
                (folder / "data" / "signing-keys.sealed").unlink(),
                (folder / "data" / "hub.guard").touch(mode=0o600),
            ),
            8,
            "next:  put the keys back from a copy",
        ),
    ],
)
def test_dir_4_run_refuses_to_start_with_one_sentence_and_a_code(
    tmp_path: Path, change: object, code: int, told: str
) -> None:
    config = bare(tmp_path)
    CliRunner().invoke(main, ["init", "--config", str(config)])
    assert callable(change)
    change(tmp_path)
    done = CliRunner().invoke(main, ["run", "--config", str(config)])
    assert done.exit_code == code, done.output
    assert told in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_key_6_the_hubs_keys_are_put_under_a_new_passphrase_and_stay_the_same_keys(tmp_path: Path) -> None:
    config, keys = bare(tmp_path), tmp_path / "data" / "signing-keys.sealed"
    type_ = CliRunner().invoke
    type_(main, ["init", "--config", str(config)])
    public, sealed = (tmp_path / "data" / "hub-public.json").read_bytes(), keys.read_bytes()
    command = ["change-passphrase", "--config", str(config)]
    new = tmp_path / "new"
    new.touch(mode=0o600)
    for text, code, told in (
        ("", 3, "holds no passphrase"),
        ("two\nlines", 3, "more than one line"),
        ("invented\n", 2, "The new passphrase is the old one"),
    ):
        new.write_text(text)
        refused = type_(main, [*command, "--new-passphrase-file", str(new)])
        assert (refused.exit_code, told in refused.stderr) == (code, True), refused.output
    nobody = type_(main, command)
    assert (nobody.exit_code, "--new-passphrase-file FILE" in nobody.stderr) == (3, True)
    (tmp_path / "passphrase").write_text("wrong")
    new.write_text("another one")
    wrong = type_(main, [*command, "--new-passphrase-file", str(new)])
    assert (wrong.exit_code, "check hub.passphrase_file" in wrong.stderr) == (8, True)
    assert keys.read_bytes() == sealed
    (tmp_path / "passphrase").write_text("invented")
    for state in ("open under the new passphrase only", "were under the new passphrase already"):
        done = type_(main, [*command, "--new-passphrase-file", str(new)])
        assert (done.exit_code, state in done.stdout) == (0, True), done.output
        assert "Backups that were made before" in done.stderr
    assert type_(main, ["check", "--config", str(config)]).exit_code == 8
    new.replace(tmp_path / "passphrase")
    fed = type_(main, command, input="a third one\n")
    assert fed.exit_code == 0, fed.output
    (tmp_path / "passphrase").write_text("a third one")
    write_public(load_settings(config, {}).settings, open_keys(load_settings(config, {}).settings))
    assert (tmp_path / "data" / "hub-public.json").read_bytes() == public
    config.write_text(config.read_text().replace("passphrase_file =", "credentials_directory ="))
    given = type_(main, command, input="a fourth one\n")
    assert (given.exit_code, "under no passphrase" in given.stderr) == (3, True)


def test_check_names_what_is_missing(tmp_path: Path) -> None:
    config = bare(tmp_path)
    CliRunner().invoke(main, ["init", "--config", str(config)])
    done = CliRunner().invoke(main, ["check", "--config", str(config)])
    assert done.exit_code == 3, "a hub that could not run is not in order"
    assert "hub.root_fingerprint is not set" in done.stderr
    assert "no database yet" in done.stdout
    assert "in order" not in done.stdout
    with config.open("a") as more:
        more.write(f'root_fingerprint = "{"0" * 64}"\n')
    done = CliRunner().invoke(main, ["check", "--config", str(config)])
    assert done.exit_code == 0, "a hub that never ran has nothing that could be damaged"
    assert "no database yet" in done.stdout
    assert "in order" in done.stdout


def test_init_makes_no_new_keys_over_a_hub_that_has_signed(tmp_path: Path) -> None:
    config = bare(tmp_path)
    CliRunner().invoke(main, ["init", "--config", str(config)])
    keys = tmp_path / "data" / "signing-keys.sealed"
    for name in ("hub.db", "hub.guard"):
        (tmp_path / "data" / name).touch()
        keys.unlink(missing_ok=True)
        done = CliRunner().invoke(main, ["init", "--config", str(config)])
        assert done.exit_code == 3
        assert "Restore its signing keys" in done.stderr
        assert not keys.exists()
        (tmp_path / "data" / name).unlink()


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_damaged_database_is_told_in_one_sentence(tmp_path: Path, command: str) -> None:
    config, _ = prepare(tmp_path)
    (tmp_path / "data" / "hub.db").write_bytes(b"no database at all" * 1_000)
    done = CliRunner().invoke(main, [command, "--config", str(config)])
    assert done.exit_code == 8, done.output
    assert "`throughcare-hub restore`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_data_directory_is_told_with_what_to_do(tmp_path: Path) -> None:
    config, _ = prepare(tmp_path)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    for command in ("run", "check"):
        done = CliRunner().invoke(main, [command, "--config", str(config)])
        assert done.exit_code in (3, 8), done.output
        assert "Internal error" not in done.stderr


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_run_says_where_it_serves_answers_health_checks_and_ends_on_sigterm(tmp_path: Path) -> None:
    config, _ = prepare(tmp_path)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hub",
        "run",
        "--config",
        str(config),
        "--ready-json",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            said = json.loads(await process.stdout.readline())
        assert said.keys() == {"url", "admin_url"}
        assert all(url.startswith("http://localhost:") for url in said.values())
        assert (await get(f"{said['url']}/v1/hub"))[0] == 200
        for path in ("livez", "startupz", "readyz"):
            status, text = await get(f"{said['admin_url']}/{path}")
            assert (status, set(json.loads(text).values())) == (200, {True}), text
        status, text = await get(f"{said['admin_url']}/metrics")
        assert "throughcare_request_duration_seconds" in text
        assert (await get(f"{said['url']}/metrics"))[0] == 404
        second = await asyncio.to_thread(_second, config)
        assert second == 3
        public = json.loads((tmp_path / "data" / "hub-public.json").read_text())
        assert public["url"] == said["url"]
    finally:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(15):
            rest, errors = await process.communicate()
    assert process.returncode == 130, "Ctrl-C; by SIGTERM it is 0 (tests/test_supervised.py)"
    assert rest == b""
    events = [json.loads(line)["event"] for line in errors.decode().splitlines()]
    assert events[0] == "starting"
    assert events[-2:] == ["stopping", "stopped"]
    checked = await asyncio.to_thread(CliRunner().invoke, main, ["check", "--config", str(config)])
    assert checked.exit_code == 0, checked.output
    assert "hub.example/audit: 0 leaves, and all that belongs to them, sound" in checked.stdout


def _second(config: Path) -> int:
    """Start a second hub on the same folder; it must be refused."""
    done = subprocess.run(
        [sys.executable, "-m", "hub", "run", "--config", str(config)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment(),
        timeout=30,
    )
    assert "Another hub process" in done.stderr
    return done.returncode


def test_the_help_says_what_a_hub_cannot_do() -> None:
    done = CliRunner().invoke(main, ["--help"])
    assert done.exit_code == 0
    assert "can open nothing" in " ".join(done.output.split())
