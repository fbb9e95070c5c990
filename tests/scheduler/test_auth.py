"""Who may come in."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import RSAAlgorithm

from lingua_scheduler.auth import (
    BEARER_SUBPROTOCOL,
    NODE_AUDIENCE,
    Authenticator,
    AuthError,
    AuthRules,
    AuthSettingsError,
    Identity,
    PeerProof,
    check_origin,
    new_nonce,
    require,
)
from lingua_scheduler.nodes.member import node_id_of
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.node_messages import NodeRegister

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "0123456789abcdef0123456789abcdef"
OTHER = "another-secret-of-enough-length-x"


def claims(**more: Any) -> dict[str, Any]:
    return {"sub": "ana", "tenant": "acme", "exp": time.time() + 60, **more}


def signed(secret: str = SECRET, algorithm: str = "HS256", **more: Any) -> str:
    return jwt.encode(claims(**more), secret, algorithm=algorithm)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def gate(**rules: Any) -> Authenticator:
    return Authenticator(AuthRules(**{"secret": SECRET, **rules}))


async def test_with_authentication_off_everybody_may_do_everything_and_it_is_said() -> None:
    open_gate = Authenticator(AuthRules())
    identity = await open_gate.client({})
    assert not identity.verified
    require(identity, "admin")
    assert len(open_gate.open_doors()) == 3


async def test_tenant_subject_scopes_and_expiry_come_from_the_token() -> None:
    identity = await gate().client(bearer(signed(scope="read admin")))
    assert (identity.subject, identity.tenant, identity.verified) == ("ana", "acme", True)
    assert identity.scopes == {"read", "admin"}
    assert not identity.expired()
    assert identity.expired(now_s=time.time() + 3_600)


async def test_a_browser_hands_its_token_over_as_a_subprotocol_and_gets_it_named_back() -> None:
    headers = {"Sec-WebSocket-Protocol": f"{BEARER_SUBPROTOCOL}, {signed()}"}
    identity = await gate().client(headers)
    assert (identity.tenant, identity.subprotocol) == ("acme", BEARER_SUBPROTOCOL)


def bad_tokens() -> dict[str, str]:
    head, body, _ = signed().split(".")
    unsigned = jwt.encode(claims(), "", algorithm="none")
    return {
        "none": "",
        "garbage": "garbage",
        "truncated": signed()[:-4],
        "no signature": f"{head}.{body}.",
        "unsigned": unsigned,
        "other secret": signed(OTHER),
        "other algorithm": jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
        "expired": signed(exp=time.time() - 3_600),
        "no expiry": jwt.encode({"sub": "ana"}, SECRET, algorithm="HS256"),
        "expiry is text": signed(exp="soon"),
        "expiry is endless": signed(exp=10**400),
        "tenant is a list": signed(tenant=["acme"]),
        "tenant with a line": signed(tenant="a\nb"),
        "not a token but long": "x" * 100_000,
        "not ascii": "tokén.é.é",
    }


@pytest.mark.parametrize("kind", bad_tokens())
async def test_a_bad_token_is_refused_as_not_authenticated(kind: str) -> None:
    with pytest.raises(AuthError) as refused:
        await gate().client(bearer(bad_tokens()[kind]))
    assert refused.value.code is ErrorCode.UNAUTHENTICATED
    assert (refused.value.http_status, refused.value.close_code) == (401, CloseCode.UNAUTHENTICATED)


@pytest.mark.parametrize("kind", bad_tokens())
async def test_a_refusal_never_repeats_the_token(kind: str) -> None:
    token = bad_tokens()[kind]
    with pytest.raises(AuthError) as refused:
        await gate().client(bearer(token))
    assert not token or token not in refused.value.message


async def test_audience_and_issuer_count_when_they_are_set() -> None:
    strict = gate(audience="lingua", issuer="https://id.example")
    await strict.client(bearer(signed(aud="lingua", iss="https://id.example")))
    for wrong in ({"aud": "other", "iss": "https://id.example"}, {"aud": "lingua", "iss": "x"}, {"aud": "lingua"}):
        with pytest.raises(AuthError):
            await strict.client(bearer(signed(**wrong)))


def test_an_action_needs_its_scope_and_admin_has_all() -> None:
    with pytest.raises(AuthError) as refused:
        require(Identity(verified=True, scopes=frozenset({"read"})), "admin")
    assert (refused.value.http_status, refused.value.close_code) == (403, CloseCode.FORBIDDEN)
    require(Identity(verified=True, scopes=frozenset({"admin"})), "read")


def key_set(*keys: tuple[str, rsa.RSAPrivateKey]) -> bytes:
    listed = [{**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": kid} for kid, key in keys]
    return json.dumps({"keys": listed}).encode()


@pytest.fixture(scope="module")
def private() -> rsa.RSAPrivateKey:
    """One key for all tests: making one takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


async def test_a_token_of_the_key_set_is_accepted_from_a_file(tmp_path: Path, private: rsa.RSAPrivateKey) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(("k1", private)))
    doors = Authenticator(AuthRules(key_set=str(file)))
    token = jwt.encode(claims(), private, algorithm="RS256", headers={"kid": "k1"})
    assert (await doors.client(bearer(token))).tenant == "acme"


async def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(
    tmp_path: Path, private: rsa.RSAPrivateKey
) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(("k1", private)))
    signed_part = jwt.encode(claims(), OTHER, algorithm="HS256", headers={"kid": "k1"}).rpartition(".")[0]
    mac = hmac.digest(key_set(("k1", private)), signed_part.encode(), "sha256")
    token = f"{signed_part}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
    with pytest.raises(AuthError):
        await Authenticator(AuthRules(key_set=str(file))).client(bearer(token))


async def test_a_key_of_another_kind_does_not_pass_for_a_known_one(tmp_path: Path, private: rsa.RSAPrivateKey) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(("k1", private)))
    token = jwt.encode(claims(), ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": "k1"})
    with pytest.raises(AuthError) as refused:
        await Authenticator(AuthRules(key_set=str(file))).client(bearer(token))
    assert refused.value.code is ErrorCode.UNAUTHENTICATED


class Issuer:
    """An issuer whose key set can change and fail."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked = 0

    async def fetch(self, address: str) -> bytes:
        assert address == "https://id.example/keys"
        self.asked += 1
        if not self.answer:
            raise ConnectionError
        return self.answer


def doors_of(issuer: Issuer) -> Authenticator:
    return Authenticator(AuthRules(key_set="https://id.example/keys"), issuer.fetch)


async def test_unknown_keys_do_not_make_the_issuer_be_asked_again_and_again(private: rsa.RSAPrivateKey) -> None:
    issuer = Issuer(key_set(("k1", private)))
    doors = doors_of(issuer)
    token = jwt.encode(claims(), private, algorithm="RS256", headers={"kid": "k9"})
    for _ in range(20):
        with pytest.raises(AuthError):
            await doors.client(bearer(token))
    assert issuer.asked == 1


async def test_an_issuer_that_is_away_is_a_reason_to_try_later_not_to_give_up(private: rsa.RSAPrivateKey) -> None:
    token = jwt.encode(claims(), private, algorithm="RS256", headers={"kid": "k1"})
    with pytest.raises(AuthError) as refused:
        await doors_of(Issuer(b"")).client(bearer(token))
    assert (refused.value.http_status, refused.value.close_code) == (503, CloseCode.TRY_LATER)


@pytest.mark.parametrize("broken", [b"[]", b"{", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "AAAA"}]}'])
async def test_a_broken_key_set_lets_nobody_in(broken: bytes, private: rsa.RSAPrivateKey) -> None:
    token = jwt.encode(claims(), private, algorithm="RS256", headers={"kid": "k1"})
    with pytest.raises(AuthError):
        await doors_of(Issuer(broken)).client(bearer(token))


def test_a_node_comes_in_with_a_listed_token(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# nodes of the lab\nlab-1 aaaaaaaaaaaaaaaaaaaa\nlab-2 bbbbbbbbbbbbbbbbbbbb # second\n")
    doors = Authenticator(AuthRules(node_tokens=str(file)))
    assert doors.node(bearer("b" * 20)).name == "lab-2"
    for token in ("", "c" * 20, "a" * 19, "é" * 20):
        with pytest.raises(AuthError) as refused:
            doors.node(bearer(token))
        assert refused.value.http_status == 401


def test_a_node_token_must_be_meant_for_nodes_and_binds_the_node_id() -> None:
    doors = gate(node_secret=OTHER)
    node = doors.node(bearer(signed(OTHER, aud=NODE_AUDIENCE, sub="node-7")))
    assert (node.node_id, node.tenant, node.verified) == ("node-7", "acme", True)
    for token in (signed(OTHER), signed(OTHER, aud="lingua"), signed(SECRET, aud=NODE_AUDIENCE)):
        with pytest.raises(AuthError):
            doors.node(bearer(token))


async def test_a_node_token_opens_no_client_socket_of_a_gate_with_an_audience() -> None:
    doors = gate(audience="lingua", node_secret=SECRET)
    with pytest.raises(AuthError):
        await doors.client(bearer(signed(aud=NODE_AUDIENCE)))


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "strict", "passes"),
    [
        (None, "a.example", (), True, True),
        ("https://a.example", "a.example", (), True, True),
        ("https://evil.example", "a.example", (), True, False),
        ("https://evil.example", "a.example", (), False, True),
        ("null", "a.example", (), True, False),
        ("https://b.example", "a.example", ("https://b.example",), True, True),
        ("https://B.example/", "a.example", ("https://b.example",), True, True),
        ("http://b.example", "a.example", ("https://b.example",), False, False),
        ("https://b.example.evil", "a.example", ("https://b.example",), False, False),
        ("https://any.example", "a.example", ("*",), True, True),
    ],
)
def test_a_page_of_a_foreign_origin_is_refused(
    origin: str | None, host: str, allowed: tuple[str, ...], strict: bool, passes: bool
) -> None:
    headers = {"Host": host} | ({"Origin": origin} if origin is not None else {})
    if passes:
        check_origin(headers, allowed, strict=strict)
        return
    with pytest.raises(AuthError) as refused:
        check_origin(headers, allowed, strict=strict)
    assert refused.value.http_status == 403


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"secret": "short"}, "secret: 5 bytes"),
        ({"node_secret": "x" * 31}, "node_secret: 31 bytes"),
        ({"peer_secret": "x"}, "peer_secret"),
        ({"key_set": "/nowhere/keys.json"}, "key_set='/nowhere/keys.json'"),
        ({"node_tokens": "/nowhere/tokens"}, "node_tokens"),
        ({"origins": ("example.org",)}, "'example.org' is no origin"),
    ],
)
def test_settings_that_look_safe_and_are_not_are_refused(rules: dict[str, Any], told: str) -> None:
    with pytest.raises(AuthSettingsError, match=told) as refused:
        Authenticator(AuthRules(**rules))
    assert "short" not in str(refused.value)


def test_a_token_file_with_a_short_token_is_refused_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("lab-1 aaaaaaaaaaaaaaaaaaaa\nlab-2 short\n")
    with pytest.raises(AuthSettingsError, match="line 2"):
        Authenticator(AuthRules(node_tokens=str(file)))


def test_secrets_do_not_show_in_the_repr_of_the_rules() -> None:
    shown = repr(AuthRules(secret=SECRET, node_secret=SECRET, peer_secret=SECRET))
    assert SECRET not in shown


def test_instances_prove_themselves_to_each_other_for_one_connection_only() -> None:
    proof = PeerProof("a", "b", caller_nonce=new_nonce(), listener_nonce=new_nonce())
    assert proof.caller_proves(SECRET, proof.caller_mac(SECRET))
    assert proof.listener_proves(SECRET, proof.listener_mac(SECRET))
    again = PeerProof("a", "b", caller_nonce=proof.caller_nonce, listener_nonce=new_nonce())
    assert not again.caller_proves(SECRET, proof.caller_mac(SECRET)), "an old answer fits a new challenge"


@pytest.mark.parametrize("changed", [{"caller": "c"}, {"listener": "c"}, {"caller_nonce": "0"}])
def test_a_proof_fits_neither_another_pair_nor_the_other_direction(changed: dict[str, str]) -> None:
    parts = {"caller": "a", "listener": "b", "caller_nonce": "1" * 32, "listener_nonce": "2" * 32}
    mac = PeerProof(**parts).caller_mac(SECRET)
    assert not PeerProof(**{**parts, **changed}).caller_proves(SECRET, mac)
    assert not PeerProof(**parts).listener_proves(SECRET, mac)
    assert not PeerProof(**parts).caller_proves(OTHER, mac)
    assert not PeerProof(**parts).caller_proves(SECRET, "é")


def test_where_only_declared_nodes_come_in_the_door_that_stays_open_is_told_as_it_is() -> None:
    doors = Authenticator(AuthRules(declared_nodes=True)).open_doors()
    assert "declared nodes without a credential need none" in doors
    assert "nodes need no credential" not in doors


REGISTER: dict[str, Any] = {
    "version": "1", "platform": "linux", "hardware": {"cpu_cores": 1, "memory_gb": 1}, "accept_public_jobs": True,
}  # fmt: skip


def tokens_file(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "tokens"
    file.write_text("\n".join(lines))
    return file


@pytest.mark.parametrize(
    ("name", "asks_for", "gets"),
    [
        ("lab-1", "lab-1", "lab-1"),
        ("lab-1", None, "lab-1"),
        ("lab-1", "lab-2", None),
        ("lab-1", "lab-11", None),
        ("lab-*", "lab-2", "lab-2"),
        ("lab-*", None, "lab-"),
        ("lab-*", "prod-1", None),
        ("*", "prod-1", "prod-1"),
    ],
)
def test_a_listed_token_is_good_for_the_node_ids_that_its_name_says(
    tmp_path: Path, name: str, asks_for: str | None, gets: str | None
) -> None:
    doors = Authenticator(AuthRules(node_tokens=str(tokens_file(tmp_path, f"{name} {'a' * 20}"))))
    identity = doors.node(bearer("a" * 20))
    message = NodeRegister(**REGISTER, node_id=asks_for)
    if gets is None:
        with pytest.raises(WireError) as refused:
            node_id_of(message, identity)
        assert (refused.value.code, refused.value.close) == ("NODE_ID_CONFLICT", 4403)
    else:
        assert node_id_of(message, identity).startswith(gets)


@pytest.mark.parametrize("name", ["a,b", "*a", "a*b", "{x}"])
def test_a_name_that_no_node_can_have_is_refused_at_the_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(AuthSettingsError, match="no node id"):
        Authenticator(AuthRules(node_tokens=str(tokens_file(tmp_path, f"{name} {'a' * 20}"))))


def test_a_node_token_that_names_no_node_is_refused() -> None:
    with pytest.raises(AuthError, match="names no node") as refused:
        gate(node_secret=OTHER).node(bearer(signed(OTHER, aud=NODE_AUDIENCE, sub="")))
    assert refused.value.http_status == 401


def test_a_token_on_no_list_waits_for_the_registration_only_where_nodes_are_declared(tmp_path: Path) -> None:
    doors = Authenticator(AuthRules(node_tokens=str(tokens_file(tmp_path, f"lab-1 {'a' * 20}"))))
    with pytest.raises(AuthError):
        doors.node(bearer("of nobody"))
    identity = doors.node(bearer("of nobody"), takes_declared=True)
    assert (identity.pending, identity.verified, identity.node_id) == (True, False, None)
    assert not doors.node(bearer("a" * 20), takes_declared=True).pending
    for token in ("", "x" * 9_000):
        with pytest.raises(AuthError):
            doors.node(bearer(token), takes_declared=True)


def test_a_node_s_token_is_not_in_what_is_shown_of_it() -> None:
    identity = Authenticator(AuthRules()).node(bearer("s3cret"))
    assert identity.token == "s3cret"
    assert "s3cret" not in repr(identity)
