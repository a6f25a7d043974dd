"""Reads [{txt, body}] from standard input and prints what postfix-mta-sts-resolver makes of each.

Its resolver judges while it asks DNS and fetches: here it asks for what was given."""
import asyncio
import json
import sys
from unittest import mock

from postfix_mta_sts_resolver import resolver


class Answer:
    """Is the policy host's answer, and the session that fetches it."""

    status, headers, charset = 200, {"Content-Type": "text/plain; charset=utf-8"}, "utf-8"

    def __init__(self, body):
        self.content, self.rest = self, body.encode()

    async def read(self, size):
        chunk, self.rest = self.rest[:size], self.rest[size:]
        return chunk

    def get(self, *_args, **_kwargs):
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_args):
        return None


async def judge(item):
    # What is missing is replaced with something in order.
    txt = item.get("txt", "v=STSv1; id=1;")
    body = item.get("body", "version: STSv1\nmode: none\nmax_age: 86400\n")
    sts = resolver.STSResolver(loop=asyncio.get_event_loop())

    async def query(_name, _kind):
        return [mock.Mock(text=txt)]

    sts._resolver = mock.Mock(query=query)
    with mock.patch.object(resolver.aiohttp, "ClientSession", lambda **_kwargs: Answer(body)):
        result, found = await sts.resolve("example.com")
    if result is not resolver.STSFetchResult.VALID:
        return {"error": str(result)}
    out = {}
    if "txt" in item:
        out["id"] = found[0]
    if "body" in item:
        out["policy"] = {"mode": found[1]["mode"], "maxAge": found[1]["max_age"], "mx": found[1]["mx"]}
    return out


async def main():
    print(json.dumps([await judge(item) for item in json.load(sys.stdin)]))


asyncio.run(main())
