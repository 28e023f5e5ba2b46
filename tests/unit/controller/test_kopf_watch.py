"""kopf's own watches: the same silence, the same pauses, the same connections as ours."""

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration

from nightlatch.controller.cluster.kopf_watch import SHORT_WATCH_S, KopfEvents, WatchPace, _settings
from nightlatch.informer import Timing
from nightlatch.kube.client import WATCH_SILENCE_S, ApiServer, keepalive_socket
from tests.unit.kube.stand_in_api import StandInApi, listing


class Clock:
    def __init__(self):
        self.now, self.pauses = 0.0, []
        self.timing = Timing(clock=lambda: self.now, sleep=self.sleep, random=lambda: 0.0)

    async def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


async def test_watches_that_end_at_once_wait_longer_each_time_and_others_do_not():
    clock = Clock()
    pace = WatchPace(clock.timing)
    for _ in range(6):
        await pace.take_turn("/clients")
    await pace.take_turn("/endpoints")
    assert clock.pauses == [1, 2, 4, 8, 10]
    clock.now += SHORT_WATCH_S
    for _ in range(2):
        await pace.take_turn("/clients")
    assert clock.pauses == [1, 2, 4, 8, 10, 1]


async def test_only_watches_are_delayed():
    clock = Clock()
    api = StandInApi(lambda _: listing(5))
    async with api.serving() as connection, aiohttp.ClientSession(middlewares=(WatchPace(clock.timing),)) as session:
        url = f"{connection._client.configuration.host}/clients"
        for _ in range(3):
            async with session.get(url):
                pass
        assert clock.pauses == []
        for _ in range(3):
            async with session.get(url, params={"watch": "true", "resourceVersion": "5"}):
                api.watches[-1].end()
        assert clock.pauses == [1, 2]


async def test_kopf_gets_a_session_that_paces_watches_on_connections_that_are_kept_alive():
    configuration = Configuration(host="http://127.0.0.1:1")
    configuration.api_key["BearerToken"] = "token"
    async with ApiServer(ApiClient(configuration)) as api:
        login = await KopfEvents(api, "operator-0")._login()
    async with login.aiohttp_session as session:
        assert login.server == "http://127.0.0.1:1"
        assert session.headers["Authorization"] == "token"
        assert session.connector._socket_factory is keepalive_socket
        assert [type(each) for each in session._middlewares] == [WatchPace]


def test_kopf_notices_silence_and_asks_for_watches_as_we_do():
    watching = _settings().watching
    assert watching.inactivity_timeout == WATCH_SILENCE_S
    assert 300 <= watching.server_timeout < 600
    assert isinstance(watching.server_timeout, int)
    assert watching.reconnect_backoff >= 1
