"""A client for each thread or task."""

import asyncio
import threading
from virtufin.api.client import ApiClient

async def handle_request():
    async with ApiClient() as client:
        return await client.list_services_async()

async def main():
    answers = await asyncio.gather(*(handle_request() for _ in range(3)))
    print(f"{len(answers)} tasks, the same answer: {answers.count(answers[0]) == 3}")

asyncio.run(main())

thread = threading.Thread(target=lambda: print(f"thread: {asyncio.run(handle_request())}"))
thread.start()
thread.join()
