"""What docs/how-to/client-certificates.md tells callers to write runs as it is written, with the certificate of now.

A program in the page is a piece of a caller's own; what is around it here makes the call, and finds this machine.
"""

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attack.test_documented_callers import Mounted, callers, proxy
from tests.embedded.running import ENVIRONMENT, ROOT, Up

PAGE = (ROOT / "docs" / "how-to" / "client-certificates.md").read_text()
BOTS = ("one-bot", "one-bot-1")
PATIENCE_S = 300.0

GO = """package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
%s
	// Not every system resolves names under localhost.
	client.Transport.(*http.Transport).DialContext = func(_ context.Context, _, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return net.Dial("tcp", "127.0.0.1:"+port)
	}
	url, err := os.ReadFile("/credentials/url")
	if err != nil {
		log.Fatal(err)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		body := strings.NewReader(`{"model": "minilm", "input": "` + lines.Text() + `"}`)
		answer, err := client.Post(strings.TrimSpace(string(url))+"/v1/embeddings", "application/json", body)
		if err != nil {
			log.Fatal(err)
		}
		answer.Body.Close()
		fmt.Println(answer.StatusCode)
		// As when the connection has been idle for a minute.
		client.CloseIdleConnections()
	}
}
"""
JAVA = """
import java.net.URI;
import java.nio.file.*;
import javax.net.ssl.HttpsURLConnection;

public class App {
    public static void main(String[] arguments) throws Exception {
        String url = Files.readString(Path.of("/credentials/url")).trim() + "/v1/embeddings";
        HttpsURLConnection call = (HttpsURLConnection) URI.create(url).toURL().openConnection();
        call.setDoOutput(true);
        call.setRequestProperty("Content-Type", "application/json");
        call.getOutputStream().write("{\\"model\\": \\"minilm\\", \\"input\\": \\"A cat sleeps.\\"}".getBytes());
        System.out.println(call.getResponseCode());
    }
}
"""


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
async def up(lasting: Callable[..., Up], tiny: Path, logs: Path) -> Up:
    spec = {
        "model": {"source": {"path": str(tiny)}},
        "scaling": {"idleAfter": "10m"},
        "access": {"mtls": {}},
        "runtime": {"args": ["--access-log", str(logs / "one.log"), "--log-headers"]},
    }
    objects = [{"kind": "InferenceEndpoint", "metadata": {"name": "one"}, "spec": spec}]
    for name in BOTS:
        bot = {"endpoints": [{"name": "one"}], "certificate": {}}
        objects.append({"kind": "InferenceClient", "metadata": {"name": name}, "spec": bot})
    shared = {"apiVersion": "nightlatch.dev/v1alpha1"}
    up = lasting("---\n".join(json.dumps({**shared, **each}) + "\n" for each in objects))
    await up.started()
    await up.until("one to be Ready", lambda: up.is_ready("one"))
    for name in BOTS:
        await up.until(f"the certificate of {name}", (up.files(name) / "tls.key").exists)
    return up


def block(language: str, mark: str) -> str:
    """The block of the page in this language that has this text in it."""
    (found,) = [each for each in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if mark in each]
    return found


class Folder:
    """Where a program runs, and the Secret that is mounted there."""

    def __init__(self, folder: Path, address: str) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._credentials = folder / "credentials"
        self._credentials.mkdir()
        self.mounted = Mounted(self._credentials)
        options = dict(zip(("Host", "Port"), address.removeprefix("http://").split(":"), strict=True))
        java = " ".join(f"-Dhttps.proxy{name}={value}" for name, value in options.items())
        proxied = {"HTTPS_PROXY": address, "https_proxy": address, "JAVA_TOOL_OPTIONS": java}
        self._environment = {**os.environ, **ENVIRONMENT, **proxied}

    def write(self, name: str, text: str) -> None:
        text = text.replace("/credentials", str(self._credentials)).replace("minilm", "one")
        (self._folder / name).write_text(text)

    async def start(self, *command: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *command, cwd=self._folder, env=self._environment, stdin=pipe, stdout=pipe, stderr=pipe
        )

    async def run(self, *command: str) -> str:
        """To its end; what it printed."""
        process = await self.start(*command)
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode == 0, err.decode()
        return out.decode()


def needs(*programs: str) -> None:
    """Skip, loudly, where one of them is missing."""
    missing = [each for each in programs if not shutil.which(each)]
    if missing:
        pytest.skip(f"there is no {', '.join(missing)}")


async def called(up: Up, logs: Path, before: int) -> None:
    """Each client once, in this order, since so many calls."""
    await up.until("both lines", lambda: len(callers(logs)) >= before + 2)
    assert callers(logs)[before:] == [f"default/{name}" for name in BOTS]


def curl(folder: Folder) -> list[str]:
    folder.write("caller.sh", block("sh", "curl --fail"))
    return ["sh", "-e", "caller.sh"]


def python(folder: Folder) -> list[str]:
    folder.write("caller.py", block("python", "load_cert_chain") + "answer.raise_for_status()\n")
    return [sys.executable, "caller.py"]


def java(folder: Folder) -> list[str]:
    """Keystores as the page makes them, and Java started with them."""
    folder.write("App.java", JAVA)
    folder.write("caller.sh", block("sh", "keytool").replace("-jar app.jar", "App.java"))
    return ["sh", "-e", "caller.sh"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("program", "needed"),
    [(curl, ("curl",)), (python, ()), (java, ("java", "keytool", "openssl"))],
    ids=["curl", "python", "java"],
)
async def test_a_documented_caller_shows_the_certificate_that_is_mounted(
    up: Up, logs: Path, tmp_path: Path, program: Callable[[Folder], list[str]], needed: tuple[str, ...]
) -> None:
    needs(*needed)
    before = len(callers(logs))
    async with proxy() as address:
        for name in BOTS:
            folder = Folder(tmp_path / name, address)
            folder.mounted.show(up.files(name))
            await folder.run(*program(folder))
    await called(up, logs, before)


@pytest.mark.timeout(900)
async def test_the_documented_go_client_takes_a_renewed_certificate_for_its_next_connection(
    up: Up, logs: Path, tmp_path: Path
) -> None:
    needs("go")
    before = len(callers(logs))
    async with proxy() as address:
        folder = Folder(tmp_path / "go", address)
        folder.mounted.show(up.files(BOTS[0]))
        folder.write("caller.go", GO % block("go", "GetClientCertificate"))
        process = await folder.start("go", "run", "caller.go")
        for name in BOTS:
            folder.mounted.show(up.files(name))
            process.stdin.write(b"A cat sleeps.\n")
            assert await asyncio.wait_for(process.stdout.readline(), PATIENCE_S) == b"200\n", await failure(process)
        process.stdin.close()
        assert await process.wait() == 0
    await called(up, logs, before)


async def failure(process: asyncio.subprocess.Process) -> str:
    return (await process.stderr.read()).decode()
