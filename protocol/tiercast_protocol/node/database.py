"""SQLite in asyncio: one writer thread, group commit, readers that can't write (docs/protocol.md, section 5).

Rules
- Units of work are functions of a connection.  They wait in one queue; the writer runs as many as are there
  (bounded in number and time) in one transaction, each in a savepoint of its own, and resolves their waiters
  after COMMIT.  Nobody waits for company: a lone unit is committed at once.
- A unit that fails rolls back alone.  When SQLite gives up the whole transaction (disk full), the units are run again,
  one by one: a unit must have no effect but on its connection, and must not keep results of an earlier run.
- What was resolved survives a power cut (node/sqlite.py).
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from tiercast_protocol.node.sqlite import Connect, connect_sqlite, explain, is_full, prepare, roll_back

T = TypeVar("T")
Unit = Callable[[sqlite3.Connection], T]

#: Most units of one transaction, and how long it goes on taking units that are already waiting.
GROUP_UNITS = 256
GROUP_SECONDS = 0.005


@dataclass(slots=True)
class _Waiting(Generic[T]):
    unit: Unit[T]
    future: Future[T]
    value: T | None = None
    error: BaseException | None = None


class Database:
    """One SQLite file.  Made by `Database.open`."""

    def __init__(
        self, path: Path, schema: Sequence[tuple[int, str]], connect: Connect, readers: int, repair: str
    ) -> None:
        self._path = path
        self._schema = schema
        self._connect = connect
        self._repair = repair
        self._queue: queue.SimpleQueue[_Waiting[Any] | None] = queue.SimpleQueue()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, name=f"writer of {path.name}", daemon=True)
        self._pool = ThreadPoolExecutor(max(1, readers), thread_name_prefix=f"reader of {path.name}")
        self._readers: queue.SimpleQueue[sqlite3.Connection] | None = queue.SimpleQueue() if readers else None
        self._reader_count = readers
        self._peeker: sqlite3.Connection | None = None
        self._closed = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        schema: Sequence[tuple[int, str]],
        *,
        connect: Connect = connect_sqlite,
        readers: int = 2,
        repair: str = "Restore it from a backup",
    ) -> AsyncIterator[Database]:
        """Open or make the file at `path` and bring it to the last step of `schema` (number, SQL script; rising).

        With `readers` = 0 there is one connection in all, and reads queue with the writes.  `repair` tells a human what
        to do when the file is damaged.

        Raises:
            StateError: newer than this program, damaged, or without the durability asked for.
            StoreFull: no room to make it.
        """
        database = cls(path, schema, connect, readers, repair)
        database._thread.start()
        try:
            await asyncio.wrap_future(database._ready)
            yield database
        finally:
            await database._close()

    async def write(self, unit: Unit[T]) -> T:
        """Run `unit` in a transaction; returns what it returned, after the commit.

        A waiter that is cancelled may or may not have its unit run, but never in part.

        Raises:
            StoreFull: the disk is full; nothing of the unit remains.
            Exception: whatever `unit` raised; nothing of it remains.
        """
        return await asyncio.wrap_future(self._submit(unit))

    async def read(self, unit: Unit[T]) -> T:
        """Run `unit` on a connection that can't write, in a thread; one snapshot for all its statements."""
        if self._readers is None:
            return await self.write(unit)
        return await asyncio.wrap_future(self._pool.submit(self._read, unit))

    def peek(self, unit: Unit[T]) -> T:
        """Run `unit` here and now: for a look-up by key from the event loop (some 10 us), nothing longer."""
        if self._peeker is None:
            return self._submit(unit).result()
        return unit(self._peeker)

    def _submit(self, unit: Unit[T]) -> Future[T]:
        if self._closed:
            raise RuntimeError(f"{self._path.name} is closed")
        future: Future[T] = Future()
        self._queue.put(_Waiting(unit, future))
        return future

    def _read(self, unit: Unit[T]) -> T:
        if self._readers is None:
            raise RuntimeError("no readers")
        connection = self._readers.get()
        try:
            connection.execute("BEGIN")
            try:
                return unit(connection)
            finally:
                connection.execute("ROLLBACK")
        finally:
            self._readers.put(connection)

    async def _close(self) -> None:
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._pool.shutdown()
        if self._peeker is not None:
            self._peeker.close()
        while self._readers is not None:
            try:
                self._readers.get_nowait().close()
            except queue.Empty:
                break

    # -- in the writer's thread ------------------------------------------------------------------------

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            connection = self._connect(self._path)
            prepare(connection, self._path, self._schema)
            self._open_readers()
        except sqlite3.Error as error:
            self._ready.set_exception(explain(error, self._path, self._repair))
        except BaseException as error:  # noqa: BLE001 - handed to the one who opens
            self._ready.set_exception(error)
        else:
            self._ready.set_result(None)
            self._serve(connection)
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()

    def _open_readers(self) -> None:
        if self._readers is None:
            return
        for n in range(self._reader_count + 1):
            reader = self._connect(self._path)
            reader.execute("PRAGMA query_only=ON")
            if n == 0:
                self._peeker = reader
            else:
                self._readers.put(reader)

    def _serve(self, connection: sqlite3.Connection) -> None:
        while (first := self._queue.get()) is not None:
            last, batch = self._run_group(connection, first)
            for waiting in batch:
                if waiting.error is not None:
                    waiting.future.set_exception(waiting.error)
                else:
                    waiting.future.set_result(waiting.value)
            if last:
                return

    def _run_group(self, connection: sqlite3.Connection, first: _Waiting[Any]) -> tuple[bool, list[_Waiting[Any]]]:
        batch: list[_Waiting[Any]] = []
        waiting: _Waiting[Any] | None = first
        until = time.monotonic() + GROUP_SECONDS
        whole = True
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:
            whole = False
        while waiting is not None:
            if waiting.future.set_running_or_notify_cancel():
                batch.append(waiting)
                whole = whole and _run_unit(connection, waiting)
            if len(batch) >= GROUP_UNITS or time.monotonic() >= until or not whole:
                break
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                break
        if not (whole and _commit(connection)):
            roll_back(connection)
            for each in batch:
                self._run_alone(connection, each)
        return waiting is None, batch

    def _run_alone(self, connection: sqlite3.Connection, waiting: _Waiting[Any]) -> None:
        waiting.error = None
        try:
            connection.execute("BEGIN IMMEDIATE")
            waiting.value = waiting.unit(connection)
            connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - handed to the waiter
            roll_back(connection)
            waiting.error = explain(error, self._path, self._repair)


def _run_unit(connection: sqlite3.Connection, waiting: _Waiting[Any]) -> bool:
    """Run one unit in its savepoint; False when the whole transaction is lost."""
    try:
        connection.execute("SAVEPOINT unit")
        try:
            waiting.value = waiting.unit(connection)
        except BaseException as error:  # noqa: BLE001 - handed to the waiter
            if not connection.in_transaction or is_full(error):
                return False
            waiting.error = error
            connection.execute("ROLLBACK TO unit")
        connection.execute("RELEASE unit")
    except sqlite3.Error:
        return False
    return True


def _commit(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("COMMIT")
    except sqlite3.Error:
        return False
    return True
