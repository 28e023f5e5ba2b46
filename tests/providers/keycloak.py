"""Keycloak on loopback for one test file: https by a CA of its own, and a realm that is imported from JSON."""

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.attack.certificates import Leaf, Pki, Presented
from tools.providers import keycloak

REALM = Path(__file__).parent / "ml-realm.json"
# For this test alone: the server listens on loopback and ends with the test.
_ADMIN = {"KC_BOOTSTRAP_ADMIN_USERNAME": "admin", "KC_BOOTSTRAP_ADMIN_PASSWORD": "not-secret-admin"}
# It needs half a minute of CPU, which other tests may be using.
_START_S = 600.0


class Keycloak:
    """`ca`: the file of the CA to trust. It trusts client certificates of `pki` as well."""

    def __init__(self, distribution: Path, folder: Path) -> None:
        self.pki = Pki("provider root")
        self.ca = folder / "provider-ca.crt"
        self.ca.write_text(self.pki.trust)
        shown = self.pki.present(Leaf(dns=("localhost",), usage="server"))
        for name, text in (("server.crt", shown.chain), ("server.key", shown.key)):
            (folder / name).write_text(text)
        self.folder = folder
        self.port = _free_port()
        self._home = _home(distribution, folder)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def iss(self) -> str:
        return f"https://localhost:{self.port}/realms/ml"

    def start(self) -> None:
        """Returns once it answers."""
        assert self._process is None
        options = (
            "--optimized",
            "--import-realm",
            "--cache=local",
            "--http-enabled=false",
            "--http-host=127.0.0.1",
            f"--https-port={self.port}",
            f"--hostname=https://localhost:{self.port}",
            f"--https-certificate-file={self.folder / 'server.crt'}",
            f"--https-certificate-key-file={self.folder / 'server.key'}",
            f"--truststore-paths={self.ca}",
        )
        with (self.folder / "keycloak.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._home / "bin" / "kc.sh"), "start", *options],
                env=keycloak.environment(**_ADMIN),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            said = (self.folder / "keycloak.log").read_text()
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.5)

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def token(self, client: str, shown: Presented | None = None) -> str:
        """An access token by client credentials (RFC 6749, 4.4), asked for with a client certificate or without."""
        form = {"grant_type": "client_credentials", "client_id": client, "client_secret": f"not-secret-{client}"}
        with self._client(shown) as http:
            answer = http.post("/realms/ml/protocol/openid-connect/token", data=form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def add_client(self, name: str, *, roles: Sequence[str] = (), **more: Any) -> str:
        """A client whose tokens are for the audience of the tests. more: of its representation. Returns its id."""
        audience = {"included.custom.audience": "minilm", "access.token.claim": "true"}
        mapper = {"name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper"}
        body = {"clientId": name, "standardFlowEnabled": False, "protocolMappers": [{**mapper, "config": audience}]}
        with self._admin() as http:
            answer = http.post("/clients", json=body | more)
            assert answer.status_code == 201, answer.text
            found = answer.headers["location"].rpartition("/")[2]
            if roles:
                user = http.get(f"/clients/{found}/service-account-user").json()["id"]
                named = [http.get(f"/roles/{each}").json() for each in roles]
                assert http.post(f"/users/{user}/role-mappings/realm", json=named).status_code == 204
            return str(found)

    def change_client(self, component: str, **more: Any) -> None:
        """Change parts of a client's representation, such as `enabled`."""
        with self._admin() as http:
            answer = http.put(f"/clients/{component}", json=http.get(f"/clients/{component}").json() | more)
            assert answer.status_code == 204, answer.text

    def add_user(self, name: str, password: str, *, roles: Sequence[str] = ()) -> str:
        """A person. Returns their id."""
        names = {"firstName": name, "lastName": name, "email": f"{name}@example.com", "emailVerified": True}
        shown = [{"type": "password", "value": password, "temporary": False}]
        with self._admin() as http:
            answer = http.post("/users", json={"username": name, "enabled": True, "credentials": shown, **names})
            assert answer.status_code == 201, answer.text
            found = answer.headers["location"].rpartition("/")[2]
            named = [http.get(f"/roles/{each}").json() for each in roles]
            assert http.post(f"/users/{found}/role-mappings/realm", json=named).status_code == 204
            return str(found)

    def end_sessions(self, user: str) -> None:
        """Log a person out everywhere: their refresh tokens are good for nothing."""
        with self._admin() as http:
            assert http.post(f"/users/{user}/logout").status_code == 204

    def add_key(self, name: str, *, priority: int, active: bool) -> str:
        """A new RS256 key; one that is not active is published and signs nothing. Returns the component's id."""
        with self._admin() as http:
            answer = http.post("/components", json=self._key(name, priority, active=active))
            assert answer.status_code == 201, answer.text
            return answer.headers["location"].rpartition("/")[2]

    def activate_key(self, component: str, name: str, *, priority: int) -> None:
        """Sign with it from now on, if its priority is the highest."""
        with self._admin() as http:
            body = {"id": component, **self._key(name, priority, active=True)}
            answer = http.put(f"/components/{component}", json=body)
            assert answer.status_code == 204, answer.text

    def remove_key(self, name: str) -> None:
        """Take it out of the key set."""
        with self._admin() as http:
            found = http.get("/components", params={"type": _KEYS, "name": name}).json()
            (component,) = [each["id"] for each in found if each["name"] == name]
            assert http.delete(f"/components/{component}").status_code == 204

    def published(self) -> list[str]:
        """The kids of the key set that are for signatures."""
        with self._client(None) as http:
            found = http.get("/realms/ml/protocol/openid-connect/certs").json()
        return [each["kid"] for each in found["keys"] if each.get("use") == "sig"]

    def _key(self, name: str, priority: int, *, active: bool) -> dict[str, Any]:
        config = {"priority": priority, "algorithm": "RS256", "keySize": 2048, "active": active, "enabled": True}
        texts = {key: [str(value).lower() if isinstance(value, bool) else str(value)] for key, value in config.items()}
        return {
            "name": name,
            "providerId": "rsa-generated",
            "providerType": _KEYS,
            "parentId": self._realm_id(),
            "config": texts,
        }

    def _realm_id(self) -> str:
        with self._admin() as http:
            return str(http.get("").json()["id"])

    @contextlib.contextmanager
    def _admin(self) -> Any:
        form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin"}
        form["password"] = _ADMIN["KC_BOOTSTRAP_ADMIN_PASSWORD"]
        with self._client(None) as http:
            answer = http.post("/realms/master/protocol/openid-connect/token", data=form)
            assert answer.status_code == 200, answer.text
            http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
            http.base_url = httpx.URL(f"https://localhost:{self.port}/admin/realms/ml")
            yield http

    def _client(self, shown: Presented | None) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.ca))
        if shown is not None:
            chain = self.folder / "shown.pem"
            chain.write_text(shown.chain + shown.key)
            context.load_cert_chain(chain)
        return httpx.Client(verify=context, base_url=f"https://localhost:{self.port}", timeout=60)

    def _answers(self) -> bool:
        try:
            with self._client(None) as http:
                return http.get("/realms/ml/.well-known/openid-configuration").status_code == 200
        except httpx.TransportError:
            return False


_KEYS = "org.keycloak.keys.KeyProvider"


def _home(distribution: Path, folder: Path) -> Path:
    """A home of its own, whose files are links into the cache: Keycloak writes below it."""
    home = folder / "keycloak"
    shutil.copytree(distribution, home, copy_function=os.symlink)
    # The program takes the folder that it lies in, after links, for its home.
    program = home / "bin" / "kc.sh"
    program.unlink()
    shutil.copy(distribution / "bin" / "kc.sh", program)
    imported = home / "data" / "import"
    imported.mkdir(parents=True)
    shutil.copy(REALM, imported)
    return home


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])
