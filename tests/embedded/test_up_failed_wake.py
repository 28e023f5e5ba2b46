"""A start that fails: its owner reads why, with paths; a caller gets a reason and a fixed sentence."""

from nightlatch.api.meta import NamespacedName
from tests.embedded.running import manifest


async def test_only_the_owner_reads_paths_and_arguments(start, tmp_path):
    model = tmp_path / "not-a-package"
    model.mkdir()
    up = await start(manifest("one", model=model, access_logs=tmp_path)).ready("one")
    connection = await up.connect("one")
    refused = await connection.send(up.embedding("one", up.key("one-bot")))
    await connection.close()
    assert (refused.status, refused.json()["error"]) == (
        503,
        {
            "message": "The endpoint could not wake, because its model server ended by itself.",
            "type": "server_error",
            "param": None,
            "code": "wake_failed",
            "reason": "ModelServerExited",
        },
    )

    async def told() -> str:
        found = await up.probe.endpoint(NamespacedName("default", "one"))
        conditions = {each["type"]: each for each in found["status"]["conditions"]}
        available = conditions["WorkloadAvailable"]
        return available["message"] if available["reason"] == "ModelServerExited" else ""

    message = await up.until("the status to say so", told)
    assert "model.json" in message
    assert str(up.state) in message
