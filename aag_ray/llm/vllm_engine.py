"""vLLM behind the interface of the streaming engine: every prompt with adapters of its own, texts streamed as they are written.

engine = VllmEngine(loaded, DecodingSection(engine="vllm"))
async for piece in engine.stream(prompt, max_new_tokens=32, adapter=adapter):
    ...
engine.close()

One thread runs vLLM's event loop, so that any other loop or thread may ask. vLLM applies one adapter to a prompt: those of a
prompt are joined, written into a folder in memory, loaded under a number of their own, and freed when the prompt is done.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

from aag_ray.config import DecodingSection
from aag_ray.llm.adapters import Adapter
from aag_ray.llm.engine import newline_tokens
from aag_ray.llm.forms import Form
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.streaming import QueueFull
from aag_ray.llm.vllm_adapters import VllmAdapters
from aag_ray.llm.vllm_parameters import engine_arguments, sampling
from aag_ray.llm.written import StreamPiece, WrittenText

T = TypeVar("T")
CLOSED = "the engine is closed"


class Step(NamedTuple):
    """What vLLM wrote since the last step, with each token's log probability; nothing follows the `last`."""

    tokens: Sequence[int]
    last: bool
    chances: Sequence[float] = ()


class VllmEngine:
    """Greedy decoding. `section.waiting` prompts may wait for one of `section.batch` places.

    vLLM reads the weights of `loaded` from its folder; of `loaded` itself it uses names, shapes and tokenizer.
    """

    def __init__(self, loaded: LoadedModel, section: DecodingSection) -> None:
        self.loaded, self.section = loaded, section
        self.adapters = VllmAdapters(loaded, section.vllm)
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests, self._waiting, self._closed = 0, 0, False
        self._places = asyncio.Semaphore(section.batch)
        self._calls = ThreadPoolExecutor(1, thread_name_prefix="adapters")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm", daemon=True)
        self._thread.start()
        try:
            self._vllm: Any = self._in_loop(self._start()).result()
        except BaseException:
            self._end()
            raise
        atexit.register(self.close)  # else vLLM's processes hold up the end of this one

    async def stream(
        self,
        prompt: str,
        *,
        max_new_tokens: int,
        adapter: Adapter | None = None,
        shared: Sequence[Adapter] = (),
        form: Form | None = None,
    ) -> AsyncGenerator[StreamPiece, None]:
        """The text's pieces up to the first newline. `adapter` holds one example. Closing the generator ends the prompt.

        With a `form` the text is of it, or a beginning of one where `max_new_tokens` ends it.
        Raises QueueFull before anything is decoded, AdapterError for an adapter that does not fit, RuntimeError after `close`.
        """
        tokenizer: Any = self.loaded.tokenizer
        ids = tokenizer(prompt)["input_ids"]
        written = WrittenText(tokenizer, len(ids), max_new_tokens)
        stops = [*newline_tokens(tokenizer), tokenizer.eos_token_id]
        held = {"regex": form.expression} if form is not None else None
        loop, steps = asyncio.get_running_loop(), asyncio.Queue[Step | BaseException]()

        def send(step: Step | BaseException) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(steps.put_nowait, step)

        row = self._begin(self._row(ids, max_new_tokens, stops, held, adapter, tuple(shared), send))
        done = False
        try:
            while not done:
                step = await steps.get()
                done = isinstance(step, BaseException) or step.last
                if isinstance(step, BaseException):
                    raise step
                for number, (token, chance) in enumerate(zip(step.tokens, step.chances, strict=True), 1):
                    if piece := written.add(token, chance, last=step.last and number == len(step.tokens)):
                        yield piece
        finally:
            if not done:
                row.cancel()

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` in the one thread that owns `loaded.model`."""
        if self._closed:
            raise RuntimeError(CLOSED)
        return await asyncio.wrap_future(self._calls.submit(function))

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: int,
        shared: Sequence[Adapter] = (),
        regexes: Sequence[str] | None = None,
    ) -> list[list[int]]:
        """The tokens that answer each prompt (token ids), up to the end token, which is left out; each by its regex if given.

        For threads without an event loop. Waits for places instead of raising QueueFull.
        """
        end: int = self.loaded.tokenizer.eos_token_id  # type: ignore[assignment]
        answers: list[list[int]] = [[] for _ in prompts]
        failures: list[BaseException] = []

        async def one(number: int) -> None:
            def take(step: Step | BaseException) -> None:
                failures.append(step) if isinstance(step, BaseException) else answers[number].extend(step.tokens)

            form = {"regex": regexes[number]} if regexes else None
            await self._row(prompts[number], max_new_tokens, [end], form, None, tuple(shared), take, bounded=False)

        async def all_of_them() -> None:
            await asyncio.gather(*map(one, range(len(prompts))), return_exceptions=True)

        self._begin(all_of_them()).result()
        if failures:
            raise failures[0]
        return [answer[: answer.index(end)] if end in answer else answer for answer in answers]

    async def check(self) -> None:
        """Raises RuntimeError if vLLM can answer nothing any more."""
        if self._closed or self._vllm.errored:
            raise RuntimeError(CLOSED if self._closed else f"vLLM has died: {self._vllm.dead_error}")

    def close(self) -> None:
        """End vLLM and its processes, and remove every adapter's folder. What is being decoded or waits fails."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._in_loop(_cancelled(self._tasks)).result()
        self._vllm.shutdown()
        self._vllm = None  # its end is not left to the interpreter's
        self._end()

    async def loaded_adapters(self) -> set[int]:
        """The numbers of the adapters that vLLM holds now."""
        return set(await asyncio.wrap_future(self._in_loop(self._vllm.list_loras())))

    async def _start(self) -> Any:
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # without it vLLM reports each start to its makers
        from vllm import AsyncEngineArgs  # pyright: ignore[reportMissingImports]
        from vllm.v1.engine.async_llm import AsyncLLM  # pyright: ignore[reportMissingImports]

        return AsyncLLM.from_engine_args(AsyncEngineArgs(**engine_arguments(self.loaded, self.section)))

    def _in_loop(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _begin(self, coroutine: Coroutine[Any, Any, None]) -> Future[None]:
        if self._closed:
            coroutine.close()
            raise RuntimeError(CLOSED)
        return self._in_loop(coroutine)

    async def _row(
        self,
        ids: Sequence[int],
        most: int,
        stops: Sequence[int],
        form: Mapping[str, Any] | None,
        adapter: Adapter | None,
        shared: tuple[Adapter, ...],
        send: Callable[[Step | BaseException], None],
        *,
        bounded: bool = True,
    ) -> None:
        """One prompt in vLLM's loop. Its steps, or the error that ends it, are sent as they come."""
        from vllm.inputs import tokens_input  # pyright: ignore[reportMissingImports]

        task: Any = asyncio.current_task()
        self._tasks.add(task)
        try:
            async with self._place(bounded), self.adapters.given(self._vllm, adapter, shared) as lora:
                self._requests += 1
                told, name = sampling(self.loaded, most, stops, form), str(self._requests)
                output = self._vllm.generate(tokens_input(list(ids)), told, name, lora_request=lora)
                async for step in output:
                    written = step.outputs[0]
                    chances = [each[token].logprob for token, each in zip(written.token_ids, written.logprobs, strict=True)]
                    send(Step(written.token_ids, step.finished, chances))
        except asyncio.CancelledError:
            send(RuntimeError(CLOSED))
            raise
        except Exception as error:  # the caller's, and no other prompt's
            send(error)
        finally:
            self._tasks.discard(task)

    @asynccontextmanager
    async def _place(self, bounded: bool) -> AsyncIterator[None]:
        if bounded and self._places.locked() and self._waiting >= self.section.waiting:
            raise QueueFull(f"{self._waiting} prompts are waiting, the most there may be")
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    def _end(self) -> None:
        self._in_loop(_cancelled(asyncio.all_tasks(self._loop))).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._calls.shutdown()
        self.adapters.close()


async def _cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    others = [task for task in tasks if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
