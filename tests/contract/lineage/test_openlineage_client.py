"""OpenLineage's own Python client, unmodified, against a real door."""

from __future__ import annotations

import socket
import threading
import time
from datetime import UTC, datetime
from importlib.util import find_spec

import pytest
import uvicorn
from tests.contract.lineage.conftest import Site

from jurat.app.lineage import graph
from jurat.web.asgi import make_asgi

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(find_spec("openlineage") is None, reason="openlineage-python is not installed"),
]


@pytest.mark.parametrize("packing", [None, "gzip"])
def test_its_events_join_the_graph(site: Site, packing: str | None) -> None:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
    from openlineage.client.transport.http import ApiKeyTokenProvider, HttpCompression, HttpConfig, HttpTransport
    from openlineage.client.uuid import generate_new_uuid

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(make_asgi(site.app), log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        config = HttpConfig(
            url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            auth=ApiKeyTokenProvider({"apiKey": site.tokens["recorder"]}),
            compression=HttpCompression(packing) if packing else None,
        )
        client = OpenLineageClient(transport=HttpTransport(config))
        run, job, name = Run(runId=str(generate_new_uuid())), Job(namespace="spark", name="join"), f"table-{packing}"
        for state in (RunState.START, RunState.COMPLETE):
            client.emit(
                RunEvent(
                    eventType=state, eventTime=datetime.now(UTC).isoformat(), run=run, job=job, producer="https://example.org/spark",
                    inputs=[InputDataset(namespace="hive", name=name)], outputs=[OutputDataset(namespace="hive", name=f"{name}-out")],
                )
            )  # fmt: skip
        client.close()
        server.should_exit = True
        thread.join(10)
    found = graph(site.app, site.tokens["data_scientist"], f"dataset:hive/{name}-out", up=True)
    assert found.nodes == {f"run:openlineage:{run.runId}": 1, f"dataset:hive/{name}": 2}
