"""A conversation under way, and methods made of conversations: what both clients do alike, step by step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial, update_wrapper
from types import NoneType, TracebackType
from typing import Any, Generic, Self, TypeVar, get_args

T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., Any])
SELF = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Talk(Generic[T]):
    """A conversation under way: iterate over what it yields, and answer each step.

    Attributes:
        value: What it returned, once it has ended.
    """

    value: T

    def __init__(self, conversation: Generator[Any, Any, T]) -> None:
        self._conversation = conversation
        self._go_on: Callable[[], Any] = partial(conversation.send, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._conversation.close()

    def __iter__(self) -> Iterator[Any]:
        while True:
            try:
                yielded = self._go_on()
            except StopIteration as end:
                self.value = end.value
                return
            self.answer(None)
            yield yielded

    def answer(self, result: Any) -> None:
        """Say what came of a step."""
        self._go_on = partial(self._conversation.send, result)

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Take a step: if it fails, the conversation decides what that means."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - thrown into the conversation, which raises what it does not expect
            self._go_on = partial(self._conversation.throw, error)


def described(method: Method, conversation: Callable[..., Any], returns: Any = None) -> Method:
    """Give a method the name, the docstring and the signature of its conversation, for `help` and editors.

    Args:
        method: Takes `self`, then what the conversation takes.
        conversation: It is annotated with `Flow[T]` or `Feed[T]`.
        returns: What the annotation of the method says; `T` unless given.
    """
    update_wrapper(method, conversation)
    del vars(method)["__wrapped__"]  # or whoever follows it shows what the conversation returns, which is a generator
    signature = inspect.signature(conversation, eval_str=True)
    result = returns or get_args(signature.return_annotation)[-1]
    signature = signature.replace(
        parameters=[SELF, *signature.parameters.values()], return_annotation=None if result is NoneType else result
    )
    vars(method)["__signature__"] = signature
    method.__annotations__ = {name: each.annotation for name, each in signature.parameters.items() if each is not SELF}
    method.__annotations__["return"] = signature.return_annotation
    return method
