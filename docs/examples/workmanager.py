"""Call any method of the WorkManager by its name."""

import asyncio
from virtufin.api.client import ApiClient

async def main():
    async with ApiClient() as client:
        services = await client.list_services_async()
        print(f"Available services: {services}")

        workmanager = client.gateway.workmanager

        # ListWorkers — no request fields; returns {"workers": [...]}
        workers = await workmanager.ListWorkers()
        for w in workers["workers"]:
            print(f"  {w['id']}: {w['status']} ({w['language']})")

        # CreateWorker — CodeSource oneof (url | content), mime_type, topic, group
        create_result = await workmanager.CreateWorker({
            "code_source": {"url": "https://example.com/worker.py"},
            "mime_type": "text/x-python",
            "topic": "worker-commands",
        })
        worker_id = create_result["id"]

        # StartWorker — id field
        await workmanager.StartWorker({"id": worker_id})

        # Leave no worker behind
        await workmanager.DeleteWorker({"id": worker_id})
        print("  created, started and deleted one more")

asyncio.run(main())
