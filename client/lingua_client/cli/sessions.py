"""``lingua sessions``: who is connected."""

from lingua_client.cli import output
from lingua_client.cli.asking import ask
from lingua_client.cli.options import DEFAULT_URL, Json, Limit, Token, Url


def sessions(url: Url = DEFAULT_URL, token: Token = None, limit: Limit = 100, as_json: Json = False) -> None:
    """List the open sessions: languages, node, instance."""
    found = ask(url, token, lambda api: api.pages("/api/v1/sessions", "sessions", limit))
    if as_json:
        output.print_json({"sessions": found})
        return
    rows = [
        (
            session["session_id"],
            f"{session['source']} -> {session['target']}",
            session["mode"],
            session["utterances"],
            session["node_id"] or "-",
            session["instance_id"],
            session["tenant"] or "-",
        )
        for session in found
    ]
    columns = ("session", "languages", "mode", "utterances", "node", "instance", "tenant")
    output.print_table(columns, rows, empty="No session is open.")
