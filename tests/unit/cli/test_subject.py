"""A name that does not exist: what to write instead. Where the verbs look when the command line names no place."""

import pytest

from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, NamespacedName
from nightlatch.cli import place, subject
from nightlatch.cli.place_directory import StateDirectory
from nightlatch.embedded.errors import UserError

TYPO = NamespacedName("search", "sarch-bot")


@pytest.mark.parametrize(
    ("existing", "said"),
    [
        (["search/search-bot", "web/other"], "did you mean ic/search-bot?"),
        (["web/sarch-bot", "search/search-bot"], "it is in namespace web: name that with -n"),
        (["search/zz", "search/yy"], "there are ic/yy, ic/zz"),
        (["web/zz"], "there are some in web"),
        ([], "there is no InferenceClient at all"),
    ],
)
def test_a_wrong_name_is_answered_with_what_exists(existing, said):
    assert said in subject.instead(INFERENCE_CLIENT, TYPO, [NamespacedName.parse(each) for each in existing])


def test_kind_and_name_are_read_as_kubectl_writes_them():
    assert subject.parse("ic/bot") == (INFERENCE_CLIENT, "bot")
    assert subject.parse("inferenceendpoints/minilm") == (INFERENCE_ENDPOINT, "minilm")


@pytest.mark.parametrize("text", ["bot", "ic/", "ic/a/b", "pod/bot"])
def test_anything_else_says_how_to_write_it(text):
    with pytest.raises(UserError) as refused:
        subject.parse(text)
    assert refused.value.code == 2
    assert "ic" in refused.value.hint


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: laptop
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts:
- {name: laptop, context: {cluster: c, user: u}}
- {name: work, context: {cluster: c, user: u, namespace: search}}
"""
NOTHING = place.Wanted(None, None, None)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty directory to be in, and KUBECONFIG set to a file that does not exist yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    return tmp_path


async def test_without_a_state_directory_it_is_the_cluster_of_kubectl(here):
    (here / "kubeconfig").write_text(KUBECONFIG)
    async with place.opened(NOTHING) as where:
        assert (str(where), where.namespace) == ("the cluster of context laptop", "default")
    async with place.opened(place.Wanted(None, None, "work")) as where:
        assert (str(where), where.namespace) == ("the cluster of context work", "search")


async def test_a_state_directory_here_goes_before_kubectl_and_a_named_cluster_before_both(here):
    (here / "kubeconfig").write_text(KUBECONFIG)
    (here / ".nightlatch" / "objects").mkdir(parents=True)
    async with place.opened(NOTHING) as where:
        assert isinstance(where, StateDirectory)
    async with place.opened(place.Wanted(None, None, "laptop")) as where:
        assert str(where) == "the cluster of context laptop"


@pytest.mark.parametrize(
    ("kubeconfig", "context", "said"),
    [
        (None, None, "no state directory"),
        (KUBECONFIG, "home", "has no context home; it has laptop, work"),
        ("a: [", "home", "cannot read the kubeconfig"),
        ("", "home", "cannot read the kubeconfig"),
        (None, "home", "no kubeconfig at"),
    ],
)
async def test_a_place_that_cannot_be_used_is_named(here, kubeconfig, context, said):
    if kubeconfig is not None:
        (here / "kubeconfig").write_text(kubeconfig)
    with pytest.raises(UserError, match=said):
        async with place.opened(place.Wanted(None, None, context)):
            pass
